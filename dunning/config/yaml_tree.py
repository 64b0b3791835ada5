"""YAML text -> a small tree in which everything knows its place. The only user of ruamel.yaml.

Scalars stay the text that was written: whoever reads a value says what it should be, so `NO` is a
country, `08:00` a time and `on` a key, whatever version of YAML one has in mind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

from dunning.config.problems import Mark, Path, Report, quoted

START = Mark(1, 1)
_STANDARD = "tag:yaml.org,2002:"
_PLAIN_TAGS = frozenset(
    _STANDARD + name
    for name in ("str", "int", "float", "bool", "null", "timestamp", "merge", "map", "seq", "value")
)


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value, as it was written."""

    mark: Mark
    text: str
    empty: bool  # nothing, `~` or `null`


@dataclass(frozen=True, slots=True)
class Listing:
    """A list."""

    mark: Mark
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """A key's place and its value."""

    mark: Mark
    value: Node


@dataclass(frozen=True, slots=True)
class Table:
    """Keys and values; what came in through `<<` is in it."""

    mark: Mark
    entries: Mapping[str, Entry]


Node = Scalar | Listing | Table


def parse(text: str, report: Report) -> Node | None:
    """Read one YAML document; None when it is no YAML at all, which is in the report then."""
    try:
        # PyYAML's heir without its C parts, so that every place is known everywhere.
        root = YAML(typ="safe", pure=True).compose(text)
        if root is None:
            report.add(START, (), "the file is empty; expected `version: 1` and `policies:`")
            return None
        return _Converter(report).convert(root, ())
    except MarkedYAMLError as error:
        report.add(_mark_of_error(error), (), _explain(error))
    except YAMLError as error:
        report.add(_mark_of_character(text, error), (), "a control character, which YAML forbids")
    except RecursionError:
        report.add(START, (), "nested too deeply; a policy file has six levels")
    return None


class _Converter:
    """Turns ruamel's nodes into ours; each node once, however many aliases point at it."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.done: dict[int, Node] = {}
        self.open: set[int] = set()

    def convert(self, node: Any, path: Path) -> Node:
        mark = _mark(node)
        known = self.done.get(id(node))
        if known is not None:
            return known
        if id(node) in self.open:
            self.report.add(mark, path, "an anchor that contains itself")
            return Scalar(mark, "", empty=True)
        tag = str(node.tag)
        if tag not in _PLAIN_TAGS:
            shown = "!!" + tag.removeprefix(_STANDARD) if tag.startswith(_STANDARD) else tag
            self.report.add(mark, path, f"the tag {quoted(shown)} is not allowed; remove it")
        self.open.add(id(node))
        made = self._make(node, mark, path)
        self.open.discard(id(node))
        self.done[id(node)] = made
        return made

    def _make(self, node: Any, mark: Mark, path: Path) -> Node:
        match node:
            case MappingNode():
                return Table(mark, self._entries(node, path))
            case SequenceNode():
                items = enumerate(node.value)
                return Listing(mark, tuple(self.convert(item, (*path, i)) for i, item in items))
            case _:
                empty = node.tag == _STANDARD + "null"
                return Scalar(mark, str(node.value), empty=empty)

    def _entries(self, node: MappingNode, path: Path) -> dict[str, Entry]:
        own: dict[str, Entry] = {}
        merged: dict[str, Entry] = {}
        for key, value in node.value:
            mark = _mark(key)
            if not isinstance(key, ScalarNode):
                self.report.add(mark, path, "a key must be a word, not a list or a table")
                continue
            name = str(key.value)
            if key.tag == _STANDARD + "merge":
                for entries in self._merged(value, mark, path):
                    merged = {**entries, **merged}
            elif name in own:
                first = own[name].mark.line
                self.report.add(
                    mark, (*path, name), f"{quoted(name)} is given twice; first in line {first}"
                )
            else:
                own[name] = Entry(mark, self._value(value, mark, (*path, name)))
        return {**merged, **own}

    def _value(self, node: Any, key: Mark, path: Path) -> Node:
        """A value; one that is not there at all is at its key, not where the next line begins."""
        if isinstance(node, ScalarNode) and node.tag == _STANDARD + "null" and not node.value:
            return Scalar(key, "", empty=True)
        return self.convert(node, path)

    def _merged(self, value: Any, mark: Mark, path: Path) -> list[Mapping[str, Entry]]:
        node = self.convert(value, (*path, "<<"))
        nodes = node.items if isinstance(node, Listing) else (node,)
        tables = [each.entries for each in nodes if isinstance(each, Table)]
        if len(tables) < len(nodes):
            self.report.add(mark, (*path, "<<"), "expected an alias of a table, such as *standard")
        return tables


def _mark(node: Any) -> Mark:
    return Mark(node.start_mark.line + 1, node.start_mark.column + 1)


def _mark_of_error(error: MarkedYAMLError) -> Mark:
    mark = error.problem_mark or error.context_mark
    return START if mark is None else Mark(mark.line + 1, mark.column + 1)


def _mark_of_character(text: str, error: YAMLError) -> Mark:
    position = getattr(error, "position", 0)
    before = text[: position if isinstance(position, int) else 0].splitlines(keepends=True) or [""]
    if before[-1].endswith(("\n", "\r")):
        before.append("")
    return Mark(len(before), len(before[-1]) + 1)


def _explain(error: MarkedYAMLError) -> str:
    problem = str(error.problem or error.context or "cannot be read")
    if "'\\t'" in problem:
        return "a tab; YAML is indented with spaces"
    if "found another document" in problem:
        return "a second document; expected one, without `---` between"
    if problem == "mapping values are not allowed here":
        return "a colon out of place; is the indentation right, or are quotes missing?"
    context = f" {error.context}" if error.context else ""
    return f"not YAML{context}: {problem}"
