"""The way of one case under another policy: what is known of it, and what must be estimated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from dunning.core.events import StepKind
from dunning.core.policy import Policy
from dunning.core.words import MESSAGES
from dunning.evidence.cells import (
    Cell,
    Paydays,
    Tally,
    after,
    charge_cell,
    closing_cell,
    stretches,
)
from dunning.evidence.records import Outcome, Record
from dunning.evidence.walking import Act, Start, walk

# A worker is never to the second; what lies closer together is the same act.
SAME = timedelta(hours=1)
DAY = timedelta(days=1)

# What happens on the way: a charge, an email, a text, a suspension, or so many days in which the
# customer may act (the first cell) and the debt may go away unpaid (the second).
Stop = tuple[str, Cell, float, Cell]
CHARGE, WAITING, EMAIL, SUSPENSION = "charge", "waiting", "email", "suspension"
TEXT = "text"


@dataclass(frozen=True, slots=True)
class Sums:
    """What one case, or many, came to. Of an estimate each is a sum of chances."""

    recovered_cases: float = 0
    recovered: float = 0  # minor units
    lost_cases: float = 0
    charges: float = 0
    emails: float = 0
    texts: float = 0
    suspensions: float = 0
    free_days: float = 0  # service given until suspension, or the end, to those who never paid


FIGURES = tuple(Sums.__dataclass_fields__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One case under a policy. What went before `stops`, or is known to the end, is in `sums`.

    `rest` is what may still come in; `sure` whether it does whatever happens on the way.
    """

    sums: Sums
    known: bool = True
    stops: tuple[Stop, ...] = ()
    rest: int = 0
    sure: bool = False
    free_days: float = 0
    planned: Sums = Sums()  # if nobody paid at all: exact, and the most there can be


def really(record: Record) -> Sums:
    """What a case came to, as it happened."""
    kinds = [act.kind for act in record.acts]
    lost = record.outcome is Outcome.LOST
    cut_at = record.suspended_at or record.ended_at
    return Sums(
        recovered_cases=float(record.outcome is Outcome.RECOVERED),
        recovered=record.paid,
        lost_cases=float(lost),
        charges=kinds.count(StepKind.RETRY),
        emails=kinds.count(StepKind.EMAIL),
        texts=kinds.count(StepKind.SMS),
        suspensions=kinds.count(StepKind.SUSPEND),
        free_days=(cut_at - record.start.failed_at) / DAY if lost else 0.0,
    )


def tally_of(record: Record, paydays: Paydays) -> Tally:
    """What a case says of the chances of charges, and of what customers do by themselves."""
    tally = Tally()
    failed_at = record.start.failed_at
    for number, one in enumerate(record.tries):
        cell = charge_cell(one.family, one.at - failed_at, number, one.at, record.zone, paydays)
        tally.add(cell, float(one.good), 1.0)
    written = [act.at for act in record.acts if act.kind in MESSAGES]
    pieces = list(stretches(failed_at, record.ended_at, record.family, written))
    for place, (cell, start, days) in enumerate(pieces):
        last = place == len(pieces) - 1
        closed = record.outcome is Outcome.CLOSED
        tally.add(cell, float(record.reacted and last), days)
        tally.add(closing_cell(start - failed_at), float(closed and last), days)
    return tally


class Walks:
    """The ways of cases under policies if nobody pays, each walked once."""

    def __init__(self) -> None:
        self._versions: dict[int, tuple[Policy, str]] = {}
        self._known: dict[tuple[int, str, bool], tuple[Start, list[Act]]] = {}

    def of(self, record: Record, policy: Policy, *, drawn: bool = False) -> list[Act]:
        """What would be done; `drawn`: to whom is held out, what is done to those."""
        if id(policy) not in self._versions:
            self._versions[id(policy)] = (policy, policy.version)
        left_alone = drawn and record.drawn is not None and record.drawn.left_alone
        key = (id(record.start), self._versions[id(policy)][1], left_alone)
        if key not in self._known:
            self._known[key] = (
                record.start,
                walk(record.start, policy, record.drawn if left_alone else None),
            )
        return self._known[key][1]


def way(record: Record, policy: Policy, acts: Sequence[Act], *, keep: bool = True) -> Way:
    """The case under this policy, whose acts are given.

    With `keep` what the two policies share is kept as it was.
    """
    planned = _planned(acts, record.start.failed_at)
    parted = record.start.failed_at
    if keep:
        shared = _shared(record, acts)
        others = acts[shared : shared + 1]
        if len(record.acts) == shared and (not others or record.ended_at <= others[0].at):
            # It ended before the other policy would have done anything else.
            return Way(sums=really(record), planned=planned)
        parted = min(act.at for act in (*record.acts[shared : shared + 1], *others))
    sure, until = _ending(record, acts, keep=keep)
    before = [act for act in acts if act.at < parted]
    ahead = [act for act in acts if parted <= act.at <= until]
    came_in = sum(amount for at, amount in record.came_in if at < parted)
    cut_at = min([act.at for act in acts if act.kind is StepKind.SUSPEND], default=until)
    return Way(
        sums=Sums(
            recovered=came_in,
            charges=_count(before, StepKind.RETRY),
            emails=_count(before, StepKind.EMAIL),
            texts=_count(before, StepKind.SMS),
            suspensions=_count(before, StepKind.SUSPEND),
        ),
        # What is paid in the end is known; how many acts it takes until then is not.
        known=sure,
        stops=tuple(_stops(record, policy, before, ahead, (parted, until), keep=keep, sure=sure)),
        rest=max(0, (record.paid if sure else record.start.amount) - came_in),
        sure=sure,
        free_days=(min(cut_at, until) - record.start.failed_at) / DAY,
        planned=planned,
    )


def _planned(acts: Sequence[Act], failed_at: datetime) -> Sums:
    end = acts[-1].at if acts else failed_at
    cut_at = min([act.at for act in acts if act.kind is StepKind.SUSPEND], default=end)
    return Sums(
        lost_cases=1.0,
        charges=_count(acts, StepKind.RETRY),
        emails=_count(acts, StepKind.EMAIL),
        texts=_count(acts, StepKind.SMS),
        suspensions=_count(acts, StepKind.SUSPEND),
        free_days=(cut_at - failed_at) / DAY,
    )


def _count(acts: Iterable[Act], kind: StepKind) -> int:
    return sum(act.kind is kind for act in acts)


def _shared(record: Record, acts: Sequence[Act]) -> int:
    """How many acts the two policies have in common from the beginning."""
    number = 0
    for mine, theirs in zip(record.acts, acts, strict=False):
        same = mine.kind is theirs.kind and mine.template == theirs.template
        if not same or abs(mine.at - theirs.at) > SAME:
            break
        number += 1
    return number


def _ending(record: Record, acts: Sequence[Act], *, keep: bool) -> tuple[bool, datetime]:
    """Whether it is paid in any case, and when the way ends at the latest."""
    end = acts[-1].at if acts else record.start.failed_at
    aside = record.settled_aside or (keep and record.natural)
    if aside and record.ended_at <= end:
        return True, record.ended_at
    return False, end


def _stops(
    record: Record,
    policy: Policy,
    before: Sequence[Act],
    ahead: Sequence[Act],
    between: tuple[datetime, datetime],
    *,
    keep: bool,
    sure: bool,
) -> Iterable[Stop]:
    """What happens from the parting on, in order.

    Whoever did not pay by themselves before our first act is known not to have: those days are
    left out until the other policy writes. Why a case closed later is a chance, and not this
    case's fate, since nobody knows it of those who paid before.
    """
    parted, until = between
    failed_at = record.start.failed_at
    written = [act.at for act in (*before, *ahead) if act.kind in MESSAGES]
    found: list[tuple[datetime, int, Stop]] = []
    silent = parted
    if keep and not sure:
        first = record.acts[0].at if record.acts else record.ended_at
        silent = min([until, first, *written])
    for cell, at, days in stretches(max(parted, silent), until, record.family, written):
        closing = () if sure else closing_cell(at - failed_at)
        # To the half day: ways that are alike are worked out once.
        found.append((at, 1, (WAITING, cell, round(days * 2) / 2, closing)))
    tries = _count(before, StepKind.RETRY)
    for act in ahead:
        if act.kind is StepKind.RETRY:
            since = act.at - failed_at
            cell = charge_cell(record.family, since, tries, act.at, record.zone, policy.paydays)
            found.append((act.at, 0, (CHARGE, cell, 1.0, ())))
            tries += 1
        elif act.kind is StepKind.EMAIL:
            found.append((act.at, 0, (EMAIL, (), 1.0, ())))
        elif act.kind is StepKind.SMS:
            found.append((act.at, 0, (TEXT, (), 1.0, ())))
        elif act.kind is StepKind.SUSPEND:
            found.append((act.at, 0, (SUSPENSION, (), 1.0, ())))
    return [stop for _, _, stop in sorted(found) if stop[2]]


@dataclass(frozen=True, slots=True)
class Chances:
    """What the stops of a way come to: how it ends, and sums of the chances of each act."""

    paid: float
    closed: float
    lost: float
    charges: float
    emails: float
    texts: float
    suspensions: float


def chances(
    stops: Sequence[Stop], rates: Mapping[Cell, float], by_cell: dict[Cell, float] | None = None
) -> Chances:
    """Follow the stops; `by_cell` takes down what comes in by which cell."""
    left, closed = 1.0, 0.0
    charges = emails = texts = suspensions = 0.0
    for kind, cell, weight, closing in stops:
        paid = 0.0
        if kind == CHARGE:
            charges += left
            paid = left * rates[cell]
        elif kind == WAITING:
            paid, away = after(rates[cell], rates[closing] if closing else 0.0, weight)
            paid, away = paid * left, away * left
            closed += away
            left -= away
        else:
            emails += left if kind == EMAIL else 0.0
            texts += left if kind == TEXT else 0.0
            suspensions += left if kind == SUSPENSION else 0.0
        if by_cell is not None and paid:
            by_cell[cell] = by_cell.get(cell, 0.0) + paid
        left -= paid
    return Chances(1 - left - closed, closed, left, charges, emails, texts, suspensions)
