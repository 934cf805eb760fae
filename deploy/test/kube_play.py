"""Runs the pod of a StatefulSet with `podman kube play`, and asks its probes as a kubelet does. Usage: kube_play.py DIRECTORY IMAGE.

DIRECTORY has manifest.yaml, the stubs, what the Secrets have (tls.crt, tls.key, policy.toml), and carl.token, of an operator. What is played is the
template of the pod as it is, but for what podman (4.3) does otherwise than Kubernetes:
- The template of the volume claim is a claim. The image is the one that is given, and is not pulled. A pod that ends is not started again.
- podman asks probes with `curl` inside the container, which has none: they are taken out, and asked from here, as a kubelet does.
- podman publishes every port on this machine: ports are taken out. The pod has an address of its own.
- podman mounts Secrets undecoded: they are directories here, with the owner, group and mode that Kubernetes gives them.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import grpc
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc
from onrecord.v1 import statement_service_pb2 as reading
from onrecord.v1 import statement_service_pb2_grpc as reading_grpc

work, image = pathlib.Path(sys.argv[1]), sys.argv[2]
NAME = f"onrecord-play-{os.getpid()}"
SECRETS = {"onrecord-tls": ["tls.crt", "tls.key"], "onrecord-policy": ["policy.toml"]}
PROBES = ["startupProbe", "readinessProbe", "livenessProbe"]


def say(words):
    print("kube-play:", words)


def podman(*arguments):
    done = subprocess.run(["podman", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, f"podman {' '.join(arguments)}: {done.stderr}"
    return done.stdout.strip()


def played(documents):
    """What podman plays, and the probes that were taken out."""
    stateful = next(document for document in documents if document["kind"] == "StatefulSet")["spec"]
    spec = stateful["template"]["spec"]
    [container] = spec["containers"]
    probes = {probe: container.pop(probe) for probe in PROBES}
    ports = {port["name"]: port["containerPort"] for port in container.pop("ports")}
    container["image"], container["imagePullPolicy"] = image, "Never"
    spec["restartPolicy"] = "Never"  # it is started again by nobody: so it is seen when it ends
    for volume in spec["volumes"]:
        if "secret" in volume:
            volume["hostPath"] = secret(volume.pop("secret"), spec["securityContext"]["fsGroup"])
    claims = []
    for template in stateful["volumeClaimTemplates"]:
        claim = f"{NAME}-{template['metadata']['name']}"
        spec["volumes"].append({"name": template["metadata"]["name"], "persistentVolumeClaim": {"claimName": claim}})
        claims.append({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": claim}, "spec": template["spec"]})
    metadata = {"name": NAME, "labels": stateful["template"]["metadata"]["labels"]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    maps = [document for document in documents if document["kind"] == "ConfigMap"]
    return [*maps, *claims, pod], probes, ports


def secret(source, group):
    """A directory as the volume of a Secret is."""
    directory = work / source["secretName"]
    directory.mkdir()
    for name in SECRETS[source["secretName"]]:
        shutil.copy(work / name, directory)
        os.chown(directory / name, 0, group)
        (directory / name).chmod(source["defaultMode"])
    return {"path": str(directory), "type": "Directory"}


def asked(probe, address, ports):
    """Whether one probe is answered, within its time."""
    get = probe["httpGet"]
    port = ports.get(get["port"], get["port"])
    try:
        with urllib.request.urlopen(f"http://{address}:{port}{get['path']}", timeout=probe.get("timeoutSeconds", 1)) as answer:
            return 200 <= answer.status < 400
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


def until_answered(probe, address, ports):
    """Asks as often as it may fail; says how long it took."""
    began = time.monotonic()
    for _ in range(probe.get("failureThreshold", 3)):
        if asked(probe, address, ports):
            return time.monotonic() - began
        assert podman("pod", "inspect", "--format", "{{.State}}", NAME) == "Running", "the pod has ended"
        time.sleep(probe.get("periodSeconds", 10))
    raise AssertionError(f"never answered: {probe}")


def check(spec, probes, ports):
    [container] = spec["containers"]
    running = f"{NAME}-{container['name']}"
    infra = json.loads(podman("pod", "inspect", NAME))["InfraContainerID"]
    [network] = json.loads(podman("inspect", infra))[0]["NetworkSettings"]["Networks"].values()
    address = network["IPAddress"]

    took = until_answered(probes["startupProbe"], address, ports)
    say(f"startupProbe {probes['startupProbe']['httpGet']['path']}: answered after {took:.1f} s")
    for probe in ["livenessProbe", "readinessProbe"]:
        # It lives before it is ready.
        until_answered(probes[probe], address, ports)
        say(f"{probe} {probes[probe]['httpGet']['path']}: answered")

    process = int(podman("inspect", "--format", "{{.State.Pid}}", running))
    status = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{process}/status").read_text().splitlines())
    user = spec["securityContext"]["runAsUser"]
    assert status["Uid"].split() == [str(user)] * 4 and int(status["CapEff"], 16) == 0 and status["NoNewPrivs"] == "1", status
    assert json.loads(podman("inspect", running))[0]["HostConfig"]["ReadonlyRootfs"]
    say(f"it runs as {user}, read-only, without a capability")

    authority = (work / "tls.crt").read_bytes()
    channel = grpc.secure_channel(
        f"{address}:{ports['grpc']}", grpc.ssl_channel_credentials(authority), [("grpc.ssl_target_name_override", "onrecord")]
    )
    for service in ["", "onrecord.v1.EditorialService", "onrecord.v1.FeedService"]:
        health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
        assert health.status == health_pb2.HealthCheckResponse.SERVING, service
    token = (work / "carl.token").read_text().strip()
    reader = reading_grpc.StatementServiceStub(channel)
    reader.ListStatements(reading.ListStatementsRequest(), metadata=[("authorization", f"Bearer {token}")], timeout=10)
    try:
        reader.ListStatements(reading.ListStatementsRequest(), timeout=10)
        raise AssertionError("it answers who shows no token")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.UNAUTHENTICATED, error
    say("grpcio over TLS: every service is SERVING; a caller with a token of the Secret is answered, one without is not")

    os.kill(process, signal.SIGSTOP)
    try:
        assert not any(asked(probes[probe], address, ports) for probe in PROBES), "a process that hangs answers its probes"
    finally:
        os.kill(process, signal.SIGCONT)
    assert asked(probes["livenessProbe"], address, ports)
    say("while the process hangs no probe is answered, afterwards they are")

    grace, began = spec["terminationGracePeriodSeconds"], time.monotonic()
    podman("stop", "--time", str(grace), running)
    took, code = time.monotonic() - began, json.loads(podman("inspect", running))[0]["State"]["ExitCode"]
    assert code == 0 and took < grace, (code, took)
    say(f"SIGTERM: exit 0 after {took:.1f} s, of {grace} s")


def main():
    documents = [document for document in yaml.safe_load_all((work / "manifest.yaml").read_text()) if document]
    play, probes, ports = played(documents)
    spec = play[-1]["spec"]
    (work / "pod.yaml").write_text(yaml.safe_dump_all(play, sort_keys=False))
    volumes = [document["metadata"]["name"] for document in play[:-1]]  # podman makes one of each, by its name
    try:
        podman("kube", "play", str(work / "pod.yaml"))
        check(spec, probes, ports)
    except BaseException:
        subprocess.run(["podman", "logs", "--tail", "20", f"{NAME}-{spec['containers'][0]['name']}"])
        raise
    finally:
        subprocess.run(["podman", "pod", "rm", "--force", "--time", "0", NAME], capture_output=True)
        for volume in volumes:
            subprocess.run(["podman", "volume", "rm", "--force", volume], capture_output=True)


main()
