"""The life of a statement, driven by grpcio with generated stubs, and followed by a subscriber."""

import hashlib
import json
import queue
import sys
import threading
import time
import unicodedata
import uuid

import grpc
from google.protobuf import timestamp_pb2
from google.protobuf.json_format import MessageToDict
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status
from onrecord.v1 import content_pb2 as content
from onrecord.v1 import draft_pb2 as drafts
from onrecord.v1 import editorial_service_pb2 as editorial
from onrecord.v1 import editorial_service_pb2_grpc as editorial_grpc
from onrecord.v1 import event_pb2 as events
from onrecord.v1 import feed_service_pb2 as feed
from onrecord.v1 import feed_service_pb2_grpc as feed_grpc
from onrecord.v1 import statement_pb2 as statements
from onrecord.v1 import statement_service_pb2 as reading
from onrecord.v1 import statement_service_pb2_grpc as reading_grpc

PATIENCE = 20  # seconds

channel = grpc.insecure_channel(sys.argv[1])
editor = editorial_grpc.EditorialServiceStub(channel)
reader = reading_grpc.StatementServiceStub(channel)
follower = feed_grpc.FeedServiceStub(channel)


def by(name):
    return [("onrecord-caller", name)]


def canonical(value):
    """RFC 8785, for values without fractions and with ASCII keys."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def say(words):
    print("python:", words)


def refused(call, code, reason):
    """Checks code and reason; returns the fields at fault."""
    try:
        call()
    except grpc.RpcError as error:
        assert error.code() == code, error
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        for detail in rpc_status.from_call(error).details:
            detail.Unpack(info) or detail.Unpack(bad)
        assert (info.reason, info.domain) == (reason, "onrecord"), info
        return [violation.field for violation in bad.field_violations]
    raise AssertionError(f"not refused: {reason}")


def save(language, **words):
    name = f"statements/fire/drafts/{language}"
    draft = drafts.Draft(name=name, content=content.Content(**words))
    return editor.SaveDraft(editorial.SaveDraftRequest(draft=draft), metadata=by("anna")).draft


def approve(draft, caller):
    request = editorial.ApproveDraftRequest(name=draft.name, etag=draft.etag)
    return editor.ApproveDraft(request, metadata=by(caller)).draft


def publish(language, **words):
    draft = save(language, **words)
    draft = editor.SubmitDraft(editorial.SubmitDraftRequest(name=draft.name, etag=draft.etag), metadata=by("anna")).draft
    draft = approve(draft, "bea")
    one = editorial.DraftToPublish(language_code=language, etag=draft.etag)
    request = editorial.PublishDraftsRequest(parent="statements/fire", drafts=[one])
    return editor.PublishDrafts(request, metadata=by("chris")).live[0]


def at(seconds, nanos=0):
    return timestamp_pb2.Timestamp(seconds=seconds, nanos=nanos)


def every_field():
    """Words that hold what JSON encoders disagree about: escapes, 64-bit numbers, fractions of a second, enums."""
    evidence = content.Evidence(title="Bericht", uri="https://example.org/a?b=c&d=%C3%A9", retrieve_time=at(1_700_000_000, 1))
    return {
        "title": "Cafe\u0301: \"no\" fire \\ on Monday \U0001f525 \u65e5\u672c",
        "summary": "a/b <c> & 'd'",
        "body": "One\n\n\tTwo \u00a0\u200b\u2028\u2029 \U0001f469\u200d\U0001f692\n",
        "body_media_type": "text/html",
        "renditions": [content.Rendition(channel="social.short", text="No fire.")],
        "attachments": [
            content.Attachment(
                title="Plan",
                uri="https://example.org/plan.pdf",
                media_type="application/pdf",
                size_bytes=2**53 + 1,
                sha256="0f" * 32,
            )
        ],
        "topics": ["fire", "data-centres"],
        "region_codes": ["DE", "150"],
        "excluded_region_codes": ["FR"],
        "audiences": ["press", "public"],
        "channels": ["web"],
        "urgency": 1,
        "claim_reviews": [
            content.ClaimReview(
                claim="It burned.",
                claimant="Somebody",
                first_appearance_uri="https://example.org/claim",
                first_appearance_time=at(1_700_000_000, 120_000_000),
                verdict=content.ClaimReview.VERDICT_MISSING_CONTEXT,
                verdict_text="It did not.",
                evidence=[evidence],
                as_of_time=at(1_700_000_000, 123_456_000),
            )
        ],
        "contacts": [content.Contact(name="Press", email="press@example.org", phone="+49 30 1", uri="https://example.org")],
        "change_note": "The day.",
        "expire_time": at(int(time.time()) + 86_400, 500_000_000),
        "review_due_time": at(int(time.time()) + 3_600),
        "as_of_time": at(1_700_000_000, 999_999_999),
        "original_time": at(-86_400 * 365, 250_000_000),
    }


class Follower:
    """Folds the feed: what a site would show."""

    def __init__(self, start, cursor=""):
        self.state, self.events, self.sequences, self.types, self.cursors = {}, [], [], [], [cursor]
        self.messages = queue.Queue()
        self.stream = follower.Subscribe(feed.SubscribeRequest(start=start, cursor=cursor), metadata=by("site"))
        threading.Thread(target=self.receive, daemon=True).start()
        self.opened = self.next().opened

    def receive(self):
        try:
            for message in self.stream:
                self.messages.put(message)
        except grpc.RpcError:
            pass

    def next(self):
        return self.messages.get(timeout=PATIENCE)

    def until(self, sequence):
        while not self.sequences or self.sequences[-1] < sequence:
            self.take(self.next())
        return self

    def snapshot(self):
        while True:
            message = self.next()
            for live in message.snapshot.live:
                self.state[live.statement, live.language_code] = live
            if message.HasField("snapshot_end"):
                return self

    def take(self, message):
        for delivery in message.event_batch.deliveries:
            event = delivery.event
            self.events.append(event)
            self.sequences.append(event.sequence)
            self.types.append(events.Event.Type.Name(event.type))
            key = event.statement, event.language_code
            if delivery.filter_change == events.Delivery.FILTER_CHANGE_LEFT:
                self.state.pop(key, None)
            else:
                self.state[key] = event.live
        if message.event_batch.cursor:
            self.cursors.append(message.event_batch.cursor)


health = health_pb2_grpc.HealthStub(channel)
for service in ["", "onrecord.v1.EditorialService", "onrecord.v1.StatementService", "onrecord.v1.FeedService"]:
    check = health_pb2.HealthCheckRequest(service=service)
    answer = health.Check(check, wait_for_ready=True, timeout=PATIENCE)  # the first one waits for the server
    assert answer.status == health_pb2.HealthCheckResponse.SERVING, (service, answer)
services = set(ProtoReflectionDescriptorDatabase(channel).get_services())
assert {"onrecord.v1.EditorialService", "onrecord.v1.StatementService", "onrecord.v1.FeedService"} <= services, services
say("healthy, and reflected (v1alpha)")

request = editorial.CreateStatementRequest(
    statement_id="fire",
    statement=statements.Statement(kind="rebuttal", source_language_code="en"),
    request_id=str(uuid.uuid4()),
)
created = editor.CreateStatement(request, metadata=by("anna"))
assert editor.CreateStatement(request, metadata=by("anna")) == created
other = editorial.CreateStatementRequest()
other.CopyFrom(request)
other.statement_id = "flood"
refused(
    lambda: editor.CreateStatement(other, metadata=by("anna")), grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED"
)
refused(lambda: editor.CreateStatement(other), grpc.StatusCode.UNAUTHENTICATED, "CALLER_MISSING")
say("created once, though asked twice; refused under a used request id, and without a caller")

follow = Follower(feed.START_BEGINNING)
draft = save("en", title="There was no fire", body="None at all.")
draft = editor.SubmitDraft(editorial.SubmitDraftRequest(name=draft.name, etag=draft.etag), metadata=by("anna")).draft
refused(lambda: approve(draft, "anna"), grpc.StatusCode.PERMISSION_DENIED, "OWN_TEXT")
draft = approve(draft, "bea")
one = editorial.DraftToPublish(language_code="en", etag=draft.etag)
editor.PublishDrafts(editorial.PublishDraftsRequest(parent="statements/fire", drafts=[one]), metadata=by("chris"))
follow.until(1)  # each commit is taken before the next one is made: so each has its own cursor
publish("de", title="Es hat nicht gebrannt", body="Nirgends.")
follow.until(2)
correction = content.Correction(text="It was Monday.")
publish("en", change_kind=content.CHANGE_KIND_CORRECTION, correction=correction, **every_field())
follow.until(4)
notice = content.Notice(text="Overtaken by our report.")
withdraw = editorial.WithdrawStatementRequest(name="statements/fire", notice=notice)
editor.WithdrawStatement(withdraw, metadata=by("chris"))
follow.until(6)
assert follow.types == [
    "TYPE_PUBLISHED", "TYPE_PUBLISHED", "TYPE_CORRECTED", "TYPE_TRANSLATION_STALE", "TYPE_WITHDRAWN", "TYPE_WITHDRAWN",
], follow.types
assert follow.sequences == [1, 2, 3, 4, 5, 6]
assert follow.events[2].correction.text == "It was Monday." and follow.events[2].notify
assert [event.notice.text for event in follow.events[4:]] == ["Overtaken by our report."] * 2
assert {event.language_code for event in follow.events[4:]} == {"de", "en"}
assert follow.state["statements/fire", "de"].stale_since_edition == "statements/fire/editions/en.2"
assert follow.state["statements/fire", "en"].notice.text == "Overtaken by our report."
say("written, approved by somebody else, published, corrected, withdrawn; and followed")

late = Follower(feed.START_SNAPSHOT).snapshot()
assert late.state == follow.state
starts = []
for cursor in follow.cursors[1:-1]:
    resumed = Follower(feed.START_CURSOR, cursor).until(6)
    assert resumed.opened.resumed
    starts.append(resumed.sequences[0])
    assert resumed.events == follow.events[starts[-1] - 1 :], resumed.sequences
assert starts == [2, 3, 5], starts  # four commits of 1, 1, 2 and 2 events
say("a snapshot is the folded stream; a cursor misses nothing")

def get_edition(view):
    request = reading.GetEditionRequest(name="statements/fire/editions/en.2", content_view=view)
    return reader.GetEdition(request, metadata=by("site")).edition


edition, served = get_edition(content.CONTENT_VIEW_MESSAGE), get_edition(content.CONTENT_VIEW_CANONICAL)
assert not edition.canonical_content and not served.HasField("content"), "one comes instead of the other"
assert hashlib.sha256(served.canonical_content).hexdigest() == served.content_digest == edition.content_digest
ours = canonical(MessageToDict(edition.content))
assert ours == served.canonical_content, (ours, served.canonical_content)
unset = {field.name for field in edition.content.DESCRIPTOR.fields} - {field.name for field, _ in edition.content.ListFields()}
assert unset == {"source_edition"}, unset  # a field that is not set is a field that was not checked
assert edition.content.title == unicodedata.normalize("NFC", every_field()["title"]) != every_field()["title"]
assert edition.content.body == every_field()["body"]
say("the canonical content is what protobuf's own JSON says, and has the digest that is stated")

read, request = [], feed.ReadFeedRequest(start=feed.START_BEGINNING, max_events=4)
while (page := follower.ReadFeed(request, metadata=by("site"))).deliveries:
    read += [delivery.event for delivery in page.deliveries]
    request = feed.ReadFeedRequest(start=feed.START_CURSOR, cursor=page.cursor, max_events=4)
assert read == follow.events
previous = "0" * 64
for event in read:
    assert event.previous_hash == previous
    assert event.hash == hashlib.sha256(bytes.fromhex(event.previous_hash) + event.seal).hexdigest()
    seal = json.loads(event.seal)
    assert event.seal == canonical(seal)
    assert (seal["sequence"], seal["contentDigest"]) == (str(event.sequence), event.content_digest)
    assert ("noticeDigest" in seal) == event.HasField("notice")
    if event.HasField("notice"):
        words = event.notice.salt + event.notice.text_media_type.encode() + b"\0" + event.notice.text.encode()
        assert seal["noticeDigest"] == hashlib.sha256(words).hexdigest()
    previous = event.hash
say(f"read in pages, {len(read)} hashes, each right")

bad = content.Content(title="", urgency=10, topics=["Not a code"])
request = editorial.SaveDraftRequest(draft=drafts.Draft(name="statements/fire/drafts/en_GB", content=bad))
fields = refused(
    lambda: editor.SaveDraft(request, metadata=by("anna")), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT"
)
assert fields == ["draft.name", "draft.content.title", "draft.content.topics[0]", "draft.content.urgency"], fields
say("bad input: every field at fault is named")

small = reading_grpc.StatementServiceStub(grpc.insecure_channel(sys.argv[1], compression=grpc.Compression.Gzip))
batch = reading.BatchGetStatementsRequest(names=["statements/fire"] * 100)
assert len(small.BatchGetStatements(batch, metadata=by("site")).statements) == 100
long = reading.ListStatementsRequest(page_token="x" * (5 << 20))
for stub in (reader, small):
    refused(lambda: stub.ListStatements(long, metadata=by("site")), grpc.StatusCode.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LONG")
unknown = channel.unary_unary("/onrecord.v1.StatementService/Nothing")
refused(lambda: unknown(b"", metadata=by("site")), grpc.StatusCode.UNIMPLEMENTED, "METHOD_UNKNOWN")
undecodable = channel.unary_unary("/onrecord.v1.StatementService/GetStatement")
refused(lambda: undecodable(b"\xff\xff", metadata=by("site")), grpc.StatusCode.INVALID_ARGUMENT, "MESSAGE_UNDECODABLE")
say("requests compressed with gzip; what is too long, unknown or no message is refused with a reason")
