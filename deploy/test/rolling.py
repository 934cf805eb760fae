"""Restarts of the service under load, behind one proxy: rolling.py ONRECORD CROWD DIRECTORY PROXY RESTARTS PORT. See deploy/test/rolling.

What has to be true at the end:
- each publication was answered, is in the feed once, and at the sequence that was answered;
- each of the sites applied every event of the feed once, in order, and has the chain of hashes that the service has; the service knows of those
  that have a name;
- each stream of the client library that was open when the service was told to stop was closed with a word (REASON_DRAIN), none was cut off;
- no process ended by itself, and no error came out of a client library; but UNAVAILABLE to the sites on plain grpcio, as their loop expects;
- the service exited with 0 each time, within its time to drain.
"""

import collections
import hashlib
import json
import os
import random
import re
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
import uuid

import grpc
import yaml
from onrecord.v1 import content_pb2 as content
from onrecord.v1 import draft_pb2 as drafts
from onrecord.v1 import editorial_service_pb2 as editorial
from onrecord.v1 import editorial_service_pb2_grpc as editorial_grpc
from onrecord.v1 import feed_service_pb2 as feed
from onrecord.v1 import feed_service_pb2_grpc as feed_grpc
from onrecord.v1 import statement_pb2 as statements
from onrecord.v1 import subscription_pb2 as subscriptions

onrecord, crowd, work, proxy_name = sys.argv[1:5]
restarts, first = int(sys.argv[5]), int(sys.argv[6])
service_address, metrics_address, proxy_address = (f"127.0.0.1:{first + number}" for number in range(3))

CROWDS = {"crowd": (180, None), "named-crowd": (20, "crowd")}  # how many, and the name they follow under
PYTHON_SITES = 20  # the first half of them under names
NAMES = [f"crowd-{number}" for number in range(20)] + [f"python-{number}" for number in range(PYTHON_SITES // 2)]
SUBSCRIBERS = sum(count for count, _ in CROWDS.values()) + PYTHON_SITES
EDITORS = 6
PAUSE = 0.1  # seconds between two publications of an editor, on average
DRAIN = 10  # seconds: what the service is given to drain
PATIENCE = 60  # seconds
LOAD = 2  # seconds of load, at least, between everybody being back and the next restart
AWAY_MAX = 2  # seconds between the end of the service and its next start, at most

# What a client is told to do about a service that is being restarted: ask again, up to some 7 s. With a request id that is safe.
RETRY = {
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.25s",
                "maxBackoff": "5s",
                "backoffMultiplier": 3,
                "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"],
            },
        }
    ]
}


def connect(address):
    """A connection of its own, that asks again as RETRY says."""
    return grpc.insecure_channel(
        address, [("grpc.service_config", json.dumps(RETRY)), ("grpc.use_local_subchannel_pool", 1)]
    )


def log(name):
    return open(f"{work}/{name}.log", "a")


def serve():
    command = [onrecord, "serve", "--insecure", "--data-dir", f"{work}/record", "--listen", service_address]
    command += ["--metrics-listen", metrics_address, "--drain-seconds", str(DRAIN)]
    return subprocess.Popen(command, stderr=log("service"))


def proxy():
    """The proxy, with its file of deploy/proxies; without TLS."""
    if proxy_name == "nginx":
        text = open("deploy/proxies/nginx.conf").read()
        for pattern, instead in [
            (r"listen 443 ssl", f"listen {proxy_address}"),
            (r"onrecord\.internal:7400", service_address),
            (r"grpcs://", "grpc://"),
            (r"\n *(grpc_)?ssl_.*", ""),
            (r"/run/nginx\.pid", f"{work}/nginx.pid"),
            (r"/dev/stdout", f"{work}/nginx-calls.log"),
            # As many as this machine allows.
            (r"\n *worker_rlimit_nofile.*", ""),
            (r"worker_connections \d+", "worker_connections 2000"),
        ]:
            text, found = re.subn(pattern, instead, text)
            assert found, f"deploy/proxies/nginx.conf has no {pattern}"
        path, command = f"{work}/nginx.conf", ["nginx", "-e", "stderr", "-g", "daemon off;", "-c"]
    else:
        config = yaml.safe_load(open("deploy/proxies/envoy.yaml"))
        [listener], [cluster] = (config["static_resources"][kind] for kind in ("listeners", "clusters"))
        [chain], [group] = listener["filter_chains"], cluster["load_assignment"]["endpoints"]
        del chain["transport_socket"], cluster["transport_socket"]
        [endpoint] = group["lb_endpoints"]
        for place, address in [(listener["address"], proxy_address), (endpoint["endpoint"]["address"], service_address)]:
            host, port = address.split(":")
            place["socket_address"] = {"address": host, "port_value": int(port)}
        text, path = yaml.safe_dump(config), f"{work}/envoy.yaml"
        envoy = os.path.join(os.path.dirname(sys.executable), "envoy")
        command = [envoy, "--disable-hot-restart", "--log-level", "warning", "--concurrency", "2", "--config-path"]
    with open(path, "w") as file:
        file.write(text)
    return subprocess.Popen([*command, path], stdout=log("proxy"), stderr=subprocess.STDOUT)


class Editor(threading.Thread):
    """Publishes, one after the other, through the proxy. What grpcio does not absorb is noted, and asked again."""

    def __init__(self, number):
        super().__init__(daemon=True)
        self.number, self.stopped, self.died = number, threading.Event(), None
        self.stub = editorial_grpc.EditorialServiceStub(connect(proxy_address))
        self.answered = {}  # the title of each publication, and the sequence that was answered
        self.answers, self.longest, self.surfaced = [], 0, collections.Counter()

    def call(self, method, request):
        request.request_id, began = str(uuid.uuid4()), time.monotonic()
        while True:
            try:
                answer = method(request, metadata=[("onrecord-caller", f"editor-{self.number}")], timeout=30)
                break
            except grpc.RpcError as error:
                self.surfaced[f"{error.code().name}: {error.details()[:100]}"] += 1
                assert time.monotonic() < began + PATIENCE, error
                time.sleep(0.5)
        self.answers.append(time.monotonic())
        self.longest = max(self.longest, self.answers[-1] - began)
        return answer

    def publish(self, number):
        name, title = f"statements/editor-{self.number}-{number % 10}", f"Publication {number} of editor {self.number}"
        if number < 10:
            statement = statements.Statement(kind="notice", source_language_code="en")
            request = editorial.CreateStatementRequest(statement_id=name.removeprefix("statements/"), statement=statement)
            self.call(self.stub.CreateStatement, request)
        words = content.Content(title=title, body="The report was of Monday. " * 40)
        words.change_kind = content.CHANGE_KIND_INITIAL if number < 10 else content.CHANGE_KIND_MAJOR
        words.change_note = "" if number < 10 else f"Change {number}."
        draft = drafts.Draft(name=f"{name}/drafts/en", content=words)
        draft = self.call(self.stub.SaveDraft, editorial.SaveDraftRequest(draft=draft)).draft
        one = editorial.DraftToPublish(language_code="en", etag=draft.etag)
        request = editorial.PublishDraftsRequest(parent=name, drafts=[one], force=True, reason="A test.")
        [live] = self.call(self.stub.PublishDrafts, request).live
        self.answered[title] = live.sequence

    def run(self):
        try:
            number = 0
            while not self.stopped.is_set():
                self.publish(number)
                number += 1
                self.stopped.wait(random.uniform(0, 2 * PAUSE))
        except BaseException as error:
            self.died = error
            raise


def streams():
    """How many streams of subscribers are open: begun, and not ended."""
    try:
        text = urllib.request.urlopen(f"http://{metrics_address}/metrics", timeout=10).read().decode()
    except OSError:
        return 0
    count = lambda what: sum(int(n) for n in re.findall(rf'^grpc_server_{what}_total{{.*"Subscribe".*}} (\d+)$', text, re.M))
    return count("started") - count("handled")


def listens():
    """Whether the proxy takes connections: it starts once, before all others."""
    with socket.socket() as probe:
        host, port = proxy_address.split(":")
        return probe.connect_ex((host, int(port))) == 0


def wait_until(what, is_so):
    end = time.monotonic() + PATIENCE
    while not is_so():
        for name, process in processes.items():
            assert process.poll() is None, f"{name} ended by itself, with {process.returncode}"
        for editor in editors:
            assert editor.died is None, f"editor {editor.number}: {editor.died}"
        assert time.monotonic() < end, f"not within {PATIENCE} s: {what()}"
        time.sleep(0.1)


def restart():
    """Seconds from SIGTERM to the end of the service. The next one is started soon after."""
    began = time.monotonic()
    processes["service"].send_signal(signal.SIGTERM)
    status = processes["service"].wait(DRAIN + PATIENCE)
    took = time.monotonic() - began
    assert status == 0, f"the service exited with {status}"
    assert took < DRAIN, f"the service took {took:.1f} s to drain"
    time.sleep(random.uniform(0, AWAY_MAX))
    processes["service"] = serve()
    return took


def whole_feed(stub):
    events, request = [], feed.ReadFeedRequest(start=feed.START_BEGINNING)
    while (page := stub.ReadFeed(request, metadata=[("onrecord-caller", "checker")], timeout=30)).deliveries:
        events += [delivery.event for delivery in page.deliveries]
        request = feed.ReadFeedRequest(start=feed.START_CURSOR, cursor=page.cursor)
    return events


def acknowledged(stub):
    """How far each name is, as the service knows."""
    request = feed.ListSubscriptionsRequest(page_size=1000)
    answer = stub.ListSubscriptions(request, metadata=[("onrecord-caller", "checker")], timeout=30)
    return {one.name: one.acknowledged_sequence for one in answer.subscriptions}


def python_site(number):
    try:
        with open(f"{work}/python-{number}.json") as file:
            return json.load(file)
    except FileNotFoundError:
        return {"last": 0}


def check_feed(events):
    """Each publication is there once, where it was answered to be."""
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    answered = {title: sequence for editor in editors for title, sequence in editor.answered.items()}
    titles = collections.Counter(event.live.edition.content.title for event in events)
    assert set(titles) == set(answered), set(titles) ^ set(answered)
    assert set(titles.values()) == {1}, [title for title, times in titles.items() if times > 1]
    assert {event.live.edition.content.title: event.sequence for event in events} == answered
    return len(answered)


def check_crowd(tallies, events):
    """Each has everything once, in order."""
    digest = bytes(32)
    for event in events:
        digest = hashlib.sha256(digest + event.hash.encode()).digest()
    wanted = {"applied": len(events), "last": len(events), "digest": digest.hex()}
    wanted |= {"duplicates": 0, "gaps": 0, "resyncs": 0, "failed": None}
    for tally in tallies:
        got = {key: tally[key] for key in wanted}
        assert got == wanted, f"site {tally['site']} has {got}, not {wanted}"
        # A site that waits longer than a restart takes is on no stream when the next one comes.
        closed = {"REASON_DRAIN": min(restarts, tally["streams"] - 1)}
        assert tally["closed"] == closed and tally["streams"] > 1, f"site {tally['site']} was closed {tally['closed']}: {tally}"


def check_python(events):
    for number in range(PYTHON_SITES):
        held = python_site(number)
        got = held["applied"], held["last"], held["hash"]
        assert got == (len(events), len(events), events[-1].hash), f"python site {number} has {got}"
        titles = {page["sequence"]: page["title"] for page in held["pages"].values()}
        assert all(events[sequence - 1].live.edition.content.title == title for sequence, title in titles.items())
        assert len(titles) == len({event.statement for event in events})


processes, editors, drains = {}, [Editor(number) for number in range(EDITORS)], []
try:
    processes["service"] = serve()
    processes["proxy"] = proxy()
    wait_until(lambda: "nobody listens as the proxy", listens)
    direct = feed_grpc.FeedServiceStub(connect(service_address))
    for name in NAMES:
        request = feed.CreateSubscriptionRequest(subscription_id=name, subscription=subscriptions.Subscription())
        direct.CreateSubscription(request, metadata=[("onrecord-caller", "editor")], wait_for_ready=True, timeout=PATIENCE)
    for editor in editors:
        editor.start()
    for kind, (count, name) in CROWDS.items():
        command = [crowd, f"http://{proxy_address}", str(count), *([name] if name else [])]
        pipes = {"stdin": subprocess.PIPE, "stdout": open(f"{work}/{kind}.jsonl", "w"), "stderr": log(kind)}
        processes[kind] = subprocess.Popen(command, **pipes, text=True)
    for number in range(PYTHON_SITES):
        name = f"python-{number}"
        command = [sys.executable, "examples/python/site.py", proxy_address, f"{work}/{name}.json"]
        command += [name] if name in NAMES else []
        processes[name] = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log(name))

    began = time.monotonic()
    for _ in range(restarts):
        wait_until(lambda: f"{streams()} of {SUBSCRIBERS} streams are open", lambda: streams() == SUBSCRIBERS)
        time.sleep(random.uniform(LOAD, 2 * LOAD))
        drains.append(restart())
    wait_until(lambda: f"{streams()} of {SUBSCRIBERS} streams are open", lambda: streams() == SUBSCRIBERS)
    time.sleep(LOAD)
    took = time.monotonic() - began
    for editor in editors:
        editor.stopped.set()
    for editor in editors:
        editor.join(PATIENCE)
        assert not editor.is_alive() and editor.died is None, f"editor {editor.number}: {editor.died}"

    events = whole_feed(direct)
    behind = lambda: [number for number in range(PYTHON_SITES) if python_site(number)["last"] < len(events)]
    wait_until(lambda: f"python sites {behind()} have all {len(events)} events", lambda: not behind())

    behind = lambda: {name: sequence for name, sequence in acknowledged(direct).items() if sequence != len(events)}
    wait_until(lambda: f"the service knows {behind()}, not {len(events)}", lambda: not behind())
    assert len(acknowledged(direct)) == len(NAMES)
    tallies = []
    for kind, (count, _) in CROWDS.items():
        print(len(events), file=processes[kind].stdin, flush=True)
        try:
            processes[kind].wait(PATIENCE)
        except subprocess.TimeoutExpired:
            processes[kind].stdin.close()  # It says what it has.
            processes[kind].wait(PATIENCE)
        tallies += [json.loads(line) for line in open(f"{work}/{kind}.jsonl")]
        assert processes.pop(kind).returncode == 0, [tally["failed"] for tally in tallies]
    assert len(tallies) == sum(count for count, _ in CROWDS.values())
    publications = check_feed(events)
    check_crowd(tallies, events)
    check_python(events)
    surfaced = sum((editor.surfaced for editor in editors), collections.Counter())
    lost = sum((collections.Counter(tally["lost"]) for tally in tallies), collections.Counter())
    said = [line.strip() for number in range(PYTHON_SITES) for line in open(f"{work}/python-{number}.log")]
    others = [line for line in said if not line.startswith("lost: StatusCode.UNAVAILABLE")]
    absorbed = collections.Counter(line.removeprefix("lost: StatusCode.") for line in said)
    answers = sorted(moment for editor in editors for moment in editor.answers)
    gap = max(after - before for before, after in zip(answers, answers[1:]))
    longest = max(editor.longest for editor in editors)
    away = max(tally["away_seconds_max"] for tally in tallies)

    say = lambda words: print(f"behind {proxy_name}: {words}", flush=True)
    say(f"{restarts} restarts in {took:.0f} s under load")
    say(f"{publications} publications, {len(events)} events: each once, where it was answered to be")
    say(f"{len(tallies)} sites of onrecord::client, {PYTHON_SITES} of grpcio: each has every event once, in order; those of onrecord::client were told of each restart while they followed")
    say(f"SIGTERM to exit: {min(drains):.2f} s, {statistics.median(drains):.2f} s, {max(drains):.2f} s (least, median, most)")
    say(f"editors: the longest gap without an answer to any of them {gap:.2f} s, the longest call {longest:.2f} s")
    say(f"sites: the longest time without a stream {away:.2f} s")
    say(f"absorbed by onrecord::client: {dict(lost)}; by the loop of site.py: {dict(absorbed)}")
    say(f"came out of a library: to editors {dict(surfaced) or 'nothing'}; to sites {others or 'nothing'}")
    assert not surfaced and not others, "a client library did not absorb everything"
finally:
    # Who calls goes first. nginx is told to go: killed, it leaves its workers behind.
    for name in sorted(processes, key=["proxy", "service"].__contains__):
        (processes[name].terminate if name == "proxy" else processes[name].kill)()
        processes[name].wait()
