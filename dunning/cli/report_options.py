"""The options that reports share, and what of them the policy file says."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dunning.cli.words import read_day

if TYPE_CHECKING:
    from datetime import date as Day  # noqa: N812 - `date` is which of the two times counts

    from dunning.cli.opening import Reading
    from dunning.config import Books, PolicyFile
    from dunning.core.worth import Value
    from dunning.reports import Scope
    from dunning.reports.exchange import Exchange


PERIODS = "day, week, month, quarter or year"
OF_CASE = (
    "policy, policy_version, decline, advice, network, country, plan, segment, source, currency"
)
OF_PAYMENT = "mechanism, step, last_email, last_email_step, last_click"


class ReportFormat(enum.StrEnum):
    """How a report is written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    XLSX = "xlsx"
    HTML = "html"


class Dated(enum.StrEnum):
    """Which of its times a movement of money counts by."""

    OCCURRED = "occurred"
    RECORDED = "recorded"
    BOOKS = "books"


SinceOption = Annotated[
    str | None,
    typer.Option("--since", "--from", metavar="DAY", help="First day, such as 2026-01-01."),
]
UntilOption = Annotated[
    str | None,
    typer.Option("--until", "--to", metavar="DAY", help="Last day; it is part of the range."),
]
PolicyOption = Annotated[
    str | None, typer.Option("--policy", metavar="NAME", help="Only cases of this policy.")
]
CurrencyOption = Annotated[
    str | None, typer.Option("--currency", metavar="CODE", help="Only this currency, e.g. USD.")
]
ZoneOption = Annotated[
    str | None,
    typer.Option(
        "--timezone",
        metavar="ZONE",
        help="Whose calendar days and months are; if not said, that of `books` in the policy file.",
    ),
]
DateOption = Annotated[
    Dated,
    typer.Option(
        "--date",
        help="occurred: when the money moved; recorded: when it was written down here, so that "
        "a correction counts when it was made; books: as the statements of closed months have it.",
    ),
]
FormOption = Annotated[
    ReportFormat,
    typer.Option(
        "--format", help="table for people, html to look at and print; xlsx needs --output."
    ),
]
InOption = Annotated[
    str | None,
    typer.Option(
        "--in", metavar="CODE", help="Show amounts in this currency as well; needs --rates."
    ),
]
RatesOption = Annotated[
    Path | None,
    typer.Option(
        "--rates",
        metavar="FILE",
        help="Exchange rates: CSV with date,currency,rate or date,base,quote,rate, or the "
        "European Central Bank's eurofxref-hist.csv.",
    ),
]
OutputOption = Annotated[
    Path | None, typer.Option("--output", metavar="FILE", help="Write it there.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the command line said, before the database is open."""

    by: tuple[str, ...]
    since: Day | None
    until: Day | None
    source: str | None
    currency: str | None
    zone: str | None
    policy: str | None
    date: Dated

    def scope(self, view: Reading) -> Scope:
        """What a report is asked, by the calendar of the books where nothing else was said."""
        from dunning.reports import Scope

        words = self.words(books_of(view))
        if self.date is Dated.BOOKS and self.zone is None:
            words["zone"] = zone_of_books(view) or words["zone"]
        return Scope(**words, policy=self.policy, date=self.date.value)

    def words(self, books: Books) -> dict[str, Any]:
        """What was said; whose calendar it goes by is the file's to say."""
        return {
            "by": self.by,
            "since": self.since,
            "until": self.until,
            "source": self.source,
            "currency": self.currency,
            "zone": self.zone or books.timezone,
            "year_from": books.fiscal_year_start,
        }


def asked(
    by: list[str] | None,
    since: str | None,
    until: str | None,
    source: str | None,
    currency: str | None,
    zone: str | None,
    *,
    policy: str | None = None,
    date: Dated = Dated.OCCURRED,
) -> Asked:
    """Read what was typed; a day or a currency that is none is refused."""
    return Asked(
        by=tuple(by or ()),
        since=read_day(since, "--since"),
        until=read_day(until, "--until"),
        source=source,
        currency=read_currency(currency),
        zone=zone,
        policy=policy,
        date=date,
    )


def read_currency(currency: str | None) -> str | None:
    """The currency as the ledger spells it."""
    if currency is None:
        return None
    from dunning.core.money import currency_code
    from dunning.errors import MoneyError

    try:
        return currency_code(currency)
    except MoneyError as error:
        raise typer.BadParameter(str(error), param_hint="--currency") from None


def exchange_of(into: str | None, rates: Path | None) -> Exchange | None:
    """The currency that amounts are to be shown in, with the rates of the file."""
    if into is None and rates is None:
        return None
    if into is None or rates is None:
        missing, why = ("--rates FILE", "--in") if rates is None else ("--in CODE", "--rates")
        raise typer.BadParameter(f"add {missing}: nothing is converted without", param_hint=why)
    from dunning.core.money import currency_code
    from dunning.errors import MoneyError, RefusedError
    from dunning.reports.exchange import Exchange, read_rates

    try:
        code = currency_code(into)
        return Exchange(code, read_rates(rates.read_bytes(), rates.name, code))
    except MoneyError as error:
        raise typer.BadParameter(str(error), param_hint="--in") from None
    except RefusedError as error:
        raise typer.BadParameter(str(error), param_hint="--rates") from None
    except OSError as error:
        message = f"cannot read {rates}: {error.strerror}"
        raise typer.BadParameter(message, param_hint="--rates") from None


def books_of(view: Reading) -> Books:
    """The calendar that the policy file in force names."""
    from dunning.config import Books

    file = _in_force(view, "books")
    return Books() if file is None else file.books


def value_of(view: Reading) -> Value | None:
    """The formula of a customer's value, where the policy file in force has one."""
    file = _in_force(view, "value")
    return None if file is None else file.terms.value


def _in_force(view: Reading, word: str) -> PolicyFile | None:
    """The policy file in force, if it has the word at all: reading it takes its time."""
    from dunning.in_force import Text, loader, newest
    from dunning.messages import Messages

    row = newest(view.session)
    if row is None or word not in row.text:
        return None
    names = tuple(Messages(view.settings.templates).names())
    return loader(names)(Text(row.text, f"what is in force ({row.hash})"))


def zone_of_books(view: Reading) -> str | None:
    """The zone whose months are closed; None while none is."""
    from dunning.closed import closings

    rows = closings(view.session)
    return rows[0].zone if rows else None
