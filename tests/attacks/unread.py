"""Attacks of peers that read nothing, or next to nothing: unread unary answers, slow readers, long texts to many readers.

Run by attacks.py, against a service of its own with a policy, in a memory cgroup of the size that docs/sizing.md asks for. Each attack prints the
peak of the service's resident memory, and what it is 10 s after the attack.

Attackers, service and those who behave share the machine, so each attack is made twice: first on another service, which shows what those who behave
lose to the use of the processor, then on the one that they call. A run fails if their p99 is then more than twice as long. All of it is done three
times and the medians count; an attack that misses the bound is made up to nine times, since others may have used the machine.
"""

import asyncio
import contextlib
import itertools
import multiprocessing
import os
import pathlib
import selectors
import socket
import statistics
import struct
import subprocess
import sys
import time

import grpc
import h2.config
import h2.connection
import h2.events
import h2.settings
from google.protobuf import empty_pb2
from onrecord.v1 import backup_service_pb2 as backup
from onrecord.v1 import content_pb2 as content
from onrecord.v1 import editorial_service_pb2 as editorial
from onrecord.v1 import feed_service_pb2 as feed
from onrecord.v1 import statement_service_pb2 as statements

HOST = "127.0.0.1"
LIMIT = 1 << 30  # bytes: what the example of docs/sizing.md asks for
TEXT = 512 * 1024  # bytes of a body: as long as one may be
CONNECTIONS, STREAMS = 10, 200
READERS = 2_000
OPENING = 100  # at a time, within the limit of calls in flight
ROUNDS = 3  # of which the medians count: p99 of one run is its third slowest call
ROUNDS_MAX = 9  # where they miss the bound: others may have used the machine
EVENTS = 6  # texts that are published to many readers
SETTLE = 10  # seconds after which memory is to be as before


def cgroup(port):
    """A memory cgroup below our own, of LIMIT bytes; or None, and why."""
    lines = pathlib.Path("/proc/self/cgroup").read_text().split()
    own = {line.split(":", 2)[1]: line.split(":", 2)[2] for line in lines}
    name = f"onrecord-attacks-{os.getpid()}-{port}"
    try:
        if "memory" in own:
            group = pathlib.Path(f"/sys/fs/cgroup/memory{own['memory']}") / name
            group.mkdir()
            (group / "memory.limit_in_bytes").write_text(str(LIMIT))
        else:
            group = pathlib.Path(f"/sys/fs/cgroup{own['']}") / name
            group.mkdir()
            (group / "memory.max").write_text(str(LIMIT))
        return group, None
    except (OSError, KeyError) as error:
        with contextlib.suppress(OSError, UnboundLocalError):
            group.rmdir()
        return None, f"{type(error).__name__}: {error}"


class Target:
    """The service that is attacked."""

    def __init__(self, onrecord, port, work):
        self.onrecord, self.port, self.work = onrecord, port, pathlib.Path(work)
        self.tokens, self.requests, self.process = {}, {}, None
        self.work.mkdir(exist_ok=True)
        self.group, self.without = cgroup(port)

    def call(self, caller, method, request, answer=empty_pb2.Empty):
        with grpc.insecure_channel(f"{HOST}:{self.port}", [("grpc.max_receive_message_length", -1)]) as channel:
            call = channel.unary_unary(f"/onrecord.v1.{method}", lambda it: it.SerializeToString(), answer.FromString)
            return call(request, metadata=[("authorization", f"Bearer {self.tokens[caller]}")], timeout=30)

    def start(self):
        policy = [f"[limits]\nstreams = {2 * READERS}\ncalls_per_second = 5000\ncalls_burst = 10000\nsnapshots_per_minute = {2 * READERS}\n"]
        roles = {"desk": '"author", "publisher", "auditor"', "attacker": '"subscriber"', "insider": '"author", "auditor"', "operator": '"operator"'}
        for caller, given in roles.items():
            made = subprocess.run([self.onrecord, "token", caller], capture_output=True, text=True, check=True)
            self.tokens[caller] = made.stdout.strip()
            policy.append(f'[[grants]]\nto = ["{caller}"]\nroles = [{given}]\n{made.stderr}')
        (self.work / "unread.toml").write_text("\n".join(policy))

        def within():
            if self.group:
                (self.group / "cgroup.procs").write_text(str(os.getpid()))

        command = [self.onrecord, "serve", "--data-dir", str(self.work / "unread"), "--listen", f"{HOST}:{self.port}", "--policy", str(self.work / "unread.toml")]
        self.process = subprocess.Popen(command, stderr=open(self.work / "log-unread", "w"), preexec_fn=within)
        for _ in range(200):
            with contextlib.suppress(OSError):
                socket.create_connection((HOST, self.port), timeout=1).close()
                break
            time.sleep(0.05)
        else:
            sys.exit(f"the service does not come up: see {self.work}/log-unread")
        self.fill()

    def publish(self, name, letter, length=TEXT, create=True):
        if create:
            new = editorial.CreateStatementRequest(statement_id=name)
            new.statement.kind, new.statement.source_language_code = "notice", "en"
            self.call("desk", "EditorialService/CreateStatement", new)
        save = editorial.SaveDraftRequest()
        save.draft.name = f"statements/{name}/drafts/en"
        save.draft.content.title, save.draft.content.body = name, (letter * 79 + "\n") * (length // 80)
        if not create:
            save.draft.content.change_kind = 3  # MINOR: no note
        draft = self.call("desk", "EditorialService/SaveDraft", save, editorial.SaveDraftResponse).draft
        publish = editorial.PublishDraftsRequest(parent=f"statements/{name}", force=True, reason="An attack is rehearsed.")
        publish.drafts.add(language_code="en", etag=draft.etag)
        self.call("desk", "EditorialService/PublishDrafts", publish)
        return save

    def fill(self):
        """Long texts, and what to ask for them."""
        for number in range(4):
            self.publish(f"long-{number}", "abcd"[number])
        self.publish("long-0", "e", create=False)
        save = editorial.SaveDraftRequest()
        save.draft.name = "statements/long-1/drafts/en"
        save.draft.content.title, save.draft.content.body = "draft", "x" * TEXT
        save.draft.content.change_kind = 3
        save.draft.etag = self.call("desk", "EditorialService/SaveDraft", save, editorial.SaveDraftResponse).draft.etag
        edition = "statements/long-0/editions/en."
        save.validate_only = True
        self.requests = {
            "StatementService/GetStatement": ("attacker", statements.GetStatementRequest(name="statements/long-0")),
            "StatementService/BatchGetStatements": ("attacker", statements.BatchGetStatementsRequest(names=[f"statements/long-{n}" for n in range(4)])),
            "StatementService/ListStatements": ("attacker", statements.ListStatementsRequest()),
            "StatementService/GetEdition": ("attacker", statements.GetEditionRequest(name=f"{edition}1", content_view=content.CONTENT_VIEW_CANONICAL)),
            "StatementService/ListEditions": ("attacker", statements.ListEditionsRequest(parent="statements/long-0")),
            "StatementService/DiffEditions": ("attacker", statements.DiffEditionsRequest(from_edition=f"{edition}1", to_edition=f"{edition}2")),
            "FeedService/ReadFeed": ("attacker", feed.ReadFeedRequest(start=feed.START_BEGINNING)),
            "FeedService/Subscribe": ("attacker", feed.SubscribeRequest(start=feed.START_SNAPSHOT)),
            "EditorialService/GetDraft": ("insider", editorial.GetDraftRequest(name="statements/long-1/drafts/en")),
            "EditorialService/SaveDraft": ("insider", save),
            "EditorialService/GetStatementOverview": ("insider", editorial.GetStatementOverviewRequest(name="statements/long-0")),
            "EditorialService/ListEntries": ("insider", editorial.ListEntriesRequest()),
            "BackupService/Backup": ("operator", backup.BackupRequest()),
        }

    def resident(self, key="VmRSS"):
        """KiB."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split(f"{key}:")[1].split()[0])

    def begin_peak(self):
        pathlib.Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
        if self.group:
            self.group.rmdir()


def head(method, token, port):
    pseudo = [(":method", "POST"), (":scheme", "http"), (":path", f"/onrecord.v1.{method}"), (":authority", f"localhost:{port}")]
    return [*pseudo, ("content-type", "application/grpc"), ("te", "trailers"), ("authorization", f"Bearer {token}")]


async def unread(target, methods, window, seconds, trickle=False, timeout=None):
    """As many calls as connections may have, whose answers are not read; with `trickle` each may send a byte a second. What came of them."""
    told = {"answered": 0, "refused": 0, "reset": 0, "cut": 0}

    async def one(number):
        try:
            reader, writer = await asyncio.open_connection(HOST, target.port)
        except OSError:
            told["cut"] += 1
            return
        peer = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        peer.local_settings = h2.settings.Settings(client=True, initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        peer.initiate_connection()
        open_streams, pending = set(), list(range(STREAMS))
        bodies = {}

        def send():
            """Begins what may begin, and sends of requests what may be sent."""
            while pending and peer.open_outbound_streams < STREAMS:
                method = methods[(number + pending.pop()) % len(methods)]
                caller, request = target.requests[method]
                stream = peer.get_next_available_stream_id()
                more = [("grpc-timeout", timeout)] if timeout else []
                peer.send_headers(stream, head(method, target.tokens[caller], target.port) + more)
                payload = request.SerializeToString()
                bodies[stream] = struct.pack(">BI", 0, len(payload)) + payload
                open_streams.add(stream)
            for stream, body in list(bodies.items()):
                try:
                    while body and (room := min(peer.local_flow_control_window(stream), peer.max_outbound_frame_size)) > 0:
                        peer.send_data(stream, body[:room], end_stream=len(body) <= room)
                        body = body[room:]
                except h2.exceptions.ProtocolError:
                    body = b""
                if body:
                    bodies[stream] = body
                else:
                    del bodies[stream]

        async def listen():
            while True:
                send()
                writer.write(peer.data_to_send())
                await writer.drain()
                data = await reader.read(65536)
                if not data:
                    told["cut"] += 1
                    return
                for event in peer.receive_data(data):
                    if isinstance(event, h2.events.ResponseReceived):
                        told["refused" if any(name == "grpc-status" for name, _ in event.headers) else "answered"] += 1
                    if isinstance(event, h2.events.StreamReset):
                        told["reset"] += 1
                    if isinstance(event, (h2.events.StreamReset, h2.events.StreamEnded)):
                        open_streams.discard(event.stream_id)
                        bodies.pop(event.stream_id, None)

        async def open_windows():
            while trickle:
                await asyncio.sleep(1)
                for stream in list(open_streams):
                    with contextlib.suppress(h2.exceptions.ProtocolError, KeyError):
                        peer.increment_flow_control_window(1, stream)
                writer.write(peer.data_to_send())

        tasks = [asyncio.create_task(listen()), asyncio.create_task(open_windows())]
        await asyncio.sleep(seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        writer.transport.abort()

    await asyncio.gather(*(one(number) for number in range(CONNECTIONS)))
    return ", ".join(f"{count} {what}" for what, count in told.items() if count)


def until_open(reader):
    """Reads the frames of HTTP/2 up to the first DATA, which says that the stream is open; a refusal has none. How many bytes it took."""
    data = b""
    while True:
        if not (more := reader.recv(1 << 16)):
            raise AssertionError("a reader was refused")
        data, at = data + more, 0
        while at + 9 <= len(data):
            if data[at + 3] == 0:
                return len(data)
            at += 9 + int.from_bytes(data[at : at + 3])


def many_readers(target, readers, events, reads, seconds):
    """So many readers of all events, each on a connection of its own, to whom so many long texts are published: `reads` is how many bytes each takes
    of its socket at a time, and how many seconds it waits in between."""
    size, pause = reads
    selector, window = selectors.DefaultSelector(), (1 << 31) - 1 - 65_535
    peer = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    peer.local_settings = h2.settings.Settings(client=True, initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1 << 30})
    peer.initiate_connection()
    peer.increment_flow_control_window(window)
    peer.send_headers(1, head("FeedService/Subscribe", target.tokens["attacker"], target.port))
    request = feed.SubscribeRequest(start=feed.START_NOW).SerializeToString()
    peer.send_data(1, struct.pack(">BI", 0, len(request)) + request, end_stream=True)
    first = peer.data_to_send()
    taken = {}
    buffer, last = bytearray(max(size, 1)), time.monotonic()

    def read(until):
        nonlocal last
        while time.monotonic() < until and taken:
            if pause:
                time.sleep(max(0, min(last + pause, until) - time.monotonic()))
                last = time.monotonic()
            for key, _ in selector.select(0.2) if size else ():
                with contextlib.suppress(BlockingIOError, ConnectionResetError):
                    got = key.fileobj.recv_into(buffer)
                    if got == 0:
                        selector.unregister(key.fileobj)
                        continue
                    taken[key.fileobj] += got
            if min(taken.values()) >= wanted:
                return

    for _ in range(0, readers, OPENING):
        opening = [socket.create_connection((HOST, target.port), timeout=60) for _ in range(OPENING)]
        for reader in opening:
            reader.sendall(first)
        for reader in opening:
            taken[reader] = until_open(reader)
            reader.setblocking(False)
            selector.register(reader, selectors.EVENT_READ)
    begun = time.monotonic()
    for number in range(events):
        target.publish(f"crowd-{os.getpid()}-{number}", "z")
        wanted = (number + 1) * TEXT if not pause else 1 << 40
        read(time.monotonic() + (60 if not pause else seconds / events))
    took, whole = time.monotonic() - begun, sum(got >= events * TEXT for got in taken.values())
    if not pause and whole < readers:
        raise AssertionError(f"only {whole} of {readers} readers have all texts")
    outcome = f"{events} texts of 512 KiB, {readers} readers, {whole} have them all after {took:.0f} s"
    for reader in taken:
        reader.close()
    return outcome


def child(attack, results):
    os.nice(19)
    try:
        results.put((attack(), None))
    except BaseException as error:  # told by the parent
        results.put((None, f"{type(error).__name__}: {error}"))


def run_apart(attack):
    """Runs an attack in a process that yields to the service and to those who behave."""
    results = multiprocessing.Queue()
    process = multiprocessing.Process(target=child, args=(attack, results))
    process.start()
    outcome, failure = results.get()
    process.join()
    if failure:
        raise AssertionError(failure)
    return outcome


def crowd(seconds):
    """How many readers, and how many long texts are published to them: a service that is not optimised needs longer for each."""
    return (READERS, EVENTS) if seconds >= 5 else (READERS // 10, 1)


def attacks(target, seconds):
    """Name and what it does."""
    methods = list(target.requests)
    alone = [
        (f"unread {method.split('/')[1]}", lambda method=method: asyncio.run(unread(target, [method], 0, seconds)))
        for method in methods
    ]
    readers, events = crowd(seconds)
    return [
        *alone,
        ("unread, deadlines of 1,000 hours", lambda: asyncio.run(unread(target, methods, 0, seconds, timeout="1000H"))),
        ("windows of one byte", lambda: asyncio.run(unread(target, methods, 1, seconds))),
        ("a byte a second of each answer", lambda: asyncio.run(unread(target, methods, 1, seconds, trickle=True))),
        ("long texts, all read", lambda: many_readers(target, readers, events, (1 << 18, 0), seconds)),
        ("long texts, a byte a second read", lambda: many_readers(target, readers, events, (1, 1), seconds)),
        ("long texts, nothing read", lambda: many_readers(target, readers, events, (0, seconds), seconds)),
    ]


def medians(runs):
    """Of each of the figures that the runs have."""
    return [statistics.median(figures) for figures in zip(*runs)]


def slow(here, there, quiet):
    """The p99 that are more than twice as long as they would be without the attack on this service: quiet, or with the attack elsewhere."""
    if not there:
        return []
    mine, usual = medians(here), [max(pair) for pair in zip(medians(there), quiet)]
    return [f"p99 of others {mine[n]:.1f} ms, {usual[n]:.1f} ms without it" for n in (1, 3) if mine[n] > 2 * usual[n]]


def row(figures, control):
    """Cells of the times: p50 and p99 of each of those who behave, and the p99 of the control."""
    p50, p99, p50_anew, p99_anew = (f"{figure:.1f}" for figure in figures)
    its, its_anew = (f"{control[1]:.1f}", f"{control[3]:.1f}") if control else ("", "")
    return " | ".join([p50, p99, its, p50_anew, p99_anew, its_anew])


def judge(target, aside, seconds, measured, wrong):
    """Runs all of them, on `aside` too if there is one; adds what is wrong."""
    if target.without:
        print(f"\nNo memory cgroup can be made here ({target.without}): the peak of the resident memory is compared with 1 GiB instead.")
    else:
        print("\nIn a memory cgroup of 1 GiB:")
    print("\n| attack | what came of it | rounds | calls of others, p50 ms | p99 ms | p99 ms with the attack elsewhere | of those who connect anew, p50 ms | p99 ms | p99 ms with the attack elsewhere | failed | peak MiB | MiB before | MiB 10 s after |")
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    settle, rounds = (SETTLE, ROUNDS) if seconds >= 5 else (0, 1)
    # So that caches and threads are there before anything is compared.
    run_apart(lambda: asyncio.run(unread(target, list(target.requests), 0, 1)))
    time.sleep(SETTLE)
    quiet = medians(measured(lambda: time.sleep(max(seconds, 3)))[1] for _ in range(rounds))
    print(f"| none | nothing | {rounds} | {row(quiet, None)} | 0 | | {target.resident() // 1024} | |", flush=True)
    first = target.resident()
    elsewhere = [attack for _, attack in attacks(aside, seconds)] if aside else itertools.repeat(None)
    published = 0
    for (name, attack), other in zip(attacks(target, seconds), elsewhere):
        here, there, failed, missed = [], [], [], []
        before = target.resident()
        target.begin_peak()
        try:
            while len(here) < rounds or (missed and len(here) < ROUNDS_MAX):
                if other:
                    there.append(measured(lambda other=other: run_apart(other))[1])
                    if aside.process.poll() is not None:
                        raise AssertionError("the service elsewhere was killed")
                    time.sleep(1)
                outcome, figures, fell = measured(lambda attack=attack: run_apart(attack))
                here.append(figures)
                failed += fell
                if target.process.poll() is not None:
                    wrong.append(f"{name}: the service was killed ({target.process.returncode})")
                    return
                missed = slow(here, there, quiet)
        except AssertionError as error:
            wrong.append(f"{name}: {error}")
            continue
        peak = target.resident("VmHWM")
        time.sleep(settle)
        after = target.resident()
        # Texts that were published stay among the recent events, in both of their forms.
        kept = len(here) * crowd(seconds)[1] * 2 * TEXT // 1024 if name.startswith("long texts") else 0
        published += kept
        times = row(medians(here), medians(there) if there else None)
        print(f"| {name} | {outcome} | {len(here)} | {times} | {len(failed)} | {peak // 1024} | {before // 1024} | {after // 1024} |", flush=True)
        if failed:
            wrong.append(f"{name}: {len(failed)} calls of a client that behaves failed: {failed[:3]}")
        if peak * 1024 > LIMIT:
            wrong.append(f"{name}: {peak} KiB at the peak")
        if settle and after > before * 1.2 + kept:
            wrong.append(f"{name}: {after} KiB {settle} s after it, {before} KiB before")
        wrong += [f"{name}: {one}" for one in missed]
    time.sleep(SETTLE)
    if target.resident() > first * 1.5 + published:
        wrong.append(f"unread: {target.resident()} KiB after all of them, {first} KiB before")
