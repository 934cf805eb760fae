"""What is asked through each proxy, and of its control: proxies.py WORK PORT SERVICE. Run by deploy/test/proxies, which says what it is for."""

import os
import pathlib
import signal
import socket
import ssl
import sys
import threading
import time
import uuid

import grpc
import h2.config
import h2.connection
import h2.events
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from onrecord.v1 import content_pb2 as content
from onrecord.v1 import draft_pb2 as drafts
from onrecord.v1 import editorial_service_pb2 as editorial
from onrecord.v1 import editorial_service_pb2_grpc as editorial_grpc
from onrecord.v1 import feed_service_pb2 as feed
from onrecord.v1 import feed_service_pb2_grpc as feed_grpc
from onrecord.v1 import statement_pb2 as statements

PATIENCE = 10  # seconds, for an answer
QUIET = 68  # seconds without an event; a heartbeat comes after 54 to 66
SUBSCRIBERS = 20  # of each proxy; that none of them has to wait 60 s for a heartbeat happens once in a million runs
STREAMS = 200  # over one connection, at once
STALLED, MOUNTAIN = 150, 6  # subscribers on one connection that read nothing, and events of 500 kB that they do not read

work, first, service = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
authority = (work / "ca.crt").read_bytes()
tokens = {caller: (work / f"{caller}.token").read_text().strip() for caller in ("anna", "bea", "site")}


def by(caller, *more):
    return [("authorization", f"Bearer {tokens[caller]}"), *more]


class Subscriber:
    """A stream of the feed that is as quiet as it may be, read in a thread: when messages came, and how it ended."""

    def __init__(self, stub):
        self.times, self.events, self.closing, self.ended = [], [], None, None
        request = feed.SubscribeRequest(start=feed.START_NOW, heartbeat_interval=duration_pb2.Duration(seconds=60))
        self.stream = stub.Subscribe(request, metadata=by("site"))
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        try:
            for message in self.stream:
                self.times.append(time.monotonic())
                self.events += [delivery.event for delivery in message.event_batch.deliveries]
                if message.HasField("closing"):
                    self.closing = feed.Closing.Reason.Name(message.closing.reason)
            self.ended = "OK"
        except grpc.RpcError as error:
            self.ended = f"{error.code().name}: {error.details()[:80]}"
        self.ended_at = time.monotonic()

    def longest(self):
        """Seconds between two messages, at most."""
        return max((after - before for before, after in zip(self.times, self.times[1:])), default=0)


class Way:
    """The service through a proxy, or without one."""

    def __init__(self, name, address, number, options=(), control=False):
        self.name, self.address, self.own = name, address, f"{name}-{number}{'-control' if control else ''}"
        trust = grpc.ssl_channel_credentials(authority)
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0), *options]
        self.channel = grpc.secure_channel(address, trust, options)
        self.editor = editorial_grpc.EditorialServiceStub(self.channel)
        self.follower = feed_grpc.FeedServiceStub(self.channel)
        self.health = health_pb2_grpc.HealthStub(self.channel)

    def ready(self):
        deadline = time.monotonic() + 2 * PATIENCE
        while True:
            try:
                check = health_pb2.HealthCheckRequest(service="onrecord.v1.FeedService")
                return self.health.Check(check, timeout=PATIENCE, wait_for_ready=True)
            except grpc.RpcError as error:
                if time.monotonic() > deadline:
                    raise AssertionError(f"{self.name}: {error.code()}: {error.details()}") from error
                time.sleep(0.2)


def create(way, name, *more, request_id=""):
    statement = statements.Statement(kind="notice", source_language_code="en")
    request = editorial.CreateStatementRequest(statement_id=name, statement=statement, request_id=request_id)
    return way.editor.CreateStatement(request, metadata=by("anna", *more), timeout=PATIENCE)


def refused(call, code, reason):
    """Checks code and reason; returns what the details say is wrong with fields."""
    try:
        call()
    except grpc.RpcError as error:
        assert error.code() == code, f"{error.code().name}: {error.details()[:100]}"
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        for detail in rpc_status.from_call(error).details:
            detail.Unpack(info) or detail.Unpack(bad)
        assert (info.reason, info.domain) == (reason, "onrecord"), info
        return bad.field_violations
    raise AssertionError(f"not refused: {reason}")


# What is asked of each.


def a_call_and_the_same_again(way):
    request_id = str(uuid.uuid4())
    name = f"{way.own}-call"
    assert create(way, name, request_id=request_id) == create(way, name, request_id=request_id)


def an_error_with_its_details(way):
    name = f"{way.own}-twice"
    create(way, name)
    refused(lambda: create(way, name), grpc.StatusCode.ALREADY_EXISTS, "STATEMENT_EXISTS")


def an_error_of_several_kilobytes(way):
    topics = [f"Not a code {number} {'x' * 60}" for number in range(64)]
    draft = drafts.Draft(name="statements/none/drafts/en", content=content.Content(title="", topics=topics))
    call = lambda: way.editor.SaveDraft(editorial.SaveDraftRequest(draft=draft), metadata=by("anna"), timeout=PATIENCE)
    found = refused(call, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert len(found) > 20, len(found)


def nobody_without_a_token(way):
    said = [("onrecord-caller", "anna"), ("x-forwarded-client-cert", "URI=anna")]
    call = lambda: way.editor.CreateStatement(editorial.CreateStatementRequest(), metadata=said, timeout=PATIENCE)
    refused(call, grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_MISSING")


class Wire:
    """HTTP/2 by hand, over TLS: for what a gRPC client does not do."""

    def __init__(self, way):
        self.host, port = way.address.rsplit(":", 1)
        context = ssl.create_default_context(cadata=authority.decode())
        context.set_alpn_protocols(["h2"])
        name = "onrecord.internal" if way.name == "direct" else self.host
        self.socket = context.wrap_socket(socket.create_connection((self.host, int(port)), timeout=PATIENCE), server_hostname=name)
        self.peer = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.peer.initiate_connection()

    def call(self, path, caller, body, *more, end):
        """Begins a call; `body` is all of the request, or what there is of it."""
        stream = self.peer.get_next_available_stream_id()
        head = [(":method", "POST"), (":scheme", "https"), (":authority", self.host), (":path", path)]
        self.peer.send_headers(stream, [*head, ("content-type", "application/grpc"), ("te", "trailers"), *by(caller, *more)])
        self.peer.send_data(stream, body, end_stream=end)
        self.socket.sendall(self.peer.data_to_send())

    def heard(self):
        """The heads and trailers that come next."""
        read = self.socket.recv(65536)
        assert read, "the connection ended"
        events = self.peer.receive_data(read)
        self.socket.sendall(self.peer.data_to_send())
        heads = [dict(event.headers) for event in events if isinstance(event, (h2.events.ResponseReceived, h2.events.TrailersReceived))]
        ended = [event for event in events if isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated))]
        # After an answer a reset is no fault: no more of the request is needed.
        assert heads or not ended, ended
        return heads


def a_deadline_that_the_service_keeps(way):
    """A request that never ends, by a client that does not look at the clock itself: who answers is the service."""
    wire = Wire(way)
    path = "/onrecord.v1.EditorialService/CreateStatement"
    wire.call(path, "anna", b"\0\0\0\0\x20some of it", ("grpc-timeout", "500m"), end=False)
    began, said = time.monotonic(), []
    while not any("grpc-status" in head or head.get(":status", "200") != "200" for head in said):
        said += wire.heard()
    took = time.monotonic() - began
    assert said[-1].get("grpc-status") == "4" and "request_id" in said[-1]["grpc-message"], said
    assert 0.4 < took < 3, took
    wire.socket.close()


def an_address_that_is_not_believed(way):
    create(way, f"{way.own}-address", ("x-forwarded-for", "203.0.113.9"))
    assert "203.0.113.9" not in (work / "service.log").read_text()


def metadata_of_8_kib(way):
    create(way, f"{way.own}-metadata", ("x-note", "n" * 8192))


def metadata_of_14_kib(way):
    create(way, f"{way.own}-more-metadata", ("x-note", "n" * 14 * 1024))


def a_request_of_almost_4_mib(way):
    body = "x" * (4 * 1024 * 1024 - 1024)
    draft = drafts.Draft(name="statements/none/drafts/en", content=content.Content(title="t", body=body))
    call = lambda: way.editor.SaveDraft(editorial.SaveDraftRequest(draft=draft), metadata=by("anna"), timeout=PATIENCE)
    refused(call, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")


def streams_over_one_connection(way):
    streams = []
    try:
        for number in range(STREAMS):
            request = feed.SubscribeRequest(start=feed.START_NOW)
            streams.append(way.follower.Subscribe(request, metadata=by("site"), timeout=6 * PATIENCE))
        end = time.monotonic() + PATIENCE
        threading.Timer(PATIENCE, lambda: [stream.cancel() for stream in streams]).start()
        for stream in streams:
            assert next(stream).HasField("opened")
        assert time.monotonic() < end + 1
    finally:
        for stream in streams:
            stream.cancel()


CHECKS = [
    a_call_and_the_same_again,
    an_error_with_its_details,
    an_error_of_several_kilobytes,
    nobody_without_a_token,
    an_address_that_is_not_believed,
    a_deadline_that_the_service_keeps,
    metadata_of_8_kib,
    metadata_of_14_kib,
    a_request_of_almost_4_mib,
    streams_over_one_connection,
]


def publish(way, name, body):
    """By calls of two people; says when the last was answered."""
    create(way, name)
    draft = drafts.Draft(name=f"statements/{name}/drafts/en", content=content.Content(title="It did not burn", body=body))
    draft = way.editor.SaveDraft(editorial.SaveDraftRequest(draft=draft), metadata=by("anna"), timeout=PATIENCE).draft
    submit = editorial.SubmitDraftRequest(name=draft.name, etag=draft.etag)
    draft = way.editor.SubmitDraft(submit, metadata=by("anna"), timeout=PATIENCE).draft
    approve = editorial.ApproveDraftRequest(name=draft.name, etag=draft.etag)
    draft = way.editor.ApproveDraft(approve, metadata=by("bea"), timeout=PATIENCE).draft
    one = editorial.DraftToPublish(language_code="en", etag=draft.etag)
    request = editorial.PublishDraftsRequest(parent=f"statements/{name}", drafts=[one])
    way.editor.PublishDrafts(request, metadata=by("anna"), timeout=PATIENCE)
    return time.monotonic()


def failures(way):
    found = {}
    for check in CHECKS:
        try:
            check(way)
        except (AssertionError, grpc.RpcError, OSError) as why:
            words = f"{why.code().name}: {why.details()}" if isinstance(why, grpc.RpcError) else repr(why)
            found[check.__name__] = words[:110]
    return found


def waited(true):
    """Whether it becomes true in time."""
    end = time.monotonic() + PATIENCE
    while not true() and time.monotonic() < end:
        time.sleep(0.05)
    return true()


def who_reads_nothing_holds_up_nobody(way):
    """Says after how many ms the last of those who read had all."""
    readers = [Subscriber(way.follower) for _ in range(5)]
    wire, request, heads = Wire(way), feed.SubscribeRequest(start=feed.START_NOW).SerializeToString(), 0
    for number in range(STALLED):
        wire.call("/onrecord.v1.FeedService/Subscribe", "site", b"\0" + len(request).to_bytes(4, "big") + request, end=True)
        while heads <= number:
            heads += len(wire.heard())
    assert waited(lambda: all(reader.times for reader in readers))
    for number in range(MOUNTAIN):
        answered = publish(direct, f"{way.own}-mountain-{number}", "y" * 500_000)
    all_came = waited(lambda: all(len(reader.events) == MOUNTAIN for reader in readers))
    for reader in readers:
        reader.stream.cancel()
    wire.socket.close()
    assert all_came, [len(reader.events) for reader in readers]
    return max(0, 1000 * (max(reader.times[-1] for reader in readers) - answered))


# What has to fail by each control, beside the quiet stream: so the same check can fail, and the line in the file that prevents it is needed.
WORSE = {
    "nginx": [
        an_error_of_several_kilobytes,
        a_deadline_that_the_service_keeps,
        metadata_of_14_kib,
        a_request_of_almost_4_mib,
        streams_over_one_connection,
    ],
    "envoy": [streams_over_one_connection],
    "haproxy": [nobody_without_a_token, streams_over_one_connection],
    "caddy": [metadata_of_8_kib, metadata_of_14_kib, a_request_of_almost_4_mib],
}
PORTS = {"nginx": 10, "envoy": 20, "haproxy": 30, "caddy": 40}
as_onrecord = [("grpc.ssl_target_name_override", "onrecord.internal")]


def each(number):
    """A way to the service without a proxy, one through each, and one through each control, over connections of their own."""
    direct = Way("direct", f"127.0.0.1:{first}", number, as_onrecord)
    ways = [Way(name, f"localhost:{first + at}", number) for name, at in PORTS.items()]
    return direct, ways, [Way(name, f"localhost:{first + at + 1}", number, control=True) for name, at in PORTS.items()]


direct, ways, controls = each(0)
for way in (direct, *ways, *controls):
    way.ready()
began = time.monotonic()
subscribers = {way: [Subscriber(way.follower) for _ in range(SUBSCRIBERS)] for way in (direct, *ways, *controls)}

# Meanwhile, over other connections.
other, others, worse = each(1)
for way in (other, *others):
    found = failures(way)
    assert not found, f"{way.name}: {found}"
print(f"each of {', '.join(PORTS)}: {', '.join(check.__name__.replace('_', ' ') for check in CHECKS)}")
for way in worse:
    found, wanted = failures(way), {check.__name__ for check in WORSE[way.name]}
    assert found.keys() == wanted, f"the control of {way.name}: {found}, and wanted were {wanted}"
    print(f"{way.name}, control: fails as it has to: {', '.join(name.replace('_', ' ') for name in found)}")

time.sleep(max(0, began + QUIET - time.monotonic()))
for way in (direct, *ways):
    ended = [one.ended for one in subscribers[way] if one.ended]
    assert not ended, f"{way.name}: {ended}"
    longest = max(one.longest() for one in subscribers[way])
    assert longest > 60, f"{way.name}: no stream was quiet for a minute, {longest} s: run it again"
    print(f"{way.name}: {SUBSCRIBERS} streams open after {QUIET} s, quiet for up to {longest:.1f} s")
for way in controls:
    ended = {(one.ended.split(":")[0], round(one.ended_at - began)) for one in subscribers[way] if one.ended}
    assert all(one.ended for one in subscribers[way]), f"the control of {way.name} cut nothing off"
    print(f"{way.name}, control: all {SUBSCRIBERS} streams cut off: {', '.join(f'{code} after {after} s' for code, after in sorted(ended))}")

for way in ways:
    body, before = "x" * 500_000, len(subscribers[way][0].events)
    answered = publish(way, f"{way.name}-fire", body)
    for one in [one for to in (direct, *ways) for one in subscribers[to]]:
        assert waited(lambda: len(one.events) > before), "an event did not come"
        assert one.events[-1].live.edition.content.body == body
    late = max(one.times[-1] - answered for one in subscribers[way])
    print(f"{way.name}: an event of 500 kB came on all {SUBSCRIBERS} streams, {max(0, 1000 * late):.0f} ms after its publication was answered")

for way in ways:
    late = who_reads_nothing_holds_up_nobody(way)
    print(f"{way.name}: beside {STALLED} that read nothing, others have {MOUNTAIN} events of 500 kB {late:.0f} ms after the last was published")
narrow = controls[1]
try:
    who_reads_nothing_holds_up_nobody(narrow)
except AssertionError as why:
    print(f"{narrow.name}, control: beside them, others do not have all: {why}")
else:
    raise AssertionError("one window for all holds up nobody: this shows nothing")

os.kill(service, signal.SIGTERM)
for way in (direct, *ways):
    for one in subscribers[way]:
        assert waited(lambda: one.ended is not None), f"{way.name}: a stream goes on"
        assert (one.closing, one.ended) == ("REASON_DRAIN", "OK"), (way.name, one.closing, one.ended)
print(f"the service stops: all {SUBSCRIBERS} streams of each are told so, and end with OK")
