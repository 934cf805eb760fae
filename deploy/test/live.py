"""A Prometheus beside three services, in which faults are made and alerts have to fire: deploy/test/alerts --live."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import grpc

from alerts import alerts
from clock import DAYS_BEHIND, WallClock, on_the_moved_one
from faults import (
    Followers,
    Prometheus,
    be_refused,
    cut_a_backup_off,
    fill_disk,
    follow_and_stop,
    hold_a_release,
    shortened_rules,
)
from service import ROOT, Service, stubs, wait_until

MAIN, SMALL, PROMETHEUS, MOVED = 17120, 17122, 17124, 17126
# Not made here: each would take hours, days, or damage that cannot be told beforehand. promtool shows them.
NOT_MADE = {
    "OnrecordNotReadable", "OnrecordPanicked", "OnrecordMemoryHigh", "OnrecordDamageFound", "OnrecordSubscribersGone", "OnrecordManyErrors",
    "OnrecordErrors",
}
CONFIG = f"""
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [alerts.yaml]
scrape_configs:
  - job_name: onrecord
    static_configs: [{{targets: ['127.0.0.1:{MAIN + 1}', '127.0.0.1:{SMALL + 1}', '127.0.0.1:{MOVED + 1}']}}]
"""


def start_prometheus(work):
    (work / "alerts.yaml").write_text(shortened_rules())
    (work / "prometheus.yaml").write_text(CONFIG)
    command = ["prometheus", f"--config.file={work}/prometheus.yaml", f"--storage.tsdb.path={work}/tsdb"]
    log = (work / "prometheus.log").open("w")
    process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{PROMETHEUS}"], stderr=log, stdout=log)
    prometheus = Prometheus(f"127.0.0.1:{PROMETHEUS}")
    wait_until("prometheus answers", prometheus.is_up, 60)
    return process, prometheus


def change_policy(files, before, after):
    """As docs/policy.md says: written beside, and moved."""
    policy, new = files / "service/policy.toml", files / "service/policy.toml.new"
    text = policy.read_text()
    assert before in text, f"{before} is not in the policy"
    new.write_text(text.replace(before, after))
    new.rename(policy)
    return text


def restore_policy(files, text):
    (files / "service/policy.toml.new").write_text(text)
    (files / "service/policy.toml.new").rename(files / "service/policy.toml")


def on_the_main_one(main, prometheus, files, work):
    """Sites, releases, backups, refusals, and files that are read again."""
    print("a certificate of a day, and no backup")
    prometheus.wait_for("OnrecordCertificateExpires", "OnrecordCertificateExpiresSoon", "OnrecordBackupMissing")

    print("a site that follows and is gone; two that follow and do not apply; one that never came")
    main.create("fire")
    main.publish("fire", "There was no fire", first=True)
    follow_and_stop(main)
    followers = Followers(main)
    for name in ("rejecting", "stalled", "never"):
        main.onrecord("operator", "subscription", "create", name)
    followers.follow("rejecting")
    followers.reject("rejecting", 1)
    followers.follow("stalled")
    prometheus.wait_for("OnrecordSubscriptionRejects", "OnrecordStreamsNearMax")
    main.publish_many(41, 25)
    prometheus.wait_for("OnrecordSubscriptionFarBehind")
    lagging_since = time.monotonic()

    print("one machine that connects without end")
    crowd = [socket.create_connection(("127.0.0.1", MAIN)) for _ in range(150)]
    prometheus.wait_for("OnrecordConnectionsRefused")
    for connection in crowd:
        connection.close()

    print("a release that is overtaken")
    hold_a_release(main)
    prometheus.wait_for("OnrecordReleaseHeld")
    main.onrecord("publisher", "release", "cancel", "fire/en")
    prometheus.wait_for_end("OnrecordReleaseHeld")

    print("a backup whose client is cut off, then one that is whole")
    cut_a_backup_off(main, work / "cut.backup")
    prometheus.wait_for("OnrecordBackupFailed")
    main.onrecord("operator", "backup", work / "whole.backup")
    prometheus.wait_for_end("OnrecordBackupMissing")

    print("a policy that cannot be read, then one that gives less, and a token that nobody knows")
    text = change_policy(files, "[[grants]]", "[[grunts]]")
    prometheus.wait_for("OnrecordReloadFailed")
    restore_policy(files, text)
    prometheus.wait_for_end("OnrecordReloadFailed")
    restore_policy(files, text + "\n[limits]\ncalls_per_second = 10\n")
    main.process.send_signal(signal.SIGHUP)
    be_refused(main, grpc.StatusCode.RESOURCE_EXHAUSTED, 1500)
    prometheus.wait_for("OnrecordRefusesByLimit")
    restore_policy(files, text)
    be_refused(main, grpc.StatusCode.UNAUTHENTICATED, 1500, token="onrecord_nobody")
    prometheus.wait_for("OnrecordRefusesAuthority")
    return followers, lagging_since


def wait_for_lag(prometheus, lagging_since):
    print("sites that are 5 minutes behind")
    prometheus.wait_for("OnrecordSubscriptionStalled", "OnrecordManySubscriptionsLag", seconds=240)
    prometheus.wait_for("OnrecordSubscriptionLags", seconds=max(60, 360 - (time.monotonic() - lagging_since)))


def on_the_small_one(small, prometheus, disk):
    """Room: of the disk, and of the store."""
    print("a disk of 320 MiB that something else fills")
    fill_disk(disk / "filler", 20, disk)
    prometheus.wait_for("OnrecordDiskFilling", "OnrecordDiskNearlyFull")
    (disk / "filler").unlink()
    prometheus.wait_for_end("OnrecordDiskFilling", "OnrecordDiskNearlyFull")

    print("a store that fills")
    small.create("draft")
    etag = small.save("draft", "A draft", first=True)
    try:
        small.fill("large", 400)
        raise SystemExit("a store of 40 MiB took 75 MB")
    except grpc.RpcError as error:
        if error.code() != grpc.StatusCode.RESOURCE_EXHAUSTED:
            raise
    prometheus.wait_for("OnrecordStoreFilling", "OnrecordStoreNearlyFull")

    print("a disk without any room")
    fill_disk(disk / "filler", 0, disk)
    prometheus.wait_for("OnrecordDiskNearlyFull")
    write_until_closed(small, etag)
    prometheus.wait_for("OnrecordJournalClosed")


def start_slowly(service, prometheus, pipe):
    """A start reads every file of the store, and waits at a pipe that nothing is written to."""
    os.mkfifo(pipe)
    service.launch()
    prometheus.wait_for("OnrecordStartsForLong")
    writer = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    pipe.unlink()
    os.close(writer)
    service.wait_until_ready()
    prometheus.wait_for_end("OnrecordStartsForLong")


def write_until_closed(service, etag):
    """Steps that a full store takes: a draft to and fro."""
    from onrecord.v1 import editorial_service_pb2 as editorial

    name = "statements/draft/drafts/en"
    try:
        for _ in range(20_000):
            submit = editorial.SubmitDraftRequest(name=name, etag=etag)
            etag = service.call("author", "EditorialService/SubmitDraft", submit).draft.etag
            reject = editorial.RejectDraftRequest(name=name, etag=etag, comment="No. " * 200)
            etag = service.call("reviewer", "EditorialService/RejectDraft", reject).draft.etag
    except grpc.RpcError as error:
        if error.code() != grpc.StatusCode.UNAVAILABLE:
            raise


def main(binary):
    work = Path(tempfile.mkdtemp(prefix="onrecord-live-"))
    stubs(work / "stubs")
    files, disk = work / "secrets", work / "disk"
    subprocess.run([ROOT / "deploy/compose/prepare", files, "1"], check=True, stdout=subprocess.DEVNULL)
    change_policy(files, 'subscriptions = ["site"]', 'subscriptions = ["site", "rejecting", "stalled", "never"]')
    clock = WallClock(work)
    clock.move(-DAYS_BEHIND * 86_400)
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=320m", "tmpfs", disk], check=True)
    first = Service(binary, files, work / "record", work / "main.log", MAIN, "--streams-max", "2", "--connections-max", "100")
    small = Service(binary, files, disk / "record", work / "small.log", SMALL, "--store-mib-max", "40")
    moved = Service(binary, files, work / "moved-record", work / "moved.log", MOVED, variables=clock.variables)
    process = None
    try:
        process, prometheus = start_prometheus(work)
        first.start()
        small.start()
        moved.start()
        for service in (small, moved):  # these do not lack it
            service.onrecord("operator", "backup", service.log.with_suffix(".backup"))
        prometheus.check_targets(3)
        followers, lagging_since = on_the_main_one(first, prometheus, files, work)
        on_the_moved_one(moved, clock, prometheus, work / "moved.backup")
        wait_for_lag(prometheus, lagging_since)
        print("the first scrub, 5 minutes after the start")
        prometheus.wait_for_end("OnrecordScrubNotCompleted", seconds=330)
        counts = (prometheus.check_rules(), prometheus.check_dashboard(), prometheus.check_runbook())
        followers.close()
        on_the_small_one(small, prometheus, disk)

        print("three starts within 15 minutes, one of them slow, and an end")
        (disk / "filler").unlink()
        small.stop()
        start_slowly(small, prometheus, disk / "record/sled/pipe")
        for _ in range(2):
            small.stop()
            small.start()
            time.sleep(3)
        prometheus.wait_for("OnrecordRestartsOften")
        prometheus.wait_for_end("OnrecordJournalClosed")
        first.stop()
        prometheus.wait_for("OnrecordDown")
        made = {rule["alert"] for rule in alerts()} - NOT_MADE
        if prometheus.seen != made:
            raise SystemExit(f"not as NOT_MADE says: {sorted(prometheus.seen ^ made)}")
    finally:
        first.stop(kill=True)
        small.stop(kill=True)
        moved.stop(kill=True)
        if process:
            process.terminate()
            process.wait(30)
        subprocess.run(["umount", disk], check=True)
        if sys.exc_info()[0]:
            print(f"logs are in {work}", file=sys.stderr)
        else:
            subprocess.run(["rm", "-rf", work], check=True)
    rules, shown, asked = counts
    print(f"live: {rules} rules are evaluated, {shown} expressions of the dashboard give data, {asked} of the runbook can be asked")
    print(f"live: {len(made)} alerts fired when their fault was made; {len(NOT_MADE)} are shown by promtool alone")


if __name__ == "__main__":
    main(sys.argv[1])
