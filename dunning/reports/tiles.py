"""The headline of an overview: a few figures, each with what it is of, per currency."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dunning.core.money import Money
from dunning.reports.pictures import percent
from dunning.reports.report import Report, Row

_MOST = 4  # of the currencies, in the order of their names


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure of the headline."""

    name: str
    values: Sequence[str]
    about: str


def tiles(reports: Sequence[Report]) -> list[Tile]:
    """What the totals of the reports come to in one line each."""
    by_name = {report.name: report for report in reports}
    made = [
        _tile(by_name, "at-risk", "At risk now", _money("at_risk"), "open, unpaid and pursued"),
        _tile(
            by_name,
            "recovered",
            "Recovered",
            _money("recovered"),
            "net of refunds and disputes",
        ),
        _tile(
            by_name,
            "recovered",
            "of which claimed",
            _money("claimed"),
            "an act of ours brought it in",
        ),
        _tile(by_name, "lost", "Lost", _money("net"), "written off or withdrawn, less late money"),
        _tile(
            by_name,
            "rates",
            "Recovery rate",
            _rate("rate", definition="ours"),
            "by money, of cohorts whose window has closed",
        ),
        _tile(
            by_name,
            "churn",
            "Customer churn",
            _rate("customer_churn"),
            "of the customers at the start, whatever the reason",
        ),
    ]
    return [tile for tile in made if tile is not None]


_Say = Callable[[Row], str | None]


def _tile(reports: dict[str, Report], report: str, name: str, say: _Say, about: str) -> Tile | None:
    if report not in reports:
        return None
    said = [text for row in reports[report].totals if (text := say(row)) is not None]
    more = [f"and {len(said) - _MOST} more"] if len(said) > _MOST else []
    return Tile(name, [*said[:_MOST], *more] or ["—"], about)


def _money(figure: str) -> _Say:
    return lambda row: str(Money(row[figure], row["currency"]))


def _rate(figure: str, **only: str) -> _Say:
    def say(row: Row) -> str | None:
        if row[figure] is None or any(row[key] != value for key, value in only.items()):
            return None
        return f"{percent(row[figure])} {(row['currency'] or '').upper()}".rstrip()

    return say
