"""Faults that are made for real, and a Prometheus that has to notice: used by live.py on this machine and by compose.py in containers.

The rules are a copy of deploy/observability/alerts.yaml in which every `for:` is 2 s, so that minutes are enough; nothing else is changed.
"""

import json
import re
import secrets
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import grpc

from alerts import SHOWN, alerts, dashboard_exprs, runbook_exprs
from service import wait_until


def shortened_rules():
    return re.sub(r"^( +for:) .*", r"\1 2s", (SHOWN / "alerts.yaml").read_text(), flags=re.MULTILINE)


class Prometheus:
    """What Prometheus says."""

    def __init__(self, address):
        self.address = address
        self.seen = set()  # names of alerts that fired, and were waited for

    def get(self, path, **asked):
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(asked)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{path} {asked}: {error.read().decode()}") from error

    def is_up(self):
        try:
            return self.get("status/buildinfo")["version"]
        except (urllib.error.URLError, ConnectionError):
            return ""

    def query(self, expr):
        return self.get("query", query=expr)["result"]

    def firing(self):
        return [alert for alert in self.get("alerts")["alerts"] if alert["state"] == "firing"]

    def names(self):
        return {alert["labels"]["alertname"] for alert in self.firing()}

    def labels(self, name):
        return [alert["labels"] for alert in self.firing() if alert["labels"]["alertname"] == name]

    def wait_for(self, *names, seconds=60):
        """All of these fire."""
        begun = time.monotonic()
        wait_until(f"{', '.join(names)} fire; what does: {sorted(self.names())}", lambda: set(names) <= self.names(), seconds)
        self.seen |= set(names)
        for alert in self.firing():
            if alert["labels"]["alertname"] in names:
                print(f"  {alert['labels']['alertname']}, after {time.monotonic() - begun:.0f} s: {alert['annotations']['summary']}")

    def wait_for_end(self, *names, seconds=60):
        """None of these fires any more."""
        wait_until(f"{', '.join(names)} end", lambda: not set(names) & self.names(), seconds)
        print(f"  {', '.join(names)}: over")

    def check_targets(self, count):
        up = wait_until("all targets are scraped", lambda: len(self.query('up{job="onrecord"} == 1')) == count, 60)
        return up

    def check_rules(self):
        """Each rule is evaluated without an error."""
        rules = [rule for group in self.get("rules")["groups"] for rule in group["rules"]]
        bad = [f"{rule['name']}: {rule.get('lastError')}" for rule in rules if rule["health"] != "ok"]
        if bad or {rule["name"] for rule in rules} != {rule["alert"] for rule in alerts()}:
            raise SystemExit(f"rules: {bad or 'not those of alerts.yaml'}")
        return len(rules)

    def check_dashboard(self):
        """Each expression gives data."""
        asked = dashboard_exprs()
        empty = [f"{title}: {expr}" for title, expr in asked if not self.query(expr)]
        if empty:
            raise SystemExit("the dashboard shows nothing here:\n" + "\n".join(empty))
        return len(asked)

    def check_runbook(self):
        """Each expression is one that Prometheus can evaluate."""
        for expr in runbook_exprs():
            self.query(expr)
        return len(runbook_exprs())


def hold_a_release(callers):
    """A text is scheduled; before its time another is published. The statement `fire` is live."""
    callers.approve("fire", "There was no fire: scheduled")
    callers.onrecord("publisher", "publish", "fire", "en", "--at", "+8s")
    callers.publish("fire", "There was no fire: in between")


def follow_and_stop(callers, subscription="site"):
    """A site follows, applies what there is, and is never seen again."""
    callers.onrecord("operator", "subscription", "create", subscription)
    callers.onrecord("site", "watch", "--as", subscription, "--until-current")


def cut_a_backup_off(callers, file):
    """A client that may write no more than 1 MiB dies in the middle of a copy that is larger."""
    callers.fill("backed-up", 40)
    command = ["bash", "-c", 'ulimit -f 1024; exec "$@"', "bash", callers.binary, "backup", str(file)]
    done = subprocess.run(command, env=callers.environment("operator"), capture_output=True, text=True, timeout=120)
    if done.returncode == 0:
        raise SystemExit(f"the copy was to be cut off, and was not: {done.stdout}")


def fill_disk(file, free_mib, mount):
    """Leaves so much room on the file system."""
    import shutil

    with open(file, "ab") as filler:
        while (room := shutil.disk_usage(mount).free - free_mib * 1024**2) > 0:
            filler.write(secrets.token_bytes(min(room, 1024**2)))
            filler.flush()


class Followers:
    """Streams under names, that are read and never acknowledged."""

    def __init__(self, callers):
        self.callers, self.opened, self.streams = callers, {}, []

    def follow(self, subscription):
        from onrecord.v1 import feed_service_pb2 as feed, feed_service_pb2_grpc

        request = feed.SubscribeRequest(subscription=f"subscriptions/{subscription}", start=feed.START_BEGINNING)
        stub = feed_service_pb2_grpc.FeedServiceStub(self.callers.channel)
        stream = stub.Subscribe(request, metadata=[("authorization", f"Bearer {self.callers.tokens['site']}")])
        self.streams.append(stream)

        def read():
            try:
                for message in stream:
                    if message.WhichOneof("message") == "opened":
                        self.opened[subscription] = message.opened.generation
            except grpc.RpcError:
                pass  # it was closed, or the service was

        threading.Thread(target=read, daemon=True).start()
        wait_until(f"{subscription} follows", lambda: subscription in self.opened, 20)

    def reject(self, subscription, sequence):
        from onrecord.v1 import feed_service_pb2 as feed

        request = feed.RejectRequest(
            name=f"subscriptions/{subscription}", generation=self.opened[subscription], sequence=sequence, reason_code="too-long"
        )
        self.callers.call("site", "FeedService/Reject", request)

    def close(self):
        for stream in self.streams:
            stream.cancel()


def be_refused(callers, code, count, token=None):
    """Calls that are refused, for long enough to be seen as a rate."""
    from onrecord.v1 import statement_service_pb2 as statements

    def ask(_):
        try:
            callers.call("author", "StatementService/ListStatements", statements.ListStatementsRequest(), token)
        except grpc.RpcError as error:
            if error.code() != code:
                raise SystemExit(f"refused otherwise: {error}") from error
            return 1
        return 0

    with ThreadPoolExecutor(8) as pool:
        refused = ask(0)  # a counter is there from its first on
        time.sleep(3)
        while refused < count:
            refused += sum(pool.map(ask, range(200)))


if __name__ == "__main__":
    sys.stdout.write(shortened_rules())
