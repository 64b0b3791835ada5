"""Rules about days and hours: waits that overrun the next step, hours that undo a wish."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import time
from itertools import pairwise

from dunning.config.lint.rule import Found, Line, Rule, Way
from dunning.config.timing import span_words
from dunning.core.events import StepKind
from dunning.core.local import hours_of
from dunning.core.words import MESSAGES


def jitter_overruns(way: Way) -> Iterator[Found]:
    for line in way.lines:
        later = [other for other in way.lines if other.offset > line.offset]
        if line.rung.jitter and later:
            gap = later[0].offset - line.offset
            if line.rung.jitter > gap:
                yield Found(
                    line.place,
                    f"By chance it may come up to {span_words(line.rung.jitter)} later, and the"
                    f" next step is {span_words(gap)} away.",
                    f"Set `jitter` to {span_words(gap)} or less.",
                )


def wait_overruns(way: Way) -> Iterator[Found]:
    for kind in (StepKind.RETRY, *MESSAGES):
        for line, following in pairwise(way.of(kind)):
            gap = following.offset - line.offset
            if line.rung.on and line.rung.patience > gap:
                yield Found(
                    line.place,
                    f"It may wait {span_words(line.rung.patience)} for its day, and the next"
                    f" {kind.value} is {span_words(gap)} away; when both are due this one is"
                    " dropped.",
                    f"Say `within: {max(gap.days, 1)}d`, or move the next one.",
                )


def _hours(way: Way, line: Line) -> tuple[time, time] | None:
    return hours_of(line.rung, line.rung.do, way.policy).between


def day_is_lost(way: Way) -> Iterator[Found]:
    for line in way.lines:
        hours = _hours(way, line)
        if line.rung.on and hours and line.rung.clock is None:
            closes = f"{hours[1]:%H:%M}"
            yield Found(
                line.place,
                f"Where the charge failed after {closes}, it comes on its day after {closes} too,"
                " so it waits for the morning after and misses the day.",
                f'Give it a time within the hours, such as `time: "{hours[0]:%H:%M}"`.',
            )


def time_is_moved(way: Way) -> Iterator[Found]:
    for line in way.lines:
        clock, hours = line.rung.clock, _hours(way, line)
        if clock and hours and not hours[0] <= clock < hours[1]:
            yield Found(
                line.place,
                f"{clock:%H:%M} is outside {hours[0]:%H:%M}-{hours[1]:%H:%M}, so it comes when"
                " these hours open next.",
                "Choose a time within the hours.",
            )


SUBJECT = "Days and hours"
RULES = (
    Rule(
        name="jitter-overruns-next-step",
        why="Chance is to spread many cases over some hours. When it is wider than the gap to the"
        " next step, the two change places for some customers.",
        fix="Make `jitter` smaller than the gap.",
        of_way=jitter_overruns,
        of_notices=True,
    ),
    Rule(
        name="wait-overruns-next-step",
        why="A step that waits for its day until the next one of its kind is due is dropped: one"
        " charge at a time is made, and of several emails the last is sent.",
        fix="Make `within` no longer than the gap.",
        of_way=wait_overruns,
        of_notices=True,
    ),
    Rule(
        name="day-lost-to-hours",
        why="Hours are applied after days. A step without a `time` comes at the hour at which the"
        " charge failed; where that is past closing time it moves to the next morning, which is"
        " not the day that was asked for.",
        fix="Say `time:` instead of `between:`, and within `send_between` for emails.",
        of_way=day_is_lost,
    ),
    Rule(
        name="time-outside-hours",
        why="A time of day outside the hours is never kept; the step waits for their opening.",
        fix="Choose a time within the hours.",
        of_way=time_is_moved,
        of_notices=True,
    ),
)
