"""The record whose store is changed, and what it says."""

import os
import shutil
import uuid

from onrecord.v1 import content_pb2, draft_pb2, feed_service_pb2 as feed, feed_service_pb2_grpc as feed_grpc, statement_pb2
from onrecord.v1 import editorial_service_pb2 as editorial

from service import DATA, LOG, PORT, WORK, Server, onrecord
from steps import keep

BACKUP = os.path.join(WORK, "before.backup")
LATER = os.path.join(WORK, "after.backup")
REGISTER = BACKUP + ".erasures"
SECRET = "Abracadabra"
EDITIONS = 40


def caller(name):
    return (("onrecord-caller", name),)


def create(server, name):
    statement = statement_pb2.Statement(kind="notice", source_language_code="en")
    server.editorial.CreateStatement(editorial.CreateStatementRequest(statement_id=name, statement=statement), metadata=caller("author"))


def save(server, name, number, etag=""):
    """The etag of a draft that was saved, perhaps over another."""
    change = {} if number == 0 else {"change_kind": content_pb2.CHANGE_KIND_MAJOR, "change_note": "More."}
    content = content_pb2.Content(title=f"{SECRET} {number}", body=f"{SECRET} {name} {number}.", **change)
    draft = draft_pb2.Draft(name=f"statements/{name}/drafts/en", content=content, etag=etag)
    request = editorial.SaveDraftRequest(draft=draft, request_id=str(uuid.uuid4()))
    return server.editorial.SaveDraft(request, metadata=caller("author")).draft.etag


def publish(server, name, number):
    publication = editorial.PublishDraftsRequest(parent=f"statements/{name}", force=True, reason="A test.")
    publication.drafts.add(language_code="en", etag=save(server, name, number))
    server.editorial.PublishDrafts(publication, metadata=caller("publisher"))


def expunge(server, proposal):
    request = editorial.ExpungeStatementRequest(name="statements/erased", proposal_id=proposal)
    server.editorial.ExpungeStatement(request, metadata=caller("judge"), timeout=60)


def prepare():
    """`before`: a record with a statement that somebody wants erased. `after`: the same, erased. And a copy of the first, with the register
    of erasures of the second."""
    shutil.rmtree(DATA, ignore_errors=True)
    server = Server()
    assert server.is_up(), open(LOG).read()
    for name in ["kept", "erased"]:
        create(server, name)
        for number in range(EDITIONS if name == "erased" else 2):
            publish(server, name, number)
    request = editorial.ExpungeStatementRequest(name="statements/erased", reason_code="court-order")
    proposal = server.editorial.ExpungeStatement(request, metadata=caller("lawyer")).proposal.proposal_id
    copy(BACKUP)
    server.stop()
    keep("before")
    server = Server()
    assert server.is_up(), open(LOG).read()
    expunge(server, proposal)
    copy(LATER)
    os.rename(LATER + ".erasures", REGISTER)
    # Not closed: what is killed next has a log to recover.
    server.kill()
    keep("after")
    return proposal


def copy(file):
    done = onrecord("--server", f"http://127.0.0.1:{PORT}", "--caller", "operator", "backup", file)
    assert done.returncode == 0, done.stderr


def events(server):
    request = feed.ReadFeedRequest(start=feed.START_BEGINNING, max_events=1000)
    deliveries = feed_grpc.FeedServiceStub(server.channel).ReadFeed(request, metadata=caller("site"), timeout=30).deliveries
    return [delivery.event for delivery in deliveries]


def entries(server):
    request = editorial.ListEntriesRequest(page_size=1000)
    return list(server.editorial.ListEntries(request, metadata=caller("operator"), timeout=30).entries)


def is_erased(server):
    """Whether the statement is erased; what is not erased is whole."""
    found = events(server)
    erased = [event for event in found if event.statement == "statements/erased"]
    shown = [SECRET in str(event) for event in erased]
    kept = [SECRET in str(event) for event in found if event.statement == "statements/kept"]
    assert kept == [True, True], "others are not touched"
    assert len(erased) in (EDITIONS, EDITIONS + 1) and shown == [len(erased) == EDITIONS] * len(erased), shown
    return len(erased) > EDITIONS


def served(server):
    """What a record says: its events with their texts, its entries, and how far subscriptions are."""
    stub = feed_grpc.FeedServiceStub(server.channel)
    subscriptions = stub.ListSubscriptions(feed.ListSubscriptionsRequest(), metadata=caller("operator"), timeout=30).subscriptions
    return events(server), entries(server), [(it.name, it.generation, it.acknowledged_sequence) for it in subscriptions]


def opened(server):
    """The id of the feed, and its epoch."""
    stream = feed_grpc.FeedServiceStub(server.channel).Subscribe(feed.SubscribeRequest(start=feed.START_BEGINNING), metadata=caller("site"))
    first = next(stream).opened
    stream.cancel()
    return first.feed_id, first.epoch
