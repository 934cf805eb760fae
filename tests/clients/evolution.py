"""A proxy makes of the service one of a later version: fields, event types, a member of a oneof, of seals and of texts that nobody knows yet. The
example sites, with stubs of version 1 of the API, verify and apply all of it.

Usage: evolution.py ADDRESS RUST-SITE DIRECTORY
"""

import hashlib
import json
import os
import subprocess
import sys
import time
import uuid
from concurrent import futures

import grpc
from onrecord.v1 import content_pb2 as content
from onrecord.v1 import draft_pb2 as drafts
from onrecord.v1 import editorial_service_pb2 as editorial
from onrecord.v1 import editorial_service_pb2_grpc as editorial_grpc
from onrecord.v1 import feed_service_pb2 as feed
from onrecord.v1 import feed_service_pb2_grpc as feed_grpc
from onrecord.v1 import statement_pb2 as statements

address, rust_site, work = sys.argv[1:4]
PATIENCE = 60  # seconds
UNKNOWN = bytes([0xC2, 0x3E, 3]) + b"new"  # field 1000, a string
LATER_TYPE, LATER_TYPE_WITHOUT_LIVE = 99, 100
service = grpc.insecure_channel(address)
editor = editorial_grpc.EditorialServiceStub(service)


def call(method, request):
    request.request_id = str(uuid.uuid4())
    return method(request, metadata=[("onrecord-caller", "editor")], timeout=PATIENCE, wait_for_ready=True)


def publish(id, **fields):
    draft = drafts.Draft(name=f"statements/{id}/drafts/en", content=content.Content(body="In full.", **fields))
    draft = call(editor.SaveDraft, editorial.SaveDraftRequest(draft=draft)).draft
    one = editorial.DraftToPublish(language_code="en", etag=draft.etag)
    request = editorial.PublishDraftsRequest(parent=f"statements/{id}", drafts=[one], force=True, reason="A test.")
    call(editor.PublishDrafts, request)


def fill():
    for id in ("fire", "flood", "other"):
        statement = statements.Statement(kind="notice", source_language_code="en")
        call(editor.CreateStatement, editorial.CreateStatementRequest(statement_id=id, statement=statement))
        publish(id, title=id)
    publish("fire", title="Fire, again", change_kind=content.CHANGE_KIND_MAJOR, change_note="It grew.")
    notice = content.Notice(text="It is no longer true.")
    call(editor.WithdrawStatement, editorial.WithdrawStatementRequest(name="statements/flood", notice=notice))


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


class Later:
    """The service as it may be later."""

    def __init__(self):
        self.hashes = {0: "0" * 64}
        server = grpc.server(futures.ThreadPoolExecutor(8))
        handler = grpc.unary_stream_rpc_method_handler(self.subscribe, feed.SubscribeRequest.FromString, feed.SubscribeResponse.SerializeToString)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("onrecord.v1.FeedService", {"Subscribe": handler}),))
        self.port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        self.server = server

    def subscribe(self, request, context):
        onward = feed_grpc.FeedServiceStub(service).Subscribe(request, metadata=[("onrecord-caller", "site")])
        context.add_callback(onward.cancel)
        for message in onward:
            for delivery in message.event_batch.deliveries:
                self.alter(delivery.event)
                delivery.MergeFromString(UNKNOWN)
            message.event_batch.MergeFromString(UNKNOWN) if message.HasField("event_batch") else None
            yield message
            later = feed.SubscribeResponse.FromString(UNKNOWN)
            assert later.WhichOneof("message") is None
            yield later

    def alter(self, event):
        seal = json.loads(event.seal)
        seal["laterMember"] = {"of": ["any", "kind"]}
        if event.live.edition.canonical_content:
            text = json.loads(event.live.edition.canonical_content)
            text["laterMember"] = [1, {"a": None}]
            event.live.edition.canonical_content = canonical(text)
            digest = hashlib.sha256(event.live.edition.canonical_content).hexdigest()
            event.content_digest = event.live.edition.content_digest = seal["contentDigest"] = digest
        if event.statement == "statements/fire" and event.edition.endswith(".2"):
            event.type, seal["type"] = LATER_TYPE, "TYPE_LATER"
        if event.statement == "statements/other":
            event.type, seal["type"] = LATER_TYPE_WITHOUT_LIVE, "TYPE_LATER_WITHOUT_LIVE"
            event.ClearField("live")
            event.ClearField("salt")
        event.seal = canonical(seal)
        event.previous_hash = self.hashes[event.sequence - 1]
        event.hash = hashlib.sha256(bytes.fromhex(event.previous_hash) + event.seal).hexdigest()
        self.hashes[event.sequence] = event.hash
        for message in (event, event.live, event.live.edition) if event.HasField("live") else (event,):
            message.MergeFromString(UNKNOWN)


def followed(command, path, **variables):
    """Runs a site until it has applied all events, and returns its pages."""
    with open(f"{path}.log", "w") as log:
        site = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **variables})
    end = time.monotonic() + PATIENCE
    try:
        while True:
            held = json.load(open(path)) if os.path.exists(path) else {"applied": 0}
            if held["applied"] == 5:
                return held["pages"]
            assert site.poll() is None and time.monotonic() < end, open(f"{path}.log").read()
            time.sleep(0.05)
    finally:
        site.kill()
        site.wait()


fill()
url = f"127.0.0.1:{Later().port}"
python, rust = f"{work}/python.json", f"{work}/rust.json"
shown = [
    followed([sys.executable, "examples/python/site.py", url, python], python, PYTHONPATH=f"{work}/stubs-1:examples/python"),
    followed([rust_site, f"http://{url}", rust], rust),
]
for pages in shown:
    assert sorted(pages) == ["statements/fire/en", "statements/flood/en"], pages
    assert pages["statements/fire/en"]["title"] == "Fire, again", pages
    assert pages["statements/flood/en"]["notice"] == "It is no longer true.", pages
print("both sites, with stubs of version 1: a later field, event type, oneof member, member of a seal and of a text change nothing else")
