"""Replay the kept webhooks into a fresh database, and compare the ledger that comes of them.

What we did ourselves and what people said never came by a webhook: that is taken from the record of
each case. What the provider answered when it was asked is kept nowhere but in the facts, so a
difference may mean that no webhook ever told of something. What was let go of is not guessed: a
case whose webhooks may be gone in part is counted and left out.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, func, select
from sqlmodel import Session, col

from dunning import ledger, recurring, store
from dunning.case_rows import read_facts
from dunning.cases import CaseBook
from dunning.chosen import Chooser
from dunning.core.case import advance
from dunning.core.entries import Entry, books
from dunning.core.events import BillingEvent
from dunning.core.facts import Case
from dunning.core.recurring import Turn, turns
from dunning.errors import DunningError
from dunning.inbox import Inbox
from dunning.readers import SourceReader
from dunning.reports.snapshot import snapshot
from dunning.store import (
    CaseRow,
    EntryRow,
    InboxRow,
    PruningRow,
    RecurringRow,
    among,
    engine_for,
    reading,
    table_of,
    transaction,
)

BATCH = 500
DIFFERENCES_KEPT = 1_000
_TAKEN_IN = ("handled", "ignored")

# Base, from, to, amount, currency, cause, how, when: what a standing entry says.
Said = tuple[Any, ...]
# Called with how many webhooks were replayed, and how many there are.
Progress = Callable[[int, int], None]


@dataclass(slots=True)
class Rebuilt:
    """What was replayed and compared, what could not be, and where the ledgers differ."""

    webhooks: int = 0
    cases: int = 0
    entries: int = 0
    # Why something was left out, and how many there are of it.
    left_out: Counter[str] = field(default_factory=Counter)
    differences: list[tuple[str, str]] = field(default_factory=list)  # (case id, what)
    more_differences: int = 0

    @property
    def same(self) -> bool:
        """Whether every case that could be compared has the same entries."""
        return not self.differences

    def differ(self, case_id: str, what: str) -> None:
        """Note that the two ledgers differ about a case."""
        if len(self.differences) < DIFFERENCES_KEPT:
            self.differences.append((case_id, what))
        else:
            self.more_differences += 1

    def summary(self) -> dict[str, object]:
        """For programs."""
        return {
            "same": self.same,
            "webhooks": self.webhooks,
            "cases": self.cases,
            "entries": self.entries,
            "left_out": dict(sorted(self.left_out.items())),
            "differences": [{"case": name, "difference": what} for name, what in self.differences],
            "more_differences": self.more_differences,
        }


def rebuild(
    engine: Engine,
    sources: Mapping[str, SourceReader],
    choose: Chooser,
    progress: Progress = lambda _done, _whole: None,
) -> Rebuilt:
    """Replay into a database of its own, which is thrown away after the comparison.

    Nothing is asked of a provider. `choose` says what replayed cases begin under; the meaning of
    their facts is that of the policy each case has in the books.
    """
    told = Rebuilt()
    readers = {name: SourceReader(each.reader, None) for name, each in sources.items()}
    with tempfile.TemporaryDirectory(prefix="dunning-rebuild-") as folder:
        url = f"sqlite:///{Path(folder) / 'rebuilt.db'}"
        store.migrate(url)
        fresh = engine_for(url, patient=True)
        try:
            with snapshot(engine) as session:
                _replay(session, fresh, readers, choose, told, progress)
                with reading(fresh) as replayed:
                    _compare(session, replayed, told)
        finally:
            fresh.dispose()
    return told


# --- the replay ------------------------------------------------------------------------------


def _replay(
    session: Session,
    fresh: Engine,
    readers: Mapping[str, SourceReader],
    choose: Chooser,
    told: Rebuilt,
    progress: Progress,
) -> None:
    inbox = Inbox(fresh, CaseBook(choose=choose), readers)
    table = table_of(InboxRow)
    states = select(table.c.state, func.count()).group_by(table.c.state)
    counts: dict[str, int] = {row[0]: row[1] for row in session.execute(states)}
    whole = sum(counts.get(state, 0) for state in _TAKEN_IN)
    for state in sorted(counts.keys() - set(_TAKEN_IN)):
        told.left_out[f"webhooks that are {state}: they are not in the books either"] = counts[
            state
        ]
    for rows in _kept(session):
        now = rows[-1]["received_at"]
        with transaction(fresh) as writing:
            anew = {"state": "new", "reason": "", "ref": None, "waiting": False, "tries": 0}
            for row in rows:
                writing.add(InboxRow(**{**row, **anew, "wake_at": now, "handled_at": None}))
        inbox.handle([row["id"] for row in rows], now)
        told.webhooks += len(rows)
        progress(told.webhooks, whole)
    with reading(fresh) as session_of_fresh:
        parked = select(func.count()).where(table.c.state.not_in(_TAKEN_IN))
        count = session_of_fresh.execute(parked.select_from(table)).scalar_one()
    if count:
        told.left_out["webhooks that do not say all: the rest was asked of the provider"] = count


def _kept(session: Session) -> Iterator[Sequence[Mapping[str, Any]]]:
    """The webhooks that were taken in, in the order in which they came; few at a time."""
    table = table_of(InboxRow)
    last = 0
    while True:
        query = select(table).where(table.c.id > last, table.c.state.in_(_TAKEN_IN))
        rows = session.execute(query.order_by(table.c.id).limit(BATCH)).mappings().all()
        if rows:
            yield [dict(row) for row in rows]
            last = rows[-1]["id"]
        if len(rows) < BATCH:
            return


# --- the comparison --------------------------------------------------------------------------


def _compare(session: Session, replayed: Session, told: Rebuilt) -> None:
    pruned = select(func.max(col(PruningRow.before)))
    pruned = pruned.where(col(PruningRow.what).in_(("inbox", "waited")))
    gone_before = session.execute(pruned).scalar_one()
    last = ""
    while True:
        query = select(CaseRow).where(col(CaseRow.id) > last).order_by(col(CaseRow.id))
        rows = session.scalars(query.limit(BATCH)).all()
        names = [row.id for row in rows]
        stored, monthly = ledger.rows_of(session, names), recurring.rows_of(session, names)
        found = {
            row.id: row
            for row in replayed.scalars(
                select(CaseRow).where(among(replayed, col(CaseRow.id), names))
            )
        }
        for row in rows:
            there: list[EntryRow | RecurringRow] = [*stored[row.id], *monthly[row.id]]
            _compare_case(row, there, found.get(row.id), gone_before, told)
        session.expunge_all()
        replayed.expunge_all()
        if len(rows) < BATCH:
            break
        last = names[-1]
    _beyond(session, replayed, told)


def _compare_case(
    row: CaseRow,
    stored: Sequence[EntryRow | RecurringRow],
    found: CaseRow | None,
    gone_before: datetime | None,
    told: Rebuilt,
) -> None:
    try:
        case = read_facts(row)
    except (ValueError, TypeError, KeyError, AssertionError, DunningError):
        told.differ(row.id, "its facts cannot be read")
        return
    if case.adopted is not None:
        told.left_out["cases that were taken over: they began by asking, not by a webhook"] += 1
        return
    if gone_before is not None and row.recorded_at < gone_before:
        day = f"{gone_before:%Y-%m-%d}"
        told.left_out[f"cases that began before {day}: webhooks of then were let go of"] += 1
        return
    told.cases += 1
    told.entries += len(stored)
    if found is None:
        told.differ(row.id, "no webhook that is kept makes this case")
        return
    replayed = _with_what_we_did(read_facts(found), case)
    sheet = books(replayed)
    both: list[Entry | Turn] = [*sheet.entries, *turns(replayed, sheet)]
    wanted = Counter[Said](
        (e.key, e.debit.value, e.credit.value, e.amount, found.currency, e.cause.value, e.how, e.at)
        for e in both
    )
    have = _standing(stored)
    for what, left in (("only in the books", have - wanted), ("only by webhooks", wanted - have)):
        for said in sorted(left, key=lambda one: (one[7], one[0])):
            told.differ(row.id, f"{what}: {_in_words(said)}")


def _with_what_we_did(found: Case, case: Case) -> Case:
    """The replayed facts with our own steps, people's words and the customer's clicks.

    Under the terms of the case, and in the group it was drawn for.
    """
    ours: list[BillingEvent] = [*case.done]
    if case.closed_by_hand is not None:
        ours.append(case.closed_by_hand)
    for event in ours:
        found = advance(found, event)
    return replace(
        found,
        terms=case.terms,
        drawn=case.drawn,
        presses=case.presses,
        link_opened_at=case.link_opened_at,
        page_opened_at=case.page_opened_at,
    )


def _standing(stored: Sequence[EntryRow | RecurringRow]) -> Counter[Said]:
    """What the entries of a case say when all corrections are made."""
    said: Counter[Said] = Counter()
    for row in stored:
        back = row.reverses is not None
        debit, credit = (row.credit, row.debit) if back else (row.debit, row.credit)
        key = (row.base, debit, credit, row.amount, row.currency, row.cause, row.how)
        said[(*key, row.occurred_at)] += -1 if back else 1
    return +said


def _in_words(said: Said) -> str:
    key, debit, credit, amount, currency, cause, how, at = said
    words = " ".join(filter(None, (cause, how)))
    return f"{key.partition('/')[2]}, {debit} to {credit} {amount} {currency} {words} at {at:%F %T}"


def _beyond(session: Session, replayed: Session, told: Rebuilt) -> None:
    """Cases that the webhooks make and that are not there."""
    query = select(col(CaseRow.id)).order_by(col(CaseRow.id))
    for names in replayed.scalars(query.execution_options(yield_per=BATCH)).partitions():
        there = set(session.scalars(query.where(among(session, col(CaseRow.id), names))))
        for name in names:
            if name not in there:
                told.differ(name, "the webhooks make this case, and it is not in the books")
