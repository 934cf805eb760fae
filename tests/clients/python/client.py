"""The checks of tests/clients/run on grpcio. Usage: client.py life|resume|retry ADDRESS FILE."""

import sys
import threading
import time
import uuid

import grpc
from google import protobuf
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from onrecord.v1 import content_pb2 as content
from onrecord.v1 import draft_pb2 as drafts
from onrecord.v1 import editorial_service_pb2 as editorial
from onrecord.v1 import editorial_service_pb2_grpc as editorial_grpc
from onrecord.v1 import event_pb2 as events
from onrecord.v1 import feed_service_pb2 as feed
from onrecord.v1 import feed_service_pb2_grpc as feed_grpc
from onrecord.v1 import live_pb2 as live
from onrecord.v1 import statement_pb2 as statements
from onrecord.v1 import statement_service_pb2 as reading
from onrecord.v1 import statement_service_pb2_grpc as reading_grpc

PATIENCE = 20  # seconds
STATEMENT, DRAFT = "statements/fire", "statements/fire/drafts/en"


class Client:
    def __init__(self, address, options=()):
        self.channel = grpc.insecure_channel(address, options=options)
        self.editor = editorial_grpc.EditorialServiceStub(self.channel)
        self.reader = reading_grpc.StatementServiceStub(self.channel)
        self.feed = feed_grpc.FeedServiceStub(self.channel)

    def subscribe(self, start, cursor="", timeout=PATIENCE):
        return call(self.feed.Subscribe, feed.SubscribeRequest(start=start, cursor=cursor), "site", timeout=timeout)


def say(words):
    print("python:", words, flush=True)


def call(method, request, caller, timeout=PATIENCE, **options):
    if "request_id" in request.DESCRIPTOR.fields_by_name:
        request.request_id = str(uuid.uuid4())
    return method(request, metadata=[("onrecord-caller", caller)], timeout=timeout, **options)


def refused(code, reason, attempt):
    """Makes a call that must be refused. Returns `ErrorInfo.metadata`, the fields at fault, the status message and the pushback."""
    try:
        attempt()
    except grpc.RpcError as error:
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        for detail in rpc_status.from_call(error).details:
            detail.Unpack(info) or detail.Unpack(bad)
        assert (error.code(), info.reason, info.domain) == (code, reason, "onrecord"), error
        pushback = dict(error.trailing_metadata()).get("grpc-retry-pushback-ms")
        return dict(info.metadata), [violation.field for violation in bad.field_violations], error.details(), pushback
    raise AssertionError(f"not refused: {reason}")


def create(client):
    statement = statements.Statement(kind="notice", source_language_code="en")
    call(client.editor.CreateStatement, editorial.CreateStatementRequest(statement_id="fire", statement=statement), "anna")


def save(client, etag="", **words):
    draft = drafts.Draft(name=DRAFT, etag=etag, content=content.Content(body="In full.", **words))
    return call(client.editor.SaveDraft, editorial.SaveDraftRequest(draft=draft), "anna").draft


def publish(client, etag):
    draft = call(client.editor.SubmitDraft, editorial.SubmitDraftRequest(name=DRAFT, etag=etag), "anna").draft
    draft = call(client.editor.ApproveDraft, editorial.ApproveDraftRequest(name=DRAFT, etag=draft.etag), "bea").draft
    assert draft.state == drafts.Draft.STATE_APPROVED, draft
    one = editorial.DraftToPublish(language_code="en", etag=draft.etag)
    [now] = call(client.editor.PublishDrafts, editorial.PublishDraftsRequest(parent=STATEMENT, drafts=[one]), "chris").live
    assert now.state == live.Live.STATE_PUBLISHED, now


def withdraw(client):
    request = editorial.WithdrawStatementRequest(name=STATEMENT, notice=content.Notice(text="It is no longer true."))
    [now] = call(client.editor.WithdrawStatement, request, "chris").live
    assert now.state == live.Live.STATE_WITHDRAWN, now


def expect(stream, sequence, *kinds):
    """Reads the next events, which must be of these types, from this sequence on. Returns the cursor after them."""
    seen, wanted = [], [(sequence + at, f"TYPE_{kind}") for at, kind in enumerate(kinds)]
    while len(seen) < len(wanted):
        batch = next(stream).event_batch
        seen += [(delivery.event.sequence, events.Event.Type.Name(delivery.event.type)) for delivery in batch.deliveries]
    assert seen == wanted, seen
    return batch.cursor


def life(client, address, path):
    say(f"grpcio {grpc.__version__}, protobuf {protobuf.__version__}")
    create(client)
    refused(grpc.StatusCode.ALREADY_EXISTS, "STATEMENT_EXISTS", lambda: create(client))
    stream = client.subscribe(feed.START_SNAPSHOT)
    assert next(stream).HasField("opened")
    assert next(message for message in stream if message.HasField("snapshot_end")).snapshot_end.item_count == 0

    first = save(client, title="Fire")
    draft = save(client, first.etag, title="One fire")
    stale, *_ = refused(grpc.StatusCode.ABORTED, "ETAG_MISMATCH", lambda: save(client, first.etag, title="No fire"))
    assert (stale["etag"], stale["revision"]) == (draft.etag, str(draft.revision)), stale
    _, fields, *_ = refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT", lambda: save(client, draft.etag, title="Fire", urgency=10))
    assert fields == ["draft.content.urgency"], fields
    say("STATEMENT_EXISTS; ETAG_MISMATCH with the revision; INVALID_ARGUMENT with the field")

    publish(client, draft.etag)
    cursor = expect(stream, 1, "PUBLISHED")
    correction = content.Correction(text="It was two.")
    publish(client, save(client, title="Two fires", change_kind=content.CHANGE_KIND_CORRECTION, correction=correction).etag)
    expect(stream, 2, "CORRECTED")
    withdraw(client)
    expect(stream, 3, "WITHDRAWN")
    stream.cancel()
    read = call(client.reader.GetStatement, reading.GetStatementRequest(name=STATEMENT), "site").statement
    assert read.live.edition.content.title == "Two fires", read
    say("created, saved, submitted, approved by another caller, published, corrected, withdrawn")
    say("followed from SNAPSHOT: PUBLISHED, CORRECTED, WITHDRAWN")
    with open(path, "w") as file:
        file.write(cursor)

    started = time.monotonic()
    stream = client.subscribe(feed.START_NOW, timeout=0.5)
    try:
        list(stream)
        raise AssertionError("the stream ended without an error")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error
    assert time.monotonic() - started < PATIENCE / 2
    say("a deadline of 500 ms ends a stream with DEADLINE_EXCEEDED")

    batch = reading.BatchGetStatementsRequest(names=[STATEMENT] * 100)
    assert len(call(client.reader.BatchGetStatements, batch, "site", compression=grpc.Compression.Gzip).statements) == 100
    long, list_statements = reading.ListStatementsRequest(page_token="x" * (5 << 20)), client.reader.ListStatements
    for compression, words in ((grpc.Compression.Gzip, "decompressed"), (grpc.Compression.NoCompression, "5242885")):
        limit, _, message, pushback = refused(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "MESSAGE_TOO_LONG",
            lambda: call(list_statements, long, "site", compression=compression),
        )
        assert (limit, pushback) == ({"limit": "MESSAGE_BYTES", "most": "262144"}, "-1") and words in message, message
    say("a gzip request is read; MESSAGE_TOO_LONG, compressed and not, with the limit and the pushback -1")


def resume(client, address, path):
    with open(path) as file:
        stream = client.subscribe(feed.START_CURSOR, file.read())
    assert next(stream).opened.resumed
    expect(stream, 2, "CORRECTED", "WITHDRAWN")
    say("resumed by cursor after a restart: CORRECTED, WITHDRAWN")


def retry(client, address, path):
    with open(path) as file:
        retrying = Client(address, [("grpc.service_config", file.read())])
    first = client.subscribe(feed.START_NOW)
    assert next(first).HasField("opened")
    *_, pushback = refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_STREAMS", lambda: next(client.subscribe(feed.START_NOW)))
    assert 1000 <= int(pushback) <= 2000, pushback
    started = time.monotonic()
    threading.Timer(0.5, first.cancel).start()
    assert next(retrying.subscribe(feed.START_NOW)).HasField("opened")
    assert time.monotonic() - started >= 1, "retried before the pushback"
    say("TOO_MANY_STREAMS was retried after the pushback")
    batch = reading.BatchGetStatementsRequest(names=[""] * 20_000)
    refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LONG", lambda: call(retrying.reader.BatchGetStatements, batch, "site"))
    say("MESSAGE_TOO_LONG was refused with a service config that retries RESOURCE_EXHAUSTED")


phase, address, path = sys.argv[1:]
{"life": life, "resume": resume, "retry": retry}[phase](Client(address), address, path)
