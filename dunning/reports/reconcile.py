"""reconciled(): the tie-out as a report: each difference with its cause, and both sums."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dunning.core.bookings import Booking, Flow
from dunning.core.money import Money
from dunning.core.tieout import CAUSES, EXPLAINED, Difference, what_next
from dunning.reports.both_books import Key, Question
from dunning.reports.periods import UNITS
from dunning.reports.report import Column, Kind, Report, Row, checked_breakdown, in_order

BY = (*UNITS, "kind", "cause", "source", "currency")
AGREES = "agrees"

DEFINITIONS = {
    "kind": "paid: payments of invoices whose payment had failed. refunded: what of them was given "
    "back; a refund that failed counts as never made. disputed: what the cardholder's bank took, "
    "less what came back when a dispute was won.",
    "ledger": "What our ledger has, of invoices with a case, in this time.",
    "provider": "What the provider's own books show of the same invoices in the same time, by the "
    "moment at which the provider says that it happened.",
    "difference": "provider less ledger, to the minor unit.",
    "explained": "The part of the difference that is as it should be: the books are right.",
    "open": "The part of the difference that wants something done, or that no rule explains.",
    "not_ours": "What the provider's books show besides, of invoices without a case: they never "
    "failed, or failed before this program was there. As far as it was asked for or exported.",
    "differences": "How many rows there are without a breakdown.",
    "verdict": "explained: the books are right; to do: the cause is known, and the books are right "
    "once `next` was done; unexplained: a person has to look.",
    "currency": "Amounts are minor units of their own currency; currencies are never added.",
}
_SUMS = ("ledger", "provider", "difference", "explained", "open")
_LISTED = (
    Column("invoice", "Invoice"),
    Column("kind", "Kind"),
    Column("currency", "Currency", rank=1),
    Column("ledger", "Ledger", Kind.MONEY),
    Column("provider", "Provider", Kind.MONEY),
    Column("difference", "Difference", Kind.MONEY),
    Column("cause", "Cause"),
    Column("verdict", "Verdict", rank=2),
    Column("next", "Next"),
    Column("detail", "Detail", rank=4),
    Column("about", "About", rank=5),
    Column("at", "At", Kind.TIME, rank=6),
    Column("case", "Case", rank=3),
    Column("source", "Source", rank=7),
)


@dataclass(slots=True)
class Tally:
    """What a comparison came to so far; of what agrees only the sums."""

    ledger: Counter[tuple[str, Key]] = field(default_factory=Counter)  # by source and key
    provider: Counter[tuple[str, Key]] = field(default_factory=Counter)
    invoices: int = 0
    differences: list[Difference] = field(default_factory=list)
    not_ours: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # kind, currency, unit
    not_compared: list[str] = field(default_factory=list)

    def strange(self, one: Booking) -> None:
        """Add something of an invoice without a case."""
        self.not_ours[one.flow, one.currency, "amount"] += one.amount
        self.not_ours[one.flow, one.currency, "count"] += 1

    @property
    def is_open(self) -> bool:
        """Whether there is a difference that is not as it should be."""
        return any(one.cause.verdict != EXPLAINED for one in self.differences)


def checked(by: Sequence[str]) -> tuple[str, ...]:
    """The keys of the breakdown; `RefusedError` where one is not known."""
    return checked_breakdown("reconcile", by, BY)


def reconciled(
    tally: Tally, question: Question, data_until: tuple[datetime, str], **asked: Any
) -> Report:
    """The report of a comparison; `asked` are further filters, such as the file."""
    fresh_until, sentence = data_until
    found = tally.differences
    rows = _listed(found) if not question.by else _grouped(tally, question.by)
    keys = (*question.by, "currency") if "currency" not in question.by else question.by
    return Report(
        name="reconcile",
        filters=question.filters() | asked,
        definitions=DEFINITIONS | _told(tally, question) | {"data_until": sentence},
        data_until=fresh_until,
        rows=rows,
        totals=_totals(tally),
        shown=_LISTED if not question.by else _columns(keys),
        note=_note(tally) if not rows else "",
    )


def _told(tally: Tally, question: Question) -> dict[str, str]:
    named = {one.cause for one in tally.differences}
    causes = [f"{cause.name} ({cause.verdict}): {cause.says}" for cause in CAUSES if cause in named]
    when = (
        "where the books count it: what came too late for a closed month in the first open one"
        if question.date == "books"
        else "when it occurred, by the provider's word"
    )
    days = f"Days by the calendar of {question.zone}, both part of the range; "
    left = " ".join(tally.not_compared) or "Nothing was left out."
    return {
        "cause": " ".join(causes) or "There is no difference.",
        "period": f"{days}an entry counts {when}.",
        "not_compared": left,
    }


# --- rows ------------------------------------------------------------------------------------


def _listed(found: Sequence[Difference]) -> list[Row]:
    rows = [_row(one) for one in found]
    return in_order(rows, ("kind", "invoice", "cause"), {"kind": tuple(Flow)})


def _row(one: Difference) -> Row:
    known = one.pair.known
    return {
        "invoice": known.invoice,
        "case": known.case,
        "source": known.source,
        "kind": one.pair.flow.value,
        "currency": one.pair.currency,
        "ledger": one.ledger,
        "provider": one.provider,
        "difference": one.amount,
        "cause": one.cause.name,
        "verdict": one.cause.verdict,
        "at": one.at,
        "about": one.about or None,
        "detail": one.detail or None,
        "next": what_next(one) or None,
    }


def _parts(tally: Tally) -> Iterator[tuple[dict[str, str | None], dict[str, int]]]:
    """Everything that was compared, in parts: what differs, and the rest, which agrees."""
    differ: defaultdict[tuple[str, Key], list[int]] = defaultdict(lambda: [0, 0])
    for one in tally.differences:
        pair = one.pair
        at = (pair.known.source, (pair.flow, pair.currency, pair.period))
        differ[at][0] += one.ledger
        differ[at][1] += one.provider
        fine = one.amount if one.cause.verdict == EXPLAINED else 0
        figures = {
            "ledger": one.ledger,
            "provider": one.provider,
            "difference": one.amount,
            "explained": fine,
            "open": one.amount - fine,
            "differences": 1,
        }
        yield _keys(at, one.cause.name), figures
    for at in dict.fromkeys((*tally.ledger, *tally.provider)):
        ledger = tally.ledger[at] - differ[at][0]
        provider = tally.provider[at] - differ[at][1]
        same = {"ledger": ledger, "provider": provider, "difference": provider - ledger}
        yield _keys(at, AGREES), same


def _keys(at: tuple[str, Key], cause: str) -> dict[str, str | None]:
    source, (flow, currency, period) = at
    unit: dict[str, str | None] = dict.fromkeys(UNITS, period)
    return {**unit, "source": source, "kind": flow.value, "currency": currency, "cause": cause}


def _grouped(tally: Tally, by: Sequence[str]) -> list[Row]:
    keys = by if "currency" in by else (*by, "currency")
    rows: dict[tuple[str | None, ...], Row] = {}
    for told, figures in _parts(tally):
        key = tuple(told[name] for name in keys)
        row = rows.setdefault(key, {**dict(zip(keys, key, strict=True)), **_NOTHING})
        for name, amount in figures.items():
            row[name] += amount
    kept = [row for row in rows.values() if any(row[name] for name in _NOTHING)]
    return in_order(kept, by, {"kind": tuple(Flow)})


_NOTHING = dict.fromkeys((*_SUMS, "differences"), 0)


def _columns(keys: Sequence[str]) -> tuple[Column, ...]:
    return (
        *(Column(key, key.capitalize()) for key in keys),
        *(Column(name, name.capitalize(), Kind.MONEY) for name in _SUMS),
        Column("differences", "Differences", Kind.COUNT),
    )


def _totals(tally: Tally) -> list[Row]:
    """Per currency, and what money did in it: payments and refunds are not added either."""
    rows = {(row["kind"], row["currency"]): row for row in _grouped(tally, ("kind", "currency"))}
    for flow, currency, _ in tally.not_ours:
        blank = {"kind": flow, "currency": currency, **_NOTHING}
        rows.setdefault((flow, currency), blank)
    for (kind, currency), row in rows.items():
        row["not_ours"] = tally.not_ours[kind, currency, "amount"]
        row["not_ours_count"] = tally.not_ours[kind, currency, "count"]
    ordered = sorted(rows.values(), key=lambda row: list(Flow).index(Flow(row["kind"])))
    return sorted(ordered, key=lambda row: str(row["currency"]))


def _note(tally: Tally) -> str:
    """What there is to say where nothing differs."""
    if not tally.invoices:
        return "nothing to compare: neither side has money of an invoice with a case in this time"
    sums = ", ".join(
        f"{row['kind']} {Money(row['ledger'], row['currency'])}"
        for row in _totals(tally)
        if row["ledger"] or row["provider"]
    )
    count = f"{tally.invoices:,} invoice" + ("s" if tally.invoices != 1 else "")
    return f"the ledger and the provider agree to the minor unit on {count}: {sums}"
