"""A service to look at: what the tests of deploy/ do as its callers. It runs as a program here, or in a container.

Callers, tokens and certificates are those of deploy/compose/prepare.
"""

import os
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc

ROOT = Path(__file__).parents[2]
START_SECONDS = 30


def stubs(directory):
    """Makes the Python stubs of proto/ and lets them be imported."""
    directory.mkdir(parents=True)
    protos = sorted(str(path) for path in ROOT.glob("proto/onrecord/v1/*.proto"))
    command = [sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={ROOT}/proto", f"--python_out={directory}"]
    subprocess.run([*command, f"--grpc_python_out={directory}", *protos], check=True)
    sys.path.insert(0, str(directory))


def wait_until(what, holds, seconds):
    """Waits until it holds, and gives what it gave; says what was waited for if it does not."""
    end = time.monotonic() + seconds
    while True:
        result = holds()
        if result:
            return result
        if time.monotonic() > end:
            raise SystemExit(f"not within {seconds} s: {what}")
        time.sleep(0.2)


class Callers:
    """Those who call a service at an address, with their tokens."""

    def __init__(self, binary, files, address):
        self.binary, self.files, self.address = str(binary), Path(files), address
        ca = (self.files / "ca.crt").read_bytes()
        self.channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(ca))
        self.tokens = {path.stem: path.read_text() for path in (self.files / "tokens").iterdir()}

    def environment(self, caller):
        ours = {"SERVER": f"https://{self.address}", "CA_FILE": self.files / "ca.crt", "TOKEN_FILE": self.files / f"tokens/{caller}.token"}
        return os.environ | {f"ONRECORD_{name}": str(value) for name, value in ours.items()}

    def onrecord(self, caller, *words, check=True, text=None):
        """What the command line says."""
        done = subprocess.run(
            [self.binary, *map(str, words)], env=self.environment(caller), capture_output=True, text=True, input=text, timeout=120
        )
        if check and done.returncode:
            raise SystemExit(f"{caller}: onrecord {' '.join(map(str, words))} ended with {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def call(self, caller, method, request, token=None):
        """One call over gRPC: `EditorialService/SaveDraft`."""
        from onrecord.v1 import editorial_service_pb2_grpc, feed_service_pb2_grpc, statement_service_pb2_grpc

        homes = {
            "EditorialService": editorial_service_pb2_grpc.EditorialServiceStub,
            "FeedService": feed_service_pb2_grpc.FeedServiceStub,
            "StatementService": statement_service_pb2_grpc.StatementServiceStub,
        }
        service, name = method.split("/")
        if "request_id" in request.DESCRIPTOR.fields_by_name and not request.request_id:
            request.request_id = str(uuid.uuid4())
        metadata = [("authorization", f"Bearer {token or self.tokens[caller]}")]
        return getattr(homes[service](self.channel), name)(request, metadata=metadata, timeout=20, wait_for_ready=True)

    def create(self, statement):
        from onrecord.v1 import editorial_service_pb2 as editorial, statement_pb2

        new = statement_pb2.Statement(kind="notice", source_language_code="en")
        self.call("author", "EditorialService/CreateStatement", editorial.CreateStatementRequest(statement_id=statement, statement=new))

    def save(self, statement, title, body="", first=False, etag=""):
        """A draft, and its etag."""
        from onrecord.v1 import content_pb2 as content, draft_pb2, editorial_service_pb2 as editorial

        words = content.Content(title=title, body=body, change_kind=content.CHANGE_KIND_INITIAL if first else content.CHANGE_KIND_MINOR)
        draft = draft_pb2.Draft(name=f"statements/{statement}/drafts/en", content=words, etag=etag)
        return self.call("author", "EditorialService/SaveDraft", editorial.SaveDraftRequest(draft=draft)).draft.etag

    def approve(self, statement, title, body="", first=False):
        """A draft that somebody else has approved, and its etag."""
        from onrecord.v1 import editorial_service_pb2 as editorial

        name, etag = f"statements/{statement}/drafts/en", self.save(statement, title, body, first)
        etag = self.call("author", "EditorialService/SubmitDraft", editorial.SubmitDraftRequest(name=name, etag=etag)).draft.etag
        approve = editorial.ApproveDraftRequest(name=name, etag=etag)
        return self.call("reviewer", "EditorialService/ApproveDraft", approve).draft.etag

    def publish(self, statement, title, body="", first=False):
        """One event."""
        from onrecord.v1 import editorial_service_pb2 as editorial

        one = editorial.DraftToPublish(language_code="en", etag=self.approve(statement, title, body, first))
        request = editorial.PublishDraftsRequest(parent=f"statements/{statement}", drafts=[one])
        self.call("publisher", "EditorialService/PublishDrafts", request)

    def publish_many(self, statements, editions):
        """So many editions of so many statements, all at once."""

        def publish_all(number):
            statement = f"statement-{number}"
            self.create(statement)
            for edition in range(editions):
                self.publish(statement, f"Edition {edition}", first=edition == 0)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(publish_all, range(statements)))

    def fill(self, statement, count):
        """Makes a statement and saves texts over each other, of 375 KB each, which take half of that on disk."""
        self.create(statement)
        etag = ""
        for number in range(count):
            etag = self.save(statement, f"Text {number}", secrets.token_hex(187_500), first=True, etag=etag)


class Service(Callers):
    """A service that runs here."""

    def __init__(self, binary, files, data, log, port, *flags, variables=None):
        super().__init__(binary, files, f"127.0.0.1:{port}")
        self.operator = f"127.0.0.1:{port + 1}"
        self.log, self.process, self.variables = Path(log), None, variables or {}
        self.command = [
            *(self.binary, "serve", "--data-dir", data, "--listen", self.address, "--metrics-listen", self.operator),
            *("--policy", self.files / "service/policy.toml", "--log-format", "json"),
            *("--tls-certificate", self.files / "service/tls/tls.crt", "--tls-key", self.files / "service/tls/tls.key", *flags),
        ]

    def start(self, file_kib_max=None):
        """Starts it, and waits until it is ready."""
        self.launch(file_kib_max)
        self.wait_until_ready()

    def launch(self, file_kib_max=None):
        """Starts it; writes to a file beyond so many KiB fail."""
        command = list(map(str, self.command))
        if file_kib_max:
            # The signal is ignored, so that the write fails instead.
            command = ["bash", "-c", f"trap '' XFSZ; ulimit -f {file_kib_max}; exec \"$@\"", "bash", *command]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(command, stderr=log, env=os.environ | self.variables)

    def wait_until_ready(self):
        wait_until(f"the service is ready: see its log\n{self.log}", self.is_up, START_SECONDS)

    def is_up(self):
        if self.process.poll() is not None:
            raise SystemExit(f"the service ended with {self.process.returncode}\n{self.log.read_text()[-2000:]}")
        try:
            return self.get("/readyz")
        except (urllib.error.URLError, ConnectionError):
            return ""

    def get(self, path):
        with urllib.request.urlopen(f"http://{self.operator}{path}", timeout=10) as answer:
            return answer.read().decode()

    def stop(self, kill=False):
        if self.process and self.process.poll() is None:
            (self.process.kill if kill else self.process.terminate)()
            self.process.wait(60)
