"""What a failing device does to the record: callers are told, reads go on, nothing that was answered is lost."""

import os
import shutil
import subprocess
import sys

from service import DATA, LOG, Server, closed, whole, write

HOW = sys.argv[4]
# What the service calls to write, and how each may fail.
CALLS = [("pwrite64", "ENOSPC"), ("pwrite64", "EIO"), ("sync_file_range", "EIO"), ("fdatasync", "EIO"), ("fdatasync", "ENOSPC")]


def fails(call, error, place, most):
    """What came of it, if the service got as far as this call: whether it started, and how reads went on."""
    shutil.rmtree(DATA, ignore_errors=True)
    server = Server(f"{call}:error={error}:when={place}")
    if not server.is_up():
        assert "error" in open(LOG).read(), "it says why it does not start"
        server.kill()
        whole([])
        return "did not start"
    answered, refusal = write(server, most)
    outcome = None
    if refusal is not None:
        outcome = "read from the store opened anew" if closed(server, refusal, answered) else "read on"
    server.kill()
    whole(answered)
    return outcome


def every_call_fails_once():
    most, step = (60, 1) if HOW == "all" else (30, 7)
    for call, error in CALLS:
        place, outcomes = 1, []
        while outcome := fails(call, error, place, most):
            outcomes.append(outcome)
            place += step
        assert outcomes, f"{call} was never called"
        told = ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in sorted(set(outcomes)))
        print(f"{call} {error}: failed at {len(outcomes)} places, nothing lost; after it {told}", flush=True)


def the_device_hangs():
    shutil.rmtree(DATA, ignore_errors=True)
    server = Server("fdatasync:delay_enter=60000000:when=5")
    assert server.is_up(), open(LOG).read()
    answered, refusal = write(server, 100)
    closed(server, refusal, answered)
    server.kill()
    whole(answered)
    print("a device that hangs: the caller is told, nothing lost", flush=True)


def the_disk_is_full():
    shutil.rmtree(DATA, ignore_errors=True)
    os.mkdir(DATA)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", DATA], capture_output=True).returncode != 0:
        print("a full disk: NOT TRIED, nothing can be mounted here", flush=True)
        return
    try:
        server = Server()
        assert server.is_up(), open(LOG).read()
        answered, refusal = write(server, 100_000)
        how = "read from the store opened anew" if closed(server, refusal, answered[-100:]) else "read on"
        server.kill()
        subprocess.run(["mount", "-o", "remount,size=96m", DATA], check=True)
        whole(answered)
        print(f"a full disk: after it {how}; {len(answered)} statements were answered, and are there once there is room", flush=True)
    finally:
        subprocess.run(["umount", DATA], check=True)


every_call_fails_once()
the_device_hangs()
the_disk_is_full()
