"""Faults of time on one service: its wall clock moves (tests/clock/shim.c), its device is slow, its files run out. Used by live.py."""

import os
import resource
import subprocess
import time

from service import ROOT

DAYS_BEHIND = 4  # more than the 3 days of OnrecordScrubNotCompleted
SECONDS_AHEAD = 120  # more than the 60 s of OnrecordClockBehindRecord
SYNC_SECONDS = 1.5  # more than the 1 s of OnrecordCallsSlow, less than the 10 s that close the journal


class WallClock:
    """The wall clock of one service. The clock of the machine stays as it is."""

    def __init__(self, work):
        shim, self.moved = work / "shim.so", work / "moved"
        subprocess.run([ROOT / "tests/clock/build", shim], check=True)
        self.variables = {"LD_PRELOAD": str(shim), "CLOCK_FILE": str(self.moved)}

    def move(self, seconds):
        """Moves it to so many seconds ahead of the clock of the machine."""
        new = self.moved.with_suffix(".new")
        new.write_text(f"{seconds}\n")
        new.rename(self.moved)


class Expected:
    """Alerts of one service, each with exactly the labels that Alertmanager routes by."""

    def __init__(self, prometheus, service):
        self.prometheus, self.instance = prometheus, service.operator

    def fires(self, name, severity, desk="operations", seconds=60):
        self.prometheus.wait_for(name, seconds=seconds)
        labels = {"alertname": name, "severity": severity, "desk": desk, "job": "onrecord", "instance": self.instance}
        found = self.prometheus.labels(name)
        if found != [labels]:
            raise SystemExit(f"{name}: the labels are {found} instead of {labels}")

    def ends(self, *names, seconds=60):
        self.prometheus.wait_for_end(*names, seconds=seconds)


def on_the_moved_one(service, clock, prometheus, backup):
    """A service that was started while its clock was DAYS_BEHIND days behind, and has a backup from then."""
    alert = Expected(prometheus, service)
    print(f"a clock that is {DAYS_BEHIND} days behind since the start, so the first scrub, a backup and a forced publication are old")
    alert.fires("OnrecordScrubNotCompleted", "ticket")
    service.create("forced")
    service.save("forced", "There is danger", first=True)
    service.onrecord("publisher", "publish", "forced", "en", "--force", "--reason", "danger")
    alert.fires("OnrecordBackupOld", "ticket")

    print("the clock is set right: it is in doubt until it is confirmed")
    clock.move(0)
    alert.fires("OnrecordClockInDoubt", "page")
    service.onrecord("operator", "clock", "confirm")
    alert.ends("OnrecordClockInDoubt")
    alert.fires("OnrecordApprovalOwed", "ticket", desk="newsroom")
    service.onrecord("reviewer", "approve-edition", "forced/en.1")
    service.onrecord("operator", "backup", backup)
    alert.ends("OnrecordApprovalOwed", "OnrecordBackupOld")

    print("a clock that jumps ahead before a release, and returns")
    service.create("late")
    service.approve("late", "There was no danger", first=True)
    service.onrecord("publisher", "publish", "late", "en", "--at", "+8s")
    clock.move(SECONDS_AHEAD)
    alert.fires("OnrecordClockInDoubt", "page")
    alert.fires("OnrecordReleaseOverdue", "page", seconds=120)
    clock.move(0)
    alert.ends("OnrecordClockInDoubt", "OnrecordReleaseOverdue")

    print("a clock that is ahead and is confirmed, then set right and confirmed: an entry is dated later, until that time has come")
    clock.move(SECONDS_AHEAD)
    alert.fires("OnrecordClockInDoubt", "page")
    service.onrecord("operator", "clock", "confirm", "--time", f"+{SECONDS_AHEAD}s")
    alert.ends("OnrecordClockInDoubt")
    clock.move(0)
    alert.fires("OnrecordClockInDoubt", "page")
    service.onrecord("operator", "clock", "confirm")
    alert.ends("OnrecordClockInDoubt")
    alert.fires("OnrecordClockBehindRecord", "ticket")
    alert.ends("OnrecordClockBehindRecord", seconds=SECONDS_AHEAD)

    print("few open files that are left, and a device that is slow")
    old = limit_open_files(service.process.pid)
    alert.fires("OnrecordOpenFilesNearMax", "ticket")
    resource.prlimit(service.process.pid, resource.RLIMIT_NOFILE, old)
    alert.ends("OnrecordOpenFilesNearMax")
    write_slowly(service)
    alert.fires("OnrecordCommitSlow", "ticket")
    alert.fires("OnrecordCallsSlow", "ticket")


def limit_open_files(process):
    """Lets a process open few files more than it has. Returns the limits before."""
    count = len(os.listdir(f"/proc/{process}/fd"))
    limits = resource.prlimit(process, resource.RLIMIT_NOFILE)
    resource.prlimit(process, resource.RLIMIT_NOFILE, (count + max(2, count // 8), limits[1]))
    return limits


def write_slowly(service):
    """Saves a draft several times while each sync of the device is delayed."""
    delay = f"inject=fdatasync:delay_enter={SYNC_SECONDS * 1_000_000:.0f}"
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", delay, "-p", str(service.process.pid)]
    strace, begun = subprocess.Popen(command), time.monotonic()
    try:
        service.create("slow")
        etag = ""
        for number in range(5):
            etag = service.save("slow", f"Text {number}", first=True, etag=etag)
    finally:
        strace.terminate()
        strace.wait(30)
    if time.monotonic() - begun < 3 * SYNC_SECONDS:
        raise SystemExit("strace did not delay the writes")
