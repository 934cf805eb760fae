"""A proxy between the service and the example sites alters what is sent, one field at a time. Each site refuses each, and names the field.

Usage: forgery.py ADDRESS RUST-SITE DIRECTORY. The fields come from the descriptors of the messages that pass.
"""

import importlib.util
import json
import os
import subprocess
import sys
import time
import uuid
from concurrent import futures

import grpc
from google.protobuf.any_pb2 import Any
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from onrecord.v1 import content_pb2 as content
from onrecord.v1 import draft_pb2 as drafts
from onrecord.v1 import editorial_service_pb2 as editorial
from onrecord.v1 import editorial_service_pb2_grpc as editorial_grpc
from onrecord.v1 import feed_service_pb2 as feed
from onrecord.v1 import feed_service_pb2_grpc as feed_grpc
from onrecord.v1 import statement_pb2 as statements

import verify

address, rust_site, work = sys.argv[1:4]
PATIENCE = 60  # seconds
SUBSCRIBE = "/onrecord.v1.FeedService/Subscribe"
NAMED = ("Event", "Live", "Edition", "Embargo", "EventSeal")  # what is altered inside of another is named by the field that holds it
service = grpc.insecure_channel(address)
editor = editorial_grpc.EditorialServiceStub(service)


def call(method, request, caller="editor"):
    if "request_id" in request.DESCRIPTOR.fields_by_name:
        request.request_id = str(uuid.uuid4())
    return method(request, metadata=[("onrecord-caller", caller)], timeout=PATIENCE, wait_for_ready=True)


def publish(id, language, **fields):
    name, words = f"statements/{id}", content.Content(body="In full.", **fields)
    draft = drafts.Draft(name=f"{name}/drafts/{language}", content=words)
    draft = call(editor.SaveDraft, editorial.SaveDraftRequest(draft=draft)).draft
    one = editorial.DraftToPublish(language_code=language, etag=draft.etag)
    call(editor.PublishDrafts, editorial.PublishDraftsRequest(parent=name, drafts=[one], force=True, reason="A test."))


def remove(id, **fields):
    request = editorial.RemoveStatementRequest(name=f"statements/{id}", reason="A court said so.", **fields)
    proposal = call(editor.RemoveStatement, request).proposal.proposal_id
    second = editorial.RemoveStatementRequest(name=request.name, proposal_id=proposal)
    call(editor.RemoveStatement, second, "another")


def fill():
    for id in ("fire", "recall", "moved", "hidden"):
        statement = statements.Statement(kind="notice", source_language_code="en")
        call(editor.CreateStatement, editorial.CreateStatementRequest(statement_id=id, statement=statement))
    publish("fire", "en", title="Fire")
    publish("fire", "de", title="Feuer", source_edition="statements/fire/editions/en.1")
    publish("fire", "en", title="Fire, again", change_kind=content.CHANGE_KIND_MAJOR, change_note="It grew.")
    short = [content.Rendition(channel="push", text="Two.")]
    wrong = content.Correction(text="It was two.", renditions=short)
    note = "A number was wrong."
    publish("fire", "en", title="Two fires", change_kind=content.CHANGE_KIND_CORRECTION, correction=wrong, change_note=note)
    notice = content.Notice(text="It is no longer true.", renditions=short)
    call(editor.WithdrawStatement, editorial.WithdrawStatementRequest(name="statements/fire", language_codes=["de"], notice=notice))
    for id in ("recall", "moved", "hidden"):
        publish(id, "en", title=id)
    remove("recall", mode=statements.REMOVAL_MODE_GONE, notice=notice)
    remove("moved", mode=statements.REMOVAL_MODE_REDIRECT, redirect_statement="statements/fire")
    remove("hidden", mode=statements.REMOVAL_MODE_HIDDEN)


def others(field, value):
    """Values that are not this one."""
    if field.type == field.TYPE_BOOL:
        return [not value]
    if field.type == field.TYPE_STRING:
        return [value + "x"]
    if field.type == field.TYPE_BYTES:
        return [value[:-1] + bytes([value[-1] ^ 1]) if value else bytes(16)]
    if field.type == field.TYPE_ENUM:
        return [other.number for other in field.enum_type.values if other.number != value] + [999]
    return [value + 1]


def is_list(field):
    return field.is_repeated if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED


def kind_of(field, message, text):
    """Tells alterations of a field apart: one of each kind is tried in each kind of item."""
    if is_list(field):
        return text
    return message.HasField(field.name) if field.type == field.TYPE_MESSAGE else text in ("", "0", "False", "b''")


def alterations(message, path=()):
    """(path, how) of all that can be altered; `how` alters a message of the same type at its path."""
    for field in message.DESCRIPTOR.fields:
        here, name = (*path, field), field.name
        if is_list(field):
            yield from list_alterations(message, here)
            continue
        value = getattr(message, name)
        is_message = field.type == field.TYPE_MESSAGE
        if message.HasField(name) if is_message else value:
            yield here, lambda to, name=name: to.ClearField(name)
        if not is_message:
            for other in others(field, value):
                yield here, lambda to, name=name, other=other: setattr(to, name, other)
        elif message.HasField(name):
            yield from alterations(value, here)
        else:
            yield here, lambda to, name=name: getattr(to, name).SetInParent()


def list_alterations(message, here):
    """Alters a list of messages without inner messages: each field of each item, one item fewer, one more."""
    name = here[-1].name
    for place, item in enumerate(getattr(message, name)):
        yield here, lambda to, place=place: getattr(to, name).pop(place)
        for inner, how in alterations(item):
            assert len(inner) == 1, inner
            yield here, lambda to, place=place, how=how: how(getattr(to, name)[place])
    yield here, lambda to: getattr(to, name).add()


class Between:
    """The proxy: passes on what the service sends, altered."""

    def __init__(self):
        self.key, self.path, self.how = None, (), None
        self.passed = {}
        server = grpc.server(futures.ThreadPoolExecutor(8))
        handler = grpc.unary_stream_rpc_method_handler(self.subscribe, feed.SubscribeRequest.FromString, feed.SubscribeResponse.SerializeToString)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("onrecord.v1.FeedService", {"Subscribe": handler}),))
        self.port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        self.server = server

    def subscribe(self, request, context):
        if self.key and self.key[0] == "live" and request.start == feed.START_BEGINNING:
            # Only then does the site in Rust take a snapshot.
            info = Any()
            info.Pack(error_details_pb2.ErrorInfo(reason="CURSOR_TRIMMED", domain="onrecord"))
            refusal = status_pb2.Status(code=grpc.StatusCode.OUT_OF_RANGE.value[0], message="trimmed", details=[info])
            context.abort_with_status(rpc_status.to_status(refusal))
        onward = feed_grpc.FeedServiceStub(service).Subscribe(request, metadata=[("onrecord-caller", "site")])
        context.add_callback(onward.cancel)
        for message in onward:
            items = [(("live", live.sequence), live) for live in message.snapshot.live]
            items += [(("event", it.event.sequence), it.event) for it in message.event_batch.deliveries]
            is_altered = any([self.take(key, item) for key, item in items])
            yield message
            if is_altered:
                return  # who has taken it has taken it

    def take(self, key, item):
        """Alters the item that is to be altered; whether this is it."""
        if self.key is None:
            self.passed[key] = type(item).FromString(item.SerializeToString())
        elif self.key == key:
            to = item
            for field in self.path[:-1]:
                to = getattr(to, field.name)
            self.how(to)
        return self.key == key


def load_python_site():
    spec = importlib.util.spec_from_file_location("press_site", "examples/python/site.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fresh(name):
    path = f"{work}/{name}.json"
    if os.path.exists(path):
        os.remove(path)
    return path


def refusal_in_python(between, python_site, stub):
    site = python_site.Site(fresh("python"))
    if between.key[0] == "live":
        site.held["applied"] = 1  # it begins with a snapshot
    try:
        python_site.follow(stub, site, "")
    except verify.Altered as refused:
        return str(refused)
    return "nothing"


def refusal_in_rust(between):
    command = [rust_site, f"http://127.0.0.1:{between.port}", fresh("rust")]
    ended = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=PATIENCE)
    assert ended.returncode != 0, ended
    return ended.stderr


def passes_unaltered(between):
    """The site in Rust shows what is sent as it is, and the proxy notes what passes."""
    path = fresh("rust")
    site = subprocess.Popen([rust_site, f"http://127.0.0.1:{between.port}", path], stderr=subprocess.DEVNULL)
    end = time.monotonic() + PATIENCE
    try:
        while not (os.path.exists(path) and "statements/fire/en" in json.load(open(path))["pages"]):
            assert site.poll() is None and time.monotonic() < end, "what is as it was sealed was refused"
            time.sleep(0.05)
    finally:
        site.kill()
        site.wait()
    request = feed.SubscribeRequest(start=feed.START_SNAPSHOT, content_view=content.CONTENT_VIEW_CANONICAL)
    for message in between.stub.Subscribe(request):
        for live in message.snapshot.live:
            verify.live(live)
        if message.WhichOneof("message") == "snapshot_end":
            break


fill()
between, python_site = Between(), load_python_site()
between.stub = stub = feed_grpc.FeedServiceStub(grpc.insecure_channel(f"127.0.0.1:{between.port}"))
passes_unaltered(between)
passed, tried = dict(between.passed), set()
assert {key[0] for key in passed} == {"event", "live"} and len(passed) > 12, passed.keys()
for key, item in passed.items():
    for path, how in alterations(item):
        altered = type(item).FromString(item.SerializeToString())
        to = altered
        for field in path[:-1]:
            to = getattr(to, field.name)
        how(to)
        # Each alteration once: of a field that is set and of one that is not, in each kind of item.
        what = (key[0], ".".join(field.name for field in path), str(getattr(to, path[-1].name))[:40])
        where = (*what[:2], kind_of(path[-1], to, what[2]))
        if where in tried:
            continue
        tried.add(where)
        between.key, between.path, between.how = key, path, how
        named = next(field.name for field in reversed(path) if field.containing_type.name in NAMED)
        for site, said in (("Python", refusal_in_python(between, python_site, stub)), ("Rust", refusal_in_rust(between))):
            assert named in said and "sealed" in said, f"{site}: {key}: {what}: {said}"
print(f"{len(tried)} alterations of {len(passed)} items: each was refused by both sites, by name")
