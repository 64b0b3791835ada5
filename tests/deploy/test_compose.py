"""The Compose files: by Compose's own schema, and true of the program they start."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest

from dunning.config.settings import NAMES as VARIABLES
from tests.deploy.reading import (
    DEPLOY,
    NAMES,
    breaches,
    documents,
    refused,
    schema,
    stop_seconds,
    strings,
    yaml_file,
)

FILES = ("compose.yaml", "compose.trial.yaml")
OURS = ("migrate", "web", "worker", "dispatch")


def services(name: str = "compose.yaml") -> dict[str, Any]:
    found: dict[str, Any] = yaml_file(name)["services"]
    return found


def seconds(duration: str) -> float:
    found = re.fullmatch(r"(\d+)(s|m)", duration)
    assert found, f"{duration} is not a duration this test reads"
    return int(found[1]) * (60 if found[2] == "m" else 1)


@pytest.mark.parametrize("name", FILES)
def test_it_is_a_compose_file(name: str) -> None:
    assert breaches(yaml_file(name), schema("compose-spec.json")) == []


def spoilt(what: Callable[[dict[str, Any]], object]) -> list[str]:
    file = copy.deepcopy(yaml_file("compose.yaml"))
    what(file["services"]["web"])
    return breaches(file, schema("compose-spec.json"))


@pytest.mark.parametrize(
    "mistake",
    [
        lambda web: web.update(comand=["web"]),
        lambda web: web.update(restart=3),
        lambda web: web["healthcheck"].update(retry=3),
        lambda web: web["deploy"]["resources"]["limits"].update(memory=512),
        lambda web: web["depends_on"]["migrate"].update(condition="finished"),
    ],
)
def test_a_mistake_would_be_found(mistake: Callable[[dict[str, Any]], object]) -> None:
    assert spoilt(mistake)


def test_each_process_is_there_and_its_command_is_ours() -> None:
    for name in OURS:
        command = services()[name]["command"]
        assert command[0] == name
        assert refused(command) is None, name
    assert services()["worker"]["deploy"]["replicas"] >= 2


@pytest.mark.parametrize("name", FILES)
def test_variables_are_ours(name: str) -> None:
    text = (DEPLOY / name).read_text(encoding="utf-8")
    assert set(NAMES.findall(text)) - {"DUNNING_IMAGE", "DUNNING_PORT"} <= set(VARIABLES)


def test_each_has_what_keeps_it_running_and_in_bounds() -> None:
    for file in FILES:
        for name, service in services(file).items():
            if "image" not in service:
                continue  # the trial adds to a service of the other file
            if name == "migrate":
                assert service["restart"] == "no"
                continue
            assert service["restart"] == "unless-stopped", name
            assert service["deploy"]["resources"]["limits"]["memory"], name
            assert ":latest" not in service["image"], name


def test_our_containers_can_neither_write_nor_become_more() -> None:
    for name in OURS:
        service = services()[name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "privileged" not in service
        assert "user" not in service, "the image's own account"


@pytest.mark.parametrize("name", ["web", "worker", "dispatch"])
def test_it_may_stop_in_good_order(name: str) -> None:
    assert seconds(services()[name]["stop_grace_period"]) > stop_seconds(name)


def test_nothing_starts_before_what_it_needs() -> None:
    assert services()["migrate"]["depends_on"]["postgres"] == {"condition": "service_healthy"}
    for name in ("web", "worker", "dispatch"):
        assert services()[name]["depends_on"] == {
            "migrate": {"condition": "service_completed_successfully"},
            "redis": {"condition": "service_healthy"},
        }


def test_health_is_asked_where_the_program_answers() -> None:
    web = services()["web"]
    port = web["command"][web["command"].index("--port") + 1]
    assert f"http://127.0.0.1:{port}/healthz" in web["healthcheck"]["test"][-1]
    assert web["ports"][0].endswith(f":{port}")
    for name in ("worker", "dispatch"):
        service = services()[name]
        port = service["environment"]["DUNNING_METRICS_ADDRESS"].rpartition(":")[2]
        assert f"http://127.0.0.1:{port}/healthz" in service["healthcheck"]["test"][-1]


def test_the_database_keeps_what_it_confirmed_and_the_broker_need_not() -> None:
    postgres = " ".join(services()["postgres"]["command"])
    for unsafe in ("fsync=off", "synchronous_commit=off", "full_page_writes=off"):
        assert unsafe not in postgres
    assert "noeviction" in services()["redis"]["command"]


def test_no_secret_stands_in_it_and_the_inside_is_closed() -> None:
    for file in FILES:
        for text in strings(yaml_file(file)):
            assert not re.search(r"(?:sk|rk)_(?:live|test)_|whsec_", text)
            assert not re.search(r"://[^:/@]*:(?!\$\{)[^/]*@", text), "a password in an address"
    networks = yaml_file("compose.yaml")["networks"]
    assert networks["inside"] == {"internal": True}
    for name in ("postgres", "redis"):
        assert services()[name]["networks"] == ["inside"]
        assert "ports" not in services()[name]


def test_the_trial_mounts_files_that_are_there() -> None:
    for service in services("compose.trial.yaml").values():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            if source.startswith("."):
                assert (DEPLOY / source).is_dir()
    config = yaml_file("prometheus/prometheus.yaml")
    for scrape in config["scrape_configs"]:
        (found,) = scrape["dns_sd_configs"]
        assert set(found["names"]) <= set(services())
    for name in config["rule_files"]:
        assert (DEPLOY / "prometheus" / name).is_file()
    inline = yaml_file("compose.trial.yaml")["configs"]
    assert all(documents(each["content"]) for each in inline.values())
