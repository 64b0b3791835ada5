"""to_html(): reports as one file for the screen, the phone and paper; nothing is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

from dunning.reports.charts import Chart, bars, columns, escaped, legend
from dunning.reports.page_style import STYLE
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
}


def to_html(reports: Sequence[Report], title: str = "", tiles: Sequence[Tile] = ()) -> str:
    """The whole page: a headline, each report as chart and table, and what every figure means."""
    heading = title or _title(reports[0])
    until = min(report.data_until for report in reports)
    body = "".join(_section(report, alone=len(reports) == 1) for report in reports)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escaped(heading)}</title>
<style>{STYLE}</style>
</head>
<body>
<header>
<h1>{escaped(heading)}</h1>
<p class="soft">{escaped(_range(reports))} Data until {escaped(time_text(until))}.</p>
</header>
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
    told = next((one.filters for one in reports if "since" in one.filters), reports[0].filters)
    since, until, zone = (told.get(name) for name in ("since", "until", "zone"))
    if since and until:
        days = f"{since} to {until}"
    elif since or until:
        days = f"from {since}" if since else f"until {until}"
    else:
        days = "Everything there is" if "since" in told else "As it is now"
    return f"{days}, by the calendar of {zone}." if zone else f"{days}."


def _title(report: Report) -> str:
    title = TITLES.get(report.name, report.name)
    whole = report.name == "rates" and not report.filters.get("by")
    return f"{title} under each definition" if whole else title


# --- one report ----------------------------------------------------------------------------


def _section(report: Report, *, alone: bool) -> str:
    title = _title(report)
    head = f"<h2>{escaped(title)}</h2>" if not alone else ""
    if not report.rows:
        note = report.note or "nothing to show"
        return f"<section>{head}<p>{escaped(note[:1].upper() + note[1:])}.</p></section>\n"
    drawn = [each for each in pictures(report) if each[1].labels]
    # Among others the chart's own figures will do; alone, and for rates, there is every column.
    brief = bool(drawn) and not alone and report.name != "rates"
    figures = "".join(
        _figure(currency, chart, over_time) + (_beside(chart) if brief else "")
        for currency, chart, over_time in drawn
    )
    whole = "" if brief else _table(report, title)
    return f"<section>{head}{_filters(report)}{figures}{whole}{_rates(report)}</section>\n"


def _filters(report: Report) -> str:
    shown = {
        name: ", ".join(value) if isinstance(value, list) else str(value)
        for name, value in report.filters.items()
        if value not in (None, [], "")
        and name not in ("since", "until", "zone")
        and (name, value) not in (("date", "occurred"), ("fiscal_year_start", 1))
    }
    told = "; ".join(f"{name.replace('_', ' ')}: {value}" for name, value in shown.items())
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


def _beside(chart: Chart) -> str:
    """What the chart shows as a table: a line for each column, a column for each part."""
    parts = [one for one in chart.series if any(one.values)]
    several = len(parts) > 1
    names = [one.name.replace("_", " ") for one in parts] + (["total"] if several else [])
    heads = "".join(f'<th scope="col" class="num">{escaped(name)}</th>' for name in names)
    sums = chart.sums()
    lines = [
        (label, [one.values[i] for one in parts] + ([sums[i]] if several else []))
        for i, label in enumerate(chart.labels)
    ]
    body = "".join(f"<tr>{_amounts(label, values, chart)}</tr>\n" for label, values in lines)
    whole = [sum(column) for column in zip(*(values for _, values in lines), strict=True)]
    title = escaped(chart.title)
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{title}, the table">'
        f'<table><caption class="hidden">{title}</caption>'
        f'<thead><tr><th scope="col"></th>{heads}</tr></thead><tbody>\n{body}</tbody>'
        f"<tfoot><tr>{_amounts('total', whole, chart)}</tr></tfoot></table></div>"
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
    lines, totals = cells(report), total_cells(report)
    body = "".join(f"<tr>{_line(line, kinds)}</tr>\n" for line in lines)
    foot = "".join(f"<tr>{_line(line, kinds)}</tr>\n" for line in totals if totals != lines)
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
