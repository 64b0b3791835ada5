"""What lies ahead of a customer, how looks at it merge, and what is planned for it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dunning.core.ahead import Ahead, NoticeReported, Outlook, outlook_from, outlook_to
from dunning.core.case import advance, new_case
from dunning.core.events import CustomerReported, Exempted, StepKind, StepResult
from dunning.core.facts import Case
from dunning.core.notices import BEGINS_AHEAD, begins_by, expires_at, moment
from dunning.core.outlook import Billed, Card, Person, lies_ahead, news, renewal_from
from dunning.core.plan import plan
from dunning.core.policy import Policy, from_data, to_data
from dunning.core.status import Access, State, status
from dunning.core.steps import Step
from dunning.core.words import Kind, Over
from tests import builders as b
from tests import happenings as h
from tests.policies import STANDARD, rung

NOW = datetime(2026, 3, 2, 10, tzinfo=UTC)
DAY = timedelta(days=1)
MONTHLY = Outlook(
    renews_at=datetime(2026, 4, 2, 10, tzinfo=UTC),
    began_at=NOW,
    started_at=datetime(2025, 3, 2, 10, tzinfo=UTC),
    price=4900,
    currency="usd",
    term="month",
    anchor_day=2,
)
YEARLY = replace(
    MONTHLY,
    renews_at=datetime(2027, 3, 2, 10, tzinfo=UTC),
    began_at=NOW,
    term="year",
)
VISA = Card(id="pm_1", type="card", network="visa", last4="4242", exp_month=4, exp_year=2026)
LASTING = Card(id="pm_2", type="card", last4="4444", exp_month=12, exp_year=2034)


def policy(kind: Kind, *leads: float, **more: Any) -> Policy:
    lines = (
        rung("email", before=timedelta(days=lead), template=f"told_{lead:g}", **more)
        for lead in leads
    )
    zero = timedelta(0)
    return Policy(name="told", kind=kind, grace=zero, window=zero, timeline=tuple(lines))


EXPIRY, RENEWAL = policy(Kind.CARD_EXPIRY, 30, 7), policy(Kind.RENEWAL, 30)


def sub(outlook: Outlook = MONTHLY, **other: Any) -> Billed:
    return Billed(**{"id": "sub_1", "status": "active", "outlook": outlook, **other})


def person(*billed: Billed, cards: tuple[Card, ...] = (VISA,), **other: Any) -> Person:
    known = {"id": "cus_1", "default": "pm_1", "cards": cards, "billed": billed}
    return Person(**{**known, **other})


def expiring(who: Person, now: datetime = NOW) -> Ahead | None:
    found = [told.ahead for told in lies_ahead(who, now).values() if told.kind is Kind.CARD_EXPIRY]
    assert len(found) <= 1
    return found[0] if found else None


def noticed(who: Person, kind: Kind = Kind.CARD_EXPIRY, at: datetime = NOW) -> Case:
    """The case that a look at this person begins."""
    (told,) = (one for one in news(who, {}, at) if one.kind is kind)
    return advance(new_case("stripe", "stripe", told.invoice), told)


# --- which card, which renewal -----------------------------------------------------------------


def test_the_month_of_a_card_ends_where_its_customer_lives() -> None:
    assert expires_at(2026, 4, ZoneInfo("UTC")) == datetime(2026, 5, 1, tzinfo=UTC)
    assert expires_at(2026, 12, ZoneInfo("UTC")) == datetime(2027, 1, 1, tzinfo=UTC)
    berlin = expires_at(2026, 4, ZoneInfo("Europe/Berlin"))
    assert berlin == datetime(2026, 4, 30, 22, tzinfo=UTC)


def test_a_card_is_told_of_with_the_first_renewal_after_its_last_day() -> None:
    told = expiring(person(sub()))
    assert told is not None
    assert told.renews_at == datetime(2026, 5, 2, 10, tzinfo=UTC)
    assert (told.exact, told.amount, told.last4) == (False, 4900, "4242")


CARDS = [
    (
        "its own card comes first",
        person(sub(replace(MONTHLY, method="pm_2")), cards=(VISA, LASTING)),
        "pm_2",
    ),
    ("then the customer's default", person(sub(), cards=(VISA, LASTING), default="pm_2"), "pm_2"),
    ("then their only one", person(sub(), default=None), "pm_1"),
    ("of two nobody knows", person(sub(), cards=(VISA, LASTING), default=None), None),
    ("a default nobody showed us", person(sub(), default="pm_9"), None),
    ("a card that is gone", person(sub(), cards=(replace(VISA, gone=True),)), None),
    ("a bank account", person(sub(), cards=(replace(VISA, type="sepa_debit"),)), None),
    ("paid by hand", person(sub(replace(MONTHLY, automatic=False))), None),
    ("paused", person(sub(replace(MONTHLY, paused=True))), None),
    ("ended", person(sub(ended=True)), None),
    ("given up on", person(sub(status="unpaid")), None),
    ("deleted", person(sub(), deleted=True), None),
    ("ends by itself before it", person(sub(replace(MONTHLY, cancels_at=MONTHLY.renews_at))), None),
    ("ends by itself after it", person(sub(replace(MONTHLY, cancels_at=NOW + 90 * DAY))), "pm_1"),
    ("no term is known", person(sub(replace(MONTHLY, term=None))), None),
]


@pytest.mark.parametrize(("who", "card"), [row[1:] for row in CARDS], ids=[row[0] for row in CARDS])
def test_the_card_that_will_really_be_charged(who: Person, card: str | None) -> None:
    told = expiring(who)
    assert (told.method if told else None) == card


def test_a_card_that_has_expired_is_no_proof_of_anything() -> None:
    assert expiring(person(sub()), datetime(2026, 5, 1, tzinfo=UTC)) is None


@pytest.mark.parametrize(
    ("term", "first", "after", "expected"),
    [
        ("month", "2026-01-31", "2026-02-01", "2026-02-28"),
        ("month", "2026-01-31", "2026-03-01", "2026-03-31"),
        ("quarter", "2026-01-15", "2026-07-15", "2026-07-15"),
        ("half_year", "2026-01-15", "2026-07-16", "2027-01-15"),
        ("year", "2024-02-29", "2025-03-01", "2026-02-28"),
        ("2 years", "2024-02-29", "2025-03-01", "2026-02-28"),
        ("2 weeks", "2026-01-01", "2026-01-16", "2026-01-29"),
        ("week", "2026-01-01", "2026-01-08", "2026-01-08"),
        ("day", "2026-01-01", "2026-02-01", "2026-02-01"),
        ("3 months", "2026-01-01", "2030-12-02", "2031-01-01"),
    ],
)
def test_renewals_are_reckoned_on(term: str, first: str, after: str, expected: str) -> None:
    def at(day: str) -> datetime:
        return datetime.fromisoformat(day).replace(tzinfo=UTC)

    outlook = Outlook(renews_at=at(first), term=term, anchor_day=at(first).day)
    assert renewal_from(outlook, at(after)) == at(expected)


@given(
    st.integers(0, 3650),
    st.integers(-60, 4000),
    st.sampled_from(
        ["day", "week", "month", "quarter", "half_year", "year", "3 weeks", "5 months"]
    ),
)
def test_the_next_renewal_is_the_first_after_and_none_is_left_out(
    day: int, gap: int, term: str
) -> None:
    first = datetime(2020, 1, 1, 12, tzinfo=UTC) + day * DAY
    outlook = Outlook(renews_at=first, term=term, anchor_day=first.day)
    after = first + gap * DAY
    found = renewal_from(outlook, after)
    assert found is not None
    # One after the other, each the first after the one before.
    walked = first
    while walked < after:
        following = renewal_from(outlook, walked + timedelta(hours=1))
        assert following is not None
        assert following > walked
        walked = following
    assert found == walked


@pytest.mark.parametrize(
    ("upcoming", "amount"),
    [
        (None, 4900),
        ((YEARLY.renews_at, 5100, "usd"), 5100),  # with its taxes, less its discounts
        ((NOW, 5100, "usd"), 4900),  # of the term before
    ],
)
def test_how_much_a_renewal_is(upcoming: Any, amount: int) -> None:
    (told,) = lies_ahead(person(sub(YEARLY, upcoming=upcoming), cards=()), NOW).values()
    assert (told.ahead.amount, told.ahead.currency) == (amount, "usd")


def test_an_amount_that_nobody_knows_is_not_claimed() -> None:
    who = person(sub(replace(YEARLY, price=None)), cards=())
    (told,) = lies_ahead(who, NOW).values()
    assert told.ahead.amount is None


def test_an_outlook_is_read_back() -> None:
    for outlook in (Outlook(), MONTHLY, YEARLY, replace(MONTHLY, cancels_at=NOW, paused=True)):
        assert outlook_from(outlook_to(outlook)) == outlook


# --- how it ends -------------------------------------------------------------------------------

ENDINGS = [
    (person(sub(), cards=(VISA, LASTING), default="pm_2"), Over.NEW_CARD),
    (person(sub(), cards=(replace(VISA, exp_year=2029),)), Over.UPDATED),
    (person(sub(), cards=()), Over.REMOVED),
    (person(sub(replace(MONTHLY, cancels_at=MONTHLY.renews_at))), Over.CANCELLED),
    (person(sub(ended=True)), Over.CANCELLED),
    (person(), Over.CANCELLED),
    (person(sub(replace(MONTHLY, paused=True))), Over.PAUSED),
]


@pytest.mark.parametrize(("after", "why"), ENDINGS, ids=[why.value for _, why in ENDINGS])
def test_why_nothing_is_said_of_a_card_any_more(after: Person, why: Over) -> None:
    case = noticed(person(sub()))
    assert case.notice is not None
    (told,) = (
        one
        for one in news(after, {case.invoice: case.notice}, NOW + DAY)
        if one.invoice == case.invoice
    )
    ended = status(advance(case, told))
    assert (ended.state, ended.reason, ended.ended_at) == (State.OVER, why.value, NOW + DAY)
    assert (ended.access, ended.books.entries, ended.at_risk) == (Access.FULL, (), 0)


def test_what_came_back_lies_ahead_again() -> None:
    case = noticed(person(sub()))
    gone = person(sub(), cards=(VISA, LASTING), default="pm_2")
    for n, who in enumerate((gone, person(sub())), 1):
        assert case.notice is not None
        for told in news(who, {case.invoice: case.notice}, NOW + n * DAY):
            if told.invoice == case.invoice:
                case = advance(case, told)
    assert status(case).state is State.AHEAD


def renewal_after(outlook: Outlook, at: datetime) -> Case:
    case = noticed(person(sub(YEARLY)), Kind.RENEWAL)
    assert case.notice is not None
    for told in news(person(sub(outlook)), {case.invoice: case.notice}, at):
        if told.invoice == case.invoice:
            case = advance(case, told)
    return case


def test_a_renewal_moves_with_its_term_and_ends_with_it() -> None:
    assert YEARLY.renews_at is not None
    later = replace(YEARLY, renews_at=YEARLY.renews_at + 9 * DAY)
    moved = renewal_after(later, NOW + DAY)
    assert (status(moved).state, moment(moved)) == (State.AHEAD, later.renews_at)
    renewed = replace(YEARLY, began_at=YEARLY.renews_at, renews_at=YEARLY.renews_at + 365 * DAY)
    assert status(renewal_after(renewed, YEARLY.renews_at)).reason == Over.RENEWED
    other = replace(YEARLY, began_at=NOW + DAY, renews_at=YEARLY.renews_at + DAY)
    assert status(renewal_after(other, NOW + DAY)).reason == Over.MOVED
    assert status(renewal_after(YEARLY, YEARLY.renews_at + DAY)).reason == Over.PASSED


def test_who_is_exempt_until_after_it_is_not_told() -> None:
    case = noticed(person(sub()))
    for until, state in ((None, State.OVER), (NOW + DAY, State.AHEAD)):
        said = Exempted(id="x", at=NOW, customer="cus_1", until=until, why="vip", by="ops")
        assert status(advance(case, said)).state is state


# --- looks merge -------------------------------------------------------------------------------

PEOPLE = [person(sub()), *(who for who, _ in ENDINGS)]


def look(case: Case, who: Person, at: datetime) -> list[NoticeReported]:
    known = {case.invoice: case.notice} if case.notice else {}
    return [one for one in news(who, known, at) if one.invoice == case.invoice]


@given(
    st.lists(st.tuples(st.sampled_from(PEOPLE), st.integers(0, 5)), min_size=1, max_size=6),
    st.randoms(),
)
def test_any_order_and_repetition_of_looks_gives_the_same_case(
    looks: list[tuple[Person, int]], chance: Any
) -> None:
    first = noticed(person(sub()))
    told = [one for who, day in looks for one in look(first, who, NOW + day * DAY)]
    case = b.fold(first, told)
    again = [*told, *told, h.customer(NOW)]
    chance.shuffle(again)
    other = b.fold(first, again)
    assert (other.notice, other.noticed_at, status(other)) == (
        case.notice,
        case.noticed_at,
        status(case),
    )


@given(st.lists(st.sampled_from(PEOPLE), min_size=1, max_size=6))
def test_a_second_look_at_the_same_says_nothing(people: list[Person]) -> None:
    known: dict[str, NoticeReported] = {}
    for n, who in enumerate(people):
        at = NOW + timedelta(hours=n)
        for told in news(who, known, at):
            known[told.invoice] = told
        assert list(news(who, known, at + timedelta(minutes=1))) == []
    names = [name for name in known if name.startswith("card_expiry:pm_1:2026-04")]
    assert len(names) <= 1


# --- what is planned ---------------------------------------------------------------------------


def steps(case: Case, terms: Policy, now: datetime = NOW) -> list[Step]:
    return list(plan(case, terms, now).steps)


def test_lines_stand_before_the_cards_last_day_and_the_last_look_at_it() -> None:
    case = noticed(person(sub()))
    told = [
        (step.key.partition("/")[2], step.due_at, step.template) for step in steps(case, EXPIRY)
    ]
    end = datetime(2026, 5, 1, tzinfo=UTC)
    assert told == [
        ("email:1", end - 30 * DAY, "told_30"),
        ("email:2", end - 7 * DAY, "told_7"),
        ("reconcile:passed", end, None),
    ]


def test_of_two_that_are_due_the_last_says_it_all_and_none_comes_late() -> None:
    case = noticed(person(sub()))
    late = datetime(2026, 4, 28, tzinfo=UTC)
    due = plan(case, EXPIRY, late).due(late)
    assert [(step.template, bool(step.skip)) for step in due] == [
        ("told_30", True),
        ("told_7", False),
    ]
    passed = datetime(2026, 5, 1, tzinfo=UTC)
    assert all(
        step.skip for step in plan(case, EXPIRY, passed).due(passed) if step.kind is StepKind.EMAIL
    )


def test_hours_that_open_after_the_date_leave_it_out() -> None:
    case = noticed(person(sub()))
    hours = replace(policy(Kind.CARD_EXPIRY, 1 / 24), send_between=(time(9), time(10)))
    (line,) = (step for step in steps(case, hours) if step.kind is StepKind.EMAIL)
    assert line.skip == "the moment it tells of has come"


def test_a_term_too_short_for_its_notice_is_not_told_of() -> None:
    monthly = noticed(person(sub()), Kind.RENEWAL)
    (line, *_) = steps(monthly, policy(Kind.RENEWAL, 32))
    assert line.skip is not None
    assert "too short" in line.skip
    assert steps(monthly, policy(Kind.RENEWAL, 7))[0].skip is None


def test_another_date_is_told_again_under_another_name() -> None:
    assert YEARLY.renews_at is not None
    before = noticed(person(sub(YEARLY)), Kind.RENEWAL)
    moved = renewal_after(replace(YEARLY, renews_at=YEARLY.renews_at + 9 * DAY), NOW + DAY)
    first, second = (steps(case, RENEWAL)[0].key for case in (before, moved))
    assert first != second
    assert first.partition("/")[2] == "20270302.email:1"


def test_when_a_case_begins() -> None:
    case = noticed(person(sub()))
    end = datetime(2026, 5, 1, tzinfo=UTC)
    assert not begins_by(case, EXPIRY, end - 30 * DAY - BEGINS_AHEAD - DAY)
    assert begins_by(case, EXPIRY, end - 30 * DAY - BEGINS_AHEAD)
    assert begins_by(case, EXPIRY, end - DAY)
    assert not begins_by(case, EXPIRY, end)


@given(
    st.sampled_from([*PEOPLE, person(sub(YEARLY))]),
    st.integers(0, 500),
    st.lists(st.floats(0.1, 60), min_size=1, max_size=4, unique=True),
    st.lists(st.integers(0, 500), max_size=3),
)
def test_no_notice_ever_charges_or_takes_anything(
    who: Person, day: int, leads: list[float], looks: list[int]
) -> None:
    for kind in (Kind.CARD_EXPIRY, Kind.RENEWAL):
        for told in news(who, {}, NOW):
            if told.kind is not kind:
                continue
            case = advance(new_case("stripe", "stripe", told.invoice), told)
            for at in looks:
                case = b.fold(case, look(case, who, NOW + at * DAY))
            found = steps(case, policy(kind, *leads), NOW + day * DAY)
            assert {step.kind for step in found} <= {StepKind.EMAIL, StepKind.RECONCILE}
            assert status(case).at_risk == 0


def test_what_was_said_is_not_said_again() -> None:
    case = noticed(person(sub()))
    done = replace(
        h.step("email:1", NOW), id=f"{case.id}/email:1", kind=StepKind.EMAIL, result=StepResult.DONE
    )
    assert [step.template for step in steps(advance(case, done), EXPIRY)] == ["told_7", None]


def test_a_policy_of_a_kind_is_read_back_and_others_keep_their_version() -> None:
    assert from_data(to_data(EXPIRY)) == EXPIRY
    assert "kind" not in to_data(STANDARD)
    assert to_data(EXPIRY)["kind"] == "card_expiry"


def test_every_permutation_of_what_is_heard_of_a_person_ends_alike() -> None:
    first = noticed(person(sub()))
    heard = [
        CustomerReported(id="c", at=NOW, customer="cus_1", country="DE"),
        Exempted(id="x", at=NOW, customer="cus_1", until=None, why="vip", by="ops"),
        h.subscription(NOW),
    ]
    ends = {repr(status(b.fold(first, list(order)))) for order in itertools.permutations(heard)}
    assert len(ends) == 1
