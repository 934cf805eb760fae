"""Checks what an operator is shown, against each other and against a real service: see deploy/test/alerts."""

import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import promql_parser
import yaml

from service import ROOT, Service, stubs, wait_until

SHOWN = ROOT / "deploy/observability"
RUNBOOK = ROOT / "docs/runbook.md"
CALLS = ROOT / "src/server/calls.rs"
# What Prometheus itself makes.
OF_PROMETHEUS = {"up", "ALERTS"}
# What a histogram is asked by.
SUFFIXES = ("_bucket", "_count", "_sum")


class Faults:
    """What is wrong, all of it at once."""

    def __init__(self):
        self.said = []

    def unless(self, holds, words):
        if not holds:
            self.said.append(words)

    def end(self):
        for words in self.said:
            print(f"WRONG: {words}", file=sys.stderr)
        if self.said:
            raise SystemExit(f"{len(self.said)} faults")


def metrics_of(expr):
    """The names of the metrics that an expression asks for; it has to parse."""
    names = set()

    def visit(node):
        if isinstance(node, promql_parser.MatrixSelector):
            node = node.vector_selector
        if isinstance(node, promql_parser.VectorSelector):
            names.add(node.name)

    promql_parser.walk(promql_parser.parse(expr), visit)
    return names


def alerts():
    """The rules, in order."""
    groups = yaml.safe_load((SHOWN / "alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels():
    return json.loads((SHOWN / "dashboard.json").read_text())["panels"]


def as_asked(expr):
    """An expression of the dashboard as Grafana sends it, for all instances."""
    return expr.replace("$instance", ".+").replace("$__rate_interval", "1m")


def dashboard_exprs():
    """(panel, expression)"""
    return [(panel["title"], as_asked(target["expr"])) for panel in panels() for target in panel.get("targets", [])]


def blocks(language, text):
    return [line for block in re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL) for line in block.strip().splitlines()]


def runbook_exprs():
    return blocks("promql", RUNBOOK.read_text())


def check_rules(faults):
    for rule in alerts():
        name, notes, labels = rule["alert"], rule["annotations"], rule["labels"]
        faults.unless(labels.get("severity") in ("page", "ticket"), f"{name}: severity must be page or ticket")
        faults.unless(labels.get("desk") in ("operations", "newsroom"), f"{name}: desk must be operations or newsroom")
        faults.unless(set(notes) == {"summary", "description", "runbook_url"}, f"{name}: summary, description and runbook_url, no more")
        faults.unless(notes.get("runbook_url") == f"docs/runbook.md#{name.lower()}", f"{name}: runbook_url must be its entry")
    for name, count in Counter(rule["alert"] for rule in alerts()).items():
        faults.unless(count == 1, f"{name}: is there {count} times")


def check_tests(faults):
    """Each alert fires in one test that is called after it, and does not fire in it at another time."""
    tests = yaml.safe_load((SHOWN / "alerts.test.yaml").read_text())["tests"]
    for rule in alerts():
        name, fires, silent = rule["alert"], False, False
        for test in tests:
            if name not in re.findall(r"\w+", test["name"]):
                continue
            for asked in test["promql_expr_test"]:
                shown = " ".join(sample["labels"] for sample in asked["exp_samples"])
                is_shown = f'alertname="{name}"' in shown
                fires |= is_shown
                silent |= not is_shown
        faults.unless(fires, f"{name}: no test in which it fires")
        faults.unless(silent, f"{name}: no test in which it does not fire")


def rendered():
    """What each alert says when it fires: promtool is asked to expect nothing where the tests expect an alert, and tells what it got."""
    tests = yaml.safe_load((SHOWN / "alerts.test.yaml").read_text())
    for test in tests["tests"]:
        asked = test.pop("promql_expr_test")
        test["alert_rule_test"] = [
            {"alertname": name, "eval_time": one["eval_time"]}
            for one in asked
            for sample in one["exp_samples"]
            for name in re.findall(r'alertname="(\w+)"', sample["labels"])
        ]
        test.pop("name")
    tests["rule_files"] = [str(SHOWN / "alerts.yaml")]
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(tests, file)
        file.flush()
        said = subprocess.run(["promtool", "test", "rules", file.name], capture_output=True, text=True)
    return re.findall(r'Labels:\{alertname="(\w+)".*\n\s+Annotations:\{(.*)\}', said.stdout + said.stderr)


def check_words(faults):
    said = rendered()
    faults.unless({name for name, _ in said} == {rule["alert"] for rule in alerts()}, "promtool did not tell what every alert says")
    for name, words in said:
        faults.unless(not re.search(r"<no value>|error expanding|%!|NaN|\+Inf|e\+\d\d", words), f"{name} says: {words}")


def check_runbook(faults, binary):
    text = RUNBOOK.read_text()
    entries = dict(re.findall(r"^## (Onrecord\w+)\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE))
    rules = {rule["alert"]: rule["labels"] for rule in alerts()}
    for name in rules.keys() - entries.keys():
        faults.unless(False, f"{name}: no entry in docs/runbook.md")
    for name in entries.keys() - rules.keys():
        faults.unless(False, f"docs/runbook.md: {name} is no alert")
    for name in rules.keys() & entries.keys():
        kind = f"`{rules[name]['severity']}`" + (", `newsroom`" if rules[name]["desk"] == "newsroom" else "")
        faults.unless(entries[name].lstrip().startswith(f"{kind}. "), f"docs/runbook.md: {name} must begin with {kind}.")
        for part in ("Look", "Do", "Escalate"):
            is_there = re.search(rf"(^|\. ){part}\b", entries[name], re.MULTILINE) or (part == "Do" and "Look and do:" in entries[name])
            faults.unless(is_there, f"docs/runbook.md: {name} does not say: {part}")
    for target in re.findall(r"\]\(#([\w-]+)\)", text):
        is_there = any(heading.lower().replace(" ", "-") == target for heading in re.findall(r"^## (.+)", text, re.MULTILINE))
        faults.unless(is_there, f"docs/runbook.md: #{target} leads nowhere")
    for line in blocks("sh", text):
        if line.startswith("onrecord "):
            check_command(faults, binary, line.split())


def check_command(faults, binary, words):
    """The command and its flags exist."""
    verbs, text = [], help_of(binary, [])
    for word in words[1:]:
        if "\nCommands:" not in text or not re.search(rf"^  {word}\s", text, re.MULTILINE):
            break
        verbs.append(word)
        text = help_of(binary, verbs)
    line = " ".join(words)
    faults.unless(verbs and "\nCommands:" not in text, f"docs/runbook.md: there is no such command: {line}")
    for flag in (word for word in words if word.startswith("--")):
        faults.unless(re.search(rf"{flag}\b", text), f"docs/runbook.md: no {flag} in: {line}")


def help_of(binary, verbs):
    return subprocess.run([binary, *verbs, "--help"], capture_output=True, text=True).stdout


def check_dashboard(faults):
    written = subprocess.run([sys.executable, SHOWN / "dashboard.py"], capture_output=True, text=True, check=True).stdout
    board = json.loads((SHOWN / "dashboard.json").read_text())
    faults.unless(written == (SHOWN / "dashboard.json").read_text(), "dashboard.json is not what dashboard.py writes: run it")
    taken = Counter()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = [(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])]
        taken.update(cells)
        faults.unless(all(x < 24 for x, _ in cells), f"dashboard: {panel['title']} is wider than the grid")
        for target in panel.get("targets", []):
            faults.unless(target["datasource"]["uid"] == "${datasource}", f"dashboard: {panel['title']} has a datasource of its own")
            is_chosen = "$instance" in target["expr"] or "ALERTS" in target["expr"]
            faults.unless(is_chosen, f"dashboard: {panel['title']} is not of the instance that was chosen")
    faults.unless(max(taken.values()) == 1, "dashboard: panels overlap")
    faults.unless(len({panel["id"] for panel in board["panels"]}) == len(board["panels"]), "dashboard: ids are not unique")


def every_expression():
    """(where, expression)"""
    return [
        *((f"alerts.yaml: {rule['alert']}", rule["expr"]) for rule in alerts()),
        *((f"dashboard: {title}", expr) for title, expr in dashboard_exprs()),
        *(("docs/runbook.md", expr) for expr in runbook_exprs()),
    ]


def check_labels(faults, metrics):
    """Every value that an expression wants a label of ours to have is one that the service gives it."""
    given = {}
    for label, value in re.findall(r'(\w+)="([^"]*)"', "\n".join(line for line in metrics.splitlines() if not line.startswith("#"))):
        given.setdefault(label, set()).add(value)
    # Codes and methods come with the first call that has them.
    codes = re.search(r"^fn named\(.*?^\}", CALLS.read_text(), re.DOTALL | re.MULTILINE)[0]
    given["grpc_code"] = set(re.findall(r'=> "(\w+)"', codes))
    given["grpc_method"] = set(re.findall(r"^\| \w+/(\w+) \|", (ROOT / "docs/access.md").read_text(), re.MULTILINE)) | given["grpc_method"]
    count = 0
    for where, expr in every_expression():
        for label, values in re.findall(r'(\w+)=~?"([^"]*)"', expr):
            if label in ("job", "instance", "le", "alertstate", "alertname", "mode"):
                continue
            for value in values.split("|"):
                count += 1
                faults.unless(value in given.get(label, ()), f"{where}: no series has {label}={value!r}")
    faults.unless(count > 10, f"only {count} labels were looked at")
    return count


def check_expressions(faults, there):
    """Every expression parses, and every metric that it names is there."""
    asked = every_expression()
    users = {}
    for where, expr in asked:
        try:
            used = metrics_of(expr)
        except ValueError as fault:
            faults.unless(False, f"{where}: {fault}: {expr}")
            continue
        for name in used:
            users.setdefault(name, where)
    for name in sorted(users.keys() - there - OF_PROMETHEUS):
        faults.unless(False, f"the service has no metric {name}, which is asked for by {users[name]}")
    return len(asked), len(users)


def names_in(metrics):
    """The names of series in an output of /metrics."""
    return {re.match(r"[a-zA-Z_:][a-zA-Z0-9_:]*", line)[0] for line in metrics.splitlines() if line and not line.startswith("#")}


def real_metrics(binary, work):
    """All that a real service says of itself: with TLS, a policy, a site, calls of each sort; and once its journal has closed."""
    from onrecord.v1 import feed_service_pb2 as feed, subscription_pb2

    files = work / "secrets"
    subprocess.run([ROOT / "deploy/compose/prepare", files], check=True, stdout=subprocess.DEVNULL)
    service = Service(binary, files, work / "record", work / "log", 17120)
    try:
        service.start(file_kib_max=24 * 1024)
        request = feed.CreateSubscriptionRequest(subscription_id="site", subscription=subscription_pb2.Subscription())
        service.call("operator", "FeedService/CreateSubscription", request)
        service.create("fire")
        service.publish("fire", "There was no fire", first=True)
        service.onrecord("site", "watch", "--as", "site", "--until-current")
        service.onrecord("operator", "backup", work / "record.backup")
        open_ = service.get("/metrics")
        linted = subprocess.run(["promtool", "check", "metrics"], input=open_, capture_output=True, text=True)
        if linted.returncode or linted.stderr:
            raise SystemExit(f"promtool check metrics: {linted.stdout}{linted.stderr}")
        fill_until_closed(service)
        return open_ + service.get("/metrics")
    finally:
        service.stop(kill=True)


def fill_until_closed(service):
    """Texts, until a write fails."""
    import grpc

    try:
        service.fill("large", 200)
    except grpc.RpcError as error:
        if "JOURNAL_CLOSED" not in str(error.trailing_metadata()) and error.code() != grpc.StatusCode.UNAVAILABLE:
            raise
    wait_until("the journal closes", lambda: "onrecord_journal_closed_info" in service.get("/metrics"), 20)


def main(binary):
    faults = Faults()
    check_rules(faults)
    check_tests(faults)
    check_words(faults)
    check_runbook(faults, binary)
    check_dashboard(faults)
    with tempfile.TemporaryDirectory() as work:
        stubs(Path(work) / "stubs")
        metrics = real_metrics(binary, Path(work))
    exprs, names = check_expressions(faults, names_in(metrics))
    labels = check_labels(faults, metrics)
    faults.end()
    count = len(alerts())
    print(f"alerts: {count}, each with a page or a ticket, words that are whole, an entry in the runbook, and tests both ways")
    print(f"expressions of alerts, dashboard and runbook: {exprs} parse; the {names} metrics and {labels} labels that they name are in a real /metrics")


if __name__ == "__main__":
    main(sys.argv[1])
