"""The JSON Schema for editors keeps in step with what is loaded."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from dunning.config import (
    choosing,
    conditions,
    notices,
    policy_file,
    rungs,
    schema,
    sources,
    values,
)
from dunning.config.json_schema import FILE, to_text
from dunning.core.events import StepKind


def test_the_shipped_schema_is_this_one() -> None:
    how = 'python -c "from dunning.config.json_schema import write; write()"'
    assert FILE.read_text(encoding="utf-8") == to_text(), how
    assert json.loads(to_text()) == schema()


def keys(node: dict[str, Any]) -> set[str]:
    assert node["additionalProperties"] is False
    return set(node["properties"])


def test_it_knows_every_key_and_no_other() -> None:
    made = schema()
    parts = made["$defs"]
    assert keys(made) == set(policy_file.TOP_KEYS)
    assert keys(made["properties"]["defaults"]) == set(policy_file.DEFAULT_KEYS)
    recovery, notice = parts["policy"]["oneOf"]
    assert keys(recovery) == set(policy_file.POLICY_KEYS)
    assert keys(notice) == set(policy_file.NOTICE_KEYS)
    told = {each["properties"]["do"]["const"]: keys(each) for each in parts["told"]["oneOf"]}
    assert told == {kind.value: set(notices.line_keys(kind)) for kind in notices.TELLS}
    assert keys(parts["choice"]) == set(choosing.CHOICE_KEYS)
    assert keys(parts["choice"]["properties"]["when"]) == set(conditions.CHOICE_KEYS)
    assert keys(parts["source"]) == set(sources.SOURCE_KEYS)
    steps = {each["properties"]["do"]["const"]: keys(each) for each in parts["rung"]["oneOf"]}
    own = {kind.value: {*rungs.COMMON_KEYS, *more} for kind, more in rungs.STEP_KEYS.items()}
    own["give_up"].remove("when")
    assert steps == own


def test_every_kind_of_step_is_written_or_happens_by_itself() -> None:
    by_itself = {StepKind.RESTORE, StepKind.SIGNAL, StepKind.VOID, StepKind.RECONCILE}
    assert set(rungs.STEP_KEYS) | by_itself == set(StepKind)
    assert not set(rungs.STEP_KEYS) & by_itself


def references(node: object) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if "$ref" in node else set()
        return own.union(*map(references, node.values()))
    return set().union(*map(references, node)) if isinstance(node, list) else set()


def patterns(node: object) -> set[str]:
    if isinstance(node, dict):
        own = {node["pattern"]} if isinstance(node.get("pattern"), str) else set()
        return own.union(*map(patterns, node.values()))
    return set().union(*map(patterns, node)) if isinstance(node, list) else set()


def test_its_references_lead_somewhere_and_its_patterns_are_whole() -> None:
    made = schema()
    assert references(made) == {f"#/$defs/{name}" for name in made["$defs"]}
    for pattern in patterns(made):
        re.compile(pattern)
        assert (pattern[0], pattern[-1]) == ("^", "$")


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        (values.DURATION, ["0h", "45m", "36h", "3d", "2w"], ["3", "d", "1.5d", "3 d", "3D"]),
        (values.CLOCK, ["00:00", "23:59"], ["24:00", "8:00", "12:60"]),
        (values.SPAN, ["09:00-18:00", "09:00 - 18:00"], ["9-18", "09:00"]),
        (values.VARIABLE, ["EU_KEY"], ["sk_live_1", "1A", ""]),
    ],
)
def test_the_patterns(pattern: str, good: list[str], bad: list[str]) -> None:
    assert all(re.fullmatch(pattern, text) for text in good)
    assert not any(re.fullmatch(pattern, text) for text in bad)
