"""What has to be true of an overlay's output: kubernetes.py NAME OUTPUT SECRETS BINARY. Run by deploy/test/kubernetes, which says what it is for."""

import pathlib
import re
import subprocess
import sys
import tomllib

import yaml
from cloudcoil.models.cert_manager.v1 import Certificate
from kubernetes_validate.utils import all_versions, major_minor, validate
from rules import Book

VERSIONS = 3  # of Kubernetes, the newest
KIB_IDLE, KIB_STALLED = 39, 90  # a subscriber with TLS: docs/sizing.md; and docs/benchmarks/feed.md, "Stalled subscribers"
CACHE_TIMES, TABLE_PERCENT = 3, 6  # memory by cache, and by store: docs/benchmarks/journal.md, "Growth"
MIB_BESIDE = 32  # the process itself, once open and empty: the same
MIB_RECENT, MIB_NEWCOMERS = 64, 160  # recent events, and a crowd of newcomers: docs/sizing.md
CLOSE_SECONDS = 20  # from the end of the drain to the end of the process
OPEN_SECONDS = 8  # after a kill, with a million events: the same
OPEN_TIMES = 10  # as slow as that may a disk be

name, output, secrets, binary = sys.argv[1], *map(pathlib.Path, sys.argv[2:])
VERSION = tomllib.loads(pathlib.Path("Cargo.toml").read_text())["package"]["version"]
book = Book()
rule, fault = book.rule, book.fault


class Output:
    """What kubectl made: its objects, by kind and name."""

    def __init__(self, documents):
        self.documents = documents

    def of(self, kind, name=None):
        found = [one for one in self.documents if one["kind"] == kind and name in (None, one["metadata"]["name"])]
        assert len(found) == 1, f"{len(found)} objects of kind {kind} {name or ''}"
        return found[0]

    @property
    def set(self):
        return self.of("StatefulSet")["spec"]

    @property
    def pod(self):
        return self.set["template"]["spec"]

    @property
    def container(self):
        (container,) = self.pod["containers"]
        return container

    @property
    def ports(self):
        return {port["name"]: port["containerPort"] for port in self.container["ports"]}

    @property
    def settings(self):
        (text,) = self.of("ConfigMap")["data"].values()
        return tomllib.loads(text)

    @property
    def services(self):
        return [one for one in self.documents if one["kind"] == "Service"]


def mebibytes(quantity):
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi)", quantity).groups()
    return int(number) * {"Mi": 1, "Gi": 1024}[unit]


def listened(address):
    host, port = address.rsplit(":", 1)
    assert host == "0.0.0.0", f"{address} cannot be reached from outside the pod"
    return int(port)


# Rules that hold for every overlay.


@rule
def each_object_is_valid_in_three_versions_of_kubernetes(it):
    for one in it.documents:
        if one["kind"] == "Certificate":
            said = Certificate.model_validate(one).model_dump(mode="json", by_alias=True, exclude_unset=True)
            assert said == one, "the Certificate has a field that cert-manager does not know"
            continue
        for version in VALIDATED:
            assert validate(one, version, strict=True) == version


@rule
def one_pod_has_the_store(it):
    assert it.set["replicas"] == 1 and it.set["serviceName"] == "onrecord-headless"
    assert it.of("Service", "onrecord-headless")["spec"]["clusterIP"] == "None"


@rule
def selectors_find_the_pod(it):
    labels = it.set["template"]["metadata"]["labels"]
    selectors = [service["spec"]["selector"] for service in it.services] + [it.set["selector"]["matchLabels"]]
    selectors += [it.of(kind)["spec"][key]["matchLabels"] for kind, key in (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector"))]
    for selector in selectors:
        assert selector and selector.items() <= labels.items(), f"{selector} does not find {labels}"


@rule
def ports_are_those_of_the_settings(it):
    assert it.ports == {"grpc": listened(it.settings["listen"]), "operator": listened(it.settings["metrics_listen"])}, it.ports
    for service in it.services:
        found = {port["name"]: (port["port"], port["targetPort"]) for port in service["spec"]["ports"]}
        assert found == {name: (port, name) for name, port in it.ports.items()}, found
    allowed = [port["port"] for way in it.of("NetworkPolicy")["spec"]["ingress"] for port in way["ports"]]
    assert allowed == ["grpc", "operator"], allowed
    callers = it.of("NetworkPolicy")["spec"]["ingress"][0]["from"]
    assert {"podSelector": {"matchLabels": {"onrecord-caller": "true"}}} in callers, callers
    notes = it.set["template"]["metadata"]["annotations"]
    assert notes["prometheus.io/port"] == str(it.ports["operator"]) and notes["prometheus.io/path"] == "/metrics", notes


@rule
def probes_ask_the_operators_port(it):
    asked = {kind: it.container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
    paths = {"startup": "/livez", "liveness": "/livez", "readiness": "/readyz"}
    assert asked == {kind: {"path": path, "port": "operator"} for kind, path in paths.items()}, asked


@rule
def a_start_has_its_time(it):
    probe = it.container["startupProbe"]
    budget = probe["periodSeconds"] * probe["failureThreshold"]
    assert budget >= OPEN_TIMES * OPEN_SECONDS, f"{budget} s"


@rule
def the_grace_is_longer_than_the_drain(it):
    grace, drain = it.pod["terminationGracePeriodSeconds"], it.settings["drain_seconds"]
    assert grace >= drain + CLOSE_SECONDS, f"{grace} s of grace, {drain} s of drain"


@rule
def the_service_takes_the_settings(it):
    (text,) = it.of("ConfigMap")["data"].values()
    (key,) = it.of("ConfigMap")["data"]
    mounts = {mount["name"]: mount["mountPath"] for mount in it.container["volumeMounts"]}
    variables = {variable["name"]: variable["value"] for variable in it.container["env"]}
    assert it.container["args"] == ["serve"] and variables == {"ONRECORD_CONFIG": f"{mounts['settings']}/{key}"}, variables
    paths = {"policy": "policy.toml", "tls": "tls.crt"}
    assert it.settings["policy"] == f"{mounts['policy']}/{paths['policy']}", it.settings["policy"]
    assert it.settings["tls_certificate"] == f"{mounts['tls']}/{paths['tls']}", it.settings["tls_certificate"]
    assert it.settings["data_dir"] == mounts["record"], it.settings["data_dir"]
    for mount in ("policy", "tls"):
        text = text.replace(f'"{mounts[mount]}/', f'"{secrets}/')
    file = secrets / "onrecord.toml"
    file.write_text(text)
    said = subprocess.run([binary, "check-config", "--config", file], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr


@rule
def mounts_have_volumes(it):
    volumes = {volume["name"]: volume for volume in it.pod["volumes"]}
    claims = {claim["metadata"]["name"] for claim in it.set["volumeClaimTemplates"]}
    assert {mount["name"] for mount in it.container["volumeMounts"]} == volumes.keys() | claims
    assert not [mount for mount in it.container["volumeMounts"] if "subPath" in mount], "what is mounted by subPath is never read again"
    assert volumes["settings"]["configMap"]["name"] == it.of("ConfigMap")["metadata"]["name"]
    assert volumes["policy"]["secret"]["secretName"] == "onrecord-policy" and volumes["tls"]["secret"]["secretName"] == "onrecord-tls"


@rule
def the_image_is_this_version(it):
    assert it.container["image"].endswith(f"onrecord:{VERSION}"), it.container["image"]


@rule
def the_pod_may_do_nothing_it_does_not_need(it):
    pod, own = it.pod["securityContext"], it.container["securityContext"]
    assert pod["runAsNonRoot"] is True and pod["runAsUser"] == pod["runAsGroup"] == pod["fsGroup"] == 65532, pod
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}, pod
    assert own == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}, own
    assert it.pod["automountServiceAccountToken"] is False and it.of("ServiceAccount")["automountServiceAccountToken"] is False
    assert it.pod["enableServiceLinks"] is False, "the Service's variables look like settings"
    assert it.of("Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@rule
def memory_is_what_was_measured(it):
    settings, own = it.settings, it.container["resources"]
    store = MIB_BESIDE + MIB_RECENT + CACHE_TIMES * settings["cache_mib"] + settings["store_mib_max"] * TABLE_PERCENT // 100
    request = store + settings["streams_max"] * KIB_IDLE // 1024
    limit = store + MIB_NEWCOMERS + settings["streams_max"] * KIB_STALLED // 1024
    assert mebibytes(own["requests"]["memory"]) >= request, f"{request} MiB are wanted"
    assert mebibytes(own["limits"]["memory"]) >= limit, f"{limit} MiB may be used"


@rule
def the_volume_has_room_for_the_store_and_a_compacted_one(it):
    (claim,) = it.set["volumeClaimTemplates"]
    store = it.settings["store_mib_max"]
    room = 2 * store + 8 + store // 64
    assert mebibytes(claim["spec"]["resources"]["requests"]["storage"]) >= room, f"{room} MiB"
    assert claim["metadata"]["name"] == "record"
    assert it.set["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}


@rule
def every_stream_has_a_connection(it):
    assert it.settings["connections_max"] > it.settings["streams_max"]


@rule
def readers_reach_a_pod_that_is_not_ready(it):
    assert all(service["spec"]["publishNotReadyAddresses"] is True for service in it.services)


@rule
def the_pod_reaches_what_it_has_to(it):
    ways = it.of("NetworkPolicy")["spec"]["egress"]
    dns = [way for way in ways if {port["port"] for port in way["ports"]} == {53}]
    assert dns[0]["to"][0]["podSelector"]["matchLabels"] == {"k8s-app": "kube-dns"}, "the cluster's DNS has other labels"
    assert {port["port"] for way in ways for port in way["ports"]} == {53, 443, 4317, 4318}
    assert all("to" in way for way in ways)


@rule
def the_record_is_copied_every_hour(it):
    job = it.of("CronJob")["spec"]
    template = job["jobTemplate"]["spec"]["template"]
    pod, (container,) = template["spec"], template["spec"]["containers"]
    assert re.fullmatch(r"[0-9]+ \* \* \* \*", job["schedule"]) and job["concurrencyPolicy"] == "Forbid", job["schedule"]
    assert container["image"] == it.container["image"] and container["args"] == ["backup", "/copies/record.backup"], container
    variables = {variable["name"]: variable["value"] for variable in container["env"]}
    port = it.ports["grpc"]
    assert variables["ONRECORD_SERVER"] == f"https://onrecord:{port}", variables
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts == {"copies": "/copies", "credentials": "/credentials"}, mounts
    assert {variables["ONRECORD_CA_FILE"], variables["ONRECORD_TOKEN_FILE"]} == {"/credentials/ca.crt", "/credentials/token"}, variables
    assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == it.of("PersistentVolumeClaim")["metadata"]["name"]
    assert container["securityContext"] == it.container["securityContext"] and pod["securityContext"].items() <= it.pod["securityContext"].items()
    labels = template["metadata"]["labels"]
    assert labels == {"onrecord-caller": "true"}, f"{labels}: it is let in as a caller, and is not the service"


@rule
def no_node_loses_the_pod_unasked(it):
    budget = it.of("PodDisruptionBudget")["spec"]
    assert budget["minAvailable"] == 1 and budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow", budget


# Faults, at least one of each rule.


@fault("each_object_is_valid_in_three_versions_of_kubernetes")
def a_field_that_is_unknown(it):
    it.pod["terminationGracePeriodSecond"] = 60


@fault("one_pod_has_the_store")
def two_pods(it):
    it.set["replicas"] = 2


@fault("the_record_is_copied_every_hour")
def a_copy_a_day(it):
    it.of("CronJob")["spec"]["schedule"] = "7 3 * * *"


@fault("the_record_is_copied_every_hour")
def a_copy_that_calls_go_to(it):
    it.of("CronJob")["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"] = "onrecord"


@fault("the_record_is_copied_every_hour")
def a_copy_by_another_image(it):
    it.of("CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["image"] = "localhost/onrecord:0.0.9"


@fault("selectors_find_the_pod")
def a_budget_for_others(it):
    it.of("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] = {"app": "other"}


@fault("selectors_find_the_pod")
def a_policy_of_the_network_for_all(it):
    it.of("NetworkPolicy")["spec"]["podSelector"]["matchLabels"] = {}


@fault("ports_are_those_of_the_settings")
def another_port_in_the_service(it):
    it.of("Service", "onrecord")["spec"]["ports"][0]["port"] = 7401


@fault("ports_are_those_of_the_settings")
def another_port_in_the_settings(it):
    data = it.of("ConfigMap")["data"]
    data["onrecord.toml"] = data["onrecord.toml"].replace(":9464", ":9465")


@fault("ports_are_those_of_the_settings")
def a_port_on_loopback(it):
    data = it.of("ConfigMap")["data"]
    data["onrecord.toml"] = data["onrecord.toml"].replace("0.0.0.0:9464", "127.0.0.1:9464")


@fault("probes_ask_the_operators_port")
def readiness_by_liveness(it):
    it.container["readinessProbe"]["httpGet"]["path"] = "/livez"


@fault("a_start_has_its_time")
def a_hurried_start(it):
    it.container["startupProbe"]["failureThreshold"] = 3


@fault("the_grace_is_longer_than_the_drain")
def the_default_grace(it):
    data = it.of("ConfigMap")["data"]
    data["onrecord.toml"] = data["onrecord.toml"].replace("drain_seconds = 10", "drain_seconds = 60")


@fault("the_service_takes_the_settings")
def a_setting_that_is_unknown(it):
    it.of("ConfigMap")["data"]["onrecord.toml"] += "cache_mb = 64\n"


@fault("the_service_takes_the_settings")
def no_tls(it):
    data = it.of("ConfigMap")["data"]
    data["onrecord.toml"] = re.sub(r"(?m)^tls_key.*\n", "", data["onrecord.toml"])


@fault("mounts_have_volumes")
def a_file_alone(it):
    it.container["volumeMounts"][2]["subPath"] = "policy.toml"


@fault("mounts_have_volumes")
def another_secret(it):
    it.pod["volumes"][-1]["secret"]["secretName"] = "tls"


@fault("the_image_is_this_version")
def another_version(it):
    it.container["image"] = "localhost/onrecord:latest"


@fault("the_pod_may_do_nothing_it_does_not_need")
def a_root_that_can_be_written(it):
    it.container["securityContext"]["readOnlyRootFilesystem"] = False


@fault("the_pod_may_do_nothing_it_does_not_need")
def variables_of_the_service(it):
    it.pod["enableServiceLinks"] = True


@fault("memory_is_what_was_measured")
def more_streams(it):
    data = it.of("ConfigMap")["data"]
    data["onrecord.toml"] = data["onrecord.toml"].replace("streams_max = 5000", "streams_max = 20000")


@fault("the_volume_has_room_for_the_store_and_a_compacted_one")
def a_larger_store(it):
    data = it.of("ConfigMap")["data"]
    data["onrecord.toml"] = data["onrecord.toml"].replace("store_mib_max = 8192", "store_mib_max = 16384")


@fault("every_stream_has_a_connection")
def fewer_connections(it):
    data = it.of("ConfigMap")["data"]
    data["onrecord.toml"] = data["onrecord.toml"].replace("connections_max = 6000", "connections_max = 5000")


@fault("readers_reach_a_pod_that_is_not_ready")
def ready_addresses_alone(it):
    it.of("Service", "onrecord")["spec"]["publishNotReadyAddresses"] = False


@fault("the_pod_reaches_what_it_has_to")
def dns_with_our_label(it):
    labels = it.of("NetworkPolicy")["spec"]["egress"][0]["to"][0]["podSelector"]["matchLabels"]
    labels["app.kubernetes.io/name"] = "onrecord"


@fault("no_node_loses_the_pod_unasked")
def a_budget_that_allows_it(it):
    it.of("PodDisruptionBudget")["spec"]["minAvailable"] = 0


# Rules of the overlay with cert-manager.

if name == "tls":

    @rule
    def the_certificate_is_what_the_pod_serves(it):
        made = it.of("Certificate")
        spec, where = made["spec"], made["metadata"]["namespace"]
        assert spec["secretName"] in [volume.get("secret", {}).get("secretName") for volume in it.pod["volumes"]]
        wanted = {f"{service['metadata']['name']}.{where}.svc.cluster.local" for service in it.services}
        assert wanted <= set(spec["dnsNames"]), wanted - set(spec["dnsNames"])
        hours = [int(spec[key].removesuffix("h")) for key in ("renewBefore", "duration")]
        assert hours[0] * 3 <= hours[1] and spec["usages"] == ["server auth"], hours

    @fault("the_certificate_is_what_the_pod_serves")
    def another_namespace(it):
        it.of("Certificate")["metadata"]["namespace"] = "elsewhere"

    @fault("each_object_is_valid_in_three_versions_of_kubernetes")
    def a_field_that_cert_manager_does_not_know(it):
        it.of("Certificate")["spec"]["dnsName"] = "onrecord"

    @fault("each_object_is_valid_in_three_versions_of_kubernetes")
    def a_usage_that_cert_manager_does_not_know(it):
        it.of("Certificate")["spec"]["usages"] = ["serving"]


known = {major_minor(version) for version in all_versions()}
VALIDATED = sorted(known, key=lambda version: [int(part) for part in version.split(".")])[-VERSIONS:]
documents = list(yaml.safe_load_all(output.read_text()))
book.judge(name, Output(documents), f"{len(documents)} objects, valid in Kubernetes {', '.join(VALIDATED)}, unknown fields refused")
