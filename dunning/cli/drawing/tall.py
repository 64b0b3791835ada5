"""The picture for phones: days from top to bottom, a column for each kind of step.

Each step has a row of its own, so days on which much happens are longer than empty ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dunning.cli.drawing.shapes import (
    LEVELS,
    NAME,
    SMALL,
    at,
    called,
    legend,
    symbol,
    whole,
    words,
)
from dunning.cli.drawing.story import Story
from dunning.cli.drawing.text import cut, folded, width

WIDTH = 358.0
BAND_X, BAND = 54.0, 20.0
COLUMNS, COLUMN = 94.0, 24.0
ROW, DAY, MOST = 40.0, 5.0, 40.0  # a row, what an empty day adds to it, and how much at most
TOP = 14.0


@dataclass(frozen=True, slots=True)
class _Rows:
    """Where each mark stands, and so each moment between two of them."""

    days: Sequence[float]
    places: Sequence[float]

    def y(self, day: float) -> float:
        for (before, above), (after, below) in zip(
            zip(self.days, self.places, strict=True),
            zip(self.days[1:], self.places[1:], strict=True),
            strict=False,
        ):
            if day <= before:
                return above
            if day < after:
                return above + (below - above) * (day - before) / (after - before)
        return self.places[-1] + ROW / 2


def tall(story: Story) -> str:
    """The drawing, for a page that has the title and the colours."""
    columns = {lane: COLUMNS + i * COLUMN for i, lane in enumerate(story.lanes)}
    text_x = COLUMNS + len(columns) * COLUMN - 4
    rows = _rows(story)
    bottom = rows.places[-1] + ROW / 2
    parts = [
        f'<path d="M{at(x)} {at(rows.places[0])}V{at(bottom)}" class="line"/>'
        for x in columns.values()
    ]
    _access(parts, story, rows, bottom)
    day = None
    for mark, y in zip(story.marks, rows.places, strict=True):
        if mark.number != day:
            parts.append(words(0, y + 4, f"day {mark.number}", "small"))
        day = mark.number
        x, gone = columns[mark.lane], "gone" if mark.state == "skipped" else ""
        parts.append(symbol(mark, x, y))
        parts.append(words(text_x, y + 4, cut(called(mark), NAME, WIDTH - text_x), gone))
        parts.append(words(text_x, y + 19, mark.when, "small"))
    y = _foot(parts, story, bottom + 30)
    return whole(
        "".join(parts), name="tall", width=WIDTH, height=y, title=story.title, desc=story.words
    )


def _rows(story: Story) -> _Rows:
    places, last = [TOP], story.marks[0].day
    for mark in story.marks[1:]:
        places.append(places[-1] + ROW + min((mark.day - last) * DAY, MOST))
        last = mark.day
    return _Rows([mark.day for mark in story.marks], places)


def _access(parts: list[str], story: Story, rows: _Rows, bottom: float) -> None:
    for number, band in enumerate(story.bands):
        start = rows.y(band.start)
        end = bottom if number == len(story.bands) - 1 else rows.y(band.end)
        box = f'x="{at(BAND_X)}" y="{at(start)}" width="{at(BAND)}" height="{at(end - start)}"'
        parts.append(f'<rect {box} class="{band.level}"><title>{LEVELS[band.level]}</title></rect>')
        if width(LEVELS[band.level], SMALL) + 8 <= end - start:
            x, y = BAND_X + BAND / 2 + 4, (start + end) / 2
            turned = f' text-anchor="middle" transform="rotate(-90 {at(x)} {at(y)})"'
            parts.append(words(x, y, LEVELS[band.level], f"small on-{band.level}", turned))


def _foot(parts: list[str], story: Story, y: float) -> float:
    x = 0.0
    for mark, text in legend(list(story.marks)):
        needed = 26 + width(text, SMALL)
        if x and x + needed > WIDTH:
            x, y = 0.0, y + 24
        parts.append(symbol(mark, x + 9, y))
        parts.append(words(x + 24, y + 4, text, "small"))
        x += needed + 10
    y += 28
    for sentence in (*story.left_out, f"{story.end}."):
        for line in folded(sentence, NAME, WIDTH):
            parts.append(words(0, y, line))
            y += 19
    return y
