"""Loss of power: what was written and not synced is lost, or kept by halves. Nothing that was answered may be.

The server runs with shim.c, which writes down what it does to its files. Here the files are built as a device would have them after a loss
of power at random moments, and each such store is verified.
"""

import json
import os
import random
import shutil
import struct
import subprocess
import sys
import threading
import time

import grpc
from onrecord.v1 import content_pb2, draft_pb2, statement_pb2
from onrecord.v1 import editorial_service_pb2 as editorial
from onrecord.v1 import editorial_service_pb2_grpc as editorial_grpc

ONRECORD, WORK, PORT, POINTS, SHIM = sys.argv[1:6]
DATA, LOG, IMAGE = (os.path.join(WORK, name) for name in ("record", "calls", "image"))
WRITERS = 4
PAGE = 4096
HEAD = struct.Struct("<cQQI")


def write(channel, number, answered, stop):
    """Statements and drafts, some of them long. For each answer, how long the log of calls was then."""
    stub = editorial_grpc.EditorialServiceStub(channel)
    caller = (("onrecord-caller", f"writer-{number}"),)
    dice, count = random.Random(number), 0
    while not stop.is_set():
        count += 1
        name = f"s-{number}-{count}"
        statement = statement_pb2.Statement(kind="notice", source_language_code="en")
        request = editorial.CreateStatementRequest(statement_id=name, statement=statement)
        body = "".join(dice.choices("abcdefghij \n", k=dice.choice([100, 2_000, 100_000])))
        draft = draft_pb2.Draft(name=f"statements/{name}/drafts/en", content=content_pb2.Content(title="T", body=body))
        try:
            stub.CreateStatement(request, metadata=caller, timeout=60)
            answered.append(os.path.getsize(LOG))
            stub.SaveDraft(editorial.SaveDraftRequest(draft=draft), metadata=caller, timeout=60)
            answered.append(os.path.getsize(LOG))
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE:
                raise
            time.sleep(0.1)


def run(seconds):
    os.mkdir(DATA)
    command = [ONRECORD, "serve", "--insecure", "--listen", f"127.0.0.1:{PORT}", "--data-dir", DATA]
    environment = {**os.environ, "LD_PRELOAD": SHIM, "SHIM_DIR": DATA, "SHIM_LOG": LOG}
    server = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    answered, stop = [], threading.Event()
    with grpc.insecure_channel(f"127.0.0.1:{PORT}") as channel:
        grpc.channel_ready_future(channel).result(timeout=60)
        threads = [threading.Thread(target=write, args=(channel, n, answered, stop)) for n in range(WRITERS)]
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        stop.set()
        for thread in threads:
            thread.join()
    server.kill()
    server.wait()
    return sorted(answered)


def calls():
    """Each call, and where its record ends in the log."""
    with open(LOG, "rb") as log:
        end = 0
        while head := log.read(HEAD.size):
            operation, inode, offset, length = HEAD.unpack(head)
            end += HEAD.size + length
            yield end, operation.decode(), inode, offset, log.read(length)


class Device:
    """What is on the device for certain, and what may be."""

    def __init__(self, honest):
        self.honest = honest
        self.names, self.durable, self.pending = {}, {}, {}

    def take(self, operation, inode, offset, data):
        if operation in "oO":
            path = data.decode()
            if self.names.get(path) != inode:
                self.names[path] = inode
                self.durable[inode], self.pending[inode] = bytearray(), []
            if operation == "O":
                self.pending[inode].append(("t", 0, b""))
        elif operation in "wt":
            self.pending.setdefault(inode, []).append((operation, offset, data))
            self.durable.setdefault(inode, bytearray())
        elif operation == "s" or (operation == "d" and self.honest):
            for change in self.pending.get(inode, []):
                apply(self.durable[inode], change)
            self.pending[inode] = []
        elif operation == "r":
            old, new = data.decode().split("\n")
            if old in self.names:
                self.names[new] = self.names.pop(old)
        elif operation == "u":
            self.names.pop(data.decode(), None)

    def image(self, dice, keep):
        """The files after a loss of power; of what was not synced each page is kept with this chance."""
        shutil.rmtree(IMAGE, ignore_errors=True)
        os.mkdir(IMAGE)
        for path, inode in self.names.items():
            content = bytearray(self.durable[inode])
            for change in self.pending[inode]:
                for part in pages(change):
                    if dice.random() < keep:
                        apply(content, part)
            there = os.path.join(IMAGE, os.path.relpath(path, DATA))
            os.makedirs(os.path.dirname(there), exist_ok=True)
            with open(there, "wb") as file:
                file.write(content)


def pages(change):
    operation, offset, data = change
    if operation == "t":
        return [change]
    parts, at = [], 0
    while at < len(data):
        length = PAGE - (offset + at) % PAGE
        parts.append(("w", offset + at, data[at : at + length]))
        at += length
    return parts


def apply(content, change):
    operation, offset, data = change
    if operation == "t":
        del content[offset:]
    if len(content) < offset + len(data):
        content.extend(bytes(offset + len(data) - len(content)))
    content[offset : offset + len(data)] = data


def lost(answered, end):
    """What is wrong with the image of a moment, if anything."""
    needed = sum(1 for length in answered if length <= end)
    verified = subprocess.run([ONRECORD, "verify", "--data-dir", IMAGE, "--output", "json"], capture_output=True, text=True)
    if needed == 0 and "holds no store" in verified.stderr:
        return None
    if verified.returncode != 0:
        return verified.stdout[:300] + verified.stderr[-300:]
    entries = json.loads(verified.stdout)["entries"]
    return None if entries >= needed else f"{needed} entries were answered, {entries} are there"


def losses(answered, points, honest):
    """What was found at random moments."""
    ends = [end for end, *_ in calls()]
    dice = random.Random(os.urandom(8))
    moments = sorted(dice.sample(ends, min(points, len(ends))))
    device, found, tried = Device(honest), [], 0
    for end, *call in calls():
        device.take(*call)
        while moments and moments[0] == end:
            moments.pop(0)
            keep = (0.0, 0.5, 1.0)[tried % 3]
            tried += 1
            device.image(dice, keep)
            if fault := lost(answered, end):
                found.append(f"after byte {end} of the calls, keeping {keep:.0%} of what was not synced: {fault}")
    return tried, found


answers = run(6)
tried, found = losses(answers, int(POINTS), True)
assert not found, "\n".join(found)
print(f"power was lost at {tried} moments of {len(answers)} answered calls: nothing answered was lost", flush=True)
tried, found = losses(answers, 30, False)
assert found, "without the sync something has to be lost: the test does not see what it should"
print(f"the same without our fdatasync, {tried} moments: {len(found)} stores lost or damaged, as it has to be", flush=True)
