"""The benchmark measures what it says: real events, honest ratios, and a word for what is wrong."""

from __future__ import annotations

from itertools import islice

import pytest

from dunning.bench import bodies, sending
from dunning.bench.claims import fill
from dunning.bench.embedded import Idle
from dunning.bench.embedded import fill as fill_embedded
from dunning.bench.goals import Findings, Goal, Verdict
from dunning.bench.provider import AtOnce, Stopped
from dunning.clock import from_unix
from dunning.core.events import InvoiceNews, InvoiceReported
from dunning.core.ports import Declined, Paid, Understood
from dunning.dispatching import Dispatcher
from dunning.providers.stripe.reader import StripeReader
from dunning.store import engine_for, reading, transaction

AT = from_unix(bodies.CREATED)


def news(body: bytes) -> tuple[str, InvoiceNews]:
    told = StripeReader().normalise(body)
    assert isinstance(told, Understood)
    (event,) = told.events
    assert isinstance(event, InvoiceReported)
    return event.bill.invoice, event.news


def test_the_events_are_distinct_signed_and_understood() -> None:
    made = list(islice(bodies.bodies(41), 3))
    assert [news(body) for body in made] == [
        (f"in_0000000{number}", InvoiceNews.PAYMENT_FAILED) for number in (42, 43, 44)
    ]
    assert news(bodies.encoded(bodies.paid(42))) == ("in_000000042", InvoiceNews.PAID)
    for body in made:
        header = {"stripe-signature": bodies.signature(body, bodies.CREATED)}
        StripeReader().verify(body, header, [bodies.SECRET], AT, 300)
        assert 2_000 < len(body) < 4_000


@pytest.mark.parametrize(
    ("goal", "ratio", "meets"),
    [
        (Goal("more", "", 2.0), 2.0, True),
        (Goal("more", "", 2.0), 1.99, False),
        (Goal("less", "", 0.1, most=True), 0.1, True),
        (Goal("less", "", 0.1, most=True), 0.11, False),
        (Goal("unknown", "", 1.0), None, None),
    ],
)
def test_a_goal_is_met_or_not_or_not_known(
    goal: Goal, ratio: float | None, meets: bool | None
) -> None:
    assert Verdict(goal, ratio).told()["meets"] is meets


def test_what_could_not_be_measured_says_why() -> None:
    found = Findings("part", {}, [])
    found.judge(Goal("beside", "", 1.0), 3.0, None, "no package index")
    (verdict,) = found.verdicts
    assert (verdict.ratio, verdict.why) == (None, "no package index")


def test_cards_of_the_double_fail_once_and_then_pay() -> None:
    provider = AtOnce(Stopped(AT))
    ended = [provider.charge("in_1", key=f"k{n}", method=None, may_repeat=True) for n in range(2)]
    assert [type(one) for one in ended] == [Declined, Paid]


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_the_cases_it_makes_up_are_due_and_can_be_claimed(migrated_url: str) -> None:
    engine = engine_for(migrated_url)
    fill(engine, 1, 50, AT)
    dispatcher = Dispatcher(["stripe"], window=20, lease=from_unix(60) - from_unix(0))
    with reading(engine) as session:
        glance = dispatcher.look(session, AT)
    with transaction(engine) as session:
        (taken,) = dispatcher.take(session, AT, glance)
    engine.dispose()
    assert len(taken.ids) == 20


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_of_a_file_as_well_they_are_claimed_and_ended(migrated_url: str) -> None:
    engine = engine_for(migrated_url)
    fill_embedded(engine, 50, AT)
    dispatcher = Dispatcher(["stripe"], window=20, lease=from_unix(60) - from_unix(0))
    later = from_unix(bodies.CREATED + 60)
    for left in (20, 20, 10):
        with transaction(engine) as session:
            glance = dispatcher.look(session, later)
            (taken,) = dispatcher.take(session, later, glance)
        assert len(taken.ids) == left
        Idle(engine).run_many(taken.claims())
    with transaction(engine) as session:
        assert dispatcher.take(session, later, dispatcher.look(session, later)) == []
    engine.dispose()


def test_letters_are_rendered_and_handed_to_real_servers() -> None:
    found = sending.measure(letters=20)
    assert {name: each["letters"] for name, each in found.figures.items()} == {
        "one_worker_to_fast": 20,
        "smtplib_fixed_body_to_fast": 20,
        "one_worker_to_aiosmtpd": 20,
        "smtplib_fixed_body_to_aiosmtpd": 20,
    }
    assert [verdict.goal for verdict in found.verdicts] == [sending.RATE]
    assert all(verdict.ratio for verdict in found.verdicts)
