"""A cursor over a policy file: what is read, where it stands, and what to say if it is wrong.

Readers return None after noting what is wrong, so that one pass finds every problem.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeVar

from dunning.config.problems import Path, Report, expected_one_of, quoted
from dunning.config.yaml_tree import Listing, Node, Scalar, Table

T = TypeVar("T")
E = TypeVar("E", bound=enum.StrEnum)

MAX_TEXT = 200


@dataclass(frozen=True, slots=True)
class At:
    """A value in the file, with the way to it."""

    node: Node
    path: Path
    report: Report

    def __post_init__(self) -> None:
        """Remember the place, for checks and warnings that come later."""
        self.report.marks[self.path] = self.node.mark

    def fail(self, message: str, *, show_line: bool = True) -> None:
        self.report.add(self.node.mark, self.path, message, show_line=show_line)


@dataclass(frozen=True, slots=True)
class Fields:
    """The keys of a table."""

    at: At
    table: Table

    def __contains__(self, key: str) -> bool:
        return key in self.table.entries

    def get(self, key: str) -> At | None:
        entry = self.table.entries.get(key)
        return None if entry is None else At(entry.value, (*self.at.path, key), self.at.report)

    def read(self, key: str, reader: Callable[[At], T | None], default: T) -> T | None:
        """The value, the default when the key is absent, None when the value is wrong."""
        at = self.get(key)
        return default if at is None else reader(at)

    def need(self, key: str, reader: Callable[[At], T | None], expected: str) -> T | None:
        """The value of a key that must be there."""
        at = self.get(key)
        if at is None:
            self.at.fail(f"`{key}` is missing; expected {expected}")
            return None
        return reader(at)

    def fail_key(self, key: str, message: str) -> None:
        """Say something about the key itself rather than its value."""
        entry = self.table.entries[key]
        self.at.report.add(entry.mark, (*self.at.path, key), message)

    def allow(self, keys: Collection[str]) -> None:
        """Refuse every other key."""
        for key in self.table.entries:
            if key not in keys:
                text = expected_one_of(keys, key)
                self.fail_key(key, f"{quoted(key)} is not a key here; {text}")


def fields(at: At, keys: Collection[str] | None = None) -> Fields | None:
    """The table at this place; keys other than these are refused."""
    if not isinstance(at.node, Table):
        expected = f" with {', '.join(sorted(keys))}" if keys else ""
        at.fail(f"expected keys and values{expected}; found {_kind(at.node)}")
        return None
    found = Fields(at, at.node)
    if keys is not None:
        found.allow(keys)
    return found


def listing(at: At, noun: str, most: int) -> list[At]:
    """The items of a list that must have some."""
    if not isinstance(at.node, Listing):
        at.fail(f"expected a list of {noun}, each after a `-`; found {_kind(at.node)}")
        return []
    items = at.node.items
    if not items:
        at.fail(f"an empty list; expected {noun}")
    if len(items) > most:
        at.fail(f"{len(items)} {noun}; at most {most} are allowed")
        return []
    return [At(item, (*at.path, i), at.report) for i, item in enumerate(items)]


def text(at: At, expected: str = "a word", *, secret: bool = False) -> str | None:
    """A single value, as it was written. One that may be a secret is not shown if it is wrong."""
    if not isinstance(at.node, Scalar):
        at.fail(f"expected {expected}; found {_kind(at.node)}")
        return None
    value = at.node.text.strip()
    if at.node.empty or not value:
        at.fail(f"is empty; expected {expected}")
        return None
    if len(value) > MAX_TEXT or not value.isprintable():
        shown = "the value" if secret else quoted(value)
        at.fail(f"{shown} is too long or not plain text; expected {expected}", show_line=not secret)
        return None
    return value


def word(at: At, words: Collection[str], noun: str) -> str | None:
    """One of some words."""
    value = text(at, expected_one_of(words).removeprefix("expected "))
    if value is None or value in words:
        return value
    at.fail(f"{quoted(value)} is not {noun}; {expected_one_of(words, value)}")
    return None


def member(at: At, kind: type[E], noun: str) -> E | None:
    """One of the words of an enumeration."""
    value = word(at, [each.value for each in kind], noun)
    return None if value is None else kind(value)


def one_or_more(at: At, reader: Callable[[At], T | None], noun: str, most: int) -> tuple[T, ...]:
    """A single value or a list of them, none twice; what is wrong is in the report."""
    items = listing(at, noun, most) if isinstance(at.node, Listing) else [at]
    values: list[T] = []
    for item in items:
        value = reader(item)
        if value is not None and value in values:
            item.fail(f"{quoted(str(value))} is given twice")
        elif value is not None:
            values.append(value)
    return tuple(values)


def pairs(at: At, most: int, example: str, *, expected: str) -> tuple[tuple[str, str], ...] | None:
    """Words by name, in the order of the names; what is wrong is in the report."""
    found = fields(at)
    if found is None:
        return None
    keys = list(found.table.entries)
    if not 1 <= len(keys) <= most:
        at.fail(f"{len(keys)} pairs; expected 1 to {most}, such as {example}")
    told = []
    for key in keys:
        item = found.get(key)
        value = None if item is None else text(item, expected)
        if value is not None:
            told.append((key, value))
    return tuple(sorted(told))


def _kind(node: Node) -> str:
    match node:
        case Listing():
            return "a list"
        case Table():
            return "keys and values"
        case Scalar(empty=True):
            return "nothing"
        case Scalar():
            return quoted(node.text)
