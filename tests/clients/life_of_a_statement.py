"""The life of a statement, driven by grpcio with generated stubs, and followed by a subscriber."""

import hashlib
import json
import queue
import sys
import threading
import uuid

import grpc
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
grpc.channel_ready_future(channel).result(PATIENCE)
editor = editorial_grpc.EditorialServiceStub(channel)
reader = reading_grpc.StatementServiceStub(channel)
follower = feed_grpc.FeedServiceStub(channel)


def by(name):
    return [("onrecord-caller", name)]


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
    request = editorial.PublishDraftsRequest(name="statements/fire", drafts=[one])
    return editor.PublishDrafts(request, metadata=by("chris")).live[0]


class Follower:
    """Folds the feed: what a site would show."""

    def __init__(self, start, cursor=""):
        self.state, self.sequences, self.types, self.cursors = {}, [], [], [cursor]
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
            self.sequences.append(event.sequence)
            self.types.append(events.Event.Type.Name(event.type))
            key = event.statement, event.language_code
            if delivery.scope == events.Delivery.SCOPE_LEFT:
                self.state.pop(key, None)
            else:
                self.state[key] = event.live
        if message.event_batch.cursor:
            self.cursors.append(message.event_batch.cursor)


health = health_pb2_grpc.HealthStub(channel)
assert health.Check(health_pb2.HealthCheckRequest()).status == health_pb2.HealthCheckResponse.SERVING
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
say("created once, though asked twice")

follow = Follower(feed.START_BEGINNING)
draft = save("en", title="There was no fire", body="None at all.")
draft = editor.SubmitDraft(editorial.SubmitDraftRequest(name=draft.name, etag=draft.etag), metadata=by("anna")).draft
refused(lambda: approve(draft, "anna"), grpc.StatusCode.PERMISSION_DENIED, "OWN_TEXT")
draft = approve(draft, "bea")
one = editorial.DraftToPublish(language_code="en", etag=draft.etag)
editor.PublishDrafts(editorial.PublishDraftsRequest(name="statements/fire", drafts=[one]), metadata=by("chris"))
publish("de", title="Es hat nicht gebrannt", body="Nirgends.")
correction = content.Correction(text="It was Monday.")
publish("en", title="There was no fire on Monday", change_kind=content.CHANGE_KIND_CORRECTION, correction=correction)
notice = content.Notice(text="Overtaken by our report.")
withdraw = editorial.WithdrawStatementRequest(name="statements/fire", notice=notice)
editor.WithdrawStatement(withdraw, metadata=by("chris"))
follow.until(6)
assert follow.types == [
    "TYPE_PUBLISHED", "TYPE_PUBLISHED", "TYPE_CORRECTED", "TYPE_TRANSLATION_STALE", "TYPE_WITHDRAWN", "TYPE_WITHDRAWN",
], follow.types
assert follow.sequences == [1, 2, 3, 4, 5, 6]
assert follow.state["statements/fire", "de"].stale_since_edition == "statements/fire/editions/en.2"
assert follow.state["statements/fire", "en"].notice.text == "Overtaken by our report."
say("written, approved by somebody else, published, corrected, withdrawn; and followed")

late = Follower(feed.START_SNAPSHOT).snapshot()
assert late.state == follow.state
resumed = Follower(feed.START_CURSOR, follow.cursors[1]).until(6)
assert resumed.opened.resumed and resumed.sequences == [2, 3, 4, 5, 6], resumed.sequences
say("a snapshot is the folded stream; a cursor misses nothing")

get = reading.GetEditionRequest(name="statements/fire/editions/en.2", include_canonical_content=True)
edition = reader.GetEdition(get, metadata=by("site")).edition
assert hashlib.sha256(edition.canonical_content).hexdigest() == edition.content_digest
ours = json.dumps(MessageToDict(edition.content), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
assert ours.encode() == edition.canonical_content, (ours, edition.canonical_content)
say("the canonical content is what protobuf's own JSON says, and has the digest that is stated")

page = follower.ReadFeed(feed.ReadFeedRequest(start=feed.START_BEGINNING), metadata=by("site"))
previous = bytes(32)
for delivery in page.deliveries:
    event = delivery.event
    assert event.previous_hash == previous
    assert event.hash == hashlib.sha256(event.previous_hash + event.seal).digest()
    assert json.loads(event.seal)["contentDigest"] == event.content_digest
    previous = event.hash
say(f"{len(page.deliveries)} hashes, each right")

bad = content.Content(title="", urgency=10, topics=["Not a code"])
request = editorial.SaveDraftRequest(draft=drafts.Draft(name="statements/fire/drafts/en_GB", content=bad))
fields = refused(
    lambda: editor.SaveDraft(request, metadata=by("anna")), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT"
)
assert fields == ["draft.name", "draft.content.title", "draft.content.topics[0]", "draft.content.urgency"], fields
say("bad input: every field at fault is named")
