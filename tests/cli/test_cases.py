"""`cases …`: list, show, explain."""

from __future__ import annotations

import csv
import io
from datetime import timedelta

from dunning.cases import CaseBook
from dunning.core.ahead import Ahead, NoticeReported
from dunning.core.events import StepResult
from dunning.core.policy import Policy
from dunning.core.words import Kind
from dunning.store import MessageRow, transaction
from tests.builders import AMOUNT, INVOICE, days, failed, hours, paid
from tests.cli.conftest import Books, Shell, columns
from tests.happenings import held, step
from tests.policies import rung
from tests.secrets import MARK

KEYS = (
    "id source provider invoice customer subscription state access amount_due amount_at_risk "
    "currency decline_code advice policy policy_version holdout_of holdout_group opened_at "
    "next_at next_step closed_at closed_reason standing standing_until kind"
).split()


def test_the_list_as_json_has_the_keys_that_programs_rely_on(shell: Shell, books: Books) -> None:
    case = books.failing()
    (told,) = shell("cases", "list", "--format", "json").json()
    assert list(told) == KEYS
    assert told["id"] == case
    assert (told["amount_due"], told["currency"]) == (AMOUNT, "usd")
    assert told["opened_at"] == "2026-01-05T12:00:00Z"
    assert told["next_step"] == "email:1"
    assert told == books.row(case)


def test_the_list_as_csv_has_the_same_keys(shell: Shell, books: Books) -> None:
    case = books.failing("=cmd|calc")
    (told,) = csv.DictReader(io.StringIO(shell("cases", "list", "--format", "csv").out))
    assert list(told) == KEYS
    assert told["id"] == case
    assert told["decline_code"] == "'=cmd|calc"


def test_the_table_has_whole_ids_and_amounts_to_read(shell: Shell, books: Books) -> None:
    case = books.failing()
    out = shell("cases", "list").out
    assert columns(out, "CASE") == [case]
    assert "49.00 USD" in out
    assert columns(out, "INVOICE") == [INVOICE]
    assert columns(out, "OPENED") == ["2026-01-05 12:00"]


def test_filters(shell: Shell, books: Books) -> None:
    case = books.failing()

    def ids(*options: str) -> list[str]:
        told = shell("cases", "list", "--format", "json", *options).json()
        return [each["id"] for each in told]

    for options in (
        (),
        ("--state", "open"),
        ("--state", "lost", "--state", "in_grace"),
        ("--policy", "standard"),
        ("--customer", "cus_1"),
        ("--source", "stripe"),
        ("--due",),
        ("--limit", "0"),
    ):
        assert ids(*options) == [case], options
    for options in (
        ("--state", "recovered"),
        ("--policy", "patient"),
        ("--customer", "cus_2"),
        ("--source", "other"),
    ):
        assert ids(*options) == [], options


def test_an_ended_case_is_not_due(shell: Shell, books: Books) -> None:
    case = books.failing()
    shell.at(hours(30))
    assert shell("cases", "list", "--due", "--format", "json").json() != []
    books.take(paid(hours(28)))
    books.did(case, step("reconcile:paid", hours(29)))
    assert shell("cases", "list", "--due", "--format", "json").json() == []
    assert shell("cases", "list", "--state", "open", "--format", "json").json() == []


def test_an_empty_list_says_what_to_do_next(shell: Shell, books: Books) -> None:
    assert "dunning doctor" in shell("cases", "list").out
    assert shell("cases", "list", "--format", "json").json() == []
    assert shell("cases", "list", "--format", "csv").out.strip() == ",".join(KEYS)
    assert "No case is like that" in shell("cases", "list", "--state", "lost").out


# --- one case --------------------------------------------------------------------------------


def walked(shell: Shell, books: Books) -> str:
    """A case a few days old, with a bit of everything."""
    shell.at(hours(74))
    case = books.failing(timezone="Europe/Berlin", name="Ann \x1b[31mLee")
    books.did(case, step("email:1", template="payment_failed"), "payment_failed to ann@example.com")
    books.did(case, step("retry:1", days(1), StepResult.DECLINED), "insufficient_funds")
    books.did(case, step("retry:2", days(3), StepResult.SKIPPED), "the network's limit is reached")
    with transaction(books.engine) as session:
        session.add(
            MessageRow(
                step_key=f"{case}/email:1",
                case_id=case,
                source="stripe",
                template="payment_failed",
                recipient="ann@example.com",
                locale="en",
                subject="Your payment",
                state="sent",
                at=days(0),
            )
        )
    return case


def test_show_has_everything_for_programs(shell: Shell, books: Books) -> None:
    case = walked(shell, books)
    told = shell("cases", "show", case, "--format", "json").json()
    assert {key: told[key] for key in KEYS} == books.row(case)
    timeline = {line["step"]: line for line in told["timeline"]}
    assert timeline["retry:1"]["state"] == "declined"
    assert timeline["retry:2"]["state"] == "skipped"
    assert timeline["retry:2"]["why"] == "the network's limit is reached"
    assert timeline["give_up:1"]["at"] is None
    assert timeline["suspend:1"]["due_at"] == "2026-01-19T12:00:00Z"
    assert timeline["suspend:1"]["local_time"] == "2026-01-19T13:00:00+01:00"
    (attempt,) = told["attempts"]
    assert (attempt["amount"], attempt["decline_code"]) == (AMOUNT, "insufficient_funds")
    (message,) = told["messages"]
    assert (message["recipient"], message["state"]) == ("ann@example.com", "sent")
    (entry,) = told["entries"]
    assert (entry["debit"], entry["credit"], entry["amount"]) == ("owed", "at_risk", AMOUNT)
    assert told["acts"] == []


def test_show_has_everything_for_people(shell: Shell, books: Books) -> None:
    case = walked(shell, books)
    out = shell("cases", "show", case).out
    for words in (
        f"{case}: 49.00 USD, in_grace",
        "Mon 5 Jan, 13:00",
        "the network's limit is reached",
        "ann@example.com",
        "owed -> at_risk",
        "insufficient_funds",
        books.row(case)["policy_version"],
    ):
        assert words in out, words
    assert "\x1b" not in out


def noticed(books: Books) -> str:
    """A card that expires a month from now, as a look ahead found it."""
    policy = Policy(
        name="expiry",
        kind=Kind.CARD_EXPIRY,
        grace=timedelta(0),
        window=timedelta(0),
        timeline=(rung("email", before=timedelta(days=30), template="card_expiring"),),
    )
    books.book = CaseBook(choose=lambda _subject: policy)
    at = days(-20)
    ahead = Ahead(
        customer="cus_1",
        subscription="sub_1",
        renews_at=days(40),
        amount=4900,
        currency="usd",
        term="month",
        method="pm_1",
        method_type="card",
        network="visa",
        last4="4242",
        exp_month=1,
        exp_year=2026,
    )
    name = "card_expiry:pm_1:2026-01"
    told = NoticeReported(id="look", at=at, invoice=name, kind=policy.kind, ahead=ahead)
    return books.take(told, now=days(0))


def test_a_notice_is_listed_shown_and_explained(shell: Shell, books: Books) -> None:
    case = noticed(books)
    (told,) = shell("cases", "list", "--kind", "card_expiry", "--format", "json").json()
    assert (told["id"], told["kind"], told["state"]) == (case, "card_expiry", "ahead")
    assert (told["amount_due"], told["amount_at_risk"], told["access"]) == (0, 0, "full")
    assert shell("cases", "list", "--kind", "recovery", "--format", "json").json() == []
    shown = shell("cases", "show", case, "--format", "json").json()
    assert (shown["ahead"]["last4"], shown["ahead"]["exp_month"]) == ("4242", 1)
    for words in (
        f"{case}: a card that expires, ahead",
        "ending in 4242",
        "good through 01/2026",
        "email:1",
    ):
        assert words in shell("cases", "show", case).out, words
    assert "Ledger" not in shell("cases", "show", case).out
    explained = shell("cases", "explain", case).out
    assert "30 days before the card expires: write to the customer" in explained
    assert "49.00 USD" in explained
    shell("cases", "hold", case, "--why", "ticket 4711")
    assert "on hold" in shell("cases", "show", case).out


def test_a_case_goes_by_its_id_a_beginning_of_it_or_its_invoice(shell: Shell, books: Books) -> None:
    case = books.failing()
    for name in (case, case[:12], case.removeprefix("case_")[:6], INVOICE):
        assert shell("cases", "show", name, "--format", "json").json()["id"] == case
    for name in ("case_zzzz", "in_2", "ca", "%", "case%"):
        assert f"no case {name};" in shell("cases", "show", name, code=1).complaint
        assert f"no case {name};" in shell("cases", "explain", name, code=1).complaint


def test_a_beginning_that_fits_several_is_not_guessed(shell: Shell, books: Books) -> None:
    books.failing()
    from tests.builders import bill

    books.take(failed(told=bill(invoice="in_2")))
    complaint = shell("cases", "show", "case_", code=1).complaint
    assert "give more of the id" in complaint
    assert complaint.count("case_") == 3


def test_explain_names_the_rule_the_facts_and_the_version(shell: Shell, books: Books) -> None:
    case = walked(shell, books)
    told = shell("cases", "explain", case, "--format", "json").json()
    assert told["last"]["step"] == "retry:2"
    assert told["last"]["rule"].startswith("3 days after the first failure, at the next 08:00")
    assert told["last"]["why"] == "the network's limit is reached"
    assert "was not done" in told["last"]["sentence"]
    assert told["policy_version"] == books.row(case)["policy_version"]
    assert told["next"]["step"] == "email:2"
    out = shell("cases", "explain", case).out
    for words in ("retry:2 was not done", "Next", "insufficient_funds", told["policy_version"]):
        assert words in out, words


def test_explain_says_what_holds_a_case_up(shell: Shell, books: Books) -> None:
    case = books.failing()
    shell.at(days(2))
    with transaction(books.engine) as session:
        from dunning.case_rows import locked

        books.book.apply_by_hand(session, locked(session, case), [held(days(1))], days(1))
    told = shell("cases", "explain", case, "--format", "json").json()
    assert told["frozen"] == "on hold: they called"
    assert told["last"] is None
    assert "nothing until this ends: on hold: they called" in shell("cases", "explain", case).out


def test_explain_says_which_charges_will_not_be_made(shell: Shell, books: Books) -> None:
    case = books.failing("lost_card")
    told = shell("cases", "explain", case, "--format", "json").json()
    dropped = {line["step"]: line["why"] for line in told["dropped"]}
    assert set(dropped) == {"retry:1", "retry:2", "retry:3", "retry:4", "retry:5"}
    assert "reported lost" in dropped["retry:1"]
    assert "charge now" in told["facts"]


# --- no database -----------------------------------------------------------------------------


def test_a_database_that_is_not_there_is_not_made(shell: Shell) -> None:
    said = shell("cases", "list", "--data", str(shell.folder / "none"), code=1)
    assert "`dunning up` makes one" in said.complaint
    assert not (shell.folder / "none").exists()


def test_a_database_without_tables_asks_for_migrate(shell: Shell, database_url: str) -> None:
    shell.env(DUNNING_DATABASE_URL=database_url)
    if database_url.startswith("sqlite"):
        from pathlib import Path

        Path(database_url.removeprefix("sqlite:///")).touch()
    for command in (["cases", "list"], ["ledger", "verify"], ["report", "lost"], ["inbox", "list"]):
        assert "dunning migrate" in shell(*command, code=1).complaint
    assert "dunning migrate" in shell("cases", "close", "x", "--why", "y", code=1).complaint
    assert MARK not in shell("cases", "list", code=1).complaint


def test_a_database_that_is_away_is_named_without_its_password(shell: Shell) -> None:
    shell.env(DUNNING_DATABASE_URL=f"postgresql://u:{MARK}@127.0.0.1:9/x")
    complaint = shell("cases", "list", code=1).complaint
    assert "127.0.0.1:9" in complaint
    assert "cannot be reached" in complaint


def test_a_file_that_is_no_database_is_named(shell: Shell) -> None:
    (shell.folder / "dunning.db").write_text("this is not a database, but long enough to tell" * 9)
    complaint = shell("cases", "list", "--data", str(shell.folder), code=1).complaint
    assert "is not a database" in complaint


def test_data_comes_before_the_environment(shell: Shell, books: Books) -> None:
    books.failing()
    assert shell("cases", "list", "--format", "json").json() != []
    other = shell.folder / "other"
    shell("migrate", "--data", str(other))
    assert shell("cases", "list", "--format", "json", "--data", str(other)).json() == []
