"""Alerts and board: PromQL that parses, of numbers and labels that the program really has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import promql_parser as promql
import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from dunning import store
from tests.databases import sqlite_url
from tests.deploy.reading import DEPLOY, ROOT, breaches, yaml_file
from tests.web.edge import served

# The form of a file of rules, as Prometheus reads it: an unknown key is refused.
DURATION = {"type": "string", "pattern": r"^(\d+(ms|[smhdwy]))+$"}
TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
RULE = {"type": "object", "required": ["expr"], "additionalProperties": False}
RECORD = RULE | {
    "required": ["record", "expr"],
    "properties": {
        "record": {"type": "string", "pattern": "^[a-zA-Z_:][a-zA-Z0-9_:]*$"},
        "expr": {"type": "string"},
        "labels": TEXTS,
    },
}
ALERT = RULE | {
    "required": ["alert", "expr", "labels", "annotations"],
    "properties": {
        "alert": {"type": "string", "pattern": "^Dunning[A-Z][A-Za-z]+$"},
        "expr": {"type": "string"},
        "for": DURATION,
        "keep_firing_for": DURATION,
        "labels": TEXTS,
        "annotations": TEXTS | {"required": ["summary", "runbook"]},
    },
}
RULES = {
    "type": "object",
    "required": ["groups"],
    "additionalProperties": False,
    "properties": {
        "groups": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "rules"],
                "additionalProperties": False,
                "properties": {
                    "name": {"type": "string"},
                    "interval": DURATION,
                    "rules": {"type": "array", "items": {"oneOf": [RECORD, ALERT]}},
                },
            },
        }
    },
}

# What Prometheus adds to every series, and what histograms add.
ADDED = {"instance", "job", "le"}
# Of the client itself, on Linux.
CLIENT = re.compile(r"process_(?:cpu_seconds_total|resident_memory_bytes)")


def rules() -> list[dict[str, Any]]:
    file = yaml_file("prometheus/rules.yaml")
    return [rule for group in file["groups"] for rule in group["rules"]]


def board() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DEPLOY / "grafana/dunning.json").read_text())
    return found


def expressions() -> Iterator[tuple[str, str]]:
    """Every expression and what it belongs to."""
    for rule in rules():
        yield rule.get("alert") or rule["record"], rule["expr"]
    for panel in board()["panels"]:
        for target in panel.get("targets", []):
            yield f"board: {panel['title']}", target["expr"]


EXPRESSIONS = list(expressions())
RECORDED = {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}


def parts(expression: promql.Expr) -> Iterator[promql.Expr]:
    """The expression and everything inside it."""
    yield expression
    for name in ("expr", "lhs", "rhs", "vector_selector", "param"):
        inner = getattr(expression, name, None)
        if isinstance(inner, promql.Expr):
            yield from parts(inner)
    for inner in getattr(expression, "args", None) or []:
        yield from parts(inner)


def series(text: str) -> list[promql.VectorSelector]:
    found = [each for each in parts(promql.parse(text)) if isinstance(each, promql.VectorSelector)]
    assert len(found) == len(re.findall(r"\b(?:dunning|process)[_:]\w[\w:]*", text)), text
    return found


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Every number of the program with its labels: what it counts, and what /metrics shows."""
    folder = tmp_path_factory.mktemp("numbers")
    url = sqlite_url(folder / "dunning.db")
    store.migrate(url)
    with served(url, folder) as edge:
        page = edge.get("/metrics")
    assert page.status == 200
    found = {
        name: declared(name, collector) for name, collector in REGISTRY._names_to_collectors.items()
    }
    for family in text_string_to_metric_families(page.body.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set(sample.labels))
    return found


def declared(name: str, collector: Any) -> set[str]:
    """The labels of a number of the registry, whether it counts itself or is told when asked."""
    if (own := getattr(collector, "_labelnames", None)) is not None:
        return set(own)
    families = (each for each in collector.collect() if name.startswith(each.name))
    return {label for each in families for label in getattr(each, "_labelnames", ())}


def labels(name: str, numbers: dict[str, set[str]]) -> set[str]:
    """The labels that a number of ours has."""
    if name in RECORDED:
        return by(RECORDED[name]) - {"le"} | {"instance"}
    if CLIENT.fullmatch(name):
        return ADDED
    assert name in numbers, f"the program has no number {name}"
    return numbers[name] | ADDED


def by(text: str) -> set[str]:
    """Every label that is grouped by."""
    groups = re.findall(r"\bby \(([^)]*)\)", text)
    return {label.strip() for group in groups for label in group.split(",")}


@pytest.mark.parametrize(("where", "text"), EXPRESSIONS)
def test_every_number_and_label_is_one_the_program_has(
    where: str, text: str, numbers: dict[str, set[str]]
) -> None:
    known = set(ADDED)
    for each in series(text):
        assert each.name is not None
        if each.name not in RECORDED:
            own = labels(each.name, numbers)
            known |= own
            matched = {matcher.name for matcher in each.matchers.matchers}
            assert matched <= own, f"{each.name} has no label {matched - own}"
    assert by(text) <= known, where


@pytest.mark.parametrize(("where", "text"), EXPRESSIONS)
def test_counters_are_looked_at_as_rates_and_gauges_as_they_are(where: str, text: str) -> None:
    for name in re.findall(r"(?:rate|increase)\((\w+)", text):
        assert re.search(r"_(?:total|bucket|sum|count)$", name), f"{where}: {name} is no counter"
    for name in re.findall(r"(?:max|sum|min)(?: by \([^)]*\) )?\((dunning_\w+)", text):
        assert not name.endswith(("_total", "_bucket")), f"{where}: {name} only ever grows"


@pytest.mark.parametrize("text", ["sum(rate(a_total[5m])", "rate(a_total)", "a_total[5m", "a{b=c}"])
def test_a_mistake_would_be_found(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        promql.parse(text)


def test_rules_have_the_form_prometheus_reads() -> None:
    file = yaml_file("prometheus/rules.yaml")
    assert breaches(file, RULES) == []
    names = [rule.get("alert") or rule["record"] for rule in rules()]
    assert len(names) == len(set(names))
    broken = {"groups": [{"name": "a", "rules": [rules()[0] | {"fro": "5m"}]}]}
    assert breaches(broken, RULES)


def test_every_alert_says_what_to_do() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    alerts = [rule for rule in rules() if "alert" in rule]
    headings = set(re.findall(r"^#### (\w+)$", page, re.MULTILINE))
    assert {rule["alert"] for rule in alerts} == headings
    for rule in alerts:
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["runbook"] == f"docs/operations.md#{rule['alert'].lower()}"


def test_words_in_alerts_are_labels_of_the_expression() -> None:
    for rule in rules():
        first = rule["expr"].split(" ")[0]
        for text in rule.get("annotations", {}).values():
            assert set(re.findall(r"\$labels\.(\w+)", text)) <= by(
                RECORDED.get(first, rule["expr"])
            )


def test_the_board_is_one_grafana_can_show() -> None:
    panels = board()["panels"]
    assert {"uid", "title", "schemaVersion", "panels", "templating", "time"} <= set(board())
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert panel["type"] in {"row", "stat", "timeseries"}
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not taken & cells, f"{panel['title']} lies on another panel"
        taken |= cells
        refs = [target["refId"] for target in panel.get("targets", [])]
        assert len(refs) == len(set(refs))
        assert bool(refs) == (panel["type"] != "row")


def test_the_board_uses_only_variables_it_has() -> None:
    text = json.dumps({k: v for k, v in board().items() if k != "templating"})
    used = set(re.findall(r"\$\{?([a-z]\w*)", text))
    assert used == {variable["name"] for variable in board()["templating"]["list"]}
