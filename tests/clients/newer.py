"""A service that is newer than a subscriber's stubs: it sends an unknown member and unknown types, and ends streams in every way.

Usage: newer.py ADDRESS. Prints what the one subscriber has to print, without the types, and ends once it followed to the end.
"""

import sys
import threading
import time
from concurrent import futures

import grpc
from onrecord.v1 import event_pb2 as events
from onrecord.v1 import feed_service_pb2 as feed
from onrecord.v1 import live_pb2 as live

PATIENCE = 60  # seconds
UNKNOWN_MEMBER = b"\x7a\x02\x08\x01"  # field 15 of SubscribeResponse, a message
UNKNOWN_TYPE = 99
RECONNECT_AFTER = 2  # seconds

ENTERED, LEFT = events.Delivery.FILTER_CHANGE_ENTERED, events.Delivery.FILTER_CHANGE_LEFT


def batch(sequence, change, cursor=""):
    event = events.Event(sequence=sequence, type=UNKNOWN_TYPE, statement=f"statements/s{sequence}", language_code="en")
    delivery = events.Delivery(filter_change=change, event=event)
    return feed.SubscribeResponse(event_batch=feed.EventBatch(deliveries=[delivery], cursor=cursor, more=not cursor))


def snapshot(sequence):
    item = live.Live(sequence=sequence, statement=f"statements/s{sequence}", language_code="en")
    return feed.SubscribeResponse(snapshot=feed.Snapshot(live=[item]))


def heartbeat(cursor):
    return feed.SubscribeResponse(heartbeat=feed.Heartbeat(cursor=cursor))


def snapshot_end(cursor):
    return feed.SubscribeResponse(snapshot_end=feed.SnapshotEnd(cursor=cursor, item_count=2))


def closing(cursor):
    last = feed.Closing(reason=feed.Closing.REASON_LIFETIME, cursor=cursor)
    last.reconnect_after.seconds = RECONNECT_AFTER
    return feed.SubscribeResponse(closing=last)


# Streams in order: the cursor that the subscriber has to send, the messages, and the code that the stream ends with.
STREAMS = [
    ("", [snapshot(1)], grpc.StatusCode.UNAVAILABLE),
    ("", [snapshot(1), snapshot(2), snapshot_end("a")], grpc.StatusCode.OK),
    ("a", [UNKNOWN_MEMBER, batch(3, ENTERED, "b")], grpc.StatusCode.INTERNAL),
    ("b", [heartbeat("c"), batch(4, LEFT)], grpc.StatusCode.UNKNOWN),
    ("c", [batch(4, LEFT), batch(5, ENTERED, "d"), UNKNOWN_MEMBER], grpc.StatusCode.CANCELLED),
    ("d", [closing("e")], grpc.StatusCode.OK),
    ("e", [], grpc.StatusCode.OUT_OF_RANGE),
    ("", [snapshot_end("f")], grpc.StatusCode.OK),
    ("f", [], grpc.StatusCode.OK),
]
PRINTED = ["put", "put", "put", "remove", "put"]

requests, starts, ends, followed = [], [], [], threading.Event()


def subscribe(request, context):
    starts.append(time.monotonic())
    requests.append((feed.Start.Name(request.start), request.cursor))
    if len(requests) == len(STREAMS):
        followed.set()
    _, messages, code = STREAMS[min(len(requests), len(STREAMS)) - 1]
    if messages:
        yield feed.SubscribeResponse(opened=feed.Opened(resumed=bool(request.cursor)))
    yield from messages
    ends.append(time.monotonic())
    if code != grpc.StatusCode.OK:
        context.abort(code, "the stream ends")


def serialize(message):
    return message if isinstance(message, bytes) else message.SerializeToString()


server = grpc.server(futures.ThreadPoolExecutor(1))
handler = grpc.unary_stream_rpc_method_handler(subscribe, feed.SubscribeRequest.FromString, serialize)
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("onrecord.v1.FeedService", {"Subscribe": handler}),))
assert server.add_insecure_port(sys.argv[1])
server.start()
is_followed = followed.wait(PATIENCE)
server.stop(0)
wanted = [("START_CURSOR" if cursor else "START_SNAPSHOT", cursor) for cursor, _, _ in STREAMS]
assert is_followed and requests[: len(STREAMS)] == wanted, requests
after_closing = 1 + next(at for at, (cursor, _, _) in enumerate(STREAMS) if cursor == "d")
assert starts[after_closing] - ends[after_closing - 1] >= RECONNECT_AFTER, "connected before reconnect_after"
for sequence, change in enumerate(PRINTED, 1):
    print(f"{sequence} {change} statements/s{sequence} en")
