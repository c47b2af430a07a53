"""The manifests for Kubernetes."""

from __future__ import annotations

from typing import Any

import kubernetes_validate
import pytest
from kubernetes_validate import utils

from lab.deploying import files

#: The first version that knows ``sleep`` as what a container does before it stops.
OLDEST = "1.30"


def names(kind: str) -> set[str]:
    return {found["metadata"]["name"] for found in files.manifests() if found["kind"] == kind}


def pods() -> dict[str, dict[str, Any]]:
    """The pod templates by the name of what makes them."""
    return {
        found["metadata"]["name"]: found["spec"]["template"]
        for found in files.manifests()
        if "template" in found.get("spec", {})
    }


def test_the_oldest_and_the_newest_version_take_them(subtests: pytest.Subtests) -> None:
    for version in (OLDEST, utils.latest_version()):
        for found in files.manifests():
            with subtests.test(version, kind=found["kind"], name=found["metadata"]["name"]):
                kubernetes_validate.validate(found, version, strict=True)


def test_a_mistake_in_a_manifest_would_be_found() -> None:
    found = next(found for found in files.manifests() if found["kind"] == "Deployment")
    found["spec"]["template"]["spec"]["terminationGracePeriod"] = 45
    with pytest.raises(kubernetes_validate.ValidationError, match="terminationGracePeriod"):
        kubernetes_validate.validate(found, kubernetes_validate.latest_version(), strict=True)


def test_what_a_container_names_is_there(subtests: pytest.Subtests) -> None:
    for pod, container in files.containers():
        with subtests.test(container["name"]):
            sources = [(kind, it["name"]) for source in container["envFrom"] for kind, it in source.items()]
            assert {name for kind, name in sources if kind == "configMapRef"} <= names("ConfigMap")
            assert {name for kind, name in sources if kind == "secretRef"} <= names("Secret")
            claims = [volume["persistentVolumeClaim"] for volume in pod["volumes"] if "persistentVolumeClaim" in volume]
            assert {claim["claimName"] for claim in claims} <= names("PersistentVolumeClaim")
            assert {mount["name"] for mount in container["volumeMounts"]} == {it["name"] for it in pod["volumes"]}


def test_every_selector_selects(subtests: pytest.Subtests) -> None:
    labels = [set(pod["metadata"]["labels"].items()) for pod in pods().values()]
    for found in files.manifests():
        selector = found.get("spec", {}).get("selector")
        if selector:
            wanted = set(selector.get("matchLabels", selector).items())
            with subtests.test(kind=found["kind"], name=found["metadata"]["name"]):
                assert sum(wanted <= each for each in labels) == 1


def test_prometheus_alone_reaches_a_health_port() -> None:
    policies = [found["spec"] for found in files.manifests() if found["kind"] == "NetworkPolicy"]
    selected = [policy["podSelector"]["matchLabels"] for policy in policies]
    assert [labels["part"] for labels in selected] == ["scheduler", "worker"]
    for policy in policies:
        assert policy["policyTypes"] == ["Ingress"]
        (rule,) = policy["ingress"]
        assert rule["ports"] == [{"port": "health"}]
        assert [peer.keys() for peer in rule["from"]] == [{"namespaceSelector"}]
    for name in ("worker", "scheduler"):
        template = pods()[f"shop-{name}"]
        assert template["metadata"]["labels"] in selected
        assert {port["name"] for container in template["spec"]["containers"] for port in container["ports"]} == {
            "health"
        }


@pytest.mark.parametrize(("name", "prefix"), [("web", "/health"), ("worker", ""), ("scheduler", "")])
def test_a_probe_asks_where_the_container_answers(name: str, prefix: str) -> None:
    (container,) = pods()[f"shop-{name}"]["spec"]["containers"]
    (port,) = container["ports"]
    gets = [container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")]
    assert [get["path"] for get in gets] == [f"{prefix}/live", f"{prefix}/live", f"{prefix}/ready"]
    assert {get["port"] for get in gets} == {port["name"]}
    assert str(port["containerPort"]) in container["args"]


def test_each_end_has_the_time_that_it_needs() -> None:
    worker, web = (pods()[f"shop-{part}"]["spec"] for part in ("worker", "web"))
    assert worker["terminationGracePeriodSeconds"] > files.WORKER_SECONDS
    (server,) = web["containers"]
    pause, requests = server["lifecycle"]["preStop"]["sleep"]["seconds"], int(server["args"][-1])
    assert web["terminationGracePeriodSeconds"] > pause + requests


def test_the_probes_of_the_web_send_a_host_that_is_allowed() -> None:
    (config,) = (found["data"] for found in files.manifests() if found["kind"] == "ConfigMap")
    (server,) = pods()["shop-web"]["spec"]["containers"]
    for kind in ("startup", "liveness", "readiness"):
        (header,) = server[f"{kind}Probe"]["httpGet"]["httpHeaders"]
        assert header == {"name": "Host", "value": config["ALLOWED_HOSTS"]}
