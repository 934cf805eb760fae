"""A start where nothing can be written: a full disk, a quota, a read-only mount, permissions.

Readers are served, editors are refused with what to do; `verify` works and changes nothing; what has to write says why it cannot. Once it can be
written again, a start takes writes. Needs the right to mount.
"""

import contextlib
import os
import shutil
import subprocess

from service import DATA, LOG, METRICS, NOT_SERVING, PORT, SERVING, WORK, Server, becomes, clean, closed, onrecord, tree, whole, write

BALLAST = os.path.join(DATA, "ballast")
FILLER = os.path.join(DATA, "filler")
# A folder without room for a copy.
SMALL = os.path.join(WORK, "small")


@contextlib.contextmanager
def mounted(folder, size):
    os.makedirs(folder, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        # What was killed lets go of its files a moment later.
        while subprocess.run(["umount", folder], capture_output=True).returncode != 0:
            pass


def remount(how):
    while subprocess.run(["mount", "-o", f"remount,{how}", DATA], capture_output=True).returncode != 0:
        pass


def fill():
    """Takes all the room there is."""
    with open(FILLER, "wb", buffering=0) as filler:
        size = 1 << 20
        while size:
            try:
                filler.write(bytes(size))
            except OSError:
                size //= 2


def killed_store():
    """A store that was not closed, and what was answered."""
    server = Server()
    assert server.is_up(), open(LOG).read()
    answered, refusal = write(server, 50)
    assert refusal is None, refusal
    server.kill()
    return answered


def serves_readers(answered, advice, prefix=(), inject=None):
    """The service starts, closed for writing, and `status` says why."""
    server = Server(inject, prefix)
    assert server.is_up(), open(LOG).read()
    becomes(server, "onrecord.v1.StatementService", SERVING)
    becomes(server, "onrecord.v1.FeedService", SERVING)
    becomes(server, "onrecord.v1.EditorialService", NOT_SERVING)
    becomes(server, "", NOT_SERVING)
    nothing, refusal = write(server, 1)
    assert nothing == []
    closed(server, refusal, answered)
    status = onrecord("status", "--metrics-listen", METRICS)
    assert status.returncode == 5, status
    copy = os.path.join(WORK, "rescue.backup")
    done = onrecord("--server", f"http://127.0.0.1:{PORT}", "--caller", "operator", "backup", copy)
    assert done.returncode == 0, "a copy can be taken: " + done.stderr
    os.remove(copy)
    for words in ["not ready", "the store cannot be written", advice, "then start the service again"]:
        assert words in status.stdout + status.stderr, (words, status)
    return server


def a_full_disk(has_ballast):
    with mounted(DATA, "64m"):
        answered = killed_store()
        if not has_ballast:
            os.remove(BALLAST)
        fill()
        report = clean()
        for _ in range(3):
            # It may be started again and again before somebody makes room.
            serves_readers(answered, "make room").kill()
            fill()
        assert not os.path.exists(BALLAST), "it was released"
        assert clean()["entries"] == report["entries"]
        os.remove(FILLER)
        whole(answered)
        assert os.path.exists(BALLAST), "it is laid again"
    print(f"a start on a full disk, {'with' if has_ballast else 'without'} the ballast: readers are served, and writes go on once there is room", flush=True)


def neither_disk_nor_copy():
    with mounted(DATA, "64m"), mounted(SMALL, "1m"):
        answered = killed_store()
        os.remove(BALLAST)
        fill()
        server = Server(environment={"TMPDIR": SMALL})
        assert not server.is_up(), "there is room for nothing"
        log = open(LOG).read()
        assert "the store cannot be written" in log and "make room" in log and "set TMPDIR" in log, log
        server.kill()
        done = onrecord("verify", "--data-dir", DATA, environment={"TMPDIR": SMALL})
        assert done.returncode == 1 and "set TMPDIR" in done.stderr, done
        assert os.listdir(SMALL) == []
        os.remove(FILLER)
        whole(answered)
    print("a full disk, and no room for a copy either: it is said what to do", flush=True)


def nothing_to_write(what, advice, begin, end, prefix=()):
    with mounted(DATA, "64m"):
        answered = killed_store()
        begin()
        before = tree()
        clean()
        for command in [("verify", "--repair"), ("compact",)]:
            done = onrecord(*command, "--data-dir", DATA, prefix=prefix)
            assert done.returncode == 1 and "cannot be written" in done.stderr and advice in done.stderr, done
        serves_readers(answered, advice, prefix).kill()
        assert tree() == before, "nothing was changed"
        end()
        whole(answered)
        # As copied by hand: without a file to lock.
        os.remove(os.path.join(DATA, "lock"))
        begin()
        clean()
        serves_readers(answered, advice, prefix).kill()
        end()
        whole(answered)
    print(f"{what}: readers are served, verify works, what has to write says why it cannot", flush=True)


def a_first_start():
    with mounted(DATA, "64m"):
        remount("ro")
        server = Server()
        assert not server.is_up(), "there is no record to serve"
        assert "mount the disk of the store for writing" in open(LOG).read(), open(LOG).read()
        server.kill()
        remount("rw")
    print("a first start where nothing can be written: it is refused, with what to do", flush=True)


def a_quota():
    shutil.rmtree(DATA, ignore_errors=True)
    answered = killed_store()
    clean()
    serves_readers(answered, "raise the quota", inject="pwrite64:error=EDQUOT:when=1").kill()
    whole(answered)
    shutil.rmtree(DATA)
    print("a quota that is used up at the start: readers are served", flush=True)


def permit(bits):
    for folder, _, files in os.walk(DATA):
        for name in [folder, *(os.path.join(folder, name) for name in files)]:
            os.chmod(name, 0o555 if os.path.isdir(name) else 0o444) if bits == "r" else os.chmod(name, 0o755 if os.path.isdir(name) else 0o644)


try:
    with mounted(SMALL, "1m"):
        pass
except subprocess.CalledProcessError:
    print("a start on a full disk and a read-only mount: NOT TRIED, nothing can be mounted here", flush=True)
else:
    a_full_disk(True)
    a_full_disk(False)
    neither_disk_nor_copy()
    nothing_to_write("a read-only mount", "mount the disk of the store for writing", lambda: remount("ro"), lambda: remount("rw"))
    # As somebody who is not root.
    powerless = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search")
    nothing_to_write("no permission to write", "let the user of this process", lambda: permit("r"), lambda: permit("w"), powerless)
    a_first_start()
a_quota()
