"""Exchange rates from a file: of which day, in which words, and what they make of an amount.

Nothing is fetched and nothing is guessed: a rate is in the file, or the report is refused. Exact
fractions until the amount is rounded, once, half to even, to the minor unit.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

from dunning.core.money import currency_code, exponent
from dunning.errors import MoneyError, RefusedError

# On a day without a rate (weekends, holidays) that of the last day before it counts, so far back.
MOST_DAYS_BACK = 7
_EURO = "eur"  # what the European Central Bank's file is in
_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,18})?")
_SHAPES = (
    "expected a heading date,currency,rate (what one unit of the currency is worth in the one "
    "asked for), or date,base,quote,rate (one unit of base is so much of quote), or the file "
    "eurofxref-hist.csv of the European Central Bank"
)
_LONG = frozenset(("date", "currency", "rate"))
_PAIRS = frozenset(("date", "base", "quote", "rate"))

Pair = tuple[str, str]  # one unit of the first is so much of the second


@dataclass(frozen=True, slots=True)
class Rates:
    """The rates of a file by day, as they are written there, and the digest of the file."""

    name: str
    digest: str
    days: dict[date, dict[Pair, str]]


@dataclass(slots=True)
class Exchange:
    """Amounts brought into one currency, and a note of every rate that was used."""

    into: str
    rates: Rates
    _factors: dict[tuple[str, date], Fraction] = field(default_factory=dict)
    _used: dict[tuple[str, date], dict[str, Any]] = field(default_factory=dict)

    def convert(self, minor: int, currency: str, day: date) -> int:
        """Minor units of the currency as minor units of the other, at the rate of that day."""
        if currency == self.into:
            return minor
        factor = self._factors.get((currency, day)) or self._factor(currency, day)
        whole, rest = divmod(minor * factor.numerator, factor.denominator)
        over = 2 * rest - factor.denominator
        return whole + (over > 0 or (over == 0 and whole % 2 == 1))  # half to even

    @property
    def used(self) -> tuple[dict[str, Any], ...]:
        """Each rate that was used: for which currency and day, of which day, and as quoted."""
        return tuple(self._used[key] for key in sorted(self._used))

    @property
    def source(self) -> str:
        """The file, so that it can be told apart from another."""
        return f"{self.rates.name} (sha256 {self.rates.digest})"

    def _factor(self, currency: str, day: date) -> Fraction:
        for back in range(MOST_DAYS_BACK + 1):
            of = day - timedelta(days=back)
            found = _quoted(self.rates.days.get(of, {}), currency, self.into)
            if found is None:
                continue
            rate, quoted = found
            self._used[currency, day] = {
                "currency": currency,
                "day": day.isoformat(),
                "rate_day": of.isoformat(),
                "rate": f"{float(rate):.10g}",
                "quoted": quoted,
            }
            factor = rate * Fraction(10) ** (exponent(self.into) - exponent(currency))
            return self._factors.setdefault((currency, day), factor)
        raise RefusedError(
            f"{self.rates.name} has no rate from {currency.upper()} to {self.into.upper()} for "
            f"{day}, nor for the {MOST_DAYS_BACK} days before it"
        )


def _quoted(pairs: dict[Pair, str], one: str, other: str) -> tuple[Fraction, str] | None:
    """What one unit of a currency is worth in the other, and the words of the file for it."""
    if (straight := pairs.get((one, other))) is not None:
        return Fraction(straight), _words(one, straight, other)
    if (inverse := pairs.get((other, one))) is not None:
        return 1 / Fraction(inverse), _words(other, inverse, one)
    for base, quote in sorted(pairs):
        across = pairs.get((base, other))
        if quote == one and across is not None:
            rate = pairs[base, one]
            told = f"{_words(base, rate, one)}, {_words(base, across, other)}"
            return Fraction(across) / Fraction(rate), told
    return None


def _words(one: str, rate: str, other: str) -> str:
    return f"1 {one.upper()} = {rate} {other.upper()}"


# --- reading the file ------------------------------------------------------------------------


def read_rates(content: bytes, name: str, into: str) -> Rates:
    """The rates in a CSV file; `RefusedError` names the line that is wrong."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RefusedError(f"{name} is not a text file in UTF-8: {error.reason}") from None
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    days: dict[date, dict[Pair, str]] = {}
    try:
        heading = [cell.strip().lower() for cell in next(lines, [])]
        reader = _reader(heading, name, into)
        for cells in lines:
            if not any(cell.strip() for cell in cells):
                continue
            try:
                for day, pair, rate in reader([cell.strip() for cell in cells]):
                    there = days.setdefault(day, {}).setdefault(pair, rate)
                    if there != rate and Fraction(there) != Fraction(rate):
                        told = f"{_words(pair[0], rate, pair[1])} on {day}"
                        raise RefusedError(f"{told}, but it was {there} further up")
            except (RefusedError, MoneyError) as error:
                raise RefusedError(f"{name} line {lines.line_num}: {error}") from None
    except csv.Error as error:
        raise RefusedError(f"{name} line {lines.line_num}: {error}") from None
    if not days:
        raise RefusedError(f"{name} has no rates")
    return Rates(name, hashlib.sha256(content).hexdigest(), days)


_Told = Iterator[tuple[date, Pair, str]]


def _reader(heading: Sequence[str], name: str, into: str) -> Any:
    """How to read the lines under this heading."""
    names = [cell for cell in heading if cell]
    if frozenset(names) in (_LONG, _PAIRS) and len(names) == len(heading):
        return lambda cells: _of_line(heading, cells, into)
    codes = names[1:]
    if names[:1] == ["date"] and codes and all(re.fullmatch("[a-z]{3}", one) for one in codes):
        return lambda cells: _of_bank(heading, cells)
    raise RefusedError(f"{name} line 1: {_SHAPES}")


def _of_line(heading: Sequence[str], cells: Sequence[str], into: str) -> _Told:
    if len(cells) != len(heading):
        raise RefusedError(f"{len(cells)} values under a heading of {len(heading)}")
    line = dict(zip(heading, cells, strict=True))
    base = currency_code(line["base"] if "base" in line else line["currency"])
    quote = currency_code(line["quote"]) if "base" in line else into
    day, rate = _day(line["date"]), _rate(line["rate"])
    if base != quote:
        yield day, (base, quote), rate


def _of_bank(heading: Sequence[str], cells: Sequence[str]) -> _Told:
    """A line of all currencies of a day: units of each for one euro; `N/A` where there are none."""
    if len(cells) > len(heading):
        raise RefusedError(f"{len(cells)} values under a heading of {len(heading)}")
    day = _day(cells[0])
    for code, cell in zip(heading[1:], cells[1:], strict=False):
        if code and cell and cell.upper() != "N/A":
            yield day, (_EURO, code), _rate(cell)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise RefusedError(f"{text!r} is no day; expected one such as 2026-03-01") from None


def _rate(text: str) -> str:
    if not _NUMBER.fullmatch(text) or not text.strip("0."):
        raise RefusedError(f"{text!r} is no rate; expected a number above 0 such as 1.0873")
    return text
