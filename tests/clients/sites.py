"""The example sites, in Rust and in Python, follow a service that is killed and started again while editors publish.

Usage: sites.py ONRECORD RUST-SITE DIRECTORY PORT [PUBLICATIONS] [KILLS]. In the end both show what the service shows, nothing came
twice, and the service knows that both have applied it.
"""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid

import grpc
from onrecord.v1 import content_pb2 as content
from onrecord.v1 import draft_pb2 as drafts
from onrecord.v1 import editorial_service_pb2 as editorial
from onrecord.v1 import editorial_service_pb2_grpc as editorial_grpc
from onrecord.v1 import feed_service_pb2 as feed
from onrecord.v1 import feed_service_pb2_grpc as feed_grpc
from onrecord.v1 import live_pb2
from onrecord.v1 import statement_pb2 as statements
from onrecord.v1 import statement_service_pb2 as reading
from onrecord.v1 import statement_service_pb2_grpc as reading_grpc
from onrecord.v1 import subscription_pb2 as subscriptions

onrecord, rust_site, work, port = sys.argv[1:5]
publications, kills = (int(number) for number in (sys.argv[5:] + ["1000", "10"][len(sys.argv) - 5 :])[:2])
PATIENCE = 60  # seconds
address = f"127.0.0.1:{port}"
channel = grpc.insecure_channel(address, options=[("grpc.max_reconnect_backoff_ms", 200)])
editor = editorial_grpc.EditorialServiceStub(channel)
follower = feed_grpc.FeedServiceStub(channel)
reader = reading_grpc.StatementServiceStub(channel)
LANGUAGES = ["en", "de", "pt-BR"]


def serve():
    command = [onrecord, "serve", "--data-dir", f"{work}/record", "--listen", address, "--insecure"]
    return subprocess.Popen(command, stderr=open(f"{work}/log", "a"))


def call(method, request, caller="editor"):
    """Calls until it is answered: with its request id a call that was answered is not made twice."""
    if "request_id" in request.DESCRIPTOR.fields_by_name:
        request.request_id = str(uuid.uuid4())
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return method(request, metadata=[("onrecord-caller", caller)], timeout=10, wait_for_ready=True)
        except grpc.RpcError as error:
            if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.INTERNAL):
                raise
            assert time.monotonic() < end, error


def publish(number):
    """One publication, correction or withdrawal of one of twenty statements in three languages."""
    name, language = f"statements/statement-{number % 20}", LANGUAGES[number // 20 % 3]
    is_first = number < 60
    if number % 17 == 16 and not is_first:
        notice = content.Notice(text=f"It is no longer true ({number}).")
        request = editorial.WithdrawStatementRequest(name=name, language_codes=[language], notice=notice)
        try:
            call(editor.WithdrawStatement, request)
        except grpc.RpcError as error:  # withdrawn before
            assert error.code() == grpc.StatusCode.FAILED_PRECONDITION, error
    words = content.Content(title=f"Title {number}", body="The report was of Monday. " * 20)
    words.change_kind = content.CHANGE_KIND_INITIAL if is_first else content.CHANGE_KIND_MAJOR
    words.change_note = "" if is_first else f"Change {number}."
    draft = drafts.Draft(name=f"{name}/drafts/{language}", content=words)
    draft = call(editor.SaveDraft, editorial.SaveDraftRequest(draft=draft)).draft
    one = editorial.DraftToPublish(language_code=language, etag=draft.etag)
    call(editor.PublishDrafts, editorial.PublishDraftsRequest(parent=name, drafts=[one], force=True, reason="A test."))


def wanted():
    """What the service shows."""
    shown, token = {}, ""
    while True:
        page = call(reader.ListStatements, reading.ListStatementsRequest(page_size=1000, page_token=token))
        for live in page.live:
            shown[f"{live.statement}/{live.language_code}"] = {
                "edition": live.edition.name,
                "state": live_pb2.Live.State.Name(live.state),
                "title": live.edition.content.title,
                "notice": live.notice.text,
                "sequence": live.sequence,
            }
        token = page.next_page_token
        if not token:
            return shown


def read(path):
    with open(path) as file:
        return json.load(file)


server = serve()
sites = {}
try:
    for number in range(20):
        statement = statements.Statement(kind="notice", source_language_code="en")
        request = editorial.CreateStatementRequest(statement_id=f"statement-{number}", statement=statement)
        call(editor.CreateStatement, request)
    for name in ("rust-site", "python-site"):
        request = feed.CreateSubscriptionRequest(subscription_id=name, subscription=subscriptions.Subscription())
        call(follower.CreateSubscription, request)
    commands = {
        "rust-site": [rust_site, f"http://{address}"],
        "python-site": [sys.executable, "examples/python/site.py", address],
    }
    for name, command in commands.items():
        sites[name] = subprocess.Popen([*command, f"{work}/{name}.json", name], stdout=subprocess.DEVNULL, stderr=open(f"{work}/{name}.log", "w"))

    done, died = threading.Event(), 0
    moments = sorted(random.sample(range(publications), kills))
    for number in range(publications):
        if moments and moments[0] == number:
            moments.pop(0)
            # In the middle of what comes next.
            threading.Timer(random.uniform(0, 0.02), server.send_signal, [signal.SIGKILL]).start()
            thread = threading.Thread(target=publish, args=[number])
            thread.start()
            server.wait()
            died += 1
            server = serve()
            thread.join()
            continue
        publish(number)
    assert died == kills

    tail = call(follower.ReadFeed, feed.ReadFeedRequest(start=feed.START_NOW)).tail
    shown, end = wanted(), time.monotonic() + PATIENCE
    for name in sites:
        path = f"{work}/{name}.json"
        while not os.path.exists(path) or read(path)["applied"] < tail - 1:
            assert time.monotonic() < end, f"{name} has {read(path)['applied'] if os.path.exists(path) else 0} of {tail - 1}"
            assert sites[name].poll() is None, open(f"{work}/{name}.log").read()
            time.sleep(0.05)
        held = read(path)
        assert held["applied"] == tail - 1, f"{name} applied {held['applied']} of {tail - 1}: something came twice"
        assert held["pages"] == shown, f"{name} does not show what the service shows"
    while True:
        reports = []
        for number in range(20):
            request = feed.ListDeliveriesRequest(parent=f"statements/statement-{number}")
            reports += call(follower.ListDeliveries, request).deliveries
        waiting = [report for report in reports if report.outcome != subscriptions.DeliveryReport.OUTCOME_APPLIED]
        if not waiting:
            break
        assert time.monotonic() < end, waiting
        time.sleep(0.05)
    assert len(reports) == 2 * len(shown), f"{len(reports)} reports of {len(shown)} pages"
    print(f"both sites: {publications} publications, {kills} kills, {tail - 1} events, each applied once, and acknowledged")
finally:
    for process in [server, *sites.values()]:
        process.kill()
        process.wait()
