"""What every command of `report` can be asked: its options in one place, and how it answers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dunning.cli.options import DataOption, SourceOption
from dunning.cli.report_forms import give
from dunning.cli.report_options import (
    Asked,
    CurrencyOption,
    Dated,
    DateOption,
    FormOption,
    InOption,
    OutputOption,
    PolicyOption,
    RatesOption,
    ReportFormat,
    SinceOption,
    UntilOption,
    ZoneOption,
    asked,
    exchange_of,
)

if TYPE_CHECKING:
    from dunning.cli.opening import Reading
    from dunning.reports import Report
    from dunning.reports.exchange import Exchange

# The shared options in the order in which --help shows them, each with what it is if not given.
_SHARED: dict[str, tuple[Any, Any]] = {
    "since": (SinceOption, None),
    "until": (UntilOption, None),
    "source": (SourceOption, None),
    "policy": (PolicyOption, None),
    "currency": (CurrencyOption, None),
    "zone": (ZoneOption, None),
    "date": (DateOption, Dated.OCCURRED),
    "into": (InOption, None),
    "rates": (RatesOption, None),
    "form": (FormOption, ReportFormat.TABLE),
    "output": (OutputOption, None),
    "data": (DataOption, None),
}
# Of movements of money only.
OF_MOVEMENTS = ("date", "into", "rates")


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """The shared options as they were given."""

    asked: Asked
    exchange: Exchange | None
    form: ReportFormat
    output: Path | None
    data: Path | None

    def answer(self, name: str, **more: Any) -> None:
        """Give the report of that name."""

        def make(view: Reading) -> Report:
            from dunning import reports

            told = more | ({} if self.exchange is None else {"into": self.exchange})
            made: Report = getattr(reports, name)(
                view.session, view.now, self.asked.scope(view), **told
            )
            return made

        self.give(make)

    def give(self, make: Callable[[Reading], Report]) -> None:
        """Give a report in the form that was asked for."""
        give(make, self.form, self.output, self.data)


def asking(
    by: str,
    *,
    usual: str = "month",
    metavar: str = "KEY",
    without: Collection[str] = OF_MOVEMENTS,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command with the shared options; it is called with what was `Given` and its own.

    `by` says what `--by` may be and `usual` what it is; `without` are options it does not have.
    """
    option = typer.Option("--by", metavar=metavar, help=by)
    shared = {name: one for name, one in _SHARED.items() if name not in without}

    def as_command(answer: Callable[..., None]) -> Callable[..., None]:
        _, *own = inspect.signature(answer, eval_str=True).parameters.values()

        def command(**words: Any) -> None:
            others = {one.name: words.pop(one.name) for one in own}
            answer(_read(usual, **words), **others)

        of_all = [
            _parameter("by", Annotated[list[str] | None, option], None),
            *(_parameter(one.name, one.annotation, one.default) for one in own),
            *(_parameter(name, kind, default) for name, (kind, default) in shared.items()),
        ]
        # Typer takes the options of a command from its signature.
        command.__signature__ = inspect.Signature(of_all)  # type: ignore[attr-defined]
        command.__annotations__ = {one.name: one.annotation for one in of_all}
        command.__name__, command.__doc__ = answer.__name__, answer.__doc__
        return command

    return as_command


def _parameter(name: str, kind: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)


def _read(
    usual: str,
    *,
    by: list[str] | None,
    since: str | None = None,
    until: str | None = None,
    source: str | None = None,
    policy: str | None = None,
    currency: str | None = None,
    zone: str | None = None,
    date: Dated = Dated.OCCURRED,
    into: str | None = None,
    rates: Path | None = None,
    form: ReportFormat,
    output: Path | None,
    data: Path | None,
) -> Given:
    words = asked(by or [usual], since, until, source, currency, zone, policy=policy, date=date)
    return Given(
        asked=words, exchange=exchange_of(into, rates), form=form, output=output, data=data
    )
