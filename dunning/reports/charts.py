"""Charts as SVG: stacked columns over periods, and bars one below the other; no script, no fetch.

Every figure a chart shows is in the table beside it, so that nobody has to see it.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

COLOURS = 9  # `--c1` to `--c9` of the page
_BELOW = 7  # of a bar that stands for less than nothing
_TICKS = 4
_TOP, _BOTTOM, _RIGHT = 22, 34, 8
_SIZE = 12
_LETTER = 6.9  # as wide as a letter of that size is at most


@dataclass(frozen=True, slots=True)
class Series:
    """One part of every column: its name, its colour, and a value for each column."""

    name: str
    values: Sequence[float]
    colour: int = 1


@dataclass(frozen=True, slots=True)
class Chart:
    """What is drawn: columns with labels, each the sum of its series."""

    title: str
    labels: Sequence[str]
    series: Sequence[Series]
    say: Callable[[float], str]  # a value in full, for people
    tick: Callable[[float], str]  # a value on the axis, short
    full: float = 0.0  # the axis goes at least as far: rates are seen as parts of a whole
    faded: frozenset[int] = field(default=frozenset())  # columns that are not final

    def sums(self) -> list[float]:
        """What each column comes to."""
        return [sum(one.values[i] for one in self.series) for i in range(len(self.labels))]


def escaped(text: str) -> str:
    """Text from outside: never mark-up, one line."""
    return html.escape("".join(one if one.isprintable() else " " for one in text))


def columns(chart: Chart, width: int, height: int, name: str) -> str:
    """Columns side by side, their parts on top of each other; what is below nothing hangs down."""
    highs = [sum(max(0, s.values[i]) for s in chart.series) for i in range(len(chart.labels))]
    lows = [sum(min(0, s.values[i]) for s in chart.series) for i in range(len(chart.labels))]
    step = nice(max([*highs, chart.full]) - min([*lows, 0]))
    top, low = (
        (math.ceil(max([*highs, chart.full]) / step) or 1),
        math.floor(min([*lows, 0]) / step),
    )
    ticks = [step * number for number in range(low, top + 1)]
    left = 10 + max(len(chart.tick(each)) for each in ticks) * _LETTER
    room = (height - _TOP - _BOTTOM) / (top - low)

    def y(value: float) -> float:
        return _TOP + (top - value / step) * room

    parts = [
        f'<line x1="{_n(left)}" x2="{_n(width - _RIGHT)}" y1="{_n(y(each))}" y2="{_n(y(each))}" '
        f'class="{"axis" if each == 0 else "grid"}"/>'
        f'<text x="{_n(left - 6)}" y="{_n(y(each) + 4)}" class="end">'
        f"{escaped(chart.tick(each))}</text>"
        for each in ticks
    ]
    wide = (width - _RIGHT - left) / max(1, len(chart.labels))
    parts += [
        _column(chart, place, left + place * wide, wide, y) for place in range(len(chart.labels))
    ]
    parts += _labels(chart.labels, left, wide, height - 12)
    return _whole("".join(parts), chart, width, height, name)


def _column(chart: Chart, place: int, left: float, room: float, y: Callable[[float], float]) -> str:
    wide = min(room * 0.72, 64)
    x = left + (room - wide) / 2
    up = down = 0.0
    parts = []
    for one in chart.series:
        value = one.values[place]
        if not value:
            continue
        base = up if value > 0 else down
        above, below = y(max(base, base + value)), y(min(base, base + value))
        if value > 0:
            up += value
        else:
            down += value
        said = f"{chart.labels[place]}, {one.name}: {chart.say(value)}"
        faded = " faded" if place in chart.faded else ""
        parts.append(
            f'<rect x="{_n(x)}" y="{_n(above)}" width="{_n(wide)}" '
            f'height="{_n(max(0.8, below - above))}" class="c{one.colour}{faded}">'
            f"<title>{escaped(said)}</title></rect>"
        )
    total = chart.tick(up + down)
    if parts and len(total) * _LETTER <= room:
        parts.append(
            f'<text x="{_n(x + wide / 2)}" y="{_n(y(up) - 6)}" class="mid">{escaped(total)}</text>'
        )
    return "".join(parts)


def _labels(labels: Sequence[str], left: float, wide: float, y: float) -> list[str]:
    """As many of the labels as there is room for, the last one always among them."""
    longest = max((len(each) for each in labels), default=1) * _LETTER + 8
    every = max(1, math.ceil(longest / wide))
    last = len(labels) - 1
    return [
        f'<text x="{_n(left + (place + 0.5) * wide)}" y="{_n(y)}" class="mid">'
        f"{escaped(each)}</text>"
        for place, each in enumerate(labels)
        if (last - place) % every == 0
    ]


def bars(chart: Chart, width: int, name: str) -> str:
    """A bar for each label, one below the other, with its value at its end."""
    sums = chart.sums()
    most = max([*(abs(each) for each in sums), chart.full]) or 1
    longest = max((len(each) for each in chart.labels), default=1)
    left = min(longest * _LETTER + 10, width * 0.42)
    ends = max((len(chart.say(each)) for each in sums), default=1) * _LETTER + 10
    room, line = max(20.0, width - left - ends), 30
    most_letters = int(left / _LETTER)
    parts = []
    for place, label in enumerate(chart.labels):
        middle = 8 + place * line + line / 2
        parts.append(
            f'<text x="{_n(left - 8)}" y="{_n(middle + 4)}" class="end">'
            f"{escaped(_cut(label, most_letters))}</text>"
        )
        x = left
        for one in chart.series:
            value = abs(one.values[place])
            if value:
                wide = room * value / most
                said = f"{label}, {one.name}: {chart.say(one.values[place])}"
                faded = " faded" if place in chart.faded else ""
                colour = one.colour if one.values[place] > 0 else _BELOW
                parts.append(
                    f'<rect x="{_n(x)}" y="{_n(middle - 9)}" width="{_n(max(1, wide))}" '
                    f'height="18" class="c{colour}{faded}">'
                    f"<title>{escaped(said)}</title></rect>"
                )
                x += wide
        parts.append(
            f'<text x="{_n(x + 6)}" y="{_n(middle + 4)}">{escaped(chart.say(sums[place]))}</text>'
        )
    return _whole("".join(parts), chart, width, 16 + len(chart.labels) * line, name)


def legend(chart: Chart, faded: str = "") -> str:
    """What the colours mean; of one series alone, nothing."""
    items = [
        f'<li><svg width="12" height="12" aria-hidden="true"><rect width="12" height="12" rx="2" '
        f'class="c{one.colour}"/></svg> {escaped(one.name.replace("_", " "))}</li>'
        for one in chart.series
        if any(one.values)
    ]
    if len(items) < 2:
        items = []
    if chart.faded and faded:
        items.append(
            '<li><svg width="12" height="12" aria-hidden="true"><rect width="12" height="12" '
            f'rx="2" class="c1 faded"/></svg> {escaped(faded)}</li>'
        )
    return f'<ul class="legend">{"".join(items)}</ul>' if items else ""


def nice(span: float) -> float:
    """A round step, so that a few of them fill the span."""
    if span <= 0:
        return 1.0
    rough = span / _TICKS
    power: float = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= rough * 0.999999)


def _whole(body: str, chart: Chart, width: int, height: int, name: str) -> str:
    return (
        f'<svg class="chart {name}" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="{escaped(_said(chart))}">{body}</svg>'
    )


def _said(chart: Chart) -> str:
    """The chart in a sentence; the table has every figure."""
    sums = chart.sums()
    if not sums:
        return f"{chart.title}: nothing to show"
    high = max(range(len(sums)), key=lambda i: sums[i])
    low = min(range(len(sums)), key=lambda i: sums[i])
    return (
        f"{chart.title}. Highest: {chart.labels[high]} with {chart.say(sums[high])}; "
        f"lowest: {chart.labels[low]} with {chart.say(sums[low])}. The table below has all figures."
    )


def _cut(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: max(1, letters - 1)] + "…"


def _n(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")
