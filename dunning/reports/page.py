"""to_html(): reports as one file for the screen, the phone and paper; nothing is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version

from dunning.reports.charts import Chart, bars, columns, escaped, legend
from dunning.reports.page_style import STYLE, paper
from dunning.reports.pictures import NOT_FINAL, pictures
from dunning.reports.report import Report, cells, time_text, total_cells
from dunning.reports.tiles import Tile

_WIDE, _NARROW = 960, 346
# Nothing is loaded from anywhere, and no script runs: the browser is told to see to it.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
TITLES = {
    "at-risk": "At risk now",
    "recovered": "Recovered",
    "lost": "Lost and withdrawn",
    "rates": "Recovery rates",
    "churn": "Churn",
    "uplift": "Uplift",
    "timing": "Time to recover",
    "hours": "Charges by hour and day",
    "grace": "Grace: service given, money won back",
    "value": "Lifetime value kept",
    "reconcile": "Tie-out with the provider",
    "summary": "In short",
}


def to_html(
    reports: Sequence[Report], title: str = "", tiles: Sequence[Tile] = (), note: str = ""
) -> str:
    """The whole page: a headline, each report as chart and table, and what every figure means."""
    heading = title or _title(reports[0])
    until = min(report.data_until for report in reports)
    mixed = len({_days(one) for one in reports if "since" in one.filters}) > 1
    body = "".join(
        _section(report, alone=len(reports) == 1, days=_days(report) if mixed else "")
        for report in reports
    )
    said = f"<p>{escaped(note)}</p>\n" if note else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escaped(heading)}</title>
<style>{STYLE}{paper(heading)}</style>
</head>
<body>
<header>
<h1>{escaped(heading)}</h1>
<p class="soft">{escaped(_range(reports))} Data until {escaped(time_text(until))}.</p>
{said}</header>
<main>
{_tiles(tiles)}{body}</main>
{_definitions(reports)}
<footer class="soft">Made by dunning {escaped(version("dunning"))}. {_added(reports)}</footer>
</body>
</html>
"""


def _added(reports: Sequence[Report]) -> str:
    if any(report.rates for report in reports):
        return "Amounts of different currencies are added only at the rates listed."
    return "Amounts of different currencies\nare never added."


def _range(reports: Sequence[Report]) -> str:
    """The days a page is about, and by whose calendar: what is at risk now has none."""
    told = next((one for one in reports if "since" in one.filters), reports[0])
    days, zone = _days(told), told.filters.get("zone")
    return f"{days}, by the calendar of {zone}." if zone else f"{days}."


def _days(report: Report) -> str:
    told = report.filters
    since, until = told.get("since"), told.get("until")
    if since and until:
        return f"{since} to {until}"
    if since or until:
        return f"from {since}" if since else f"until {until}"
    return "Everything there is" if "since" in told else "As it is now"


def _title(report: Report) -> str:
    title = TITLES.get(report.name, report.name)
    whole = report.name == "rates" and not report.filters.get("by")
    return f"{title} under each definition" if whole else title


# --- one report ----------------------------------------------------------------------------


def _section(report: Report, *, alone: bool, days: str = "") -> str:
    title = _title(report)
    head = f"<h2>{escaped(title)}</h2>" if not alone else ""
    if report.name == "summary" and report.rows:
        return f"<section>{head}{_summary(report)}</section>\n"
    if not report.rows:
        note = report.note or "nothing to show"
        return f"<section>{head}<p>{escaped(note[:1].upper() + note[1:])}.</p></section>\n"
    drawn = [each for each in pictures(report) if each[1].labels]
    # Among others the chart's own figures will do; alone, and for each definition of a rate, there
    # is every column.
    by_definition = report.name == "rates" and not any(over_time for _, _, over_time in drawn)
    brief = bool(drawn) and not alone and not by_definition
    figures = "".join(
        _figure(currency, chart, over_time)
        + (_beside(chart, over_time, adds_up=report.name != "rates") if brief else "")
        for currency, chart, over_time in drawn
    )
    whole = "" if brief else _table(report, title)
    return f"<section>{head}{_filters(report, days)}{figures}{whole}{_rates(report)}</section>\n"


def _filters(report: Report, days: str) -> str:
    shown = {
        name: ", ".join(value) if isinstance(value, list) else str(value)
        for name, value in report.filters.items()
        if value not in (None, [], "")
        and name not in ("since", "until", "zone")
        and (name, value) != ("date", "occurred")
        and (name != "fiscal_year_start" or {"quarter", "year"} & set(report.filters.get("by", ())))
    }
    words = [f"{name.replace('_', ' ')}: {value}" for name, value in shown.items()]
    told = "; ".join([days, *words] if days else words)
    return f'<p class="soft filters">{escaped(told)}</p>' if told else ""


def _figure(currency: str, chart: Chart, over_time: bool) -> str:
    if over_time:
        drawn = columns(chart, _WIDE, 280, "wide") + columns(chart, _NARROW, 240, "narrow")
    else:
        drawn = bars(chart, _WIDE, "wide") + bars(chart, _NARROW, "narrow")
    title = chart.title if currency.upper() in chart.title else f"{chart.title}, {currency.upper()}"
    return (
        f"<figure><figcaption>{escaped(title)}</figcaption>"
        f"{legend(chart, NOT_FINAL)}{drawn}</figure>"
    )


def _summary(report: Report) -> str:
    """The main figures side by side: for each currency a table, a column for each period."""
    parts = []
    for currency in sorted({row["currency"] for row in report.rows}):
        rows = [row for row in report.rows if row["currency"] == currency]
        said = cells(replace(report, rows=rows))
        heads, name = [line[0] for line in said], escaped(str(currency).upper())
        lines = "".join(
            f'<tr><th scope="row">{escaped(one.heading)}</th>'
            + "".join(f'<td class="num">{escaped(_bare(line[place], name))}</td>' for line in said)
            + "</tr>\n"
            for place, one in enumerate(report.shown)
            if one.name not in ("period", "currency")
        )
        periods = "".join(f'<th scope="col" class="num">{escaped(each)}</th>' for each in heads)
        parts.append(
            f'<div class="scroll" role="region" tabindex="0" aria-label="{name}, the table">'
            f'<table class="summary"><caption>{name}</caption>'
            f'<thead><tr><th scope="col"></th>{periods}</tr></thead>'
            f"<tbody>\n{lines}</tbody></table></div>"
        )
    return "".join(parts)


def _bare(text: str, currency: str) -> str:
    """An amount without its currency, which stands above it."""
    return text.removesuffix(f" {currency}")


def _beside(chart: Chart, over_time: bool, *, adds_up: bool = True) -> str:
    """What the chart shows as a table: a line for each column, a column for each part.

    Where each bar has its only figure at its end, the table is for those who do not see it.
    """
    parts = [one for one in chart.series if any(one.values)]
    several = len(parts) > 1
    names = [one.name.replace("_", " ") for one in parts] + (["total"] if several else [])
    heads = "".join(f'<th scope="col" class="num">{escaped(name)}</th>' for name in names)
    sums = chart.sums()
    seen = over_time or several
    lines = [
        (
            label + (" *" if i in chart.faded else ""),
            [one.values[i] for one in parts] + ([sums[i]] if several else []),
        )
        for i, label in enumerate(chart.labels)
    ]
    body = "".join(f"<tr>{_amounts(label, values, chart)}</tr>\n" for label, values in lines)
    whole = [sum(column) for column in zip(*(values for _, values in lines), strict=True)]
    title = escaped(chart.title)
    foot = f"<tfoot><tr>{_amounts('total', whole, chart)}</tr></tfoot>" if adds_up else ""
    note = f'<p class="soft note">* {escaped(NOT_FINAL)}</p>' if chart.faded else ""
    told = 'class="scroll" role="region" tabindex="0"' if seen else 'class="hidden"'
    return (
        f'<div {told} aria-label="{title}, the table">'
        f'<table><caption class="hidden">{title}</caption>'
        f'<thead><tr><th scope="col"></th>{heads}</tr></thead><tbody>\n{body}</tbody>'
        f"{foot}</table></div>{note}"
    )


def _amounts(label: str, values: Sequence[float], chart: Chart) -> str:
    cells = "".join(
        f'<td class="num">{escaped(chart.say(value)) if value else "–"}</td>' for value in values
    )
    return f'<th scope="row">{escaped(label)}</th>{cells}'


def _table(report: Report, title: str) -> str:
    """Every figure of the charts and more, for those who read and those who do not see."""
    kinds = ["num" if one.is_number else "" for one in report.shown]
    heads = "".join(
        f'<th scope="col"{_kind(kind)}>{escaped(one.heading)}</th>'
        for one, kind in zip(report.shown, kinds, strict=True)
    )
    # By currency only, each row is its own total.
    lines, totals = cells(report), total_cells(report) if report.totals != report.rows else []
    body = "".join(f"<tr>{_line(line, kinds)}</tr>\n" for line in lines)
    foot = "".join(f"<tr>{_line(line, kinds)}</tr>\n" for line in totals)
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escaped(title)}, the table">'
        f'<table><caption class="hidden">{escaped(title)}</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>\n{body}</tbody>"
        f"{f'<tfoot>{foot}</tfoot>' if foot else ''}</table></div>"
    )


def _rates(report: Report) -> str:
    """Every exchange rate that was used."""
    if not report.rates:
        return ""
    names = ("day", "rate_day", "currency", "rate", "quoted")
    heads = "".join(f'<th scope="col">{escaped(name.replace("_", " "))}</th>' for name in names)
    body = "".join(
        f"<tr>{_line([str(one[name]) for name in names], [''] * len(names))}</tr>\n"
        for one in report.rates
    )
    return (
        '<h3>Exchange rates used</h3><div class="scroll" role="region" tabindex="0" '
        f'aria-label="Exchange rates"><table><thead><tr>{heads}</tr></thead><tbody>\n'
        f"{body}</tbody></table></div>"
    )


def _line(texts: Sequence[str], kinds: Sequence[str]) -> str:
    first, *rest = texts
    cell = "".join(
        f"<td{_kind(kind)}>{escaped(text)}</td>" for text, kind in zip(rest, kinds[1:], strict=True)
    )
    return f'<th scope="row"{_kind(kinds[0])}>{escaped(first)}</th>{cell}'


def _kind(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


# --- around it -----------------------------------------------------------------------------


def _tiles(tiles: Sequence[Tile]) -> str:
    if not tiles:
        return ""
    items = "".join(
        f'<li><span class="name">{escaped(one.name)}</span>'
        + "".join(f'<span class="value">{escaped(value)}</span>' for value in one.values)
        + f'<span class="soft">{escaped(one.about)}</span></li>\n'
        for one in tiles
    )
    return f'<ul class="tiles">{items}</ul>\n'


def _definitions(reports: Sequence[Report]) -> str:
    """What every figure means, each text once, under the report that says it first."""
    said: set[tuple[str, str]] = set()
    parts = []
    for report in reports:
        items = []
        for name, text in report.definitions.items():
            if (name, text) not in said:
                said.add((name, text))
                term = escaped(name.replace("_", " "))
                items.append(f"<div><dt>{term}</dt><dd>{escaped(text)}</dd></div>")
        if items:
            title = escaped(_title(report))
            parts.append(f"<h3>{title}</h3><dl>{''.join(items)}</dl>")
    return f'<section class="meaning"><h2>What the figures mean</h2>{"".join(parts)}</section>'
