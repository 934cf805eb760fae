"""Kills at each step of what changes a store: an erasure, a compaction, a restore, a repair, a first start that upgrades a store or begins an
epoch, and retention; and of a verification.

shim.c counts the calls that change files of the store, and kills the process before the Nth. After each kill `verify` says what is right and
changes nothing, and a start, a repair or a compaction finishes what was interrupted and leaves nothing behind.
"""

import itertools
import json
import os
import shutil
import signal
import subprocess
import time

from onrecord.v1 import editorial_service_pb2 as editorial

from record import BACKUP, LATER, REGISTER, SECRET, caller, create, entries, expunge, is_erased, opened, prepare, save, served
from service import DATA, LOG, METRICS, ONRECORD, PORT, WORK, Server, clean, onrecord, reads, tree, verified
from steps import NEVER, SHIMMED, arm, base, disarm, keep, killed_while, moments, repairs, start, use, was_killed

TMP = os.path.join(WORK, "tmp")
FIXTURES = os.path.join(os.path.dirname(__file__), "../fixtures")
# More than one commit of retention has rows.
DRAFTS = 70
# A little less than a small store has.
BALLAST_BYTES = (8 << 20) - (256 << 10)
DAY_SECONDS = 24 * 60 * 60
FILES = {"sled", "lock", "watermark", "ballast", "last-copy", "clock", "restoring"}
os.environ["TMPDIR"] = TMP


def starts(look):
    """The next start serves everybody, has finished what was interrupted, and leaves nothing behind. What `look` saw of it."""
    server = Server()
    assert server.is_up(), open(LOG).read()
    status = onrecord("status", "--metrics-listen", METRICS)
    assert status.returncode == 0, status.stdout + status.stderr
    seen = look(server)
    server.stop()
    clean()
    left = set(os.listdir(DATA)) - FILES
    assert not left and "restoring" not in os.listdir(DATA), left
    return seen


def main():
    os.makedirs(TMP, exist_ok=True)
    proposal = prepare()
    under_way = set()

    def erasure(kill_at):
        use("before")
        server = Server(environment=SHIMMED)
        assert server.is_up(), open(LOG).read()
        arm(kill_at)
        try:
            expunge(server, proposal)
        except Exception as error:  # noqa: BLE001
            assert "UNAVAILABLE" in str(error), error
        try:
            # Its last calls may come after the answer.
            return kill_at != NEVER and server.process.wait(1) == -signal.SIGKILL
        except subprocess.TimeoutExpired:
            return False
        finally:
            server.kill()

    def after_erasure(goes_on):
        report = verified()
        under_way.add(bool(report["under_way"]))
        if report["under_way"]:
            assert report["under_way"] == ["the erasure of statements/erased was interrupted"], report
        goes_on()
        assert starts(is_erased) or not report["under_way"]

    killed_while("an erasure", erasure, after_erasure)
    assert under_way == {True, False}, under_way

    def compaction(kill_at):
        use("after")
        return was_killed("compact", "--data-dir", DATA, kill_at=kill_at)

    use("after")
    digest = verified()["state_digest"]

    def after_compaction(goes_on):
        report = verified()
        assert report["state_digest"] == digest
        left = set(os.listdir(DATA)) - FILES
        assert all("was left behind by a compaction" in words for words in report["under_way"]), report
        assert bool(left) == bool(report["under_way"]) or "sled.old" in left, (left, report)
        goes_on()
        assert starts(is_erased)
        assert verified()["state_digest"] == digest

    killed_while("a compaction", compaction, after_compaction)

    def restore(kill_at):
        shutil.rmtree(DATA, ignore_errors=True)
        return was_killed("restore", BACKUP, "--erasures", REGISTER, "--data-dir", DATA, kill_at=kill_at)

    def after_restore(goes_on):
        done = onrecord("verify", "--data-dir", DATA)
        if os.path.exists(os.path.join(DATA, "restoring")):
            for command in [("verify",), ("verify", "--repair"), ("compact",), ("serve", "--insecure", "--listen", f"127.0.0.1:{PORT}")]:
                done = onrecord(*command, "--data-dir", DATA)
                assert done.returncode == 1 and "restore into it again" in done.stderr, done
            again = onrecord("restore", BACKUP, "--erasures", REGISTER, "--data-dir", DATA)
            assert again.returncode == 0, again.stderr
        elif done.returncode != 0:
            assert done.returncode == 1 and "holds no store" in done.stderr, done
            again = onrecord("restore", BACKUP, "--erasures", REGISTER, "--data-dir", DATA)
            assert again.returncode == 0, again.stderr
        verified()
        goes_on()
        assert starts(is_erased)

    killed_while("a restore", restore, after_restore)

    def repair(kill_at):
        use("half")
        return was_killed("verify", "--repair", "--data-dir", DATA, kill_at=kill_at)

    def after_repair(goes_on):
        done = onrecord("verify", "--data-dir", DATA, "--output", "json")
        report = json.loads(done.stdout)
        assert done.returncode in (0, 4), done
        assert [finding["place"] for finding in report["findings"]] in ([], ["the watermark"]), report
        repairs()
        goes_on()
        assert starts(is_erased)

    half(proposal)
    killed_while("a repair", repair, after_repair)
    for name in ["storage-1", "storage-2", "storage-3"]:
        an_upgrade(name)
    the_beginning_of_an_epoch()
    retention()
    a_killed_verify_leaves_nothing()


def half(proposal):
    """A store whose erasure was interrupted, with a damaged watermark."""
    for point in itertools.count(8):
        use("before")
        server = Server(environment=SHIMMED)
        assert server.is_up(), open(LOG).read()
        arm(point)
        try:
            expunge(server, proposal)
        except Exception:  # noqa: BLE001
            pass
        server.kill()
        disarm()
        if verified()["under_way"]:
            break
    with open(os.path.join(DATA, "watermark"), "r+b") as file:
        file.seek(9)
        file.write(b"?")
    keep("half")


def lay_ballast(name):
    """Writes nearly all of the ballast: each block that a start adds is a call."""
    with open(os.path.join(base(name), "ballast"), "wb") as file:
        file.truncate(BALLAST_BYTES)


def an_upgrade(name):
    """Upgrades a store of an older format, by its first start."""
    shutil.rmtree(base(name), ignore_errors=True)
    shutil.copytree(os.path.join(FIXTURES, name), base(name))
    lay_ballast(name)

    def upgrade(kill_at):
        use(name)
        return start(kill_at)

    use(name)
    before = clean()
    assert not upgrade(NEVER)
    disarm()
    after, record = clean(), starts(served)
    assert before["storage_format"] < after["storage_format"] and before["state_digest"] == after["state_digest"], (before, after)
    formats = set()

    def after_upgrade(goes_on):
        report = clean()
        formats.add(report["storage_format"])
        assert report["state_digest"] == after["state_digest"]
        goes_on()
        assert starts(served) == record
        assert clean() == after

    killed_while(f"an upgrade of {name}", upgrade, after_upgrade)
    assert formats == {before["storage_format"], after["storage_format"]}, formats


def the_beginning_of_an_epoch():
    """Begins an epoch, by the first start of a store that was restored from a backup which lacks no erasure."""
    use("after")
    feed_id, epoch = starts(opened)
    shutil.rmtree(DATA)
    done = onrecord("restore", LATER, "--data-dir", DATA)
    assert done.returncode == 0, done.stderr
    keep("restored")
    lay_ballast("restored")
    before = clean()
    begun = set()

    def begin(kill_at):
        use("restored")
        return start(kill_at)

    def looked_at(server):
        assert is_erased(server)
        feed_now, epoch_now = opened(server)
        assert feed_now == feed_id and epoch_now > epoch
        assert [it.epoch for it in entries(server) if it.action == "BeginEpoch"] == [epoch_now], "one was begun"
        return epoch_now

    def after_begin(goes_on):
        report = clean()
        begun.add(report["entries"] - before["entries"])
        assert report["entries"] > before["entries"] or report["state_digest"] == before["state_digest"]
        goes_on()
        assert starts(looked_at) == starts(looked_at)
        report = clean()
        assert (report["entries"], report["events"]) == (before["entries"] + 1, before["events"])

    killed_while("the beginning of an epoch", begin, after_begin)
    assert begun == {0, 1}, begun


def retention():
    """Deletes superseded drafts and old answers. The first round is an hour after the start, which the shim lets pass at once."""
    shutil.rmtree(DATA)
    server = Server()
    assert server.is_up(), open(LOG).read()
    create(server, "drafted")
    etag = ""
    for number in range(DRAFTS):
        etag = save(server, "drafted", number, etag)
    server.kill()
    keep("drafts")
    before = clean()
    keeps = {"SHIM_AHEAD": str(2 * DAY_SECONDS), "ONRECORD_KEEP_DRAFTS_MAX": "0", "ONRECORD_KEEP_REQUESTS_DAYS": "1"}

    def forget_clock():
        """As after a boot, so that the next start believes the clock, which was moved."""
        if os.path.exists(os.path.join(DATA, "clock")):
            os.remove(os.path.join(DATA, "clock"))

    def prune(kill_at):
        forget_clock()
        server = Server(environment=SHIMMED | keeps)
        assert server.is_up(), open(LOG).read()
        arm(kill_at)
        until = time.monotonic() + 60
        while server.process.poll() is None and "taken away, as the retention says" not in open(LOG).read():
            assert time.monotonic() < until, "no round of the retention"
            reads(server)
        ended = server.process.returncode
        server.kill()
        forget_clock()
        return ended == -signal.SIGKILL

    def round_of(kill_at):
        use("drafts")
        return prune(kill_at)

    def save_over(server):
        """The newest draft is there. Another is saved over it, so that the next round has something to delete."""
        draft = server.editorial.GetDraft(editorial.GetDraftRequest(name="statements/drafted/drafts/en"), metadata=caller("author")).draft
        assert draft.content.title == f"{SECRET} {DRAFTS - 1}", draft
        save(server, "drafted", DRAFTS, draft.etag)

    def finishes():
        """Rows that are left after the next round."""
        starts(save_over)
        assert not prune(NEVER)
        disarm()
        return clean()["rows"]

    assert not round_of(NEVER)
    disarm()
    assert f"texts={DRAFTS - 1} answers={DRAFTS}" in open(LOG).read()
    rows = finishes()

    def after_round(goes_on):
        assert clean()["state_digest"] == before["state_digest"]
        goes_on()
        assert clean()["state_digest"] == before["state_digest"]
        assert finishes() == rows

    killed_while("retention", round_of, after_round)


def a_killed_verify_leaves_nothing():
    """As far as words go: a killed `verify` leaves no file with them in the temporary folder."""
    use("after")
    before = tree()
    environment = {**os.environ, **SHIMMED, "SHIM_DIR": TMP}
    arm(NEVER)
    assert subprocess.run([ONRECORD, "verify", "--data-dir", DATA], capture_output=True, env=environment).returncode == 0
    count = disarm()
    assert os.listdir(TMP) == [], "a verify that ends leaves nothing"
    for point in moments(count):
        arm(point)
        done = subprocess.run([ONRECORD, "verify", "--data-dir", DATA], capture_output=True, env=environment)
        assert done.returncode == -signal.SIGKILL, done
        disarm()
        for folder, _, files in os.walk(TMP):
            assert all(os.path.islink(os.path.join(folder, name)) for name in files if name == "db"), (folder, files)
        shutil.rmtree(TMP)
        os.mkdir(TMP)
    assert tree() == before
    print(f"a verify: killed at {len(moments(count))} of {count} calls, the store is as it was, and no words are left", flush=True)


main()
