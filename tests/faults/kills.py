"""Kills at each step of what changes a store: an erasure, a compaction, a restore, a repair; and a verification.

shim.c counts the calls that change files of the store, and kills the process before the Nth. After each kill `verify` says what is right and
changes nothing, and a start, a repair or a compaction finishes what was interrupted and leaves nothing behind.
"""

import hashlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys

from onrecord.v1 import content_pb2, draft_pb2, feed_service_pb2 as feed, feed_service_pb2_grpc as feed_grpc, statement_pb2
from onrecord.v1 import editorial_service_pb2 as editorial

from service import DATA, LOG, METRICS, ONRECORD, PORT, WORK, Server

POINTS, SHIM = int(sys.argv[4]), sys.argv[5]
KILL = os.path.join(WORK, "kill-at")
TMP = os.path.join(WORK, "tmp")
BACKUP = os.path.join(WORK, "before.backup")
REGISTER = BACKUP + ".erasures"
SECRET = "Abracadabra"
EDITIONS = 40
# More than any run makes.
NEVER = 10**9
FILES = {"sled", "lock", "watermark", "ballast", "last-copy", "clock", "restoring"}


def caller(name):
    return (("onrecord-caller", name),)


def onrecord(*arguments, kill_at=None):
    environment = {**os.environ, "TMPDIR": TMP}
    if kill_at:
        arm(kill_at)
        environment |= {"LD_PRELOAD": SHIM, "SHIM_DIR": DATA, "SHIM_KILL": KILL}
    while True:
        done = subprocess.run([ONRECORD, *arguments], capture_output=True, text=True, env=environment)
        # What was killed lets go of the store a moment later.
        if "in use by another process" not in done.stderr:
            return done


def arm(kill_at):
    with open(KILL + ".new", "w") as file:
        file.write(str(kill_at))
    os.rename(KILL + ".new", KILL)


def disarm():
    """How many calls there were."""
    if os.path.exists(KILL):
        os.remove(KILL)
    try:
        with open(KILL + ".count") as file:
            count = int(file.read())
        os.remove(KILL + ".count")
        return count
    except FileNotFoundError:
        return 0


def tree():
    found = {}
    for folder, _, files in os.walk(DATA):
        for name in files:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                found[path] = hashlib.sha256(file.read()).hexdigest()
    return found


def verified():
    """What `verify` says of a store that is not damaged, and changes nothing of."""
    before = tree()
    done = onrecord("verify", "--data-dir", DATA, "--output", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert tree() == before, "verify changed a file"
    report = json.loads(done.stdout)
    assert report["findings"] == [], report
    return report


def base(name):
    return os.path.join(WORK, name)


def use(name):
    shutil.rmtree(DATA, ignore_errors=True)
    shutil.copytree(base(name), DATA)


def keep(name):
    shutil.rmtree(base(name), ignore_errors=True)
    shutil.copytree(DATA, base(name))


def create(server, name):
    statement = statement_pb2.Statement(kind="notice", source_language_code="en")
    server.editorial.CreateStatement(editorial.CreateStatementRequest(statement_id=name, statement=statement), metadata=caller("author"))


def publish(server, name, number):
    change = {} if number == 0 else {"change_kind": content_pb2.CHANGE_KIND_MAJOR, "change_note": "More."}
    content = content_pb2.Content(title=f"{SECRET} {number}", body=f"{SECRET} {name} {number}.", **change)
    draft = draft_pb2.Draft(name=f"statements/{name}/drafts/en", content=content)
    saved = server.editorial.SaveDraft(editorial.SaveDraftRequest(draft=draft), metadata=caller("author")).draft
    publication = editorial.PublishDraftsRequest(name=f"statements/{name}", force=True, reason="A test.")
    publication.drafts.add(language_code="en", etag=saved.etag)
    server.editorial.PublishDrafts(publication, metadata=caller("publisher"))


def expunge(server, proposal):
    request = editorial.ExpungeStatementRequest(name="statements/erased", proposal_id=proposal)
    server.editorial.ExpungeStatement(request, metadata=caller("judge"), timeout=60)


def prepare():
    """`before`: a record with a statement that somebody wants erased. `after`: the same, erased. And a copy of the first, with the register
    of erasures of the second."""
    os.makedirs(TMP, exist_ok=True)
    shutil.rmtree(DATA, ignore_errors=True)
    server = Server()
    assert server.is_up(), open(LOG).read()
    for name in ["kept", "erased"]:
        create(server, name)
        for number in range(EDITIONS if name == "erased" else 2):
            publish(server, name, number)
    request = editorial.ExpungeStatementRequest(name="statements/erased", reason_code="court-order")
    proposal = server.editorial.ExpungeStatement(request, metadata=caller("lawyer")).proposal.proposal_id
    copy(BACKUP)
    server.stop()
    keep("before")
    server = Server()
    assert server.is_up(), open(LOG).read()
    expunge(server, proposal)
    later = os.path.join(WORK, "after.backup")
    copy(later)
    os.rename(later + ".erasures", REGISTER)
    # Not closed: what is killed next has a log to recover.
    server.kill()
    keep("after")
    return proposal


def copy(file):
    done = onrecord("--server", f"http://127.0.0.1:{PORT}", "--caller", "operator", "backup", file)
    assert done.returncode == 0, done.stderr


def is_erased(server):
    """Whether the statement is erased; what is not erased is whole."""
    request = feed.ReadFeedRequest(start=feed.START_BEGINNING, max_events=1000)
    deliveries = feed_grpc.FeedServiceStub(server.channel).ReadFeed(request, metadata=caller("site"), timeout=30).deliveries
    events = [delivery.event for delivery in deliveries]
    erased = [event for event in events if event.statement == "statements/erased"]
    shown = [SECRET in str(event) for event in erased]
    kept = [SECRET in str(event) for event in events if event.statement == "statements/kept"]
    assert kept == [True, True], "others are not touched"
    assert len(erased) in (EDITIONS, EDITIONS + 1) and shown == [len(erased) == EDITIONS] * len(erased), shown
    return len(erased) > EDITIONS


def starts(erased=None):
    """The next start serves everybody, has finished what was interrupted, and leaves nothing behind. Whether the statement is erased."""
    server = Server()
    assert server.is_up(), open(LOG).read()
    status = onrecord("status", "--metrics-listen", METRICS)
    assert status.returncode == 0, status.stdout + status.stderr
    found = is_erased(server)
    assert erased in (None, found), found
    server.stop()
    assert verified()["under_way"] == []
    left = set(os.listdir(DATA)) - FILES
    assert not left and "restoring" not in os.listdir(DATA), left
    return found


def repairs():
    done = onrecord("verify", "--data-dir", DATA, "--repair", "--output", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert verified()["under_way"] == []


def compacts():
    done = onrecord("compact", "--data-dir", DATA)
    assert done.returncode == 0, done.stdout + done.stderr
    assert verified()["under_way"] == []


def moments(count):
    """Which of so many calls to be killed at: all, or as many as asked for, the first and the last ones among them."""
    if POINTS == 0 or count <= POINTS:
        return list(range(1, count + 1))
    return sorted({1 + place * (count - 1) // (POINTS - 1) for place in range(POINTS)})


def killed_while(what, run, check):
    """Kills `run` at each moment, and lets `check` see what comes of it, by one of the ways in which it can go on."""
    run(NEVER)
    count = disarm()
    assert count > 10, f"{what}: {count} calls"
    ways, killed = itertools.cycle([lambda: None, repairs, compacts]), 0
    points = moments(count)
    for point in points:
        killed += run(point)
        disarm()
        check(next(ways))
    assert killed > len(points) / 2, f"{what}: killed {killed} times"
    print(f"{what}: killed at {killed} of {count} calls", flush=True)


def main():
    proposal = prepare()
    under_way = set()

    def erasure(kill_at):
        use("before")
        server = Server(environment={"LD_PRELOAD": SHIM, "SHIM_DIR": DATA, "SHIM_KILL": KILL})
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
        assert starts() or not report["under_way"]

    killed_while("an erasure", erasure, after_erasure)
    assert under_way == {True, False}, under_way

    def compaction(kill_at):
        use("after")
        return died(onrecord("compact", "--data-dir", DATA, kill_at=kill_at))

    use("after")
    digest = verified()["state_digest"]

    def after_compaction(goes_on):
        report = verified()
        assert report["state_digest"] == digest
        left = set(os.listdir(DATA)) - FILES
        assert all("was left behind by a compaction" in words for words in report["under_way"]), report
        assert bool(left) == bool(report["under_way"]) or "sled.old" in left, (left, report)
        goes_on()
        starts(True)
        assert verified()["state_digest"] == digest

    killed_while("a compaction", compaction, after_compaction)

    def restore(kill_at):
        shutil.rmtree(DATA, ignore_errors=True)
        return died(onrecord("restore", BACKUP, "--erasures", REGISTER, "--data-dir", DATA, kill_at=kill_at))

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
        starts(True)

    killed_while("a restore", restore, after_restore)

    def repair(kill_at):
        use("half")
        return died(onrecord("verify", "--repair", "--data-dir", DATA, kill_at=kill_at))

    def after_repair(goes_on):
        done = onrecord("verify", "--data-dir", DATA, "--output", "json")
        report = json.loads(done.stdout)
        assert done.returncode in (0, 4), done
        assert [finding["place"] for finding in report["findings"]] in ([], ["the watermark"]), report
        repairs()
        goes_on()
        starts(True)

    half(proposal)
    killed_while("a repair", repair, after_repair)
    a_killed_verify_leaves_nothing()


def half(proposal):
    """A store whose erasure was interrupted, with a damaged watermark."""
    for point in itertools.count(8):
        use("before")
        server = Server(environment={"LD_PRELOAD": SHIM, "SHIM_DIR": DATA, "SHIM_KILL": KILL})
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


def died(done):
    if done.returncode == -signal.SIGKILL:
        return True
    assert done.returncode == 0, done.stdout + done.stderr
    return False


def a_killed_verify_leaves_nothing():
    """As far as words go: a killed `verify` leaves no file with them in the temporary folder."""
    use("after")
    before = tree()
    environment = {**os.environ, "TMPDIR": TMP, "LD_PRELOAD": SHIM, "SHIM_DIR": TMP, "SHIM_KILL": KILL}
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
