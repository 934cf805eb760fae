// The checks of tests/clients/run on grpc-js. Usage: client.mjs life|resume|retry ADDRESS FILE, beside proto/ and googleapis/.
import grpc from '@grpc/grpc-js';
import loader from '@grpc/proto-loader';
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const PATIENCE = 20_000; // milliseconds
const STATEMENT = 'statements/fire';
const DRAFT = 'statements/fire/drafts/en';
const FORM = { includeDirs: ['proto', 'googleapis'], longs: String, enums: String, defaults: true, oneofs: true };
const SERVICES = ['editorial', 'feed', 'statement'].map((name) => `onrecord/v1/${name}_service.proto`);
const api = grpc.loadPackageDefinition(loader.loadSync(SERVICES, FORM)).onrecord.v1;
const rpc = loader.loadSync(['google/rpc/status.proto', 'google/rpc/error_details.proto'], FORM);
const { status } = grpc;

const say = (words) => console.log('node:', words);
const version = (name) => createRequire(import.meta.url)(`${name}/package.json`).version;
const deadline = (milliseconds = PATIENCE) => new Date(Date.now() + milliseconds);

function by(caller) {
  const metadata = new grpc.Metadata();
  metadata.set('onrecord-caller', caller);
  return metadata;
}

class Client {
  constructor(address, options = {}) {
    const connect = (Service) => new Service(address, grpc.credentials.createInsecure(), options);
    this.editor = connect(api.EditorialService);
    this.reader = connect(api.StatementService);
    this.feed = connect(api.FeedService);
  }

  /** Resolves to the response, or rejects with the error. */
  call(stub, method, request, caller) {
    return new Promise((resolve, reject) => {
      const done = (error, response) => (error ? reject(error) : resolve(response));
      stub[method](request, by(caller), { deadline: deadline() }, done);
    });
  }

  edit(method, request, caller = 'anna') {
    return this.call(this.editor, method, { ...request, requestId: randomUUID() }, caller);
  }

  subscribe(request, milliseconds = PATIENCE) {
    return new Stream(this.feed.subscribe(request, by('site'), { deadline: deadline(milliseconds) }));
  }

  create() {
    return this.edit('createStatement', { statementId: 'fire', statement: { kind: 'notice', sourceLanguageCode: 'en' } });
  }

  async save(etag, content) {
    return (await this.edit('saveDraft', { draft: { name: DRAFT, etag, content: { body: 'In full.', ...content } } })).draft;
  }

  async publish(etag) {
    let { draft } = await this.edit('submitDraft', { name: DRAFT, etag });
    ({ draft } = await this.edit('approveDraft', { name: DRAFT, etag: draft.etag }, 'bea'));
    assert.equal(draft.state, 'STATE_APPROVED');
    const drafts = [{ languageCode: 'en', etag: draft.etag }];
    const { live } = await this.edit('publishDrafts', { parent: STATEMENT, drafts }, 'chris');
    assert.equal(live[0].state, 'STATE_PUBLISHED');
  }

  async withdraw() {
    const { live } = await this.edit('withdrawStatement', { name: STATEMENT, notice: { text: 'It is no longer true.' } }, 'chris');
    assert.equal(live[0].state, 'STATE_WITHDRAWN');
  }
}

class Stream {
  constructor(call) {
    this.call = call;
    this.messages = call[Symbol.asyncIterator]();
  }

  async next() {
    const { value, done } = await this.messages.next();
    assert(!done, 'the stream ended');
    return value;
  }

  /** Reads the next events, which must be of these types, from this sequence on. Resolves to the cursor after them. */
  async expect(sequence, ...kinds) {
    const wanted = kinds.map((kind, at) => [String(sequence + at), `TYPE_${kind}`]);
    const seen = [];
    let cursor;
    while (seen.length < wanted.length) {
      const { eventBatch } = await this.next();
      seen.push(...(eventBatch?.deliveries ?? []).map(({ event }) => [event.sequence, event.type]));
      cursor = eventBatch?.cursor ?? cursor;
    }
    assert.deepEqual(seen, wanted);
    return cursor;
  }
}

/** Awaits a refusal. Resolves to `ErrorInfo.metadata`, the fields at fault, the status message and the pushback. */
async function refused(code, reason, attempt) {
  const error = await attempt.then(() => assert.fail(`not refused: ${reason}`), (error) => error);
  assert.equal(error.code, code, error);
  const details = { ErrorInfo: {}, BadRequest: {} };
  for (const { type_url: type, value } of rpc['google.rpc.Status'].deserialize(error.metadata.get('grpc-status-details-bin')[0]).details) {
    details[type.split('.').at(-1)] = rpc[type.split('/').at(-1)].deserialize(value);
  }
  const { ErrorInfo: info, BadRequest: bad } = details;
  assert.deepEqual([info.reason, info.domain], [reason, 'onrecord']);
  const fields = (bad.fieldViolations ?? []).map(({ field }) => field);
  return { metadata: info.metadata, fields, message: error.details, pushback: error.metadata.get('grpc-retry-pushback-ms').join() };
}

async function life(address, path) {
  const client = new Client(address);
  say(`grpc-js ${version('@grpc/grpc-js')}, proto-loader ${version('@grpc/proto-loader')}, Node.js ${process.versions.node}`);
  await client.create();
  await refused(status.ALREADY_EXISTS, 'STATEMENT_EXISTS', client.create());
  const stream = client.subscribe({ start: 'START_SNAPSHOT' });
  assert((await stream.next()).opened);
  assert.equal((await stream.next()).snapshotEnd.itemCount, '0');

  const first = await client.save('', { title: 'Fire' });
  const draft = await client.save(first.etag, { title: 'One fire' });
  const { metadata } = await refused(status.ABORTED, 'ETAG_MISMATCH', client.save(first.etag, { title: 'No fire' }));
  assert.deepEqual([metadata.etag, metadata.revision], [draft.etag, String(draft.revision)]);
  const wrong = client.save(draft.etag, { title: 'Fire', urgency: 10 });
  const { fields } = await refused(status.INVALID_ARGUMENT, 'INVALID_ARGUMENT', wrong);
  assert.deepEqual(fields, ['draft.content.urgency']);
  say('STATEMENT_EXISTS; ETAG_MISMATCH with the revision; INVALID_ARGUMENT with the field');

  await client.publish(draft.etag);
  writeFileSync(path, await stream.expect(1, 'PUBLISHED'));
  const corrected = { title: 'Two fires', changeKind: 'CHANGE_KIND_CORRECTION', correction: { text: 'It was two.' } };
  await client.publish((await client.save('', corrected)).etag);
  await stream.expect(2, 'CORRECTED');
  await client.withdraw();
  await stream.expect(3, 'WITHDRAWN');
  stream.call.cancel();
  const { statement } = await client.call(client.reader, 'getStatement', { name: STATEMENT }, 'site');
  assert.equal(statement.live.edition.content.title, 'Two fires');
  say('created, saved, submitted, approved by another caller, published, corrected, withdrawn');
  say('followed from SNAPSHOT: PUBLISHED, CORRECTED, WITHDRAWN');

  const short = client.subscribe({ start: 'START_NOW' }, 500);
  await assert.rejects(async () => { for (;;) await short.next(); }, { code: status.DEADLINE_EXCEEDED });
  say('a deadline of 500 ms ends a stream with DEADLINE_EXCEEDED');

  const zipping = new Client(address, { 'grpc.default_compression_algorithm': grpc.compressionAlgorithms.gzip });
  const batch = await zipping.call(zipping.reader, 'batchGetStatements', { names: Array(100).fill(STATEMENT) }, 'site');
  assert.equal(batch.statements.length, 100);
  for (const [sender, words] of [[zipping, 'decompressed'], [client, '5242885']]) {
    const long = sender.call(sender.reader, 'listStatements', { pageToken: 'x'.repeat(5 << 20) }, 'site');
    const { metadata, message, pushback } = await refused(status.RESOURCE_EXHAUSTED, 'MESSAGE_TOO_LONG', long);
    assert.deepEqual([metadata, pushback], [{ limit: 'MESSAGE_BYTES', most: '262144' }, '-1']);
    assert(message.includes(words), message);
  }
  say('a gzip request is read; MESSAGE_TOO_LONG, compressed and not, with the limit and the pushback -1');
}

async function resume(address, path) {
  const stream = new Client(address).subscribe({ start: 'START_CURSOR', cursor: readFileSync(path, 'utf8') });
  assert((await stream.next()).opened.resumed);
  await stream.expect(2, 'CORRECTED', 'WITHDRAWN');
  say('resumed by cursor after a restart: CORRECTED, WITHDRAWN');
}

async function retry(address, path) {
  const client = new Client(address);
  const retrying = new Client(address, { 'grpc.service_config': readFileSync(path, 'utf8') });
  const first = client.subscribe({ start: 'START_NOW' });
  assert((await first.next()).opened);
  first.call.on('error', () => {}); // cancelled below
  const { pushback } = await refused(status.RESOURCE_EXHAUSTED, 'TOO_MANY_STREAMS', client.subscribe({ start: 'START_NOW' }).next());
  assert(1000 <= pushback && pushback <= 2000, pushback);
  const started = Date.now();
  setTimeout(() => first.call.cancel(), 500);
  assert((await retrying.subscribe({ start: 'START_NOW' }).next()).opened);
  assert(Date.now() - started >= 1000, 'retried before the pushback');
  say('TOO_MANY_STREAMS was retried after the pushback');
  const batch = retrying.call(retrying.reader, 'batchGetStatements', { names: Array(20_000).fill('') }, 'site');
  await refused(status.RESOURCE_EXHAUSTED, 'MESSAGE_TOO_LONG', batch);
  say('MESSAGE_TOO_LONG was refused with a service config that retries RESOURCE_EXHAUSTED');
}

const [phase, address, path] = process.argv.slice(2);
await { life, resume, retry }[phase](address, path);
process.exit(); // leaves open streams
