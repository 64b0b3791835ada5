"""What the tests of deploy/ share: its files as data, and what the program itself says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import typer
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from dunning import processes, worker
from dunning.cli.app import command

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
SCHEMAS = Path(__file__).parent / "schemas"

# Typer brings a Click of its own, and names this exception only as what others inherit.
USAGE_ERROR = cast("type[Exception]", typer.BadParameter.__mro__[1])
NAMES = re.compile(r"\b(?:DUNNING|STRIPE)_[A-Z][A-Z_]*\b")


def documents(text: str) -> list[Any]:
    """Every document of a YAML text; a key given twice is refused."""
    return [each for each in YAML(typ="safe", pure=True).load_all(text) if each is not None]


def yaml_file(name: str) -> Any:
    """The one document of a file of deploy/."""
    (document,) = documents((DEPLOY / name).read_text(encoding="utf-8"))
    return document


def schema(name: str) -> Any:
    return json.loads((SCHEMAS / name).read_text(encoding="utf-8"))


def breaches(value: Any, rules: Any) -> list[str]:
    """What a JSON Schema has against a value, each with its place."""
    found = Draft202012Validator(rules).iter_errors(value)
    return [f"{error.json_path}: {error.message[:200]}" for error in found]


def refused(arguments: Sequence[str]) -> str | None:
    """Why our command line would not take these arguments; None when it would. Runs nothing."""
    here, left = command(), list(arguments)
    while commands := getattr(here, "commands", None):
        if not left:
            return None
        if left[0] not in commands:
            return f"there is no command {left[0]!r}"
        here = commands[left.pop(0)]
    try:
        here.make_context("dunning", left)
    except USAGE_ERROR as error:
        return str(error)
    return None


def stop_seconds(process: str) -> float:
    """The longest time a kind of process takes to stop in good order, by its own constants."""
    source = Path(worker.__file__).read_text(encoding="utf-8")
    found = re.search(r"\.stop\(timeout=([\d_]+)\)", source)
    assert found, "worker.Threads.stop no longer says how long it waits"
    threads = int(found[1]) / 1000
    grace = processes.GRACE_SECONDS
    return {
        "web": grace,
        # Beside the loop and the threads, the server of their numbers.
        "dispatch": grace + grace,
        "worker": grace + threads,
        # The web server, then the loop, then the threads.
        "up": grace + grace + threads,
    }[process]


def strings(value: Any) -> Iterator[str]:
    """Every text inside nested lists and mappings, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from strings(key)
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)
