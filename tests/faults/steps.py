"""Kills a process at one of its steps, by shim.c, and what can be done with the store after that."""

import itertools
import os
import shutil
import signal
import sys

from service import DATA, LOG, WORK, Server, clean, onrecord

POINTS, SHIM = int(sys.argv[4]), sys.argv[5]
KILL = os.path.join(WORK, "kill-at")
SHIMMED = {"LD_PRELOAD": SHIM, "SHIM_DIR": DATA, "SHIM_KILL": KILL}
# More than any run makes.
NEVER = 10**9


def base(name):
    return os.path.join(WORK, name)


def use(name):
    shutil.rmtree(DATA, ignore_errors=True)
    shutil.copytree(base(name), DATA)


def keep(name):
    shutil.rmtree(base(name), ignore_errors=True)
    shutil.copytree(DATA, base(name))


def was_killed(*arguments, kill_at):
    """Whether a command was killed; else it has to succeed."""
    arm(kill_at)
    done = onrecord(*arguments, environment=SHIMMED)
    assert done.returncode in (0, -signal.SIGKILL), done.stdout + done.stderr
    return done.returncode != 0


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


def start(kill_at):
    """Whether a start was killed; else it is stopped once it serves."""
    arm(kill_at)
    server = Server(environment=SHIMMED)
    if server.is_up():
        server.process.terminate()
    server.channel.close()
    ended = server.process.wait(60)
    assert ended in (0, -signal.SIGKILL), open(LOG).read()
    return ended != 0


def repairs():
    done = onrecord("verify", "--data-dir", DATA, "--repair", "--output", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    clean()


def compacts():
    done = onrecord("compact", "--data-dir", DATA)
    assert done.returncode == 0, done.stdout + done.stderr
    clean()


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
