"""Compare the ledger with the provider's own books, asked by its API or read from an export.

Nothing is booked. The database is read as of one moment before the provider is asked; entries
written later are left out. Of what agrees only sums are kept, so memory grows with the invoices
that had money move in the time asked for, and not with history.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice

from sqlalchemy import Engine
from sqlmodel import Session

from dunning.core.bookings import (
    Booking,
    Export,
    Fate,
    Flow,
    Known,
    Pair,
    Posted,
    Webhook,
    left_over,
)
from dunning.core.ports import Provider
from dunning.core.tieout import differences
from dunning.reports import both_books, snapshot
from dunning.reports.both_books import Key, Question, Sums
from dunning.reports.exports import Exported
from dunning.reports.freshness import data_until
from dunning.reports.reconcile import Tally, reconciled
from dunning.reports.report import Report

BATCH = 200

Progress = Callable[[str], None]
Keep = Callable[[Iterable[Booking]], None]


def ask_providers(
    engine: Engine,
    providers: Mapping[str, Provider],
    question: Question,
    now: datetime,
    progress: Progress = lambda _words: None,
    keep: Keep = lambda _bookings: None,
) -> tuple[Report, bool]:
    """The tie-out of these sources by their API, and whether anything is left to do.

    `keep` is handed what the provider said of our invoices: as a file it can be compared again.
    """
    tally = Tally()
    with snapshot(engine) as session:
        upto, fresh = both_books.newest(session), data_until(session, now)
    for source, provider in providers.items():
        side = _Side(engine, source, question, now, upto)
        side.ask(provider, tally, progress)
        keep(side.counted())
        side.compare(tally)
    return reconciled(tally, question, fresh), tally.is_open


def read_export(
    engine: Engine, source: str, exported: Exported, question: Question, now: datetime
) -> tuple[Report, bool]:
    """The tie-out of one source by a file, and whether anything is left to do."""
    tally = Tally()
    with snapshot(engine) as session:
        upto, fresh = both_books.newest(session), data_until(session, now)
    side = _Side(engine, source, question, now, upto)
    for page in exported.pages():
        side.place(page, tally)
    side.compare(tally, exported.span())
    tally.not_compared += _of_export(exported)
    return reconciled(tally, question, fresh, csv=exported.path.name), tally.is_open


def _of_export(exported: Exported) -> Iterator[str]:
    assert exported.form is not None
    left = ", ".join(f"{word} ({count})" for word, count in sorted(exported.left_out.items()))
    if left:
        yield f"Rows of the file that book nothing here, by their kind: {left}."
    if exported.form.remark:
        yield exported.form.remark


@dataclass(slots=True)
class _Side:
    """One source: what we have of each case, and what the provider has."""

    engine: Engine
    source: str
    question: Question
    now: datetime
    upto: int
    ours: dict[str, Sums] = field(default_factory=dict)
    theirs: defaultdict[str, list[Booking]] = field(default_factory=lambda: defaultdict(list))
    found: dict[str, str] = field(default_factory=dict)  # invoices that the provider had to name

    def __post_init__(self) -> None:
        with snapshot(self.engine) as session:
            self.ours = both_books.our_sums(session, self.question, self.source, self.upto)

    # --- asking ------------------------------------------------------------------------------

    def ask(self, provider: Provider, tally: Tally, progress: Progress) -> None:
        """Everything the provider booked in that time; then each invoice that does not agree."""
        starts, ends = self.question.between()
        with snapshot(self.engine) as session:
            first = both_books.first_entry(session, self.source)
        if first is None:
            return
        starts, ends = max(starts, first), min(ends, self.now)
        if starts > ends:
            return
        count = 0
        for page in provider.bookings(starts, ends):
            self.place(page, tally, provider)
            count += len(page)
            progress(f"{self.source}: {count:,} of the provider's bookings")
        self._look(provider, tally, progress)

    def place(
        self, page: Sequence[Booking], tally: Tally, provider: Provider | None = None
    ) -> None:
        """Give each booking to its case; one of nobody here is only counted."""
        page = [one for one in page if self.question.currency in (None, one.currency)]
        with snapshot(self.engine) as session:
            sorted_out = both_books.sort_out(session, self.source, page)
        strange = sorted_out.strange
        if provider is not None and sorted_out.unclear:
            told = [self._named(provider, one) for one in sorted_out.unclear]
            with snapshot(self.engine) as session:
                again = both_books.sort_out(session, self.source, told)
            sorted_out.ours += again.ours
            strange += [*again.strange, *again.unclear]
        else:
            strange += sorted_out.unclear
        for case, one in sorted_out.ours:
            self.theirs[case].append(one)
        for one in strange:
            if self._key(one) is not None:
                tally.strange(one)

    def _named(self, provider: Provider, one: Booking) -> Booking:
        """The booking with the invoice it is about, asked for once for each payment."""
        known = next((name for name in one.names if name in self.found), None)
        if known is None:
            invoice = provider.invoice_of(one) or ""
            self.found |= dict.fromkeys(one.names, invoice)
        else:
            invoice = self.found[known]
        return replace(one, invoice=invoice or None, customer=None)

    def _look(self, provider: Provider, tally: Tally, progress: Progress) -> None:
        """Where what was paid differs, the invoice itself says what was paid and when.

        So do invoices that we take for open and the provider does not: they may have been marked
        as paid elsewhere, of which there is no charge.
        """
        wanted = {case for case in self._cases() if self._differs(case, Flow.PAID)}
        _, ends = self.question.between()
        with snapshot(self.engine) as session:
            unpaid = dict(both_books.unpaid(session, self.source, ends))
        if unpaid:
            still = {bill.invoice for bill in provider.open_invoices()}
            wanted |= {case for case, invoice in unpaid.items() if invoice not in still}
        done = 0
        for batch in _batches(sorted(wanted)):
            with snapshot(self.engine) as session:
                known = both_books.known(session, batch)
            for case, told in known.items():
                payments = provider.payments(told.invoice)
                kept = [one for one in self.theirs[case] if one.flow is not Flow.PAID]
                if payments or not any(one.flow is Flow.PAID for one in self.theirs[case]):
                    self.theirs[case] = [*payments, *kept]
                done += 1
                progress(f"{self.source}: {done:,} of {len(wanted):,} invoices looked at")

    # --- comparing -----------------------------------------------------------------------------

    def compare(self, tally: Tally, export: Export | None = None) -> None:
        """Add both sums up, and explain every case for which they differ."""
        differ = []
        for case in self._cases():
            ours, theirs = self.ours.get(case, Counter()), self._sums(case)
            if not any((*ours.values(), *theirs.values())):
                continue
            tally.invoices += 1
            for key in {*ours, *theirs}:
                tally.ledger[self.source, key] += ours[key]
                tally.provider[self.source, key] += theirs[key]
            if self._differs(case):
                differ.append(case)
        for batch in _batches(differ):
            with snapshot(self.engine) as session:
                for pair in self._pairs(session, batch, export):
                    tally.differences += differences(pair)

    def _pairs(
        self, session: Session, cases: Sequence[str], export: Export | None
    ) -> Iterator[Pair]:
        posted = both_books.posted(session, self.question, cases, self.upto)
        known = both_books.known(session, cases)
        names = {name for case in cases for one in self.theirs[case] for name in one.all_names}
        names |= {told.invoice for told in known.values()}
        webhooks = both_books.waiting(session, self.source, names)
        for case in cases:
            lines = posted.get(case, [])
            for key in self._keys(case):
                yield self._pair(known[case], key, lines, export, webhooks)

    def _pair(
        self,
        known: Known,
        key: Key,
        lines: Sequence[Posted],
        export: Export | None,
        webhooks: Mapping[str, Webhook],
    ) -> Pair:
        flow, currency, period = key
        theirs = [one for one in self.theirs[known.case] if one.flow is flow]
        inside = [one for one in theirs if self._key(one) == key]
        ours = [one for one in lines if one.flow is flow]
        counted = [one for one in ours if self._posted_key(one) == key]
        other_theirs, other_ours = left_over(
            [one for one in theirs if one not in inside],
            [one for one in ours if one not in counted],
        )
        failed = [one for one in theirs if one.fate is Fate.FAILED and one not in inside]
        return Pair(
            known=known,
            flow=flow,
            currency=currency,
            period=period,
            posted=tuple(counted),
            booked=tuple(inside),
            posted_elsewhere=tuple(other_ours),
            booked_elsewhere=(*other_theirs, *failed),
            webhooks=webhooks,
            data_until=self.now,
            export=export,
        )

    def counted(self) -> Iterator[Booking]:
        """What the provider said of our invoices in that time, in the order of cases."""
        for case in sorted(self.theirs):
            yield from (one for one in self.theirs[case] if self._key(one) is not None)

    # --- parts ---------------------------------------------------------------------------------

    def _cases(self) -> list[str]:
        return sorted({*self.ours, *self.theirs})

    def _key(self, one: Booking) -> Key | None:
        """Where a booking counts; None outside of what was asked for."""
        starts, ends = self.question.between()
        if not starts <= one.at < ends:
            return None
        return one.flow, one.currency, self.question.period(one.at)

    def _posted_key(self, one: Posted) -> Key | None:
        starts, ends = self.question.between()
        if not starts <= one.counted_at < ends:
            return None
        return one.flow, one.currency, self.question.period(one.counted_at)

    def _sums(self, case: str) -> Sums:
        sums: Sums = Counter()
        for one in self.theirs.get(case, ()):
            key = self._key(one)
            if key is not None and one.fate is not Fate.FAILED:
                sums[key] += one.amount
        return sums

    def _keys(self, case: str) -> list[Key]:
        """The keys that do not agree."""
        ours, theirs = self.ours.get(case, Counter()), self._sums(case)
        keys = dict.fromkeys((*ours, *theirs))
        return [key for key in keys if ours[key] != theirs[key]]

    def _differs(self, case: str, flow: Flow | None = None) -> bool:
        return any(flow in (None, key[0]) for key in self._keys(case))


def _batches(cases: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(cases)
    while batch := list(islice(rest, BATCH)):
        yield batch
