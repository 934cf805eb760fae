"""Subscribers by the thousand, each over a TLS connection of its own, and what the service takes for them: see deploy/test/sizing."""

import os
import pathlib
import selectors
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import h2.config
import h2.connection
import h2.settings
from onrecord.v1 import feed_service_pb2 as feed

work, port, streams, publications = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), 20
server = int((work / "pid").read_text())
WINDOW = 1 << 24  # bytes: nobody is stalled here


def request():
    """What each subscriber sends, from its first byte on: the same for all of them."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    connection.local_settings = h2.settings.Settings(initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: WINDOW})
    connection.initiate_connection()
    connection.increment_flow_control_window(WINDOW)
    token = (work / "crowd.token").read_text().strip()
    connection.send_headers(1, [
        (":method", "POST"), (":scheme", "https"), (":path", "/onrecord.v1.FeedService/Subscribe"), (":authority", "localhost"),
        ("content-type", "application/grpc"), ("te", "trailers"), ("authorization", f"Bearer {token}"),
    ])
    message = feed.SubscribeRequest(start=feed.START_NOW).SerializeToString()
    connection.send_data(1, struct.pack(">BI", 0, len(message)) + message, end_stream=True)
    return connection.data_to_send()


class Subscriber:
    """One connection with one stream: counts its events, and answers pings."""

    def __init__(self, context, first):
        raw = socket.create_connection(("127.0.0.1", port))
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = context.wrap_socket(raw, server_hostname="localhost")
        assert self.socket.selected_alpn_protocol() == "h2"
        self.socket.sendall(first)
        self.socket.setblocking(False)
        self.bytes, self.data, self.opened, self.events, self.closing = b"", b"", False, 0, None

    def read(self):
        """Takes what is there. Whether it is still open."""
        while True:
            try:
                got = self.socket.recv(65536)
            except (ssl.SSLWantReadError, BlockingIOError):
                return True
            except (ssl.SSLEOFError, ConnectionResetError):
                return False
            if not got:
                return False
            self.bytes += got
            self.frames()

    def frames(self):
        while len(self.bytes) >= 9:
            length, kind, flags = int.from_bytes(self.bytes[:3], "big"), self.bytes[3], self.bytes[4]
            if len(self.bytes) < 9 + length:
                return
            payload, self.bytes = self.bytes[9:9 + length], self.bytes[9 + length:]
            if kind == 0:
                self.data += payload
                self.messages()
            elif kind == 6 and not flags & 1:
                self.socket.sendall(b"\0\0\x08\x06\x01\0\0\0\0" + payload)

    def messages(self):
        while len(self.data) >= 5:
            (length,) = struct.unpack(">I", self.data[1:5])
            if len(self.data) < 5 + length:
                return
            message = feed.SubscribeResponse.FromString(self.data[5:5 + length])
            self.data = self.data[5 + length:]
            self.opened |= message.HasField("opened")
            self.events += len(message.event_batch.deliveries)
            if message.HasField("closing"):
                self.closing = message.closing


def memory():
    """KiB that the service has in memory."""
    return int(pathlib.Path(f"/proc/{server}/status").read_text().split("VmRSS:")[1].split()[0])


def processor():
    """Seconds of the processor that the service has used."""
    fields = pathlib.Path(f"/proc/{server}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def serve(until, seconds):
    """Reads what comes until that is so."""
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, f"not within {seconds} s"
        for key, _ in selector.select(0.2):
            assert key.data.read(), "the service closed a stream"


def verb(who, *words):
    command = ["onrecord", "--token-file", str(work / f"{who}.token"), *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def publish(number):
    """A statement of 2,048 bytes goes through draft, approval and publication."""
    name = f"sizing-{number}"
    text = ("We have looked into it again, and it is as we said. " * 40)[:2048]
    (work / "draft.md").write_text(f"---\nstatement: {name}\nlanguage: en\ntitle: {name}\n---\n{text}\n")
    verb("anna", "statement", "create", name, "--kind", "notice", "--source-language", "en")
    verb("anna", "draft", "save", str(work / "draft.md"))
    verb("anna", "draft", "submit", f"{name}/en")
    verb("bea", "draft", "approve", f"{name}/en")
    verb("bea", "publish", name, "en")


context = ssl.create_default_context(cafile=str(work / "ca.crt"))
context.set_alpn_protocols(["h2"])
selector, first = selectors.DefaultSelector(), request()
publish("first")
at_first, busy, began = memory(), processor(), time.monotonic()
with ThreadPoolExecutor(4) as pool:
    crowd = list(pool.map(lambda _: Subscriber(context, first), range(streams)))
for one in crowd:
    selector.register(one.socket, selectors.EVENT_READ, one)
serve(lambda: all(one.opened for one in crowd), 120)
connected, connecting = time.monotonic() - began, processor() - busy
quiet = time.monotonic() + 30
busy = processor()
serve(lambda: time.monotonic() > quiet, 60)
resting, in_quiet = processor() - busy, memory()
files = len(os.listdir(f"/proc/{server}/fd"))
busy, worst = processor(), 0.0
for number in range(publications):
    publish(number)
    published = time.monotonic()
    serve(lambda: all(one.events > number for one in crowd), 60)
    worst = max(worst, time.monotonic() - published)
delivering, after = processor() - busy, memory()
assert all(one.events == publications for one in crowd), "an event was lost, or came twice"

began, left = time.monotonic(), len(crowd)
os.kill(server, signal.SIGTERM)
while left:
    assert time.monotonic() < began + 60, f"{left} connections are open 60 s after SIGTERM"
    for key, _ in selector.select(0.2):
        if not key.data.read():
            selector.unregister(key.fileobj)
            key.fileobj.close()
            left -= 1
stopping = time.monotonic() - began
assert all(one.closing and one.closing.reason == feed.Closing.REASON_DRAIN and one.closing.cursor for one in crowd), "a stream was cut off"

print(f"| memory of the service before anybody came | {at_first / 1024:.0f} MiB |")
print(f"| connecting {streams:,} streams, TLS, a connection each | {connected:.1f} s, {connecting / streams * 1000:.2f} ms of the processor each |")
print(f"| open files | {files:,} |")
print(f"| memory of a quiet stream | {(in_quiet - at_first) / streams:.1f} KiB |")
print(f"| processor while nothing is published: heartbeats | {resting / 30 * 100:.1f} % of a core |")
print(f"| {publications} publications, all steps | {delivering / publications * 1000:.0f} ms of the processor each, "
      f"{delivering / publications / streams * 1e6:.0f} µs a delivery |")
print(f"| from the answer to the publisher until the last has it, at most | {worst:.2f} s |")
print(f"| memory of the service afterwards | {after / 1024:.0f} MiB |")
print(f"| SIGTERM until the last stream has ended, each with its cursor | {stopping:.2f} s |")
