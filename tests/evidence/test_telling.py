"""What is said, and when nothing is: numbers with their basis, whole units, bounds outwards."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from dunning.core.policy import Policy
from dunning.evidence import History, Simulated, simulate
from dunning.evidence.records import Record
from dunning.evidence.telling import as_json, judge
from tests.evidence.made_up import BEGAN, DENSE, SPARSE, customers, history
from tests.policies import rung

ABROAD = "jpy"


def told_of(
    records: list[Record], policy: Policy, *, turns: int = 60
) -> tuple[Simulated, dict[str, object]]:
    made = simulate(records, lambda _: policy, seed=9, turns=turns)
    past = History(BEGAN + timedelta(days=300), records=records, templates={"payment_failed"})
    return made, as_json(made, past, "new.yaml", {"since": None}, [policy])


@pytest.fixture(scope="module")
def whole() -> tuple[Simulated, dict[str, object]]:
    """Four hundred customers of the sparse policy under the dense one; three of them abroad."""
    records = history(customers(400, 2), SPARSE, 2)
    abroad = [replace(one, start=replace(one.start, currency=ABROAD)) for one in records[:3]]
    return told_of([*abroad, *records[3:]], DENSE)


def rows_of(told: dict[str, object], currency: str) -> dict[str, dict[str, Any]]:
    rows = told["rows"]
    assert isinstance(rows, list)
    return {row["figure"]: row for row in rows if row["currency"] == currency}


def test_every_number_has_its_interval_and_its_basis(
    whole: tuple[Simulated, dict[str, object]],
) -> None:
    rows = rows_of(whole[1], "usd")
    assert set(rows) == {
        "recovered_cases",
        "recovered",
        "lost_cases",
        "charges",
        "emails",
        "texts",
        "suspensions",
        "free_days",
    }
    for row in rows.values():
        values = [row[name] for name in ("really", "low", "estimate", "high", "n", "known")]
        assert all(type(value) is int for value in values), row
        assert values[1] <= values[2] <= values[3]
        assert row["difference_low"] <= row["difference"] <= row["difference_high"]
        assert row["kind"] == "estimate"
        assert 0 < row["estimated_part"] <= 1
    assert rows["charges"]["at_most"] > rows["charges"]["high"]
    assert rows["recovered"]["at_most"] is None


def test_the_interval_of_money_is_rounded_outwards(
    whole: tuple[Simulated, dict[str, object]],
) -> None:
    made, told = whole
    figure = next(f for f in made.figures if (f.currency, f.name) == ("usd", "recovered"))
    row = rows_of(told, "usd")["recovered"]
    assert row["low"] <= figure.estimate.low < row["low"] + 1
    assert row["high"] - 1 < figure.estimate.high <= row["high"]


def test_a_currency_with_too_few_cases_is_silent_beside_one_that_speaks(
    whole: tuple[Simulated, dict[str, object]],
) -> None:
    told = whole[1]
    assert told["not_enough"] == {
        ABROAD: "not enough data yet: needs about 27 more cases whose window has closed"
    }
    assert rows_of(told, ABROAD)["recovered"]["estimate"] is None
    assert rows_of(told, ABROAD)["charges"]["at_most"] is not None


def test_cells_say_how_many_stand_behind_them(whole: tuple[Simulated, dict[str, object]]) -> None:
    cells = whole[1]["cells"]
    assert isinstance(cells, list)
    assert sum(cell["part"] for cell in cells) == pytest.approx(1, abs=0.01)
    for cell in cells:
        assert cell["thin"] == (cell["on_record"] < (20 if cell["kind"] == "charge" else 100))


def test_what_was_never_done_is_named(whole: tuple[Simulated, dict[str, object]]) -> None:
    unknown = whole[1]["cannot_be_known"]
    assert isinstance(unknown, list)
    assert unknown[0] == "how customers take messages that were never sent here: reminder"


def test_what_nobody_ever_tried_cannot_be_told_by_any_number_of_cases() -> None:
    silent = replace(
        SPARSE,
        timeline=(rung("email", 0, template="payment_failed"), rung("give_up", 21)),
    )
    made, _ = told_of(history(customers(300, 8), silent, 8), DENSE, turns=20)
    reason = judge(made, 300).silent["usd"]
    assert reason.startswith("the cases on record cannot say: no charge was made")


def test_a_history_that_the_method_does_not_give_back_is_left_alone() -> None:
    records = history(customers(200, 3), SPARSE, 3)
    made = simulate(records, lambda _: DENSE, seed=9, turns=40)
    assert judge(made, 200).silent == {}
    made.check = [replace(one, really=one.really / 4) for one in made.check]
    why = "the method does not give back what really happened here: see check"
    assert judge(made, 200).silent == {"usd": why}
