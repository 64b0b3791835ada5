"""The picture for desks and paper: days from left to right, a lane for each kind of step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dunning.cli.drawing.shapes import (
    LEVELS,
    NAME,
    SMALL,
    STYLE,
    at,
    called,
    legend,
    symbol,
    whole,
    words,
)
from dunning.cli.drawing.story import DOORS, Mark, Story
from dunning.cli.drawing.text import cut, folded, width

WIDTH = 960.0
MARGIN = 16.0
LEFT = 96.0  # where the days begin; the names of the lanes stand before it
BAND = 26.0
MOST_LABEL = 170.0
LEVEL = 36.0  # of one label below another
GAP = 10.0


@dataclass(frozen=True, slots=True)
class _Label:
    mark: Mark
    x: float
    level: int
    name: str


@dataclass(frozen=True, slots=True)
class _Axis:
    story: Story
    right: float

    def x(self, day: float) -> float:
        return LEFT + (self.right - LEFT) * day / self.story.days


def wide(story: Story, *, alone: bool = True) -> str:
    """The drawing; `alone`: with its own title and colours, as a file of its own."""
    axis = _Axis(story, _right(story))
    parts: list[str] = []
    y = MARGIN
    if alone:
        y = _head(parts, story, y)
    top = y + 32
    _days(parts, axis, y)
    y = top + 16
    if story.bands:
        _access(parts, axis, top)
        y = top + BAND + 30
    doors = [axis.x(mark.day) for mark in story.on(DOORS) if mark.state != "skipped"]
    lanes: list[str] = []
    for lane in story.lanes:
        if lane == DOORS:
            below = y
            parts.extend(
                f'<path d="M{at(x)} {at(top + BAND)}V{at(below)}" class="through"/>' for x in doors
            )
        y = _lane(lanes, axis, lane, y)
    parts += lanes
    y = _foot(parts, story, y)
    if alone:
        parts.insert(0, f'<style>{STYLE}</style><rect width="100%" height="100%" class="paper"/>')
    edge = 0.0 if alone else MARGIN  # a page has margins of its own
    return whole(
        "".join(parts),
        name="wide",
        width=WIDTH - 2 * edge,
        height=y,
        title=story.title,
        desc=story.words,
        left=edge,
    )


def _right(story: Story) -> float:
    """Where the days end, so that the labels of the last ones have room."""
    late = [mark for mark in story.marks if mark.day > 0.7 * story.days]
    return WIDTH - MARGIN - max([_label_width(mark) for mark in late], default=0) - 4


def _label_width(mark: Mark) -> float:
    name = width(cut(called(mark), NAME, MOST_LABEL), NAME)
    return max(name, width(mark.when, SMALL))


def _head(parts: list[str], story: Story, y: float) -> float:
    room = WIDTH - 2 * MARGIN
    parts.append(words(MARGIN, y + 14, cut(story.title, 18, room), "title"))
    y += 36
    for name, value in story.facts:
        for line in folded(f"{name}: {value}", SMALL, room):
            parts.append(words(MARGIN, y, line, "small"))
            y += 17
    return y + 12


def _days(parts: list[str], axis: _Axis, y: float) -> None:
    parts.append(words(MARGIN, y + 12, "Day", "lane"))
    for tick in axis.story.ticks:
        x = axis.x(tick.at)
        parts.append(words(x, y + 10, str(tick.day), "", ' text-anchor="middle"'))
        parts.append(words(x, y + 25, tick.date, "small", ' text-anchor="middle"'))


def _access(parts: list[str], axis: _Axis, y: float) -> None:
    parts.append(words(MARGIN, y + 17, "Access", "lane"))
    for band in axis.story.bands:
        start, end = axis.x(band.start), axis.x(band.end)
        box = f'x="{at(start)}" y="{at(y)}" width="{at(end - start)}" height="{at(BAND)}"'
        parts.append(f'<rect {box} class="{band.level}"><title>{LEVELS[band.level]}</title></rect>')
        if width(LEVELS[band.level], SMALL) + 8 <= end - start:
            middle = ' text-anchor="middle"'
            text = words(
                (start + end) / 2, y + 17, LEVELS[band.level], f"small on-{band.level}", middle
            )
            parts.append(text)


def _lane(parts: list[str], axis: _Axis, lane: str, y: float) -> float:
    """One lane with its marks on a line and their labels below it; where it ends."""
    end = axis.x(axis.story.days)
    parts.append(words(MARGIN, y + 4, lane, "lane"))
    parts.append(f'<path d="M{at(LEFT)} {at(y)}H{at(end)}" class="line"/>')
    labels = _placed(axis, axis.story.on(lane))
    for label in labels:
        text = y + 26 + label.level * LEVEL
        foot = text + 17
        gone = "gone" if label.mark.state == "skipped" else ""
        parts.append(f'<path d="M{at(label.x)} {at(y + 8)}V{at(foot)}" class="leader"/>')
        parts.append(words(label.x + 5, text, label.name, gone))
        parts.append(words(label.x + 5, text + 15, label.mark.when, "small"))
    parts += [symbol(label.mark, label.x, y) for label in labels]
    deepest = max((label.level for label in labels), default=0)
    return y + 26 + (deepest + 1) * LEVEL + 14


def _placed(axis: _Axis, marks: Sequence[Mark]) -> list[_Label]:
    """Labels like flags on their poles, from the last to the first.

    One that would touch a flag or a pole to its right goes below it, so no pole crosses a text.
    """
    begins: list[float] = []  # where the leftmost flag or pole of each level stands
    labels = []
    for mark in reversed(marks):
        x = axis.x(mark.day)
        name = cut(called(mark), NAME, MOST_LABEL)
        end = x + 5 + _label_width(mark) + GAP
        level = next((i for i, start in enumerate(begins) if end <= start), len(begins))
        begins[: level + 1] = [x] * (level + 1)
        labels.append(_Label(mark, x, level, name))
    return labels[::-1]


def _foot(parts: list[str], story: Story, y: float) -> float:
    x = MARGIN
    for mark, text in legend(list(story.marks)):
        needed = 18 + width(text, SMALL) + 16
        if x + needed > WIDTH - MARGIN:
            x, y = MARGIN, y + 22
        parts.append(symbol(mark, x + 9, y))
        parts.append(words(x + 24, y + 4, text, "small"))
        x += needed + 8
    y += 30
    for sentence in (*story.left_out, f"{story.end}."):
        for line in folded(sentence, NAME, WIDTH - 2 * MARGIN):
            parts.append(words(MARGIN, y, line))
            y += 19
    return y + MARGIN / 2
