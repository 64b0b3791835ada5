"""By hand: promises, exemptions, steps skipped or brought forward, forced charges; refusals."""

from __future__ import annotations

from typing import Any

import pytest
from sqlmodel import col, select

from dunning.acts import ByHand, Person
from dunning.core.events import Decline, StepResult
from dunning.core.money import Money
from dunning.exempting import Exemptions
from dunning.store import ActRow, ExemptionRow, StepRow, transaction
from tests.builders import AMOUNT, CUSTOMER, attempt, attempted, bill, days, failed, hours, paid
from tests.cli.conftest import Books, Shell, columns
from tests.happenings import step
from tests.secrets import SIGNING

OTHER_CUSTOMER = "cus_nobody"


def acts(books: Books) -> list[Any]:
    with transaction(books.engine) as session:
        return list(session.exec(select(ActRow).order_by(col(ActRow.id))).all())


def shown(shell: Shell, case: str) -> Any:
    return shell("cases", "show", case, "--format", "json").json()


def line(shell: Shell, case: str, name: str) -> Any:
    return next(one for one in shown(shell, case)["timeline"] if one["step"] == name)


@pytest.fixture
def ready(shell: Shell) -> Shell:
    """A shell of a program that knows its one account."""
    shell.env(STRIPE_WEBHOOK_SECRET=SIGNING)
    return shell


# --- promises ----------------------------------------------------------------------------------


def test_a_promise_stops_the_case_until_the_end_of_that_day(shell: Shell, books: Books) -> None:
    case = books.failing(timezone="America/New_York")
    out = shell(
        *("cases", "promise", case, "--until", "2026-01-09"),
        *("--amount", "49.00", "--currency", "USD", "--why", "ticket 4711", "--by", "eve"),
    ).out
    assert "stands still for the promise" in out
    told = shown(shell, case)
    end = "2026-01-10T05:00:00Z"  # midnight in New York
    assert told["frozen"] == {
        "stop": "promise",
        "why": "the customer promised to pay 49.00 USD: ticket 4711",
        "since": "2026-01-05T14:00:00Z",
        "until": end,
    } | {"since": told["frozen"]["since"]}
    assert (told["standing"], told["standing_until"], told["next_at"]) == ("promise", end, end)
    (promise,) = told["promises"]
    assert (promise["amount"], promise["until"], promise["ending"]) == (AMOUNT, end, "open")
    (act,) = acts(books)
    assert (act.act, act.by, act.why, act.about) == ("promise", "eve", "ticket 4711", "49.00 USD")
    assert "49.00 USD by 2026-01-10 05:00 UTC" in shell("cases", "show", case).out
    assert "promised to pay" in shell("cases", "explain", case).out


@pytest.mark.parametrize(("paid_on", "ending"), [(3, "kept"), (6, "broken")])
def test_whether_it_was_kept_is_shown(
    shell: Shell, books: Books, paid_on: int, ending: str
) -> None:
    case = books.failing()
    shell("cases", "promise", case, "--until", "5d", "--why", "x")
    shell.at(days(7))
    if ending == "broken":
        assert shown(shell, case)["promises"][0]["ending"] == "broken"
    books.take(paid(days(paid_on)))
    assert shown(shell, case)["promises"][0]["ending"] == ending
    assert f": {ending}, " in shell("cases", "show", case).out
    assert f": {ending}, " in shell("cases", "explain", case).out


def test_a_promise_is_withdrawn_by_resuming(shell: Shell, books: Books) -> None:
    case = books.failing()
    shell("cases", "promise", case, "--until", "5d", "--why", "x")
    told = shell("cases", "resume", case, "--why", "they will not", "--format", "json").json()
    assert told["standing"] is None
    assert told["next_step"] == "email:1"
    assert shown(shell, case)["promises"][0]["ending"] == "withdrawn"
    assert "not on hold" in shell("cases", "resume", case, "--why", "x", code=1).complaint


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--until", "2026-01-04"), 1, "that moment has passed"),
        (("--until", "2026-04-01"), 1, "a promise reaches to the end of the policy's window"),
        (("--until", "9999-12-31"), 1, "is too far"),
        (("--until", "5d", "--amount", "50.00"), 1, "50.00 USD was promised, but 49.00 USD is"),
        (("--until", "5d", "--amount", "1", "--currency", "EUR"), 1, "1.00 EUR was promised"),
        (("--until", "5d", "--amount", "0"), 2, "not above zero"),
        (("--until", "5d", "--currency", "EUR"), 2, "there is none"),
        (("--until", "soon"), 2, "is no time"),
    ],
)
def test_a_promise_that_makes_no_sense_is_refused(
    shell: Shell, books: Books, options: tuple[str, ...], code: int, words: str
) -> None:
    case = books.failing()
    said = shell("cases", "promise", case, *options, "--why", "x", code=code)
    assert words in said.complaint
    assert acts(books) == []


# --- exemptions --------------------------------------------------------------------------------


def test_an_exempt_customer_is_left_alone_in_cases_open_and_to_come(
    ready: Shell, books: Books
) -> None:
    case = books.failing()
    out = ready(
        *("customers", "exempt", CUSTOMER, "--why", "a partner", "--by", "eve"),
        *("--until", "2026-06-01"),
    ).out
    assert "1 case reached" in out
    later = books.take(failed(days(1), bill(invoice="in_later")))
    for name in (case, later):
        told = shown(ready, name)
        assert told["frozen"]["why"] == "the customer is exempt: a partner"
        assert told["frozen"]["until"] == "2026-06-01T00:00:00Z"
        assert told["standing"] == "exempt"
        assert told["amount_at_risk"] == AMOUNT
    ids = ready("cases", "list", "--standing", "exempt", "--format", "json").json()
    assert {one["id"] for one in ids} == {case, later}
    assert ready("cases", "list", "--standing", "hold", "--format", "json").json() == []
    assert "(exempt in " in ready("cases", "list").out
    report = ready("report", "at-risk", "--by", "standing", "--format", "json").json()
    assert [(row["standing"], row["cases"], row["at_risk"]) for row in report["rows"]] == [
        ("exempt", 2, 2 * AMOUNT)
    ]
    complaint = ready("cases", "retry", case, "--why", "x", code=1).complaint
    assert "the customer is exempt" in complaint
    assert (
        "needs no promise"
        in ready("cases", "promise", case, "--until", "5d", "--why", "x", code=1).complaint
    )


def test_lifting_lets_the_cases_go_on(ready: Shell, books: Books) -> None:
    case = books.failing()
    ready("customers", "exempt", CUSTOMER, "--why", "a partner")
    assert books.row(case)["next_at"] is None
    told = ready("customers", "unexempt", CUSTOMER, "--why", "over", "--format", "json").json()
    assert told == {"source": "stripe", "customer": CUSTOMER, "cases": [case], "known": True}
    assert books.row(case)["next_step"] == "email:1"
    complaint = ready("customers", "unexempt", CUSTOMER, "--why", "over", code=1).complaint
    assert "is not exempt" in complaint
    with transaction(books.engine) as session:
        kept = session.exec(select(ExemptionRow).order_by(col(ExemptionRow.id))).all()
    assert [(row.act, row.why) for row in kept] == [("exempt", "a partner"), ("unexempt", "over")]


def test_the_same_exemption_is_not_said_twice_but_may_be_changed(
    ready: Shell, books: Books
) -> None:
    books.failing()
    ready("customers", "exempt", CUSTOMER, "--why", "a partner", "--until", "2026-06-01")
    again = ("customers", "exempt", CUSTOMER, "--why", "still", "--until", "2026-06-01")
    assert "is exempt since" in ready(*again, code=1).complaint
    ready("customers", "exempt", CUSTOMER, "--why", "for good")
    (told,) = ready("customers", "list", "--exempt", "--format", "json").json()
    assert (told["until"], told["why"]) == (None, "for good")


def test_who_is_exempt_is_listed_with_what_they_owe(ready: Shell, books: Books) -> None:
    assert "Nobody is exempt" in ready("customers", "list", "--exempt").out
    assert "Nobody owes anything" in ready("customers", "list").out
    books.failing(name="Ann Lee")
    assert "Nobody is exempt" in ready("customers", "list", "--exempt").out
    assert columns(ready("customers", "list").out, "CUSTOMER") == [CUSTOMER]
    ready("customers", "exempt", CUSTOMER, "--why", "a partner")
    unknown = ready("customers", "exempt", OTHER_CUSTOMER, "--why", "to come").out
    assert "is the id right?" in unknown
    out = ready("customers", "list", "--exempt").out
    assert columns(out, "CUSTOMER") == [CUSTOMER, OTHER_CUSTOMER]
    assert "49.00 USD" in out
    assert "Ann Lee" in out
    told = ready("customers", "list", "--format", "csv").out.splitlines()
    assert told[0] == "source,customer,name,exempt,since,until,by,why,cases,at_risk"
    assert ready("customers", "list", "--source", "other", "--format", "json").json() == []


def test_an_exemption_ends_by_itself(ready: Shell, books: Books) -> None:
    case = books.failing()
    ready("customers", "exempt", CUSTOMER, "--why", "x", "--until", "5d")
    assert (
        books.row(case)["next_at"] == "2026-01-10T14:00:00Z"[:14] + books.row(case)["next_at"][14:]
    )
    ready.at(days(6))
    assert ready("customers", "list", "--exempt", "--format", "json").json() == []
    assert shown(ready, case)["frozen"] is None
    assert ready("cases", "list", "--standing", "exempt", "--format", "json").json() == []


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("exempt", CUSTOMER, "--why", "x", "--until", "2020-01-01"), 1, "has passed"),
        (("exempt", CUSTOMER, "--why", " "), 1, "--why is empty"),
        (("exempt", CUSTOMER, "--why", "x", "--source", "paddle"), 2, "there is stripe"),
        (("unexempt", CUSTOMER, "--why", "x"), 1, "customers list --exempt"),
    ],
)
def test_what_cannot_be_said_of_a_customer(
    ready: Shell, books: Books, options: tuple[str, ...], code: int, words: str
) -> None:
    books.failing()
    assert words in ready("customers", *options, code=code).complaint


def test_a_case_that_hears_late_whose_it_is_hears_of_the_exemption(books: Books) -> None:
    person = Person(by="eve", why="a partner", now=hours(1))
    Exemptions(books.engine, books.book).exempt("stripe", CUSTOMER, person)
    case = books.take(failed(hours(2), bill(customer=None)))
    assert books.facts(case).customer is None
    assert books.facts(case).exemption is None
    books.take(failed(hours(3)))
    assert books.facts(case).exemption is not None
    assert books.row(case)["standing"] == "exempt"


# --- steps ---------------------------------------------------------------------------------------


def test_a_step_is_skipped_for_good_and_on_record(shell: Shell, books: Books) -> None:
    case = books.failing()
    out = shell("cases", "skip", case, "retry:2", "--why", "we called", "--by", "eve").out
    assert "retry:2 will not be done" in out
    told = line(shell, case, "retry:2")
    assert (told["state"], told["why"]) == ("skipped", "skipped by eve: we called")
    (act,) = acts(books)
    assert (act.act, act.about, act.by) == ("skip", "retry:2", "eve")
    assert "skip · retry:2" in shell("cases", "show", case).out
    assert "skipped by eve" in shell("cases", "explain", case).out
    complaint = shell("cases", "skip", case, "retry:2", "--why", "x", code=1).complaint
    assert "retry:2 is over: skipped on 2026-01-05" in complaint
    assert len(acts(books)) == 1


def test_a_kind_will_do_where_there_is_one_step_of_it(shell: Shell, books: Books) -> None:
    case = books.failing()
    shell("cases", "skip", case, "suspend", "--why", "x")
    assert line(shell, case, "suspend:1")["state"] == "skipped"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("retry", "retry could be any of"),
        ("retry:99", "no step retry:99 is planned"),
        ("dance", "planned for case_"),
        ("give_up", "a case must come to an end"),
    ],
)
def test_what_cannot_be_skipped(shell: Shell, books: Books, name: str, words: str) -> None:
    case = books.failing()
    assert words in shell("cases", "skip", case, name, "--why", "x", code=1).complaint
    assert acts(books) == []


def test_a_step_under_way_is_not_skipped(shell: Shell, books: Books) -> None:
    case = books.failing()
    with transaction(books.engine) as session:
        session.add(
            StepRow(
                key=f"{case}/retry:1",
                case_id=case,
                kind="retry",
                state="unknown",
                due_at=hours(1),
                started_at=hours(1),
                first_started_at=hours(1),
            )
        )
    for act in ("skip", "advance"):
        complaint = shell("cases", act, case, "retry:1", "--why", "x", code=1).complaint
        assert "retry:1 is under way since 2026-01-05 13:00 UTC" in complaint


def test_a_step_is_brought_forward_and_stays_in_its_place_otherwise(
    shell: Shell, books: Books
) -> None:
    case = books.failing()
    books.did(case, step("email:1", template="payment_failed"))
    shell.at(days(1.2))
    books.did(case, step("retry:1", days(1.1), StepResult.DECLINED))
    before, charge = line(shell, case, "email:2"), line(shell, case, "retry:2")
    out = shell("cases", "advance", case, "email:2", "--why", "they asked", "--by", "eve").out
    assert "email:2 is due now" in out
    after = line(shell, case, "email:2")
    assert after["due_at"] < before["due_at"]
    assert "brought forward by eve: they asked" in after["why"]
    assert line(shell, case, "retry:2")["due_at"] == charge["due_at"]
    assert acts(books)[0].act == "advance"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("suspend", "not before the grace ends at 2026-01-19"),
        ("retry:1", "as the bank's answer asks"),
        ("retry:5", "suspend:1 comes before it"),
        ("email:1", "it is due already"),
        ("email:9", "no step email:9 is planned"),
    ],
)
def test_what_cannot_be_brought_forward(shell: Shell, books: Books, name: str, words: str) -> None:
    case = books.failing()
    assert words in shell("cases", "advance", case, name, "--why", "x", code=1).complaint
    assert acts(books) == []


# --- charges in spite of the advice ------------------------------------------------------------


def test_a_forced_charge_warns_first_and_wants_a_yes(shell: Shell, books: Books) -> None:
    case = books.failing("lost_card")
    forced = ("cases", "retry", case, "--why", "it was found", "--force")
    said = shell(*forced, code=2)
    assert "warning: --force goes past this: the advice is stop: " in said.err
    assert "needs --yes beside --force" in said.err
    assert acts(books) == []
    said = shell(*forced, "--yes")
    assert "warning: --force goes past this" in said.err
    (asked,) = books.facts(case).retries_asked
    assert asked.forced
    told = line(shell, case, f"retry:hand:{asked.id}")
    assert told["state"] == "planned"
    assert "forced by" in told["why"]
    assert acts(books)[0].act == "retry --force"


def test_where_nothing_speaks_against_it_force_asks_nothing(shell: Shell, books: Books) -> None:
    case = books.failing()
    said = shell("cases", "retry", case, "--why", "x", "--force")
    assert "warning" not in said.err


def test_a_networks_own_never_is_never_overridden(shell: Shell, books: Books) -> None:
    case = books.failing()
    said = Decline(code="lost_card", network="visa", network_code="41")
    books.take(attempted(attempt(at=hours(1.5), decline=said)))
    for more in ((), ("--force", "--yes")):
        complaint = shell("cases", "retry", case, "--why", "x", *more, code=1).complaint
        assert "cannot be charged: stop" in complaint


def test_a_wait_the_network_asks_for_yields_only_to_force(shell: Shell, books: Books) -> None:
    case = books.failing()
    said = Decline(code="insufficient_funds", network="mastercard", network_advice_code="28")
    books.take(attempted(attempt(at=hours(1.5), decline=said)))
    complaint = shell("cases", "retry", case, "--why", "x", code=1).complaint
    assert "not before 2026-01-11 13:30 UTC, as the network asks" in complaint
    assert (
        "Not before 144 h after the try (mastercard advice 28)"
        in shell("cases", "retry", case, "--why", "x", "--force", "--yes").err
    )


@pytest.mark.parametrize("act", ["promise", "skip", "advance", "retry"])
def test_an_ended_case_is_left_alone(shell: Shell, books: Books, act: str) -> None:
    case = books.failing()
    shell.at(days(2))
    books.take(paid(days(1)))
    more = {
        "promise": ("--until", "5d"),
        "skip": ("email:2",),
        "advance": ("email:2",),
        "retry": ("--force", "--yes"),
    }[act]
    said = shell("cases", act, case, *more, "--why", "x", code=1)
    assert "it ended on 2026-01-06 as recovered (paid)" in said.err
    assert acts(books) == []


def test_a_promised_amount_may_be_as_much_as_is_owed(books: Books) -> None:
    case = books.failing()
    hands = ByHand(books.engine, books.book)
    person = Person(by="eve", why="x", now=hours(2))
    told = hands.promise(case, person, until=days(3), amount=Money(AMOUNT, "usd"))
    assert told["standing"] == "promise"
