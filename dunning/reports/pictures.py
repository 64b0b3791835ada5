"""Which charts show a report: one for each currency, by what the report is broken down by."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date

from dunning.core.money import Money, exponent
from dunning.reports.charts import COLOURS, Chart, Series
from dunning.reports.periods import UNITS, label_of, period_after, period_from
from dunning.reports.report import Report, Row

# What of a report is drawn where nothing else is said, and the key its columns are parted by.
_FIGURE = {
    "at-risk": "at_risk",
    "recovered": "recovered",
    "lost": "net",
    "churn": "recurring_lost",
    "recurring": "lost",
    "grace": "net",
    "value": "value",
}
_PARTS = (
    "mechanism",
    "kind",
    "cause",
    "step",
    "state",
    "age",
    "standing",
    "outcome",
    "last_email",
    "last_click",
)
_WORDS = (*_PARTS, "definition", "advice")
_MOST_PARTS = COLOURS - 1
_OTHERS_COLOUR = 8
_MOST_PERIODS = 120
OTHERS = "others"
NOT_FINAL = "window still open: so far"
# Words that keep their colour in every picture.
_COLOURS = {
    "our_retry": 1,
    "new_card": 2,
    "backup_method": 3,
    "retry_by_hand": 4,
    "link": 5,
    "provider_retry": 6,
    "natural": 8,
    "outside": 9,
    "holdout": 8,
    "unknown": 8,
    "unpaid": 7,
    "lost": 7,
    "withdrawn": 8,
    "late_recovery": 3,
    "involuntary": 7,
    "voluntary": 8,
    "voluntary_in_dunning": 6,
    "paid_in_grace": 1,
    "paid_later": 6,
    "open": 5,
}


def pictures(report: Report) -> Iterator[tuple[str, Chart, bool]]:
    """Each currency with its chart, and whether it is of periods, to be drawn as columns."""
    keys = _keys(report)
    unit = next((key for key in keys if key in UNITS), None)
    if report.rates:
        yield report.filters["in"], _of_all(report, keys, unit), unit is not None
    currencies = {row["currency"] for row in report.rows} - {None}
    for currency in sorted(currencies):
        rows = [row for row in report.rows if row["currency"] == currency]
        if report.name == "rates":
            yield currency, _of_rates(report, rows, keys, unit), unit is not None
        elif report.name == "timing":
            spread = "took" in keys
            chart = _of_counts(rows, keys, "took") if spread else _of_days(report, rows, keys)
            yield currency, chart, spread or unit is not None
        elif report.name == "hours":
            if any(row["rate"] is not None for row in rows):
                yield currency, _of_hours(rows, keys), True
        elif report.name in _FIGURE:
            yield currency, _of_money(report, rows, keys, unit, currency), unit is not None


def _keys(report: Report) -> list[str]:
    return [key for key in report.filters.get("by", ()) if key != "currency"]


def _label(row: Row, keys: Sequence[str]) -> str:
    return " · ".join(_word(row[key], key) for key in keys) or "all"


def _word(value: object, key: str) -> str:
    """A word of ours as people write it; names that others gave stay as they are."""
    if value is None:
        return "none"
    return str(value).replace("_", " ") if key in _WORDS else str(value)


# --- money ---------------------------------------------------------------------------------


def _of_money(
    report: Report, rows: Sequence[Row], keys: Sequence[str], unit: str | None, currency: str
) -> Chart:
    figure = "service" if "outcome" in keys else _FIGURE[report.name]
    part = next((key for key in keys if key in _PARTS), None) if unit or len(keys) > 1 else None
    across = [key for key in keys if key != part] if part else list(keys)
    labels = _in_time(report, across) or list(dict.fromkeys(_label(row, across) for row in rows))
    sums: dict[str, dict[str, int]] = {}
    for row in rows:
        name = str(row[part]) if part else figure.replace("_", " ")
        column = sums.setdefault(name, {})
        label = _label(row, across)
        column[label] = column.get(label, 0) + row[figure]
    return Chart(
        title=f"{figure.replace('_', ' ').capitalize()} in {currency.upper()}",
        labels=labels,
        series=_series(sums, labels),
        say=lambda value: str(Money(round(value), currency)),
        tick=short(currency),
    )


def _of_all(report: Report, keys: Sequence[str], unit: str | None) -> Chart:
    """All currencies in one, by which of them it was."""
    into = report.filters["in"]
    figure = _FIGURE[report.name]
    across = [unit] if unit else list(keys)
    labels = _in_time(report, across) or list(
        dict.fromkeys(_label(row, across) for row in report.rows)
    )
    sums: dict[str, dict[str, int]] = {}
    for row in report.rows:
        column, label = sums.setdefault(row["currency"].upper(), {}), _label(row, across)
        column[label] = column.get(label, 0) + row[f"{figure}_{into}"]
    title = f"{figure.replace('_', ' ').capitalize()}, all currencies in {into.upper()}"
    say, tick = (lambda value: str(Money(round(value), into))), short(into)
    return Chart(title=title, labels=labels, series=_series(sums, labels), say=say, tick=tick)


def _in_time(report: Report, across: Sequence[str]) -> list[str]:
    """Every period of the range, so that an empty one is seen; none where it has no ends."""
    told = report.filters
    unit = next((one for one in UNITS if list(across) == [one]), None)
    if unit is None or not told.get("since") or not told.get("until"):
        return []
    year_from = told.get("fiscal_year_start") or 1
    last = date.fromisoformat(told["until"])
    day = period_from(unit, date.fromisoformat(told["since"]), year_from)
    labels: list[str] = []
    while day <= last and len(labels) <= _MOST_PERIODS:
        labels.append(label_of(unit, day, year_from))
        day = period_after(unit, day)
    return labels if len(labels) <= _MOST_PERIODS else []


def _series(sums: dict[str, dict[str, int]], labels: Sequence[str]) -> list[Series]:
    """The greatest parts in colours of their own, the rest as one."""
    ranked = sorted(sums, key=lambda name: -sum(map(abs, sums[name].values())))
    kept = sorted(ranked[:_MOST_PARTS], key=lambda name: _COLOURS.get(name, 0))
    rest = [name for name in sums if name not in kept]
    taken = {_OTHERS_COLOUR, *(_COLOURS.get(name) for name in kept)}
    free = [number for number in range(1, COLOURS + 1) if number not in taken]
    made = []
    for name in kept:
        colour = _COLOURS.get(name) or (free.pop(0) if free else _OTHERS_COLOUR)
        made.append(Series(name, [sums[name].get(label, 0) for label in labels], colour))
    if rest:
        together = [sum(sums[name].get(label, 0) for name in rest) for label in labels]
        made.append(Series(OTHERS, together, _OTHERS_COLOUR))
    return made


def short(currency: str) -> Callable[[float], str]:
    """Minor units as a short number of major ones: 1.2k, 3M."""
    digits = exponent(currency)

    def tick(value: float) -> str:
        major = value / 10**digits
        for least, letter in ((1e9, "bn"), (1e6, "M"), (1e3, "k")):
            if abs(major) >= least:
                return f"{major / least:.3g}{letter}"
        return f"{major:.3g}"

    return tick


# --- rates ---------------------------------------------------------------------------------


def _of_rates(report: Report, rows: Sequence[Row], keys: Sequence[str], unit: str | None) -> Chart:
    """By cohort our own rate, and what it is so far where the window is still open."""
    if unit is None:
        return _by_definition(rows, keys)
    labels = _in_time(report, keys) or list(dict.fromkeys(_label(row, keys) for row in rows))
    final = {_label(row, keys): row["rate"] for row in rows if row["definition"] == "ours"}
    open_still = {_label(row, keys) for row in rows if (row["mature"] or 0) < 1}
    so_far = {_label(row, keys): row["rate"] for row in rows if row["definition"] == "ours_so_far"}
    if not final:
        final = {_label(row, keys): row["rate"] for row in rows}
    values = [
        (so_far.get(label) if label in open_still and so_far else final.get(label)) or 0
        for label in labels
    ]
    return Chart(
        title="Recovery rate by money, by when the payment first failed",
        labels=labels,
        series=[Series("recovery rate", values)],
        say=percent,
        full=1.0,
        tick=percent,
        faded=frozenset(i for i, label in enumerate(labels) if label in open_still),
    )


def _by_definition(rows: Sequence[Row], keys: Sequence[str]) -> Chart:
    told = [row for row in rows if row["rate"] is not None]
    return Chart(
        title="Recovery rate under each definition",
        labels=[_label(row, [*keys, "definition"]) for row in told],
        series=[Series("rate", [row["rate"] for row in told])],
        say=percent,
        full=1.0,
        tick=percent,
    )


# --- times ---------------------------------------------------------------------------------


def _of_counts(rows: Sequence[Row], keys: Sequence[str], across: str) -> Chart:
    """How many cases took so long, parted by the other keys if there are any."""
    others = [key for key in keys if key != across]
    sums: dict[str, dict[str, int]] = {}
    for row in rows:
        sums.setdefault(_label(row, others) if others else "cases", {})[row[across]] = row["cases"]
    labels = list(dict.fromkeys(row[across] for row in rows))
    return Chart(
        title="Cases by the days from the first failure to the payment",
        labels=labels,
        series=_series(sums, labels),
        say=number,
        tick=number,
    )


def _of_days(report: Report, rows: Sequence[Row], keys: Sequence[str]) -> Chart:
    """The median of each row; of those that were paid up."""
    found = {_label(row, keys): row["median"] for row in rows}
    labels = _in_time(report, keys) or list(found)
    return Chart(
        title="Median days from the first failure to the payment",
        labels=labels,
        series=[Series("median", [found.get(label) or 0 for label in labels])],
        say=lambda value: f"{value:.1f} d",
        tick=lambda value: f"{value:.3g}",
    )


def _of_hours(rows: Sequence[Row], keys: Sequence[str]) -> Chart:
    """The rate of each row; where there is not enough data, none."""
    return Chart(
        title=f"Share of charges that went through, by {' and '.join(keys) or 'currency'}",
        labels=[_label(row, keys) for row in rows],
        series=[Series("rate", [row["rate"] or 0 for row in rows])],
        say=percent,
        tick=percent,
    )


def number(value: float) -> str:
    """A count for people; halves of an axis as they are."""
    return f"{value:,.10g}"


def percent(value: float) -> str:
    """A share for people."""
    return f"{value * 100:.1f}".removesuffix(".0") + " %"
