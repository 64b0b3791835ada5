"""The page that says what a policy file would change for open cases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dunning.cli.output import Column, heading, item, say, table
from dunning.cli.words import NOTHING, amount_text, count_text, moment_text

if TYPE_CHECKING:
    from dunning.foreseen import Asked, Outcome, Sooner

KEYS = (
    *("kind", "before", "after", "cases_more", "cases_fewer"),
    *("earlier", "earlier_median_seconds", "later", "later_median_seconds"),
    *("soon_before", "soon_after"),
)


def kinds(found: Outcome) -> list[dict[str, Any]]:
    """For each kind of step how many there were to come, and how they differ."""
    from dunning.foreseen import median

    return [
        {
            "kind": kind.value,
            "before": told.before,
            "after": told.after,
            "cases_more": told.cases_more,
            "cases_fewer": told.cases_fewer,
            "earlier": sum(told.earlier.values()),
            "earlier_median_seconds": median(told.earlier),
            "later": sum(told.later.values()),
            "later_median_seconds": median(told.later),
            "soon_before": told.soon_before,
            "soon_after": told.soon_after,
        }
        for kind, told in sorted(found.kinds.items())
    ]


def as_json(found: Outcome, asked: Asked, file: str) -> dict[str, Any]:
    """All of it for programs."""
    from dunning.clock import rfc3339
    from dunning.planning import BASIS, SHOWN

    return {
        "file": file,
        "as_of": rfc3339(asked.now),
        "basis": BASIS,
        "open_cases": found.cases,
        "change_version": found.changed,
        "stand_still": found.standing,
        "moves": [
            dict(zip(("policy", "version", "to_policy", "to_version"), move, strict=True))
            | {"cases": count}
            for move, count in sorted(found.moves.items())
        ],
        "steps": kinds(found),
        "amounts_at_risk": [
            {"currency": currency, "cases": money.cases, "amount_at_risk": money.at_risk}
            for currency, money in sorted(found.money.items())
        ],
        "suspended_sooner": {
            "cases": len(found.sooner),
            "first": [_sooner(each) for each in found.sooner[:SHOWN]],
        },
    }


def _sooner(each: Sooner) -> dict[str, Any]:
    from dunning.clock import rfc3339

    return {
        "id": each.case,
        "customer": each.customer,
        "amount_at_risk": each.at_risk,
        "currency": each.currency,
        "before": rfc3339(each.before),
        "after": rfc3339(each.after),
    }


def show(found: Outcome, title: str) -> None:
    """The same for people."""
    from dunning.planning import BASIS, SHOWN

    changed = count_text(found.changed, "case")
    say(f"{title}: {changed} of {found.cases:,} open would change version.")
    say(f"Counted {BASIS}.")
    if not found.changed:
        return
    heading("Versions")
    for (policy, version, to, new), count in sorted(found.moves.items()):
        item(f"{policy} {version} -> {to} {new}: {count_text(count, 'case')}")
    for currency, money in sorted(found.money.items()):
        cases = count_text(money.cases, "case")
        item(f"{amount_text(money.at_risk, currency)} at risk in {cases}")
    if found.standing:
        item(f"{count_text(found.standing, 'case')} stand still and are not counted below")
    heading("Steps still to come")
    _table(kinds(found))
    if found.sooner:
        heading(f"Suspended sooner: {count_text(len(found.sooner), 'customer')}")
        _list(found.sooner[:SHOWN])
    say()


def _table(rows: list[dict[str, Any]]) -> None:
    def shifted(row: dict[str, Any], which: str) -> str:
        if not row[which]:
            return "0"
        return f"{row[which]:,} by {_days(row[f'{which}_median_seconds'])}"

    table(
        [
            Column("STEP", lambda row: str(row["kind"])),
            Column("BEFORE", lambda row: f"{row['before']:,}", right=True),
            Column("AFTER", lambda row: f"{row['after']:,}", right=True),
            Column("CASES MORE", lambda row: f"{row['cases_more']:,}", right=True, rank=2),
            Column("FEWER", lambda row: f"{row['cases_fewer']:,}", right=True, rank=2),
            Column("EARLIER", lambda row: shifted(row, "earlier"), right=True),
            Column("LATER", lambda row: shifted(row, "later"), right=True),
            Column(
                "WITHIN 24 H",
                lambda row: f"{row['soon_before']:,} -> {row['soon_after']:,}",
                right=True,
                rank=1,
            ),
        ],
        rows,
        indent=2,
    )


def _days(seconds: int) -> str:
    """A median in words: `2 d`, `36 h`, `40 min`."""
    if seconds >= 48 * 3600:
        return f"{seconds / 86_400:.3g} d"
    return f"{seconds / 3600:.3g} h" if seconds >= 3600 else f"{max(seconds // 60, 1)} min"


def _list(found: list[Sooner]) -> None:
    table(
        [
            Column("CASE", lambda each: str(each.case)),
            Column("CUSTOMER", lambda each: each.customer or NOTHING),
            Column("AT RISK", lambda each: amount_text(each.at_risk, each.currency), right=True),
            Column("NOW AT", lambda each: moment_text(each.before)),
            Column("THEN AT", lambda each: moment_text(each.after)),
        ],
        found,
        indent=2,
    )
