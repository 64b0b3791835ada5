"""What is wrong in a configuration: all of it at once, each with its place and the right word."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from dunning.config.secret import mask, mask_fields
from dunning.errors import ConfigError

# A file that is wrong everywhere is mended from the top.
SHOWN = 50
SHOWN_VALUE = 60
SHOWN_LINE = 100

Path = tuple[str | int, ...]


class Mark(NamedTuple):
    """A place in a file; the first line and the first column are 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong, at one place."""

    mark: Mark
    path: str
    message: str
    show_line: bool = True


@dataclass(slots=True)
class Report:
    """Collects the problems of one file, and where everything in it was found."""

    filename: str
    lines: list[str]
    problems: list[Problem] = field(default_factory=list)
    noted: set[tuple[Mark, str]] = field(default_factory=set)
    count: int = 0  # with repetitions: grows whenever anything is found wrong
    marks: dict[Path, Mark] = field(default_factory=dict)

    @classmethod
    def of(cls, filename: str, text: str) -> Report:
        return cls(filename, text.splitlines())

    def add(self, mark: Mark, path: Path, message: str, *, show_line: bool = True) -> None:
        """Note a problem; one that an alias repeats is noted once."""
        self.count += 1
        self.noted.add((mark, message))
        if len(self.noted) > len(self.problems):
            self.problems.append(Problem(mark, dotted(path), message, show_line))

    def raise_if_any(self) -> None:
        """Raise one ConfigError with everything that was found, top to bottom."""
        if not self.problems:
            return
        found = sorted(self.problems)
        texts = [self._text(problem) for problem in found[:SHOWN]]
        if len(found) > SHOWN:
            texts.append(f"… and {len(found) - SHOWN} more")
        raise ConfigError("\n".join(texts)) from None

    def _text(self, problem: Problem) -> str:
        where = f"{self.filename}:{problem.mark.line}:{problem.mark.column}: "
        path = f"{problem.path}: " if problem.path else ""
        text = mask(f"{where}{path}{problem.message}")
        excerpt = self._excerpt(problem.mark) if problem.show_line else ""
        return text + excerpt

    def _excerpt(self, mark: Mark) -> str:
        """The line with a caret under the place; a long line is cut around it."""
        if not 1 <= mark.line <= len(self.lines):
            return ""
        line = "".join(
            c if c.isprintable() else " " for c in mask_fields(self.lines[mark.line - 1])
        )
        if not line.strip():
            return ""
        start = max(0, mark.column - SHOWN_LINE * 2 // 3) if len(line) > SHOWN_LINE else 0
        shown = line[start : start + SHOWN_LINE].rstrip()
        return f"\n    {shown}\n    {' ' * (mark.column - 1 - start)}^"


def dotted(path: Path) -> str:
    """`policies.standard.timeline.3.do`; lines of a list are counted from 0, as editors do."""
    return ".".join(str(part) for part in path)


def quoted(text: str) -> str:
    """A value as a message shows it: in quotes, escaped, not too long, no secret in it."""
    shown = mask(text)
    return repr(shown if len(shown) <= SHOWN_VALUE else shown[: SHOWN_VALUE - 1] + "…")


def nearest(word: str, words: Iterable[str]) -> str | None:
    """The valid word that was probably meant."""
    by_lower = {valid.lower(): valid for valid in words}
    found = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def expected_one_of(words: Iterable[str], given: str = "", limit: int = 12) -> str:
    """`expected one of a, b, c. Did you mean 'b'?`"""
    ordered = sorted(words)
    if not ordered:
        return "none is known here"
    if len(ordered) == 1:
        text = f"expected {ordered[0]}"
    else:
        more = f", … ({len(ordered)} in all)" if len(ordered) > limit else ""
        text = f"expected one of {', '.join(ordered[:limit])}{more}"
    meant = nearest(given, ordered) if given and len(ordered) > 1 else None
    return f"{text}. Did you mean '{meant}'?" if meant else text
