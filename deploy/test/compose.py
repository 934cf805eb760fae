"""deploy/compose.yaml, brought up by podman-compose, looked at and broken: see deploy/test/compose."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from faults import Prometheus, cut_a_backup_off, fill_disk, hold_a_release, shortened_rules
from alerts import SHOWN
from live import write_until_closed
from service import ROOT, Callers, stubs, wait_until

PROJECT, PORT, PROMETHEUS = "onrecord-test", 17130, 17131
WORK = ROOT / "target/deploy/compose"
DISK_MIB = 360  # what the volume of the record has here, so that it can be filled
SERVICES = ("onrecord", "prometheus", "site")


def run(*words, check=True, **further):
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, **further)
    if check and done.returncode:
        raise SystemExit(f"{' '.join(map(str, words))} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def compose(*words, check=True):
    ours = {
        "PROMETHEUS_IMAGE": "localhost/onrecord-test-prometheus", "SITE_IMAGE": "localhost/onrecord-site", "SECRETS": WORK / "secrets",
        "RULES": WORK / "rules", "ONRECORD_PORT": PORT, "PROMETHEUS_PORT": PROMETHEUS,
    }
    environment = os.environ | {name: str(value) for name, value in ours.items()}
    command = [Path(sys.executable).parent / "podman-compose", "--project-name", PROJECT, "--file", ROOT / "deploy/compose.yaml"]
    return run(*command, *words, check=check, env=environment, timeout=300)


def container(service):
    """The id of the container of a service."""
    of = ("--filter", f"label=io.podman.compose.project={PROJECT}", "--filter", f"label=com.docker.compose.service={service}")
    return run("podman", "ps", "--all", "--quiet", *of).stdout.split()[0]


def inspected(service):
    return json.loads(run("podman", "inspect", container(service)).stdout)[0]


def is_healthy(service):
    # Podman runs health checks by systemd's timers; there may be none here.
    return run("podman", "healthcheck", "run", container(service), check=False).returncode == 0


def check_confined(service):
    """Nobody in particular, no capability, nowhere to write but on its volumes."""
    seen = inspected(service)
    status = Path(f"/proc/{seen['State']['Pid']}/status").read_text()
    uids = set(re.search(r"^Uid:(.*)", status, re.MULTILINE)[1].split())
    capabilities = {int(value, 16) for value in re.findall(r"^Cap(?:Prm|Eff|Bnd|Amb):\s*(\w+)", status, re.MULTILINE)}
    is_locked = re.search(r"^NoNewPrivs:\s*1", status, re.MULTILINE)
    if "0" in uids or capabilities != {0} or not is_locked or not seen["HostConfig"]["ReadonlyRootfs"]:
        raise SystemExit(f"{service} is not confined: uid {uids}, capabilities {capabilities}, locked {bool(is_locked)}")


def pages():
    """What the site shows."""
    held = run("podman", "exec", container("site"), "cat", "/var/lib/site/site.json", check=False).stdout
    return {key: page["title"] for key, page in json.loads(held)["pages"].items()} if held else {}


def prepare():
    shutil.rmtree(WORK, ignore_errors=True)
    (WORK / "rules").mkdir(parents=True)
    run(ROOT / "deploy/compose/prepare", WORK / "secrets")
    (WORK / "rules/alerts.yaml").write_text(shortened_rules())
    config = (SHOWN / "prometheus.yaml").read_text()
    (WORK / "rules/prometheus.yaml").write_text(re.sub(r"_interval: \w+", "_interval: 1s", config))
    # Podman gives a volume a size only by quotas, which not every file system has.
    (WORK / "disk").mkdir()
    run("mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,uid=65532,gid=65532,mode=0700", "tmpfs", WORK / "disk")
    options = ("--opt", "type=none", "--opt", "o=bind", "--opt", f"device={WORK / 'disk'}")
    run("podman", "volume", "create", *options, f"{PROJECT}_record")
    stubs(WORK / "stubs")


def comes_up(binary):
    compose("up", "--detach")
    wait_until("the service is healthy", lambda: is_healthy("onrecord"), 60)
    prometheus = Prometheus(f"127.0.0.1:{PROMETHEUS}")
    wait_until("prometheus is healthy", lambda: prometheus.is_up() and is_healthy("prometheus"), 60)
    prometheus.check_targets(1)
    known = compose("--profile", "tools", "run", "--rm", "client", "subscription", "list", "--output", "json").stdout
    if "subscriptions/site" not in known:
        raise SystemExit(f"the site has no name: {known}")
    again = compose("run", "--rm", "enroll").stdout
    if "site: was there" not in again:
        raise SystemExit(f"to give the site its name again is not to matter: {again}")
    callers = Callers(binary, WORK / "secrets", f"localhost:{PORT}")
    callers.create("fire")
    callers.publish("fire", "There was no fire", first=True)
    wait_until("the site shows what was published", lambda: pages() == {"statements/fire/en": "There was no fire"}, 90)
    wait_until("the site is healthy", lambda: is_healthy("site"), 30)
    for service in SERVICES:
        check_confined(service)
    print(f"up: {', '.join(SERVICES)} are healthy and confined; the site shows what was published")
    return callers, prometheus


def is_broken(callers, prometheus):
    print("a site that is frozen: it answers no ping, and is cut off")
    run("podman", "pause", container("site"))
    callers.publish("fire", "There was no fire at all")
    lagging_since = time.monotonic()

    print("a release that is overtaken")
    hold_a_release(callers)
    prometheus.wait_for("OnrecordReleaseHeld")

    print("a backup whose client is cut off, then one that is whole")
    prometheus.wait_for("OnrecordBackupMissing")
    cut_a_backup_off(callers, WORK / "cut.backup")
    prometheus.wait_for("OnrecordBackupFailed")
    callers.onrecord("operator", "backup", WORK / "whole.backup")
    prometheus.wait_for_end("OnrecordBackupMissing")

    print("a site that is 5 minutes behind")
    prometheus.wait_for("OnrecordSubscriptionLags", seconds=max(60, 360 - (time.monotonic() - lagging_since)))
    counts = (prometheus.check_rules(), prometheus.check_dashboard(), prometheus.check_runbook())
    run("podman", "unpause", container("site"))
    prometheus.wait_for_end("OnrecordSubscriptionLags")

    print("a disk that something else fills")
    disk = WORK / "disk"
    callers.create("draft")
    etag = callers.save("draft", "A draft", first=True)
    fill_disk(disk / "filler", 0, disk)
    prometheus.wait_for("OnrecordDiskFilling", "OnrecordDiskNearlyFull")
    write_until_closed(callers, etag)
    prometheus.wait_for("OnrecordJournalClosed")
    (disk / "filler").unlink()
    return counts


def ends():
    """It drains, and ends with 0, before it would be killed."""
    begun = time.monotonic()
    compose("stop", "onrecord")
    code, seconds = inspected("onrecord")["State"]["ExitCode"], time.monotonic() - begun
    if code or seconds > 40:
        raise SystemExit(f"the service ended with {code} after {seconds:.0f} s")
    return seconds


def main(binary):
    clear()
    try:
        prepare()
        callers, prometheus = comes_up(binary)
        rules, shown, asked = is_broken(callers, prometheus)
        compose("restart", "onrecord")
        prometheus.wait_for_end("OnrecordJournalClosed", "OnrecordDown", seconds=120)
        seconds = ends()
        prometheus.wait_for("OnrecordDown")
    except BaseException:
        for service in SERVICES:
            log = compose("logs", service, check=False)
            print(f"-- {service}\n{(log.stdout + log.stderr)[-1500:]}", file=sys.stderr)
        raise
    finally:
        clear()
    print(f"compose: {rules} rules are evaluated, {shown} expressions of the dashboard give data, {asked} of the runbook can be asked")
    print(f"compose: {len(prometheus.seen)} alerts fired when their fault was made; SIGTERM: it ended with 0 after {seconds:.0f} s")


def clear():
    """What this test made, and nothing else. A container that is paused cannot be stopped."""
    run("podman", "unpause", f"{PROJECT}_site_1", check=False)
    compose("--profile", "tools", "down", "--volumes", "--timeout", "5", check=False)
    run("podman", "volume", "rm", "--force", f"{PROJECT}_record", check=False)
    if os.path.ismount(WORK / "disk"):
        run("umount", WORK / "disk")


if __name__ == "__main__":
    main(sys.argv[1])
