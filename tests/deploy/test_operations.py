"""The operations page: its table of failures is whole, and what it names is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from dunning.config.settings import NAMES as VARIABLES
from tests.deploy.reading import NAMES, refused

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("docs/operations.md", "docs/scale.md", "deploy/README.md")
FAILURES = 42
# What stands before a command of ours: nothing, a container, a path, or variables.
RUN = r"(?:^|&& |\bworker |-- |bin/|^\S+=\S+ )dunning ([a-z][^#|;&]*)"


def page(name: str = "docs/operations.md") -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def failures() -> list[list[str]]:
    """The rows of the table of failures, as cells."""
    table = page().partition("## What can fail")[2]
    rows = [line for line in table.splitlines() if re.match(r"\| \d+ \|", line)]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def commands() -> list[tuple[str, str]]:
    """Every `dunning …` command of the pages, with its page."""
    found: list[tuple[str, str]] = []
    for name in PAGES:
        blocks = re.compile(r"^```\w*\n(.*?)^```", re.DOTALL | re.MULTILINE)
        text = page(name).replace("\\\n", " ")
        lines = [line for block in blocks.findall(text) for line in block.splitlines()]
        lines += re.findall(r"`([^`\n]+)`", blocks.sub("", text))
        for line in lines:
            said = re.findall(
                r"(?:^|&& |\bworker |-- |bin/|^\S+=\S+ )dunning ([a-z][^#|;&]*)", line
            )
            found += [(name, command.strip()) for command in said]
    return found


def test_every_failure_has_its_row() -> None:
    rows = failures()
    assert [int(row[0]) for row in rows] == list(range(1, FAILURES + 1))
    for row in rows:
        assert len(row) == 6, row[0]
        assert all(row), row[0]


@pytest.mark.parametrize("row", failures(), ids=lambda row: row[0])
def test_what_shows_it_is_there(row: list[str]) -> None:
    names = re.findall(r"`(tests/[^`]+)`", row[5])
    for name in names:
        path, _, test = name.partition("::")
        assert (ROOT / path).exists(), path
        if test:
            assert re.search(rf"def {test}\b", (ROOT / path).read_text(encoding="utf-8")), name
    assert names, "no test shows it"


def test_no_row_still_waits_for_its_test() -> None:
    waiting = [row[0] for row in failures() if "(to be named)" in row[5]]
    assert waiting == []


@pytest.mark.parametrize(("name", "command"), commands())
def test_every_command_is_one_we_have(name: str, command: str) -> None:
    assert refused(shlex.split(command)) is None


@pytest.mark.parametrize(
    "wrong", ["wrker", "worker --thread 8", "cases hod X", "worker --threads many", "move"]
)
def test_a_command_we_do_not_have_would_be_found(wrong: str) -> None:
    assert refused(shlex.split(wrong))


def test_there_are_commands_to_look_at() -> None:
    said = {command.split()[0] for _, command in commands()}
    assert {"migrate", "doctor", "reconcile", "ledger", "inbox", "prune", "move", "adopt"} <= said


@pytest.mark.parametrize("name", PAGES)
def test_every_variable_is_one_we_have(name: str) -> None:
    assert set(NAMES.findall(page(name))) - {"DUNNING_IMAGE", "DUNNING_PORT"} <= set(VARIABLES)


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_somewhere(name: str) -> None:
    folder = (ROOT / name).parent
    for target in re.findall(r"\]\(([^)\s]+)\)", page(name)):
        if target.startswith("https:"):
            continue
        path, _, part = target.partition("#")
        file = (folder / path) if path else ROOT / name
        assert file.exists(), target
        if part:
            heads = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}
            assert part in slugs, target
