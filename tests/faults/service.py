"""A running onrecord, and what is asked of it, for the tests in this folder."""

import atexit
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from google.rpc import error_details_pb2
from onrecord.v1 import editorial_service_pb2 as editorial
from onrecord.v1 import editorial_service_pb2_grpc as editorial_grpc
from onrecord.v1 import statement_pb2
from onrecord.v1 import statement_service_pb2 as statements
from onrecord.v1 import statement_service_pb2_grpc as statements_grpc

ONRECORD, WORK, PORT = sys.argv[1:4]
DATA = os.path.join(WORK, "record")
# Servers follow upon each other, so one port does for all.
METRICS = f"127.0.0.1:{int(PORT) + 1}"
LOG = os.path.join(WORK, "log")
CALLER = (("onrecord-caller", "tester"),)
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVING = health_pb2.HealthCheckResponse.SERVING


class Server:
    """A server, perhaps with a system call that fails, or started by another command."""

    def __init__(self, inject=None, prefix=(), environment=None):
        command = [*prefix, ONRECORD, "serve", "--insecure", "--listen", f"127.0.0.1:{PORT}", "--data-dir", DATA, "--metrics-listen", METRICS]
        if inject:
            call = inject.split(":")[0]
            command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={inject}", *command]
        environment = {**os.environ, **(environment or {})}
        self.process = subprocess.Popen(command, stderr=open(LOG, "w"), start_new_session=True, env=environment)
        self.channel = grpc.insecure_channel(f"127.0.0.1:{PORT}")
        # A test that fails leaves none behind: it would hold the output open.
        atexit.register(lambda: self.process.poll() is None and self.kill())
        self.editorial = editorial_grpc.EditorialServiceStub(self.channel)
        self.statements = statements_grpc.StatementServiceStub(self.channel)

    def is_up(self):
        while self.process.poll() is None:
            if reads(self):
                return True
            time.sleep(0.05)
        return False

    def stop(self):
        """As an orchestrator does it."""
        self.channel.close()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0, open(LOG).read()

    def kill(self):
        self.channel.close()
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


def onrecord(*arguments, prefix=(), environment=None):
    """Runs a command of the binary to its end."""
    environment = {**os.environ, **(environment or {})}
    while True:
        done = subprocess.run([*prefix, ONRECORD, *arguments], capture_output=True, text=True, env=environment)
        # What was killed lets go of the store a moment later.
        if "in use by another process" not in done.stderr:
            return done


def tree():
    """Each file of the store, its content and its time."""
    found = {}
    for folder, _, files in os.walk(DATA):
        for name in files:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                found[path] = hashlib.sha256(file.read()).hexdigest(), os.stat(path).st_mtime_ns
    return found


def verified():
    """The report of `verify` on a store without damage, of which it changes nothing."""
    before = tree()
    done = onrecord("verify", "--data-dir", DATA, "--output", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert tree() == before, "verify changed a file"
    report = json.loads(done.stdout)
    assert report["findings"] == [], report
    return report


def clean():
    """The report of `verify` on a store of which nothing is under way either."""
    report = verified()
    assert report["under_way"] == [], report
    return report


def reads(server):
    return refusal_of_a_read(server) is None


def refusal_of_a_read(server):
    try:
        server.statements.ListStatements(statements.ListStatementsRequest(), metadata=CALLER, timeout=10)
        return None
    except grpc.RpcError as error:
        return error.code(), reason(error)


def create(server, name):
    statement = statement_pb2.Statement(kind="notice", source_language_code="en", owner="o" * 100)
    request = editorial.CreateStatementRequest(statement_id=name, statement=statement)
    server.editorial.CreateStatement(request, metadata=CALLER, timeout=30)


def reason(error):
    status = rpc_status.from_call(error)
    for detail in status.details if status else []:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return info.reason
    return None


def write(server, most):
    """Names that were answered, and why it ended."""
    answered = []
    for number in range(most):
        name = f"s-{time.monotonic_ns()}-{number}"
        try:
            create(server, name)
        except grpc.RpcError as error:
            return answered, (error.code(), reason(error))
        answered.append(name)
    return answered, None


def health(server, service):
    stub = health_pb2_grpc.HealthStub(server.channel)
    return stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10).status


def becomes(server, service, expected):
    until = time.monotonic() + 10
    while (status := health(server, service)) != expected and time.monotonic() < until:
        time.sleep(0.01)
    assert status == expected, (service, status)


def closed(server, refusal, answered):
    """The journal is closed: callers are told, reads go on, health says so. Whether the store had to be opened anew for them."""
    assert refusal == (grpc.StatusCode.UNAVAILABLE, "JOURNAL_CLOSED"), refusal
    read = refusal_of_a_read(server)
    assert read is None, read
    for name in answered:
        server.editorial.GetStatementOverview(editorial.GetStatementOverviewRequest(name=f"statements/{name}"), metadata=CALLER, timeout=30)
    becomes(server, "", NOT_SERVING)
    becomes(server, "onrecord.v1.EditorialService", NOT_SERVING)
    becomes(server, "onrecord.v1.StatementService", SERVING)
    log = open(LOG).read()
    assert "journal closed for writing" in log, "the log says why"
    metrics = urllib.request.urlopen(f"http://{METRICS}/metrics", timeout=10).read().decode()
    assert "onrecord_journal_writable 0" in metrics and "onrecord_journal_closed_info{reason=" in metrics, metrics
    return "opened anew" in log


def whole(answered):
    """After the fault: the store is clean, starts, has all that was answered, and takes writes."""
    done = onrecord("verify", "--data-dir", DATA)
    assert done.returncode == 0, done.stdout + done.stderr
    server = Server()
    assert server.is_up(), open(LOG).read()
    for name in answered:
        server.editorial.GetStatementOverview(editorial.GetStatementOverviewRequest(name=f"statements/{name}"), metadata=CALLER, timeout=10)
    assert write(server, 3)[1] is None
    server.kill()
