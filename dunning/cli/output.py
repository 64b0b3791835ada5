"""Tables for people, JSON and CSV for programs.

A table on a terminal leaves out its less important columns where there is no room, and never cuts
an id; in a pipe it is as wide as it needs to be.
"""

from __future__ import annotations

import enum
import itertools
import json
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from dunning.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

Record = Mapping[str, Any]
GAP = 2
NARROWEST_FOLD = 30  # before other columns are left out
SHORT = 40
NARROWEST = 16  # where nothing else can be left out
_PIPE_WIDTH = 100_000


class Format(enum.StrEnum):
    """How a list is written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


class PageFormat(enum.StrEnum):
    """How one thing is written."""

    TABLE = "table"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table; `rank` 0 always stays, the highest goes first where there is no room.

    `fold`: long text that may go on in the next line.
    """

    heading: str
    cell: Callable[[Any], str]
    right: bool = False
    rank: int = 0
    fold: bool = False
    paint: Mapping[str, str] = field(default_factory=dict)  # first word of the cell -> style


# --- for people ----------------------------------------------------------------------------


@lru_cache(maxsize=2)
def _console(stream: str) -> Console:
    from rich.console import Console

    class Screen(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    file: TextIO = getattr(sys, stream)
    width = None if file.isatty() else _PIPE_WIDTH
    return Screen(file=file, width=width, highlight=False, markup=False, emoji=False)


def console(stream: str = "stdout") -> Console:
    """The console of this output; a new one when the stream was exchanged."""
    found = _console(stream)
    if found.file is not getattr(sys, stream):
        _console.cache_clear()
        found = _console(stream)
    return found


def is_terminal(stream: str = "stdout") -> bool:
    """Whether a person is looking."""
    return bool(getattr(sys, stream).isatty())


def plain(text: str) -> str:
    """Text from outside, harmless to a terminal: no control characters, one line."""
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()


def say(text: str = "", style: str | None = None) -> None:
    """A line for people; long ones are wrapped on a terminal."""
    console().print(text, style=style)


def item(text: str) -> None:
    """One of several sentences: indented, its further lines a little more."""
    room = max(NARROWEST_FOLD, console().width)
    for line in textwrap.wrap(
        plain(text), room, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False
    ):
        console().print(line, soft_wrap=True)


def table(
    columns: Sequence[Column], records: Iterable[Any], *, indent: int = 0, totals: int = 0
) -> int:
    """Write a table, the last `totals` lines in bold; how many columns there was no room for."""
    from rich.text import Text

    items = list(records)
    rows = [[plain(column.cell(item)) for column in columns] for item in items]
    widths = [_width(column.heading, [row[i] for row in rows]) for i, column in enumerate(columns)]
    room = console().width - indent
    shown = _that_fit(columns, widths, room)
    widths = _folded(columns, widths, shown, room)
    heads = [column.heading for column in columns]
    for number, row in enumerate([heads, *rows]):
        for line in _lines(columns, widths, shown, row):
            text = Text(" " * indent)
            for place, (index, cell) in enumerate(zip(shown, line, strict=True)):
                last = place == len(shown) - 1
                space = "" if last else " " * GAP
                padded = _padded(cell, widths[index], right=columns[index].right, last=last)
                bold = number == 0 or number > len(rows) - totals
                text.append(padded, "bold" if bold else _style(columns[index], row[index]))
                text.append(space)
            text.rstrip()
            console().print(text, soft_wrap=True)
    return len(columns) - len(shown)


def _style(column: Column, cell: str) -> str:
    return column.paint.get(cell.partition(" ")[0], column.paint.get("", ""))


def _width(head: str, cells: Sequence[str]) -> int:
    from rich.cells import cell_len

    return max([cell_len(head), *map(cell_len, cells)])


def _padded(cell: str, width: int, *, right: bool, last: bool) -> str:
    from rich.cells import cell_len

    space = " " * (width - cell_len(cell))
    return space + cell if right else cell + ("" if last else space)


def _that_fit(columns: Sequence[Column], widths: Sequence[int], room: int) -> list[int]:
    """The columns to show: all, or all but the least important ones."""
    needed = [
        min(width, NARROWEST_FOLD) if column.fold else width
        for column, width in zip(columns, widths, strict=True)
    ]
    shown = list(range(len(columns)))
    while sum(needed[i] + GAP for i in shown) - GAP > room:
        spare = [i for i in shown if columns[i].rank]
        if not spare:
            break
        shown.remove(max(spare, key=lambda i: columns[i].rank))
    return shown


def _folded(
    columns: Sequence[Column], widths: Sequence[int], shown: Sequence[int], room: int
) -> list[int]:
    """Make the columns that may be folded as narrow as there is room for."""
    fitting = list(widths)
    over = sum(widths[i] + GAP for i in shown) - GAP - room
    for i in shown:
        if over > 0 and columns[i].fold:
            fitting[i] = max(min(NARROWEST, widths[i]), widths[i] - over)
            over -= widths[i] - fitting[i]
    return fitting


def _lines(
    columns: Sequence[Column], widths: Sequence[int], shown: Sequence[int], row: Sequence[str]
) -> list[list[str]]:
    """The lines that one row takes."""
    cells = [
        textwrap.wrap(row[i], widths[i], break_on_hyphens=False) or [""]
        if columns[i].fold
        else [row[i]]
        for i in shown
    ]
    return [list(line) for line in itertools.zip_longest(*cells, fillvalue="")]


def pairs(lines: Sequence[tuple[str, str]]) -> None:
    """Names with their values, one a line."""
    from rich.text import Text

    width = max(len(name) for name, _ in lines) + GAP
    room = max(NARROWEST_FOLD, console().width - width)
    for name, value in lines:
        folded = textwrap.wrap(plain(value), room, break_on_hyphens=False) or [""]
        for number, part in enumerate(folded):
            text = Text((name if number == 0 else "").ljust(width), "dim")
            text.append(part, "not dim")
            text.rstrip()
            console().print(text, soft_wrap=True)


def once(texts: Iterable[tuple[str, str]]) -> dict[str, str]:
    """By name its text; a long one that was said before is not said again."""
    said: dict[str, str] = {}
    told = {}
    for name, text in texts:
        first = said.setdefault(text, name)
        told[name] = text if first == name or len(text) <= SHORT else f"as {first}"
    return told


def heading(text: str) -> None:
    """The title of a part of a page, with a line before it."""
    say()
    say(text, style="bold")


# --- for programs --------------------------------------------------------------------------


def json_page(told: Any) -> None:
    """One thing as JSON."""
    sys.stdout.write(json_text(told))


def json_text(told: Any) -> str:
    """The same as text."""
    return json.dumps(told, indent=2, ensure_ascii=False) + "\n"


def json_list(records: Iterable[Record], out: TextIO | None = None) -> None:
    """A JSON array with one object a line, written as it comes."""
    from dunning.reports.formats import json_array

    (out or sys.stdout).writelines(json_array(records))


def csv_list(keys: Sequence[str], records: Iterable[Record], out: TextIO | None = None) -> None:
    """CSV with a header line, written as it comes; no cell is taken for a formula."""
    from dunning.reports.formats import csv_lines

    (out or sys.stdout).writelines(csv_lines(keys, records))


def write_file(path: Path, content: str | bytes | Iterable[str]) -> None:
    """Write a file whole; one that cannot be written is the caller's mistake."""
    parts = [content] if isinstance(content, (str, bytes)) else content
    try:
        with path.open("wb") as file:
            for part in parts:
                file.write(part.encode() if isinstance(part, str) else part)
    except OSError as error:
        message = f"cannot write {path}: {error.strerror or type(error).__name__}"
        raise ConfigError(message) from None
