"""Puts load on a service until it stops, and asks it afterwards for all that it answered. grpcio, TLS, a token for each caller.

Usage: container.py load|compare DIRECTORY ADDRESS. DIRECTORY has ca.crt, a file NAME.token for each caller, and the stubs; `load` appends a line to
DIRECTORY/answered for each publication that was answered, and ends when the service does. `compare` repeats what was not answered.
"""

import json
import pathlib
import sys
import threading
import uuid

import grpc
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

WRITERS, SITES = 4, 20
PATIENCE = 30  # seconds
step, address = sys.argv[1], sys.argv[3]
work = pathlib.Path(sys.argv[2])


def connect():
    """A connection of its own, on which nothing is tried twice in silence."""
    credentials = grpc.ssl_channel_credentials((work / "ca.crt").read_bytes())
    return grpc.secure_channel(address, credentials, [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)])


def by(name):
    return [("authorization", "Bearer " + (work / f"{name}.token").read_text().strip())]


def gone(error):
    assert error.code() == grpc.StatusCode.UNAVAILABLE, error


def all_at_once(function, count):
    """What the function returns for each number, from a thread each; a failure of one is a failure of all."""
    results, failures = [None] * count, []

    def run(number):
        try:
            results[number] = function(number)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run, args=[number]) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for failure in failures:
        raise failure
    return results


def write(writer):
    """Writes, has approved and publishes one statement after the other until the service is gone; returns the publication that was not answered."""
    editor = editorial_grpc.EditorialServiceStub(connect())
    anna, bea, chris = by("anna"), by("bea"), by("chris")
    number = 0
    while True:
        name, number, request = f"statements/load-{writer}-{number}", number + 1, None
        try:
            statement = statements.Statement(kind="notice", source_language_code="en")
            create = editorial.CreateStatementRequest(statement_id=name.split("/")[1], statement=statement)
            editor.CreateStatement(create, metadata=anna, timeout=PATIENCE)
            draft = drafts.Draft(name=f"{name}/drafts/en", content=content.Content(title=name, body="None of it is true. " * 50))
            draft = editor.SaveDraft(editorial.SaveDraftRequest(draft=draft), metadata=anna, timeout=PATIENCE).draft
            submit = editorial.SubmitDraftRequest(name=draft.name, etag=draft.etag)
            draft = editor.SubmitDraft(submit, metadata=anna, timeout=PATIENCE).draft
            approve = editorial.ApproveDraftRequest(name=draft.name, etag=draft.etag)
            draft = editor.ApproveDraft(approve, metadata=bea, timeout=PATIENCE).draft
            one = editorial.DraftToPublish(language_code="en", etag=draft.etag)
            request = editorial.PublishDraftsRequest(parent=name, drafts=[one], request_id=str(uuid.uuid4()))
            edition = editor.PublishDrafts(request, metadata=chris, timeout=PATIENCE).live[0].edition
        except grpc.RpcError as error:
            gone(error)
            return request and request.SerializeToString().hex()
        with lock, open(work / "answered", "a") as answered:
            answered.write(json.dumps({"statement": name, "edition": edition.name, "digest": edition.content_digest}) + "\n")


def follow(_site):
    """Follows the feed until it is told that the service stops; returns the events by sequence, and the cursor to go on from."""
    seen = []
    request = feed.SubscribeRequest(start=feed.START_BEGINNING)
    for message in feed_grpc.FeedServiceStub(connect()).Subscribe(request, metadata=by("site")):
        seen += taken(message)
        if message.HasField("closing"):
            assert message.closing.reason == feed.Closing.REASON_DRAIN and message.closing.cursor, message
            return {"seen": seen, "cursor": message.closing.cursor}
    raise AssertionError("a stream ended without a word")


def taken(message):
    found = [delivery.event for delivery in message.event_batch.deliveries]
    return [[event.sequence, event.statement, events.Event.Type.Name(event.type)] for event in found]


def load():
    (work / "answered").touch()
    sites = []
    following = threading.Thread(target=lambda: sites.extend(all_at_once(follow, SITES)))
    following.start()
    unanswered = [request for request in all_at_once(write, WRITERS) if request]
    following.join()
    assert len(sites) == SITES, "a site did not get to its end"
    (work / "rest").write_text(json.dumps({"unanswered": unanswered, "sites": sites}))


def compare():
    channel = connect()
    editor, reader = editorial_grpc.EditorialServiceStub(channel), reading_grpc.StatementServiceStub(channel)
    rest = json.loads((work / "rest").read_text())
    answered = [json.loads(line) for line in open(work / "answered")]
    assert answered
    for one in answered:
        get = reading.GetEditionRequest(name=one["edition"])
        edition = reader.GetEdition(get, metadata=by("site"), timeout=PATIENCE, wait_for_ready=True).edition
        assert edition.content_digest == one["digest"], one
    print(f"python: {len(answered)} publications were answered, and all of them are there, with their digests")

    for request in rest["unanswered"]:
        request = editorial.PublishDraftsRequest.FromString(bytes.fromhex(request))
        live = editor.PublishDrafts(request, metadata=by("chris"), timeout=PATIENCE).live[0]
        answered.append({"statement": live.statement})
    print(f"python: {len(rest['unanswered'])} were not answered, and are when they are sent again")

    tail = len(answered)

    def resume(number):
        """What the site saw before, and what it sees when it goes on."""
        site = rest["sites"][number]
        seen = site["seen"]
        request = feed.SubscribeRequest(start=feed.START_CURSOR, cursor=site["cursor"])
        stream = feed_grpc.FeedServiceStub(connect()).Subscribe(request, metadata=by("site"), timeout=PATIENCE)
        for message in stream:
            if message.HasField("opened"):
                assert message.opened.resumed and message.opened.tail == tail + 1, (message, tail)
            seen += taken(message)
            if seen and seen[-1][0] >= tail:
                stream.cancel()
                return seen

    before = min(len(site["seen"]) for site in rest["sites"])
    for seen in all_at_once(resume, SITES):
        assert [sequence for sequence, _, _ in seen] == list(range(1, tail + 1)), "a gap, or an event that came twice"
        assert sorted(name for _, name, _ in seen) == sorted(one["statement"] for one in answered)
    print(f"python: {SITES} sites were told to go and to resume ({before} events or more each); none missed one of {tail} events or got it twice")


lock = threading.Lock()
{"load": load, "compare": compare}[step]()
