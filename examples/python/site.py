"""A downstream site on plain grpcio: it shows what is live, exactly once, whatever breaks in between. Short enough to copy.

    pip install grpcio grpcio-tools grpcio-status googleapis-common-protos
    mkdir -p stubs && python -m grpc_tools.protoc -I proto --python_out=stubs --grpc_python_out=stubs proto/onrecord/v1/*.proto
    PYTHONPATH=stubs python examples/python/site.py 127.0.0.1:7400 site.json [NAME]

`site.json` holds the pages and the cursor after them, replaced together: the effect and where to go on are there or neither is.
With NAME it follows as subscriptions/NAME, and says what it has applied. Where the service has TLS and a policy, ONRECORD_CA_FILE names the
authority (PEM) and ONRECORD_TOKEN_FILE the token. verify.py beside it compares every field with what the feed was sealed with.
"""

import json
import os
import random
import sys
import threading
import time

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from onrecord.v1 import content_pb2, event_pb2, feed_service_pb2 as feed, feed_service_pb2_grpc, live_pb2

import verify

HEARTBEAT = 10  # seconds; after three that did not come the stream counts as lost
FATAL = {"CURSOR_DIVERGED", "FILTER_CHANGED", "CURSOR_INVALID", "SUBSCRIPTION_SUPERSEDED"}  # a person has to look
REFUSED = (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED)


def channel(address):
    if "ONRECORD_CA_FILE" not in os.environ:
        return grpc.insecure_channel(address)
    with open(os.environ["ONRECORD_CA_FILE"], "rb") as file:
        return grpc.secure_channel(address, grpc.ssl_channel_credentials(file.read()))


def caller():
    if "ONRECORD_TOKEN_FILE" not in os.environ:
        return [("onrecord-caller", "site")]  # believed where the service runs with --insecure
    with open(os.environ["ONRECORD_TOKEN_FILE"]) as file:
        return [("authorization", f"Bearer {file.read().strip()}")]


class Site:
    def __init__(self, path):
        self.path = path
        self.held = {"cursor": "", "last": 0, "hash": "", "applied": 0, "pages": {}}
        if os.path.exists(path):
            with open(path) as file:
                self.held = json.load(file)

    def keep(self):
        """Replaces the file whole: whoever reads it, also after a loss of power, reads the old state or the new one."""
        with open(self.path + ".new", "w") as file:
            json.dump(self.held, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(self.path + ".new", self.path)
        folder = os.open(os.path.dirname(os.path.abspath(self.path)), os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    def show(self, key, live):
        if live is None or live.state not in (live_pb2.Live.STATE_PUBLISHED, live_pb2.Live.STATE_WITHDRAWN):
            self.held["pages"].pop(key, None)
            return
        self.held["pages"][key] = {
            "edition": live.edition.name,
            "state": live_pb2.Live.State.Name(live.state),
            "title": live.edition.content.title,
            "notice": live.notice.text,
            "sequence": live.sequence,
        }

    def apply(self, delivery):
        event = delivery.event
        if event.sequence <= self.held["last"]:
            raise SystemExit(f"refused: event {event.sequence} comes twice or out of order")
        follows = event.previous_hash == self.held["hash"]
        if event.sequence == self.held["last"] + 1 and self.held["hash"] and not follows:
            raise SystemExit(f"refused: event {event.sequence} is of another history")
        self.held.update(last=event.sequence, hash=event.hash, applied=self.held["applied"] + 1)
        left = delivery.filter_change == event_pb2.Delivery.FILTER_CHANGE_LEFT
        is_known = event.type in event_pb2.Event.Type.values()
        is_embargo = event.type in (event_pb2.Event.TYPE_EMBARGOED, event_pb2.Event.TYPE_EMBARGO_CANCELLED)
        # A type of a later version may be about something else than what is live.
        if not is_embargo and (is_known or left or event.HasField("live")):
            self.show(f"{event.statement}/{event.language_code}", event.live if event.HasField("live") and not left else None)
        kind = event_pb2.Event.Type.Name(event.type) if is_known else event.type
        print(event.sequence, kind, event.statement, event.language_code, flush=True)

    def replace(self, parts):
        self.held.update(pages={}, last=0, hash="")
        for live in (live for part in parts for live in part.live):
            self.show(f"{live.statement}/{live.language_code}", live)


def follow(stub, site, name):
    """One stream. Returns how long the service asks to wait before the next."""
    is_new = not site.held["applied"] and not site.held["pages"]
    start = feed.START_BEGINNING if is_new else feed.START_SNAPSHOT
    request = feed.SubscribeRequest(subscription=f"subscriptions/{name}" if name else "", start=start)
    request.content_view = content_pb2.CONTENT_VIEW_CANONICAL  # the bytes that were hashed, to verify them
    request.heartbeat_interval.seconds = HEARTBEAT
    if site.held["cursor"]:
        request.start, request.cursor = feed.START_CURSOR, site.held["cursor"]
    call = stub.Subscribe(request, metadata=caller())
    watchdog, generation, told, parts, pending = None, 0, "", [], []
    try:
        for message in call:
            if watchdog:
                watchdog.cancel()
            watchdog = threading.Timer(3 * HEARTBEAT + 10, call.cancel)
            watchdog.daemon = True
            watchdog.start()
            kind, cursor = message.WhichOneof("message"), ""
            if kind == "opened":
                generation = message.opened.generation
            elif kind == "snapshot":
                for live in message.snapshot.live:
                    verify.live(live)
                parts.append(message.snapshot)
            elif kind == "snapshot_end":
                site.replace(parts)
                parts, cursor = [], message.snapshot_end.cursor
            elif kind == "event_batch":
                for delivery in message.event_batch.deliveries:
                    verify.delivery(delivery)
                pending.extend(message.event_batch.deliveries)
                if message.event_batch.more:
                    continue  # a commit is applied whole
                for delivery in pending:
                    site.apply(delivery)
                pending, cursor = [], message.event_batch.cursor
            elif kind == "heartbeat":
                cursor = message.heartbeat.cursor
            elif kind == "closing":
                cursor = message.closing.cursor
            if cursor and cursor != site.held["cursor"]:
                site.held["cursor"] = cursor
                site.keep()
            if generation and cursor and cursor != told:  # on a new stream also what was kept, and could not be said any more
                acknowledge = feed.AcknowledgeRequest(name=request.subscription, generation=generation, cursor=cursor)
                try:
                    stub.Acknowledge(acknowledge, metadata=caller(), timeout=30)
                    told = cursor
                except grpc.RpcError as error:
                    if kind != "closing":
                        raise
                    print("not acknowledged yet:", error.code(), file=sys.stderr)
            if kind == "closing":
                if message.closing.reason == feed.Closing.REASON_SUPERSEDED:
                    raise SystemExit("closed for good: somebody else follows under this name")
                if message.closing.reason == feed.Closing.REASON_TRIMMED:
                    site.held["cursor"] = ""
                return message.closing.reconnect_after.ToTimedelta().total_seconds()
        return 0
    finally:
        if watchdog:
            watchdog.cancel()
        call.cancel()


def refusal(error):
    """The reason of a refusal, and how long it asks to wait."""
    info, retry, status = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo(), rpc_status.from_call(error)
    for detail in status.details if status else []:
        detail.Unpack(info) or detail.Unpack(retry)
    return info.reason, retry.retry_delay.ToTimedelta().total_seconds()


def main(address, path, name=""):
    stub = feed_service_pb2_grpc.FeedServiceStub(channel(address))
    attempts = 0
    while True:
        site, asked = Site(path), 0  # what was not kept is sent again
        before = site.held["cursor"]
        try:
            asked = follow(stub, site, name)
        except verify.Altered as altered:
            raise SystemExit(f"refused: {altered}; somebody between here and the service may have altered it")
        except grpc.RpcError as error:
            reason, asked = refusal(error)
            print("lost:", error.code(), reason, file=sys.stderr)
            if reason in FATAL or error.code() in REFUSED:
                raise SystemExit(f"{reason}: {error.details()}")
            if reason == "CURSOR_TRIMMED":
                site.held["cursor"] = ""
                site.keep()
        attempts = 0 if site.held["cursor"] != before else attempts + 1
        # Full jitter, so that those who were cut off together do not come back together.
        time.sleep(max(asked, random.uniform(0, min(30, 0.1 * 2**attempts))))


if __name__ == "__main__":
    main(*sys.argv[1:])
