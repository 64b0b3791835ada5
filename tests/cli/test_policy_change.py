"""`policy diff`, `plan`, `apply`, `rollback`, `history`, `show` on real databases."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlmodel import col, select

from dunning import store
from dunning.config import read_policy_text
from dunning.in_force import Policies, Text, loader
from dunning.messages import Messages
from dunning.store import ActRow, CaseRow, PolicyFileRow, transaction
from tests.builders import days, hours
from tests.cli.conftest import Books, Shell
from tests.happenings import step

BUILT_IN = read_policy_text(None)[0]
# Suspends on the sixth day instead of the fourteenth, and tries once more.
HASTY = """\
version: 1
policies:
  standard:
    grace: 6d
    window: 28d
    timeline:
      - {at: 0h, do: email, template: payment_failed}
      - {at: 1d, do: retry}
      - {at: 3d, do: retry}
      - {at: 4d, do: retry}
      - {at: 5d, do: email, template: final_notice}
      - {at: 6d, do: suspend}
      - {at: 28d, do: give_up, subscription: cancel}
"""
LATER = BUILT_IN.replace("grace: 14d", "grace: 20d").replace("{at: 14d, do: s", "{at: 20d, do: s")
LOAD = loader(tuple(Messages().names()))


def take_into_force(engine: Engine, text: str, name: str = "default.yaml") -> Policies:
    """What a process does when it starts with this file."""
    policies = Policies(
        engine, LOAD(Text(text, name)), Text(text, name), load=LOAD, now=lambda: hours(0)
    )
    policies.begin()
    return policies


@pytest.fixture
def case(books: Books, shell: Shell) -> str:
    """A case of the built-in default, which is in force, two hours after its failure."""
    take_into_force(books.engine, BUILT_IN)
    case = books.failing()
    books.did(case, step("email:1", hours(0.1)))
    (shell.folder / "hasty.yaml").write_text(HASTY)
    (shell.folder / "later.yaml").write_text(LATER)
    return case


def rows(books: Books) -> list[PolicyFileRow]:
    with transaction(books.engine) as session:
        found = session.scalars(select(PolicyFileRow).order_by(col(PolicyFileRow.id))).all()
        session.expunge_all()
        return list(found)


def kinds(told: Any) -> dict[str, Any]:
    return {each["kind"]: each for each in told["steps"]}


# --- diff ---


def test_what_differs_is_said_in_words(shell: Shell) -> None:
    (shell.folder / "a.yaml").write_text(BUILT_IN)
    (shell.folder / "b.yaml").write_text(HASTY)
    out = shell("policy", "diff", "a.yaml", "b.yaml").out
    assert "grace: from 14d to 6d" in out
    assert "suspend: moved from 14d to 6d" in out
    assert "removed: 10 days after the first failure: restrict access" in out
    assert "the suspension comes 8 days earlier" in out
    assert "3 retries instead of 5" in out


def test_a_file_beside_what_is_in_force(shell: Shell, case: str) -> None:
    told = shell("policy", "diff", "later.yaml", "--format", "json").json()
    assert told["a"].startswith("what is in force")
    texts = [each["text"] for each in told["differences"] if each["policy"] == "standard"]
    assert "suspend: moved from 14d to 20d" in texts
    assert "the suspension comes 6 days later" in texts
    (shell.folder / "same.yaml").write_text(BUILT_IN)
    assert shell("policy", "diff", "same.yaml", "--format", "json").json()["same"]


# --- plan ---


def test_the_plan_says_what_would_change_and_changes_nothing(
    shell: Shell, books: Books, case: str
) -> None:
    before = books.row(case)
    told = shell("policy", "plan", "hasty.yaml", "--format", "json").json()
    assert (told["open_cases"], told["change_version"]) == (1, 1)
    assert told["moves"][0]["version"] == before["policy_version"]
    steps = kinds(told)
    assert (steps["retry"]["before"], steps["retry"]["after"]) == (5, 3)
    assert steps["suspend"]["earlier"] == 1
    week = 7 * 86_400 - 2 * 3600  # from the fourteenth day to a week from now
    assert steps["suspend"]["earlier_median_seconds"] == pytest.approx(week, abs=600)
    assert told["suspended_sooner"]["cases"] == 1
    (sooner,) = told["suspended_sooner"]["first"]
    assert (sooner["id"], sooner["before"]) == (case, "2026-01-19T12:00:00Z")
    assert sooner["after"].startswith("2026-01-12T14:"), "a week from now, not on the sixth day"
    assert told["amounts_at_risk"] == [{"currency": "usd", "cases": 1, "amount_at_risk": 4900}]
    assert "as if every charge failed" in told["basis"]
    assert books.row(case) == before
    assert len(rows(books)) == 1


def test_the_plan_for_people_and_as_csv(shell: Shell, case: str) -> None:
    out = shell("policy", "plan", "hasty.yaml").out
    assert "1 case of 1 open would change version" in out
    assert "Suspended sooner: 1 customer" in out
    assert "49.00 USD at risk in 1 case" in out
    lines = list(
        csv.DictReader(io.StringIO(shell("policy", "plan", "hasty.yaml", "--format", "csv").out))
    )
    assert {line["kind"] for line in lines} == {"retry", "email", "suspend", "give_up", "restrict"}


def test_only_some_open_cases_are_planned(shell: Shell, case: str) -> None:
    for option in (("--policy", "other"), ("--source", "elsewhere")):
        told = shell("policy", "plan", "hasty.yaml", *option, "--format", "json").json()
        assert told["open_cases"] == 0


def test_a_wrong_file_is_exit_1_and_changes_nothing(shell: Shell, books: Books, case: str) -> None:
    (shell.folder / "hasty.yaml").write_text(HASTY.replace("suspend", "suspendd"))
    assert "suspendd" in shell("policy", "plan", "hasty.yaml", code=1).err
    shell("policy", "apply", "hasty.yaml", "--why", "x", "--yes", code=1)
    assert len(rows(books)) == 1


# --- apply ---


def test_applied_for_new_cases_only_open_ones_stay(shell: Shell, books: Books, case: str) -> None:
    before = books.row(case)
    out = shell("policy", "apply", "hasty.yaml", "--why", "sooner", "--by", "ann", "--yes").out
    assert "new cases only" in out
    assert books.row(case) == before
    new = rows(books)[-1]
    assert (new.kind, new.by, new.why, new.text) == ("apply", "ann", "sooner", HASTY)
    assert new.finished_at is not None


def test_open_cases_go_along_and_it_is_on_their_record(
    shell: Shell, books: Books, case: str
) -> None:
    before = books.row(case)
    out = shell(
        "policy", "apply", "hasty.yaml", "--why", "sooner", "--by", "ann",
        "--open-cases", "all", "--yes",
    ).out  # fmt: skip
    assert "1 open case moved" in out
    after = books.row(case)
    assert after["policy_version"] != before["policy_version"]
    (change,) = books.facts(case).policy_changes
    assert (change.former_version, change.version) == (
        before["policy_version"], after["policy_version"]
    )  # fmt: skip
    assert (change.by, change.why) == ("ann", "sooner")
    with transaction(books.engine) as session:
        (act,) = session.scalars(select(ActRow)).all()
        assert (act.act, act.by) == ("policy", "ann")
    page = shell("cases", "show", case).out
    assert f"standard, version {after['policy_version']}" in page
    assert rows(books)[-1].moved == 1


def test_only_cases_of_the_named_policies_go_along(shell: Shell, books: Books, case: str) -> None:
    asked = ("policy", "apply", "hasty.yaml", "--why", "x", "--yes", "--open-cases")
    assert "no case is under a policy 'other'" in shell(*asked, "other", code=1).complaint
    shell(*asked, "standard")
    assert len(books.facts(case).policy_changes) == 1


def test_nobody_is_asked_in_a_pipe(shell: Shell, books: Books, case: str) -> None:
    assert "--yes" in shell("policy", "apply", "hasty.yaml", "--why", "x", code=2).err
    assert len(rows(books)) == 1


def test_the_same_again_does_nothing(shell: Shell, books: Books, case: str) -> None:
    asked = ("policy", "apply", "hasty.yaml", "--why", "x", "--yes")
    shell(*asked)
    assert "in force already" in shell(*asked).out
    assert len(rows(books)) == 2
    shell(*asked, "--open-cases", "all")
    shell(*asked, "--open-cases", "all")
    assert len(books.facts(case).policy_changes) == 1


def test_a_case_with_a_charge_under_way_is_left_alone(
    shell: Shell, books: Books, case: str
) -> None:
    with transaction(books.engine) as session:
        session.add(
            store.StepRow(
                key=f"{case}/retry:1", case_id=case, kind="retry", state="unknown",
                due_at=days(1), started_at=days(1), first_started_at=days(1),
            )
        )  # fmt: skip
    before = books.row(case)
    asked = ("policy", "apply", "hasty.yaml", "--why", "x", "--yes", "--open-cases", "all")
    said = shell(*asked, "--patience", "0", code=1)
    assert "1 open case not moved" in said.err
    assert books.row(case) == before
    with transaction(books.engine) as session:
        row = session.get_one(store.StepRow, f"{case}/retry:1")
        row.state, row.result, row.ended_at = "ended", "declined", days(1)
    assert "not finished" in shell("policy", "history").out
    shell(*asked)
    assert books.row(case)["policy_version"] != before["policy_version"]
    assert len(rows(books)) == 2, "the same order goes on"
    assert "not finished" not in shell("policy", "history").out


# --- rollback, history, show ---


def test_back_to_what_was_with_the_cases_that_were_moved(
    shell: Shell, books: Books, case: str
) -> None:
    before = books.row(case)
    shell("policy", "apply", "hasty.yaml", "--why", "x", "--yes", "--open-cases", "all")
    out = shell("policy", "rollback", "--why", "too soon", "--by", "bob", "--yes").out
    assert "1 open case moved" in out
    after = books.row(case)
    assert after == before
    assert [row.kind for row in rows(books)] == ["first", "apply", "rollback"]
    assert rows(books)[-1].text == BUILT_IN
    complaint = shell("policy", "rollback", "--why", "more", "--yes", code=1).complaint
    assert "none before it" in complaint


def test_back_step_by_step_and_forward_by_name(shell: Shell, books: Books, case: str) -> None:
    versions = [books.row(case)["policy_version"]]
    for file in ("hasty.yaml", "later.yaml"):
        shell("policy", "apply", file, "--why", "x", "--yes", "--open-cases", "all")
        versions.append(books.row(case)["policy_version"])
    assert len(set(versions)) == 3
    hashes = [row.hash for row in rows(books)]
    for expected in (1, 0):
        shell("policy", "rollback", "--why", "back", "--yes")
        assert books.row(case)["policy_version"] == versions[expected]
        assert rows(books)[-1].hash == hashes[expected]
    shell("policy", "rollback", "--to", hashes[2][:8], "--why", "on again", "--yes")
    assert books.row(case)["policy_version"] == versions[2]
    assert "was never in force" in shell(
        "policy", "rollback", "--to", "ffff", "--why", "x", "--yes", code=1
    ).complaint  # fmt: skip


def test_a_case_that_began_meanwhile_stays_where_it_began(
    shell: Shell, books: Books, case: str
) -> None:
    shell("policy", "apply", "hasty.yaml", "--why", "x", "--yes")
    version = LOAD(Text(HASTY, "x")).policies["standard"].version
    with transaction(books.engine) as session:
        session.get_one(CaseRow, case).policy_version = version  # as if it had begun under it
        from dunning.pinned import row_of
        from dunning.store import PolicyRow, put_rows

        policy = LOAD(Text(HASTY, "x")).policies["standard"]
        put_rows(session, PolicyRow, [row_of(policy, version, hours(0))])
    shell("policy", "rollback", "--why", "x", "--yes")
    assert books.row(case)["policy_version"] == version


def test_history_and_the_text_of_any_of_it(shell: Shell, books: Books, case: str) -> None:
    shell("policy", "apply", "hasty.yaml", "--why", "sooner", "--by", "ann", "--yes")
    newest, first = shell("policy", "history", "--format", "json").json()
    assert (newest["kind"], newest["by"], newest["why"]) == ("apply", "ann", "sooner")
    assert (first["kind"], first["open_cases"]) == ("first", "none")
    assert "sooner" in shell("policy", "history").out
    assert shell("policy", "show").out == HASTY
    assert shell("policy", "show", first["hash"][:6]).out == BUILT_IN


def test_before_anything_was_in_force(shell: Shell, books: Books) -> None:
    assert "nothing is in force yet" in shell("policy", "show", code=1).complaint
    assert shell("policy", "history", "--format", "json").json() == []
    assert "nothing to go back to" in shell("policy", "rollback", "--why", "x", code=1).complaint
