"""A web page in Chromium, with a client certificate that may create statements: it creates none, and is refused before access control.

Usage: browser.py ONRECORD PORT WORK. WORK has the stubs, ca.crt, service.crt, service.key, editor.crt, editor.key, and home/ with the certificate
of the editor for Chromium, which a policy has it select for https://localhost:PORT.
"""

import base64
import http.server
import json
import os
import queue
import re
import signal
import struct
import subprocess
import sys
import threading
import time
import urllib.request

import grpc
from onrecord.v1 import editorial_service_pb2 as editorial
from onrecord.v1 import editorial_service_pb2_grpc as editorial_grpc
from onrecord.v1 import statement_pb2 as statements

ONRECORD, PORT, WORK = sys.argv[1], int(sys.argv[2]), sys.argv[3]
PATIENCE = 60  # seconds
EDITOR = "spiffe://lumeo.example/editor"
POLICY = f"""
[[grants]]
to = ["{EDITOR}"]
roles = ["author", "auditor"]
"""
# What a page may send to another site without its permission: fetch with `no-cors`, a form, a beacon. And what it may ask permission for.
PAGE = """<!doctype html><title>A page of somebody else</title><form method="post"></form><script>
const url = "https://localhost:%d/onrecord.v1.EditorialService/CreateStatement";
const frame = Uint8Array.from(atob("%s"), (c) => c.charCodeAt(0));
const said = async (name, what) => {
  let end;
  try { end = String(await what()); } catch (error) { end = "refused: " + error; }
  await fetch("/said", {method: "POST", body: JSON.stringify([name, end])});
};
const send = (type, more) => async () => {
  const headers = type ? {"content-type": type} : {};
  const answer = await fetch(url, {method: "POST", mode: "no-cors", credentials: "include", body: frame, headers, ...more});
  return answer.type;
};
(async () => {
  await said("no-cors text/plain", send("text/plain"));
  await said("no-cors form", send("application/x-www-form-urlencoded"));
  await said("no-cors multipart", send("multipart/form-data"));
  await said("no-cors without a type", send(""));
  await said("no-cors GET", () => send("", {method: "GET", body: undefined})());
  await said("beacon", () => navigator.sendBeacon(url, new Blob([frame])));
  await said("cors application/grpc", send("application/grpc", {mode: "cors"}));
  await fetch("/said", {method: "POST", body: JSON.stringify(["end", ""])});
})();
</script>"""
# Of these the service sees a request with a wrong content type; of one a GET, and of one a preflight: OPTIONS.
BY_TYPE, BY_METHOD = 5, 2


def free_port():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), None) as probe:
        return probe.server_address[1]


def site(frame, heard):
    """A site of somebody else: another host, another port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            page = (PAGE % (PORT, base64.b64encode(frame).decode())).encode()
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.send_header("content-length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def do_POST(self):
            heard.put(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def browse(url):
    environment = {"PATH": os.environ["PATH"], "HOME": f"{WORK}/home"}
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
    flags += ["--disable-component-update", "--disable-sync", f"--user-data-dir={WORK}/profile"]
    with open(f"{WORK}/chromium.log", "wb") as log:
        return subprocess.Popen(["chromium", *flags, url], env=environment, stdout=log, stderr=log, start_new_session=True)


def channel():
    read = lambda name: open(f"{WORK}/{name}", "rb").read()
    secure = grpc.ssl_channel_credentials(read("ca.crt"), read("editor.key"), read("editor.crt"))
    return grpc.secure_channel(f"localhost:{PORT}", secure)


def metric(operator, name):
    with urllib.request.urlopen(f"http://127.0.0.1:{operator}/metrics", timeout=PATIENCE) as answer:
        found = re.search(rf"^{re.escape(name)} (\S+)$", answer.read().decode(), re.MULTILINE)
    assert found, name
    return float(found.group(1))


def attack(frame):
    """Opens the page and returns what it was told of each request."""
    heard = queue.Queue()
    other, told = site(frame, heard), {}
    browser = browse(f"http://127.0.0.1:{other.server_address[1]}/")
    try:
        while "end" not in told:
            told.update([heard.get(timeout=PATIENCE)])
    finally:
        os.killpg(browser.pid, signal.SIGKILL)
        browser.wait()
        other.shutdown()
    return told


def check(log, operator):
    create = editorial.CreateStatementRequest(
        statement_id="forged", statement=statements.Statement(kind="notice", source_language_code="en")
    )
    message = create.SerializeToString()
    told = attack(b"\0" + struct.pack(">I", len(message)) + message)
    for name, end in told.items():
        print(f"browser: {name}: {end}")
    refused = lambda reason: metric(operator, f'onrecord_requests_refused_total{{reason="{reason}"}}')
    until = time.monotonic() + PATIENCE
    # A beacon goes out when it pleases.
    while (refused("content_type"), refused("method")) != (BY_TYPE, BY_METHOD):
        assert time.monotonic() < until, (refused("content_type"), refused("method"), told)
        time.sleep(0.1)
    assert told["no-cors text/plain"] == "opaque" and told["cors application/grpc"].startswith("refused"), told

    lines = [json.loads(line) for line in open(log)]
    lines = [line for line in lines if line["fields"].get("message") == "refused: no gRPC call"]
    shown = [(line["fields"]["status"], EDITOR in line["fields"]["peer"], line["fields"].get("content_type")) for line in lines]
    print(f"service: {len(shown)} refused; with the certificate of the editor: {sum(has for _, has, _ in shown)}")
    assert (415, True, "text/plain") in shown, shown
    assert sum(status == 415 and has for status, has, _ in shown) == BY_TYPE, shown

    stub = editorial_grpc.EditorialServiceStub(channel())
    entries = stub.ListEntries(editorial.ListEntriesRequest(), timeout=PATIENCE).entries
    assert not entries, f"something was written: {entries}"
    # With the same certificate and the same bytes it is a call that may be made, and the id was free.
    assert stub.CreateStatement(create, timeout=PATIENCE).statement.name == "statements/forged"
    print("browser: nothing was created; the same bytes with the same certificate, as gRPC, create it")


def main():
    operator, log = free_port(), f"{WORK}/log"
    with open(f"{WORK}/policy.toml", "w") as policy:
        policy.write(POLICY)
    settings = ["--policy", f"{WORK}/policy.toml", "--tls-certificate", f"{WORK}/service.crt", "--tls-key", f"{WORK}/service.key"]
    settings += ["--tls-client-ca", f"{WORK}/ca.crt", "--metrics-listen", f"127.0.0.1:{operator}", "--log-format", "json"]
    listen = ["serve", "--data-dir", f"{WORK}/record", "--listen", f"127.0.0.1:{PORT}"]
    with open(log, "wb") as words:
        service = subprocess.Popen([ONRECORD, *listen, *settings], stderr=words)
    try:
        grpc.channel_ready_future(channel()).result(timeout=PATIENCE)
        check(log, operator)
    except BaseException:
        for name in ("log", "chromium.log"):
            print(f"-- {name}", open(f"{WORK}/{name}", errors="replace").read()[-4000:], sep="\n", file=sys.stderr)
        raise
    finally:
        service.terminate()
        service.wait()


main()
