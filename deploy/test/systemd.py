"""What has to be true of deploy/systemd, and of the service as strace saw it: systemd.py WORK. Run by deploy/test/systemd, which says what it is for."""

import pathlib
import re
import subprocess
import sys
import tomllib

from rules import Book

MIB_BESIDE, CACHE_TIMES, TABLE_PERCENT = 32, 3, 6  # memory: docs/benchmarks/journal.md, "Growth"
MIB_RECENT, MIB_NEWCOMERS = 64, 160  # recent events, and a crowd of newcomers: docs/sizing.md
KIB_STALLED = 90  # a subscriber that reads nothing: docs/benchmarks/feed.md, "Stalled subscribers", and 14 for TLS: docs/sizing.md
FILES_BESIDE = 64  # what the service keeps beside connections: src/cli/serve.rs
CLOSE_SECONDS = 20  # from the end of the drain to the end of the process
CALLS_LEAST = 50  # different ones; a trace with fewer is not of a service that served

work = pathlib.Path(sys.argv[1])
book = Book()
rule, fault = book.rule, book.fault


class Found:
    def __init__(self):
        self.unit = {}
        for line in pathlib.Path("deploy/systemd/onrecord.service").read_text().splitlines():
            if "=" in line and not line.startswith(("#", "[")):
                key, value = line.split("=", 1)
                self.unit.setdefault(key, []).append(value)
        self.settings = tomllib.loads(pathlib.Path("deploy/systemd/onrecord.toml").read_text())
        self.trace = (work / "trace").read_text(errors="replace").splitlines()

    def one(self, key):
        (value,) = self.unit[key]
        return value

    @property
    def calls(self):
        return {found.group(1) for line in self.trace if (found := re.match(r"\d+ +([a-z0-9_]+)\(", line))}


def expanded(name):
    """The calls in a set of systemd's, those of the sets in it too."""
    said = subprocess.run(["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True).stdout.split("\n")
    names = [line.strip() for line in said[1:] if line.startswith("    ") and not line.strip().startswith("#")]
    return set().union(*(expanded(one) if one.startswith("@") else {one} for one in names))


@rule
def the_filter_allows_every_call_that_was_made(it):
    allowed = set()
    for line in it.unit["SystemCallFilter"]:
        sets = set().union(*(expanded(one) for one in line.removeprefix("~").split()))
        allowed = allowed - sets if line.startswith("~") else allowed | sets
    assert len(it.calls) >= CALLS_LEAST, f"only {sorted(it.calls)}"
    assert it.calls <= allowed, f"it would refuse {sorted(it.calls - allowed)}"


@rule
def every_kind_of_socket_is_named(it):
    used = {found.group(1) for line in it.trace if (found := re.search(r"\bsocket\((AF_\w+)", line))}
    assert {"AF_INET"} <= used <= set(it.one("RestrictAddressFamilies").split()), used


@rule
def nothing_is_written_but_its_own_directory(it):
    written = set()
    for line in it.trace:
        if found := re.search(r'\bopen(?:at)?\([^"]*"([^"]+)", [^,)]*(?:O_WRONLY|O_RDWR|O_CREAT)', line):
            written.add(found.group(1))
        written |= set(re.findall(r'\b(?:mkdir|mkdirat|rename|renameat2?|unlink|unlinkat|rmdir)\([^"]*"([^"]+)"', line))
    own = {path for path in written if path.startswith(f"{work}/record")}
    assert own and written == own, f"it writes {sorted(written - own)}"


@rule
def no_memory_becomes_code(it):
    assert it.one("MemoryDenyWriteExecute") == "yes"
    made = [line for line in it.trace if re.search(r"\b(mmap|mprotect|pkey_mprotect)\(", line) and "PROT_WRITE|PROT_EXEC" in line]
    assert not made, made[0]


@rule
def what_is_started_is_told_to_stop_in_time(it):
    assert it.one("KillSignal") == "SIGTERM"
    assert int(it.one("TimeoutStopSec")) >= it.settings["drain_seconds"] + CLOSE_SECONDS


@rule
def there_are_files_for_all_connections(it):
    assert int(it.one("LimitNOFILE")) >= it.settings["connections_max"] + FILES_BESIDE
    assert it.settings["connections_max"] > it.settings["streams_max"]


@rule
def there_is_memory_for_all_subscribers(it):
    settings, most = it.settings, int(it.one("MemoryMax").removesuffix("G")) * 1024
    store = MIB_BESIDE + CACHE_TIMES * settings["cache_mib"] + settings["store_mib_max"] * TABLE_PERCENT // 100
    assert most >= store + MIB_RECENT + MIB_NEWCOMERS + settings["streams_max"] * KIB_STALLED // 1024


@rule
def unit_and_settings_name_the_same_places(it):
    assert it.settings["data_dir"] == f"/var/lib/{it.one('StateDirectory')}"
    assert it.one("ExecStart").endswith(" --config /etc/onrecord/onrecord.toml")
    user = pathlib.Path("deploy/systemd/onrecord.sysusers").read_text().splitlines()[-1].split()[1]
    assert it.one("User") == it.one("Group") == user


@rule
def a_reload_checks_first(it):
    check, send = it.unit["ExecReload"]
    assert "check-config" in check and send.endswith("kill -HUP $MAINPID"), it.unit["ExecReload"]


@rule
def wrong_settings_are_not_tried_again(it):
    assert it.one("Restart") == "on-failure" and it.one("RestartPreventExitStatus") == "2"
    assert "ExecStartPre" not in it.unit, "of what that starts the exit status prevents nothing (systemd.service(5))"


@rule
def of_the_system_no_more_is_read_than_is_shown(it):
    assert it.one("ProcSubset") == "pid"
    read = {found.group(1) for line in it.trace if (found := re.search(r'\bopen(?:at)?\([^"]*"(/proc/[^"]+)"', line))}
    others = {path for path in read if not re.match(r"/proc/(self|thread-self|\d+)(/|$)", path)}
    # How memory is given out, for jemalloc, and which kernel it is, for procfs: both do without.
    others -= {"/proc/sys/vm/overcommit_memory", "/proc/sys/kernel/osrelease"}
    assert it.one("Environment") == "ONRECORD_BOOT_ID=%b"
    # Systemd gives it as a variable.
    others -= {"/proc/sys/kernel/random/boot_id"}
    assert any(re.search(r'openat\(\d+, "stat"', line) for line in it.trace), "nobody asked how the process is"
    assert read and not others, f"it reads {sorted(others)}"


@fault("the_filter_allows_every_call_that_was_made")
def a_narrower_filter(it):
    it.unit["SystemCallFilter"].append("~@sync")


@fault("the_filter_allows_every_call_that_was_made")
def a_call_of_the_privileged(it):
    it.trace.append("1 mount(...) = 0")


@fault("the_filter_allows_every_call_that_was_made")
def an_empty_trace(it):
    it.trace = []


@fault("every_kind_of_socket_is_named")
def no_internet(it):
    it.unit["RestrictAddressFamilies"] = ["AF_UNIX AF_NETLINK"]


@fault("nothing_is_written_but_its_own_directory")
def a_file_elsewhere(it):
    it.trace.append('1 openat(AT_FDCWD, "/tmp/x", O_RDWR|O_CREAT, 0600) = 3')


@fault("wrong_settings_are_not_tried_again")
def a_check_before_the_start(it):
    it.unit["ExecStartPre"] = ["/usr/local/bin/onrecord check-config"]


@fault("of_the_system_no_more_is_read_than_is_shown")
def what_is_hidden_is_read(it):
    it.trace.append('1 openat(AT_FDCWD, "/proc/stat", O_RDONLY|O_CLOEXEC) = 3')


@fault("no_memory_becomes_code")
def code_made_as_it_runs(it):
    it.trace.append("1 mmap(NULL, 4096, PROT_READ|PROT_WRITE|PROT_EXEC, MAP_PRIVATE, -1, 0) = 0")


@fault("what_is_started_is_told_to_stop_in_time")
def a_longer_drain(it):
    it.settings["drain_seconds"] = 60


@fault("there_are_files_for_all_connections")
def more_connections(it):
    it.settings["connections_max"] = 65_536


@fault("there_is_memory_for_all_subscribers")
def more_streams(it):
    it.settings["streams_max"] = 40_000


@fault("unit_and_settings_name_the_same_places")
def another_directory(it):
    it.settings["data_dir"] = "/srv/onrecord"


@fault("a_reload_checks_first")
def a_reload_that_only_sends(it):
    it.unit["ExecReload"].pop(0)


@fault("wrong_settings_are_not_tried_again")
def for_ever(it):
    it.unit["RestartPreventExitStatus"] = ["0"]


found = Found()
book.judge("onrecord.service", found, f"{len(found.trace)} calls to the kernel, {len(found.calls)} different ones, all allowed")
