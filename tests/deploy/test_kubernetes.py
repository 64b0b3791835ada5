"""The Kubernetes manifests: by the API's own schema, and true of the program they run."""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Callable
from typing import Any

import pytest

from dunning.config import load_policy_file
from dunning.config.settings import NAMES as VARIABLES
from dunning.messages import Messages
from dunning.web.health import healthz, readyz
from tests.deploy.reading import (
    DEPLOY,
    breaches,
    documents,
    refused,
    schema,
    stop_seconds,
)

FOLDER = DEPLOY / "kubernetes"
API = schema("kubernetes-1.34.json")
# Not of the API: read by kustomize, or plain data that it makes a ConfigMap of.
OTHER = {"kustomization.yaml", "policies.yaml"}
PATHS = {f"/{handler.__name__}" for handler in (healthz, readyz)}


@functools.cache
def objects() -> dict[str, dict[str, Any]]:
    """Every object of every manifest, by kind and name."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(FOLDER.glob("*.yaml")):
        if path.name not in OTHER:
            for each in documents(path.read_text(encoding="utf-8")):
                name = f"{each['kind']}/{each['metadata']['name']}"
                assert name not in found, f"{name} stands twice"
                found[name] = each
    return found


def wrong(each: dict[str, Any]) -> list[str]:
    """What the API would refuse."""
    kind = f"{each['apiVersion']} {each['kind']}"
    if kind not in API["kinds"]:
        return [f"{kind} is no kind this cluster has"]
    return breaches(each, {"$ref": f"#/$defs/{API['kinds'][kind]}", "$defs": API["$defs"]})


def templates() -> dict[str, dict[str, Any]]:
    """Every pod that is started, by the name of what starts it."""
    found = {}
    for name, each in objects().items():
        spec = each.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            found[name] = spec["template"]
    return found


def container(template: dict[str, Any]) -> dict[str, Any]:
    (only,) = template["spec"]["containers"]
    found: dict[str, Any] = only
    return found


def test_the_api_would_take_each() -> None:
    assert {name: wrong(each) for name, each in objects().items() if wrong(each)} == {}


@pytest.mark.parametrize(
    "mistake",
    [
        lambda web: web.update(apiVersion="apps/v1beta1"),
        lambda web: web["spec"].update(replica=2),
        lambda web: web["spec"]["template"]["spec"].update(terminationGracePeriodSeconds="50"),
        lambda web: web["spec"].pop("selector"),
        lambda web: container(web["spec"]["template"])["livenessProbe"].update(httpget={}),
        lambda web: container(web["spec"]["template"])["resources"].update(limit={}),
    ],
)
def test_a_mistake_would_be_found(mistake: Callable[[dict[str, Any]], object]) -> None:
    web = copy.deepcopy(objects()["Deployment/dunning-web"])
    mistake(web)
    assert wrong(web)


def test_kustomize_names_files_that_are_there_and_all_of_them() -> None:
    (config,) = documents((FOLDER / "kustomization.yaml").read_text(encoding="utf-8"))
    listed = set(config["resources"])
    present = {path.name for path in FOLDER.glob("*.yaml")} - OTHER - {"secret.example.yaml"}
    assert listed == present
    for made in config["configMapGenerator"]:
        for name in (*made.get("envs", ()), *made.get("files", ())):
            assert (FOLDER / name).is_file()
    for each in objects().values():
        assert each["kind"] == "Namespace" or each["metadata"]["namespace"] == config["namespace"]


@pytest.mark.parametrize("name", sorted(templates()))
def test_its_command_is_ours(name: str) -> None:
    assert refused(container(templates()[name])["args"]) is None


@pytest.mark.parametrize("name", sorted(templates()))
def test_it_gives_up_all_rights_it_does_not_need(name: str) -> None:
    pod = templates()[name]["spec"]
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert pod["automountServiceAccountToken"] is False
    # Kubernetes would set DUNNING_WEB_PORT and the like, which the program refuses.
    assert pod["enableServiceLinks"] is False
    assert container(templates()[name])["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container(templates()[name])["resources"]["limits"]["memory"]


def test_settings_are_ours_and_secrets_have_no_values() -> None:
    settings = (FOLDER / "settings.env").read_text(encoding="utf-8")
    lines = [line for line in settings.splitlines() if line and not line.startswith("#")]
    secret = objects()["Secret/dunning-secrets"]["stringData"]
    own = [each for t in templates().values() for each in container(t).get("env", [])]
    named = [line.partition("=")[0] for line in lines] + list(secret) + [e["name"] for e in own]
    assert set(named) <= set(VARIABLES)
    assert len(named) - len(own) == len(set(named) - {e["name"] for e in own})
    assert set(secret.values()) == {""}
    public = [name for name in named if name not in secret]
    assert not [name for name in public if re.search("API_KEY|SECRET|DATABASE_URL", name)]


def test_the_policy_file_is_right_and_where_the_settings_say() -> None:
    path = FOLDER / "policies.yaml"
    file = load_policy_file(path, environ={}, known_templates=Messages(None).names())
    assert file.policies
    settings = (FOLDER / "settings.env").read_text(encoding="utf-8")
    found = re.search(r"^DUNNING_POLICY_FILE=(\S+)/policies.yaml$", settings, re.MULTILINE)
    assert found
    for name in ("web", "worker", "dispatch"):
        (mount,) = container(templates()[f"Deployment/dunning-{name}"])["volumeMounts"]
        assert mount["mountPath"] == found[1]


@pytest.mark.parametrize("kind", ["web", "worker", "dispatch"])
def test_a_deployment_hangs_together(kind: str) -> None:
    deployment = objects()[f"Deployment/dunning-{kind}"]
    pod = templates()[f"Deployment/dunning-{kind}"]
    chosen = deployment["spec"]["selector"]["matchLabels"].items()
    assert chosen <= pod["metadata"]["labels"].items()
    budget = objects()[f"PodDisruptionBudget/dunning-{kind}"]["spec"]["selector"]["matchLabels"]
    assert budget.items() == chosen
    own = container(pod)
    assert own["args"][0] == kind
    ports = {port["name"]: port["containerPort"] for port in own["ports"]}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        asked = own[probe]["httpGet"]
        assert asked["path"] in PATHS
        assert asked["port"] in ports
    assert own["livenessProbe"]["httpGet"]["path"] == "/healthz", "being late is no reason to die"
    if kind == "web":
        assert str(ports["http"]) == own["args"][own["args"].index("--port") + 1]
    else:
        (address,) = [e["value"] for e in own["env"] if e["name"] == "DUNNING_METRICS_ADDRESS"]
        assert address == f"0.0.0.0:{ports['metrics']}"
    scraped = pod["metadata"]["annotations"]["prometheus.io/port"]
    assert int(scraped) in ports.values()


@pytest.mark.parametrize("kind", ["web", "worker", "dispatch"])
def test_it_may_stop_in_good_order(kind: str) -> None:
    pod = templates()[f"Deployment/dunning-{kind}"]
    waits = 0
    if (hook := container(pod).get("lifecycle")) is not None:
        waits = int(hook["preStop"]["exec"]["command"][1])
    assert pod["spec"]["terminationGracePeriodSeconds"] > stop_seconds(kind) + waits


def test_what_points_at_web_finds_it() -> None:
    pod = templates()["Deployment/dunning-web"]
    service = objects()["Service/dunning-web"]["spec"]
    assert service["selector"].items() <= pod["metadata"]["labels"].items()
    assert service["ports"][0]["targetPort"] in {p["name"] for p in container(pod)["ports"]}
    scaled = objects()["HorizontalPodAutoscaler/dunning-web"]["spec"]["scaleTargetRef"]
    assert f"{scaled['kind']}/{scaled['name']}" in objects()


def test_pods_are_closed_but_for_named_doors() -> None:
    policies = {n: e["spec"] for n, e in objects().items() if n.startswith("NetworkPolicy/")}
    whole = policies["NetworkPolicy/dunning"]
    assert whole["ingress"] == []
    assert set(whole["policyTypes"]) == {"Ingress", "Egress"}
    for template in templates().values():
        labels = template["metadata"]["labels"]
        assert whole["podSelector"]["matchLabels"].items() <= labels.items()
    outside = [to["ipBlock"] for rule in whole["egress"] for to in rule.get("to", [])]
    assert all(block["except"] for block in outside)
