"""Serves a page from two origins, of which the service lists one, opens them in Chromium, and checks what the page reports, over a restart.

Usage: drive.py ONRECORD PORT WORK. WORK has the stubs, page.js, service.crt, service.key, and home/ with the certificate for Chromium.
"""

import http.server
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import uuid

import grpc
from onrecord.v1 import content_pb2 as content
from onrecord.v1 import draft_pb2 as drafts
from onrecord.v1 import editorial_service_pb2 as editorial
from onrecord.v1 import editorial_service_pb2_grpc as editorial_grpc
from onrecord.v1 import statement_pb2 as statements

ONRECORD, PORT, WORK = sys.argv[1], int(sys.argv[2]), sys.argv[3]
PATIENCE = 60  # seconds
TITLE = "Es brennt nicht: “Entwarnung”"
PAGE = b'<!doctype html><meta charset="utf-8"><title>A page</title><script type="module" src="/page.js"></script>'


class Origin:
    """A server of the page, and the reports of the page."""

    def __init__(self):
        reports = self.reports = queue.Queue()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                is_script = self.path == "/page.js"
                body = open(f"{WORK}/page.js", "rb").read() if is_script else PAGE
                self.send_response(200)
                self.send_header("content-type", "text/javascript" if is_script else "text/html")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self):
                reports.put(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def next(self, name):
        got, result = self.reports.get(timeout=PATIENCE)
        assert got == name, (got, result)
        print(f"chromium: {name}: {result}")
        return result


def token(caller):
    """Creates a token, and its rows for the policy."""
    made = subprocess.run([ONRECORD, "token", caller], check=True, capture_output=True, text=True)
    return made.stdout.strip(), made.stderr


def serve(origin):
    command = [ONRECORD, "serve", "--data-dir", f"{WORK}/record", "--listen", f"127.0.0.1:{PORT}", "--policy", f"{WORK}/policy.toml"]
    command += ["--tls-certificate", f"{WORK}/service.crt", "--tls-key", f"{WORK}/service.key", "--grpc-web-origin", origin]
    return subprocess.Popen(command, stderr=open(f"{WORK}/log", "a"))


def publish(editor, metadata, id):
    def call(method, request):
        request.request_id = str(uuid.uuid4())
        return method(request, metadata=metadata, timeout=PATIENCE, wait_for_ready=True)

    statement = statements.Statement(kind="notice", source_language_code="de")
    call(editor.CreateStatement, editorial.CreateStatementRequest(statement_id=id, statement=statement))
    draft = drafts.Draft(name=f"statements/{id}/drafts/de", content=content.Content(title=TITLE))
    draft = call(editor.SaveDraft, editorial.SaveDraftRequest(draft=draft)).draft
    one = editorial.DraftToPublish(language_code="de", etag=draft.etag)
    request = editorial.PublishDraftsRequest(parent=f"statements/{id}", drafts=[one], force=True, reason="A test.")
    call(editor.PublishDrafts, request)


def browse(profile, url):
    environment = {"PATH": os.environ["PATH"], "HOME": f"{WORK}/home"}
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
    flags += ["--disable-component-update", "--disable-sync", f"--user-data-dir={WORK}/{profile}"]
    with open(f"{WORK}/chromium.log", "ab") as log:
        return subprocess.Popen(["chromium", *flags, url], env=environment, stdout=log, stderr=log, start_new_session=True)


listed, other = Origin(), Origin()
(desk, desk_row), (page, page_row) = token("desk"), token("page")
with open(f"{WORK}/policy.toml", "w") as policy:
    policy.write('[[grants]]\nto = ["desk"]\nroles = ["author", "publisher"]\n\n[[grants]]\nto = ["page"]\nroles = ["subscriber"]\n\n')
    policy.write(f"{desk_row}\n{page_row}")
service = serve(listed.url)
browsers = []
try:
    secure = grpc.ssl_channel_credentials(open(f"{WORK}/service.crt", "rb").read())
    editor = editorial_grpc.EditorialServiceStub(grpc.secure_channel(f"localhost:{PORT}", secure))
    metadata = [("authorization", f"Bearer {desk}")]
    publish(editor, metadata, "fire")

    at = f"#https://localhost:{PORT}%20{page}"
    browsers.append(browse("listed", f"{listed.url}/{at}"))
    assert listed.next("caller") == "page"
    assert listed.next("title") == TITLE
    assert listed.next("error") == ["NotFound", "STATEMENT_NOT_FOUND", "onrecord", True]
    assert listed.next("deadline") == "DeadlineExceeded"
    assert listed.next("event") == [1, "PUBLISHED", "statements/fire"]
    service.send_signal(signal.SIGTERM)
    assert service.wait(PATIENCE) == 0
    service = serve(listed.url)
    publish(editor, metadata, "last")
    assert listed.next("event") == [2, "PUBLISHED", "statements/last"]
    assert listed.next("end") is True

    browsers.append(browse("other", f"{other.url}/{at}"))
    assert "Failed to fetch" in other.next("caller"), "a page of another origin may not call"
finally:
    for browser in browsers:
        os.killpg(browser.pid, signal.SIGKILL)
    service.kill()
    service.wait()
print("chromium: connect-web reads, follows over a restart, and learns why it is refused; a page of another origin may not call")
