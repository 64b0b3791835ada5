"""What the picture shows: marks on lanes, what access is when, the days, and the words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from dunning.cli.output import once
from dunning.cli.preview import Preview, Stop, branch_and_name, day_of, what
from dunning.cli.words import local_text
from dunning.config.notices import MOMENTS
from dunning.core.events import StepKind, StepResult
from dunning.core.steps import TEXT
from dunning.core.words import MESSAGES, Kind

CHARGES, EMAILS, CALLS, DOORS = "Charges", "Emails", "Calls", "Doors"
AHEAD = "Ahead"  # what a notice tells of
_LANES = {
    StepKind.RETRY: CHARGES,
    StepKind.EMAIL: EMAILS,
    StepKind.SMS: EMAILS,
    StepKind.ANNOUNCE: CALLS,
    StepKind.RESTRICT: DOORS,
    StepKind.SUSPEND: DOORS,
    StepKind.RESTORE: DOORS,
    StepKind.GIVE_UP: DOORS,
}
_ACCESS = {
    StepKind.RESTRICT: "restricted",
    StepKind.SUSPEND: "suspended",
    StepKind.RESTORE: "full",
}
_AHEAD = {
    Kind.CARD_EXPIRY: "the card is good until then; a payment comes after it",
    Kind.RENEWAL: "the next term begins, and is charged",
}
_DAY = timedelta(days=1)
_STATES = {StepResult.SKIPPED: "skipped", StepResult.DECLINED: "declined"}
_ALL = (CHARGES, EMAILS, CALLS, DOORS, AHEAD)
# Days between two ticks of the axis, the smallest that leaves no more than this many.
_TICKS = 9
_APART = (1, 2, 7, 14, 28, 56, 91)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Something that happens, or is left out: on which lane, when, and what it is called."""

    lane: str
    kind: str  # failed, or the kind of the step
    state: str  # done, declined or skipped
    day: float  # since the drawing begins: with the first failure, or the first line of a notice
    number: int  # as people count: since the failure, or until what a notice tells of
    name: str
    when: str
    what: str
    told: str = ""  # the same, where a list has not said it before


@dataclass(frozen=True, slots=True)
class Band:
    """What the customer can use between two days."""

    start: float
    end: float
    level: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A day of the axis with its date; `at`: how far from where the drawing begins."""

    day: int
    date: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """All of it, soonest first."""

    title: str
    facts: Sequence[tuple[str, str]]
    marks: Sequence[Mark]
    bands: Sequence[Band]
    ticks: Sequence[Tick]
    days: float
    left_out: Sequence[str]
    end: str

    @property
    def lanes(self) -> list[str]:
        """The lanes on which there is something."""
        return [lane for lane in _ALL if self.on(lane)]

    def on(self, lane: str) -> list[Mark]:
        """The marks of one lane."""
        return [mark for mark in self.marks if mark.lane == lane]

    @property
    def words(self) -> str:
        """The picture for those who do not see it."""
        told = [
            f"Day {mark.number}, {mark.when}: {mark.name}"
            + {"skipped": ", left out", "declined": ", declined"}.get(mark.state, "")
            for mark in self.marks
        ]
        return ". ".join([*told, self.end])


def story_of(preview: Preview) -> Story:
    """The story of what was lived through."""
    policy = preview.policy
    days = max([_days(preview, stop.at) for stop in preview.stops], default=0.0)
    days = max(days, policy.window / _DAY, 1.0)
    steps = [_mark(preview, stop) for stop in preview.stops]
    if policy.kind.is_notice:
        days = max(_days(preview, preview.asked.failed_at), 1.0)
        marks = [*steps, _moment(preview)]
    else:
        marks = [_failure(preview), *steps]
    said = once((mark.name, mark.what) for mark in marks)
    marks = [replace(mark, told=said[mark.name]) for mark in marks]
    branches = dict.fromkeys(filter(None, (branch_and_name(stop)[0] for stop in preview.stops)))
    ending = f" ({preview.reason.replace('_', ' ')})" if preview.reason else ""
    return Story(
        title=f"{preview.asked.amount} under policy {policy.name}",
        facts=[*_facts(preview, list(branches)), ("Policy version", policy.version)],
        marks=marks,
        bands=() if policy.kind.is_notice else _bands(preview, days),
        ticks=_ticks(preview, days),
        days=days,
        left_out=_left_out(marks),
        end=f"In the end: {preview.state}{ending}",
    )


def _facts(preview: Preview, branches: Sequence[str]) -> list[tuple[str, str]]:
    asked, kind = preview.asked, preview.policy.kind
    when = local_text(asked.failed_at, preview.zone) + f" in {preview.zone}"
    if kind.is_notice:
        name = MOMENTS[kind]
        return [(name[0].upper() + name[1:], when), ("Assumed", "nothing changes before it")]
    return [
        ("First failure", when),
        ("The bank says", f"{asked.code or asked.advice_code or 'no reason'}"),
        ("Which means", f"{preview.verdict.advice.value}: {preview.verdict.reason}"),
        *((("Branch", ", then ".join(branches)),) if branches else ()),
        ("Assumed", "every charge is declined for the same reason"),
    ]


def _begins(preview: Preview) -> datetime:
    """Where the drawing begins: a notice has its first line there, and ends at its moment."""
    asked = preview.asked
    if not preview.policy.kind.is_notice:
        return asked.failed_at
    first = min((stop.at for stop in preview.stops), default=asked.failed_at)
    return asked.failed_at - -(-(asked.failed_at - first) // _DAY) * _DAY


def _days(preview: Preview, moment: datetime) -> float:
    return (moment - _begins(preview)) / _DAY


def _moment(preview: Preview) -> Mark:
    """What a notice tells of, where the drawing ends."""
    moment = preview.asked.failed_at
    name = MOMENTS[preview.policy.kind]
    return Mark(
        lane=AHEAD,
        kind="moment",
        state="done",
        day=_days(preview, moment),
        number=0,
        name=name,
        when=local_text(moment, preview.zone),
        what=_AHEAD[preview.policy.kind],
    )


def _failure(preview: Preview) -> Mark:
    return Mark(
        lane=CHARGES,
        kind="failed",
        state="declined",
        day=0.0,
        number=0,
        name="first failure",
        when=local_text(preview.asked.failed_at, preview.zone),
        what="the charge fails for the first time",
    )


def _mark(preview: Preview, stop: Stop) -> Mark:
    kind = stop.step.kind
    name = branch_and_name(stop)[1].replace(":", " ").replace("_", " ")
    if kind in MESSAGES and stop.step.template:
        name = f"{kind.value} {stop.step.template.removeprefix(TEXT)}"
    rung = stop.step.rung
    if rung is not None and rung.do is StepKind.ANNOUNCE:
        name = rung.name or name  # what the product knows it by
    if kind in (StepKind.RESTRICT, StepKind.SUSPEND, StepKind.GIVE_UP):
        name = kind.value.replace("_", " ")
    return Mark(
        lane=_LANES.get(kind, CALLS),
        kind=kind.value,
        state=_STATES.get(stop.result, "done"),
        day=_days(preview, stop.at),
        number=day_of(preview, stop),
        name=name,
        when=local_text(stop.at, preview.zone),
        what=what(preview.policy, stop),
    )


def _bands(preview: Preview, days: float) -> list[Band]:
    bands, start, level = [], 0.0, "full"
    for stop in preview.stops:
        new = _ACCESS.get(stop.step.kind) if stop.result is StepResult.DONE else None
        if new is None or new == level:
            continue
        at = _days(preview, stop.at)
        if at > start:
            bands.append(Band(start, at, level))
        start, level = at, new
    return [*bands, Band(start, days, level)] if days > start else bands


def _ticks(preview: Preview, days: float) -> list[Tick]:
    apart = next((step for step in _APART if days / step <= _TICKS), _APART[-1])
    ticks, begins = [], _begins(preview)
    # Of a notice the days are counted down, to a tick at its moment.
    first, zero = (int(days) % apart, int(days)) if preview.policy.kind.is_notice else (0, 0)
    for day in range(first, int(days) + 1, apart):
        local = (begins + day * _DAY).astimezone(preview.zone)
        ticks.append(Tick(day - zero, f"{local.day} {local:%b}", day))
    return ticks


def _left_out(marks: Sequence[Mark]) -> list[str]:
    """Why steps are left out, those with one reason together."""
    by_reason: dict[str, list[str]] = {}
    for mark in marks:
        if mark.state == "skipped":
            by_reason.setdefault(mark.what, []).append(mark.name)
    return [f"Left out: {', '.join(names)} ({why})" for why, names in by_reason.items()]
