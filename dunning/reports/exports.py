"""A provider's export as bookings. What its columns are called stands in `exports.toml`.

Every complaint names the file, the line, and what was expected there: a figure that was skipped in
silence would be a difference that nobody sees.
"""

from __future__ import annotations

import csv
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from dunning.clock import rfc3339, utc
from dunning.core.bookings import Booking, Export, Fate, Flow
from dunning.core.money import currency_code, exponent
from dunning.errors import MoneyError, RefusedError
from dunning.reports.formats import csv_lines

FILE = "exports.toml"
PAGE = 500
_MAJOR = re.compile(r"-?(?:\d+|\d{1,3}(?:,\d{3})+)(?:\.\d+)?\Z")
_MINOR = re.compile(r"\d{1,18}\Z")


@dataclass(frozen=True, slots=True)
class Form:
    """One form of export: see the head of the table."""

    name: str
    says: str
    remark: str  # what it cannot tell
    units: str
    needs: tuple[str, ...]
    columns: Mapping[str, tuple[str, ...]]
    rows: Mapping[str, Mapping[str, Any]]
    brought: Mapping[str, tuple[str, ...]]


@cache
def forms() -> tuple[Form, ...]:
    """The forms that are known, the first of them the one that fits any provider."""
    text = resources.files("dunning.reports").joinpath(FILE).read_text(encoding="utf-8")
    return tuple(
        Form(
            name=one["name"],
            says=one["says"],
            remark=one.get("remark", ""),
            units=one["units"],
            needs=tuple(one["needs"]),
            columns={name: tuple(heads) for name, heads in one["columns"].items()},
            rows=one.get("rows", {}),
            brought={
                name: tuple(word.lower() for word in words)
                for name, words in one.get("brought", {}).items()
            },
        )
        for one in tomllib.loads(text)["form"]
    )


@dataclass(slots=True)
class Exported:
    """One file: read once, a page at a time; what it came to stands here behind the last one."""

    path: Path
    form: Form | None = None
    lines: int = 0
    left_out: Counter[str] = field(default_factory=Counter)  # rows that book nothing, by their kind
    first: datetime | None = None
    last: datetime | None = None

    def pages(self) -> Iterator[list[Booking]]:
        """Its bookings; `RefusedError` names file, line and what was expected."""
        page: list[Booking] = []
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                for one in self._bookings(file):
                    self.first = min(one.at, self.first or one.at)
                    self.last = max(one.at, self.last or one.at)
                    page.append(one)
                    if len(page) >= PAGE:
                        yield page
                        page = []
        except OSError as error:
            raise RefusedError(f"cannot read {self.path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise RefusedError(
                f"{self.path}: not UTF-8; export it again, or save it as UTF-8"
            ) from None
        yield page

    def span(self) -> Export | None:
        """The time from its first booking to its last."""
        if self.first is None or self.last is None:
            return None
        return Export(self.path.name, self.first, self.last)

    def _bookings(self, file: Any) -> Iterator[Booking]:
        heading = file.readline()
        file.seek(0)
        rows = csv.reader(file, delimiter=";" if heading.count(";") > heading.count(",") else ",")
        names = [name.strip() for name in next(rows, [])]
        form = self.form = self._form(names)
        places = {name.lower(): place for place, name in reversed(list(enumerate(names)))}
        try:
            for cells in rows:
                if not any(cell.strip() for cell in cells):
                    continue
                self.lines += 1
                if len(cells) != len(names):
                    raise _WrongError(f"{len(cells)} cells, and the heading has {len(names)}")
                yield from _Row(form, places, cells, self.left_out).bookings()
        except (_WrongError, csv.Error) as error:
            raise RefusedError(f"{self.path}:{rows.line_num}: {error}") from None

    def _form(self, names: Sequence[str]) -> Form:
        there = {name.lower() for name in names}
        lacks = [[n for n in form.needs if n.lower() not in there] for form in forms()]
        for form, lack in zip(forms(), lacks, strict=True):
            if not lack:
                return form
        nearest, lack = min(
            zip(forms(), lacks, strict=True), key=lambda one: len(one[1]) / len(one[0].needs)
        )
        known = "; ".join(f"{form.name} ({', '.join(form.needs)})" for form in forms())
        absent = ", ".join(repr(name) for name in lack)
        raise RefusedError(
            f"{self.path}:1: the headings are those of no export that is known; for "
            f"{nearest.name!r} there is no column {absent}. Expected one of: {known}"
        )


class _WrongError(Exception):
    """What is wrong with a row, and what was expected."""


@dataclass(frozen=True, slots=True)
class _Row:
    form: Form
    places: Mapping[str, int]
    cells: Sequence[str]
    left_out: Counter[str]

    def bookings(self) -> Iterator[Booking]:
        if self.form.rows:
            word = self.need("kind")
            told = self.form.rows.get(word.lower())
            if told is None and self.form.units == "minor":
                expected = ", ".join(self.form.rows)
                raise _WrongError(f"kind is {word!r}; expected one of {expected}")
            if told is None:
                self.left_out[word] += 1
                return
            sign = told.get("sign", 1)
            fate = Fate(told.get("fate", "done"))
            yield self._one(Flow(told["flow"]), sign, fate)
        else:
            yield from self._payment()

    def _one(self, flow: Flow, sign: int, fate: Fate) -> Booking:
        amount, currency = self._money()
        return self._booking(flow, self.need("id"), sign * amount, currency, self.need("at"), fate)

    def _payment(self) -> Iterator[Booking]:
        """A payment, and of it what was refunded and disputed."""
        status, (amount, currency) = self.need("status"), self._money()
        captured = (self.get("captured") or "true").lower() in ("true", "yes", "1")
        if status.lower() not in self.form.brought["status"] or not captured:
            self.left_out[status] += 1
            return
        name, at = self.need("id"), self.need("at")
        yield self._booking(Flow.PAID, name, amount, currency, at)
        if back := self._amount("refunded", currency):
            when = self.get("refunded_at") or at
            yield self._booking(Flow.REFUNDED, f"{name}/refunded", back, currency, when)
        state = (self.get("dispute_status") or "").lower()
        taken = self._amount("disputed", currency)
        if taken and state in self.form.brought["took"]:
            when = self.get("disputed_at") or at
            yield self._booking(Flow.DISPUTED, f"{name}/disputed", taken, currency, when)
            if state in self.form.brought["returned"]:
                yield self._booking(Flow.DISPUTED, f"{name}/disputed", -taken, currency, when)

    def _booking(
        self, flow: Flow, name: str, amount: int, currency: str, at: str, fate: Fate = Fate.DONE
    ) -> Booking:
        also = (self.cell(head) for head in self.form.columns.get("names", ()))
        base = name.partition("/")[0]
        return Booking(
            flow=flow,
            id=name,
            amount=amount,
            currency=currency,
            at=_time(at),
            invoice=self.get("invoice"),
            customer=self.get("customer"),
            names=tuple(dict.fromkeys(x for x in (*also, base) if x and x != name)),
            fate=fate,
        )

    def _money(self) -> tuple[int, str]:
        """The amount with its own currency: of several pairs of columns the first that is said."""
        pairs = zip(self.form.columns["amount"], self.form.columns["currency"], strict=True)
        for amount, currency in pairs:
            said, code = self.cell(amount), self.cell(currency)
            if said and code:
                try:
                    code = currency_code(code)
                except MoneyError as error:
                    raise _WrongError(f"{currency}: {error}") from None
                return self._read(amount, said, code), code
        first = self.form.columns["amount"][-1]
        raise _WrongError(f"{first} is empty, or its currency; expected an amount and its currency")

    def _amount(self, name: str, currency: str) -> int:
        for head in self.form.columns.get(name, ()):
            if said := self.cell(head):
                return self._read(head, said, currency)
        return 0

    def _read(self, head: str, said: str, currency: str) -> int:
        """Minor units; the sign is what the kind of row says, as exports do not agree on it."""
        if self.form.units == "minor":
            if not _MINOR.match(said):
                raise _WrongError(
                    f"{head} is {said!r}; expected minor units, such as 4900 for 49.00"
                )
            return int(said)
        if not _MAJOR.match(said):
            raise _WrongError(f"{head} is {said!r}; expected a number such as 1234.50")
        scaled = abs(Decimal(said.replace(",", ""))).scaleb(exponent(currency))
        if scaled != scaled.to_integral_value():
            raise _WrongError(f"{head} is {said!r}; {currency.upper()} has fewer decimals")
        return int(scaled)

    def cell(self, head: str) -> str | None:
        place = self.places.get(head.lower())
        return self.cells[place].strip() or None if place is not None else None

    def get(self, name: str) -> str | None:
        return next((found for head in self._heads(name) if (found := self.cell(head))), None)

    def need(self, name: str) -> str:
        found = self.get(name)
        if found is None:
            raise _WrongError(f"{self._heads(name)[0]} is empty")
        return found

    def _heads(self, name: str) -> tuple[str, ...]:
        return self.form.columns.get(name, ())


# --- writing ---------------------------------------------------------------------------------

MINIMAL = ("kind", "id", "invoice", "amount", "currency", "at", "payment", "charge")


def to_minimal(bookings: Iterable[Booking]) -> Iterator[str]:
    """Bookings as a file of the first form, which gives the same bookings when it is read."""
    words = {
        (row["flow"], row.get("sign", 1), row.get("fate", "done")): word
        for word, row in forms()[0].rows.items()
    }
    counted = (one for one in bookings if one.fate is not Fate.FAILED)
    yield from csv_lines(MINIMAL, (_told(one, words) for one in counted))


def _told(one: Booking, words: Mapping[tuple[str, int, str], str]) -> dict[str, object]:
    sign = 1 if one.amount >= 0 else -1
    names = (*one.names, None, None)
    return {
        "kind": words[one.flow.value, sign, one.fate.value],
        "id": one.id,
        "invoice": one.invoice,
        "amount": abs(one.amount),
        "currency": one.currency,
        "at": rfc3339(one.at),
        "payment": names[0],
        "charge": names[1],
    }


def _time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        expected = "expected 2026-01-31 12:00:00 (UTC) or 2026-01-31T12:00:00Z"
        raise _WrongError(f"the time is {text!r}; {expected}") from None
    return utc(moment) if moment.tzinfo else moment.replace(tzinfo=UTC)
