"""`policy simulate`: a policy file tried on the cases on record, or in the simulated world."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dunning.cli.opening import reading
from dunning.cli.options import DataOption, PageFormatOption, SourceOption, usage
from dunning.cli.output import Column, PageFormat, heading, item, json_page, say, table
from dunning.cli.policy_files import load_file
from dunning.cli.words import NOTHING, amount_text, count_text, read_day

if TYPE_CHECKING:
    from dunning.config import PolicyFile
    from dunning.core.policy import Policy


CELLS_SHOWN = 12
_FIGURES = {
    "recovered_cases": "cases recovered",
    "recovered": "money recovered",
    "lost_cases": "cases lost",
    "charges": "charges",
    "emails": "emails",
    "texts": "texts",
    "suspensions": "suspensions",
    "free_days": "days of service to who never paid",
}


class On(enum.StrEnum):
    """What a policy is tried on."""

    HISTORY = "history"
    SANDBOX = "sandbox"


def simulate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The policy file to try.")],
    on: Annotated[
        On, typer.Option("--on", help="history: cases on record; sandbox: made-up ones.")
    ],
    since: Annotated[
        str | None, typer.Option("--since", metavar="DAY", help="history: first failures from it.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="DAY", help="history: and up to this day.")
    ] = None,
    source: SourceOption = None,
    policy: Annotated[
        str | None,
        typer.Option("--policy", metavar="NAME", help="history: only cases this policy walked."),
    ] = None,
    customers: Annotated[
        int, typer.Option("--customers", min=1, max=100_000, help="sandbox: how many.")
    ] = 200,
    days: Annotated[int, typer.Option("--days", min=1, max=3_650, help="sandbox: how long.")] = 45,
    mix: Annotated[
        str | None,
        typer.Option(
            "--mix",
            metavar="CODE=SHARE,…",
            help="sandbox: which declines happen, such as insufficient_funds=60,expired_card=40.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="The same number, the same answer.")] = 7,
    form: PageFormatOption = PageFormat.TABLE,
    data: DataOption = None,
) -> None:
    """Try a policy file before it is used. Nothing is changed, and nobody is charged.

    On history: the cases on record under this file, beside what really happened. What is known is
    kept, the rest estimated from charges that were made, with an interval; where the record is too
    thin it says so, and no number.

    On the sandbox: the file in force and this one in the same made-up world. That shows how the
    machinery behaves, and not what you will recover.

    Examples: dunning policy simulate new.yaml --on history --since 2026-01-01;
    dunning policy simulate new.yaml --on sandbox --customers 300 --mix insufficient_funds=100
    """
    loaded = load_file(file)
    if on is On.SANDBOX:
        for given, option in ((since, "--since"), (until, "--until"), (policy, "--policy")):
            if given is not None:
                raise usage("is for --on history", option)
        from dunning.cli.policy_sandbox import try_on_sandbox

        try_on_sandbox(loaded, customers=customers, days=days, seed=seed, mix=mix, form=form)
        return
    if mix is not None:
        raise usage("is for --on sandbox", "--mix")
    filters = {"since": since, "until": until, "source": source, "policy": policy}
    _on_history(loaded, filters, seed, form, data)


def _on_history(
    loaded: PolicyFile,
    filters: dict[str, str | None],
    seed: int,
    form: PageFormat,
    data: Path | None,
) -> None:
    from dunning import evidence
    from dunning.core.choosing import Subject, choose
    from dunning.evidence import telling

    def chosen(subject: Subject) -> Policy:
        return loaded.policies[choose(loaded.choices, subject, loaded.terms)]

    since = read_day(filters["since"], "--since")
    until = read_day(filters["until"], "--until")
    with reading(data) as view:
        history = evidence.read(
            view.session,
            view.now,
            chosen,
            since=since,
            until=until,
            source=filters["source"],
            policy=filters["policy"],
        )
    made = evidence.simulate(history.records, lambda record: chosen(record.subject), seed=seed)
    used = {id(one): one for one in map(chosen, (record.subject for record in history.records))}
    told = telling.as_json(made, history, loaded.filename, filters, used.values())
    if form is PageFormat.JSON:
        json_page(told)
    else:
        _show(told)


# --- for people ------------------------------------------------------------------------------


def _show(told: dict[str, Any]) -> None:
    from dunning.evidence.reading import APART

    walked = told["cases"]["walked"]
    say(f"{count_text(walked, 'case')} on record under {told['file']}, seed {told['seed']}.")
    for name, why in APART.items():
        if number := told["cases"][name]:
            item(f"told apart: {count_text(number, 'case')} {why}")
    if not walked:
        say("Not enough data yet: needs about 30 cases whose window has closed.", style="yellow")
        return
    for currency in dict.fromkeys(row["currency"] for row in told["rows"]):
        _currency(told, currency)
    _check(told["check"])
    _cells(told["cells"])
    heading("What cannot be known")
    for sentence in told["cannot_be_known"]:
        item(sentence)
    say()
    say("Estimates, not promises. --format json has the definition of every figure.", style="dim")


def _currency(told: dict[str, Any], currency: str) -> None:
    rows = [
        row
        for row in told["rows"]
        if row["currency"] == currency and not (row["figure"] == "texts" and _none(row))
    ]
    heading(currency.upper())

    def cell(name: str) -> Any:
        def text(row: dict[str, Any]) -> str:
            value = row[name]
            if value is None:
                return NOTHING
            if row["figure"] == "recovered":
                return amount_text(value, currency)
            return f"{value:,}"

        return text

    def between(low: str, high: str) -> Any:
        def text(row: dict[str, Any]) -> str:
            if row[low] is None:
                return NOTHING
            return f"{cell(low)(row)} to {cell(high)(row)}"

        return text

    table(
        [
            Column("FIGURE", lambda row: _FIGURES[row["figure"]]),
            Column("REALLY", cell("really"), right=True),
            Column("ESTIMATE", cell("estimate"), right=True),
            Column("BETWEEN", between("low", "high"), right=True),
            Column("DIFFERENCE", between("difference_low", "difference_high"), right=True, rank=1),
            Column("AT MOST (exact)", cell("at_most"), right=True, rank=2),
        ],
        rows,
    )
    first = rows[0]
    if why := told["not_enough"].get(currency):
        say(f"{why[:1].upper()}{why[1:]}.", style="yellow")
    part, thin = first["estimated_part"] * 100, first["thin_part"] * 100
    item(
        f"{first['n']} cases of {count_text(first['customers'], 'customer')}: {first['known']} kept"
        f" as they were, {first['paid_anyway']} paid anyway; {part:.0f} % of the money is"
        f" estimated, {thin:.0f} % by cells with little on record"
    )


def _none(row: dict[str, Any]) -> bool:
    return not row["really"] and not row["at_most"]


def _check(check: list[dict[str, Any]]) -> None:
    heading("Check: the same method on what really happened, with nothing taken as known")
    for row in check:
        if row["figure"] == "recovered_cases" or not row["fits"]:
            what = _FIGURES[row["figure"]]
            if row["figure"] == "recovered":
                was, told, low, high = (
                    amount_text(row[name], row["currency"])
                    for name in ("really", "estimate", "low", "high")
                )
            else:
                was, told, low, high = (row[n] for n in ("really", "estimate", "low", "high"))
            verdict = "" if row["fits"] else ": it does not fit, so no estimate is told"
            item(
                f"{row['currency'].upper()}, {what}: really {was}; the method says {told}, between"
                f" {low} and {high}{verdict}"
            )


def _cells(cells: list[dict[str, Any]]) -> None:
    if not cells:
        return
    heading("What the estimate rests on")
    table(
        [
            Column("CELL", lambda row: f"{row['kind']}: {row['cell']}", fold=True),
            Column("ON RECORD", _on_record, right=True),
            Column("GOOD", lambda row: f"{row['good']:,}", right=True),
            Column("RATE", lambda row: f"{row['rate'] * 100:.1f} %", right=True),
            Column("PART", lambda row: f"{row['part'] * 100:.0f} %", right=True),
            Column("", lambda row: "thin" if row["thin"] else ""),
        ],
        cells[:CELLS_SHOWN],
    )
    if len(cells) > CELLS_SHOWN:
        say(f"  and {len(cells) - CELLS_SHOWN} more; --format json has all", style="dim")


def _on_record(row: dict[str, Any]) -> str:
    if row["kind"] == "charge":
        return count_text(round(row["on_record"]), "charge")
    return count_text(round(row["on_record"]), "day")
