"""What brought the money in; what we did not cause is never claimed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from dunning.core.attribution import Touch, is_ours
from dunning.core.entries import Cause, books
from dunning.core.events import Actor, BillingEvent, InvoiceStatus, MethodNews, StepResult
from dunning.core.visits import CARD
from tests import builders as b
from tests import happenings as h
from tests.core.test_holdout import held_out_of

LATELY = timedelta(minutes=5)
WRITTEN = h.step("email:1", b.hours(1))
CHEQUE = b.paid(b.days(3), b.bill(status=InvoiceStatus.PAID, paid_at=b.days(3), out_of_band=True))


def ours(step: str, at: float = 3) -> BillingEvent:
    """A charge of ours that went through, made for this step."""
    return b.succeeded(b.days(at), by=Actor.OURS, key=h.step_key(step))


def refreshed(at: float) -> BillingEvent:
    """The card network told the provider of the new card."""
    return h.method(MethodNews.NETWORK_UPDATED, b.days(at))


def hows(*events: BillingEvent) -> list[str]:
    sheet = books(b.case_of(b.failed(), *events))
    return [entry.how for entry in sheet.entries if entry.cause is Cause.PAID]


PAID = b.paid(b.days(3))
THEIRS = b.succeeded(b.days(3), by=Actor.PROVIDER)
RETRIED = b.paid(b.days(3), b.bill(status=InvoiceStatus.PAID, paid_at=b.days(3), attempt_count=2))


@pytest.mark.parametrize(
    ("events", "how"),
    [
        ((ours("retry:3"),), "retry:3"),
        ((ours("retry:3"), PAID, WRITTEN), "retry:3"),
        ((ours("retry:card:1767960000"), PAID), "new_card"),
        ((ours("retry:hand:act_1"), PAID), "retry_by_hand"),
        ((THEIRS, RETRIED, WRITTEN), "provider_retry"),
        # The network refreshed the card in between; before the failure or too late is neither.
        ((THEIRS, RETRIED, WRITTEN, refreshed(1)), "network_updater"),
        ((THEIRS, RETRIED, refreshed(1), refreshed(9)), "network_updater"),
        ((THEIRS, RETRIED, refreshed(-1)), "provider_retry"),
        ((THEIRS, RETRIED, refreshed(4)), "provider_retry"),
        ((THEIRS, RETRIED, h.method(MethodNews.CHANGED, b.days(1))), "provider_retry"),
        ((ours("retry:3"), PAID, refreshed(1)), "retry:3"),
        ((PAID, refreshed(1)), "natural"),
        # Paying on the provider's page looks like its own retry, but its count of tries stays.
        ((THEIRS, PAID, WRITTEN), "link"),
        ((THEIRS, PAID), "natural"),
        ((b.succeeded(b.days(3), by=Actor.CUSTOMER), PAID, WRITTEN), "link"),
        ((b.succeeded(b.days(3)), PAID, WRITTEN), "link"),
        ((PAID, WRITTEN), "link"),
        ((PAID,), "natural"),
        # Led from our page to the provider's just before: so it was no retry of the provider's.
        ((THEIRS, RETRIED, WRITTEN, h.pressed(b.days(3) - LATELY)), "link"),
        ((PAID, h.pressed(b.days(3) - LATELY)), "link"),
        ((THEIRS, RETRIED, h.pressed(b.days(2))), "provider_retry"),
        ((THEIRS, RETRIED, h.pressed(b.days(3) + LATELY)), "provider_retry"),
        ((THEIRS, RETRIED, h.pressed(b.days(3) - LATELY, CARD)), "provider_retry"),
        # Whoever fetches the page may be a scanner of mail.
        ((THEIRS, RETRIED, h.page_opened(b.days(3) - LATELY)), "provider_retry"),
        ((PAID, h.page_opened(b.days(3) - LATELY)), "natural"),
        ((ours("retry:3"), PAID, h.pressed(b.days(3) - LATELY)), "retry:3"),
        ((b.succeeded(b.days(3), by=Actor.CUSTOMER), PAID), "natural"),
        ((CHEQUE,), "outside"),
        ((CHEQUE, WRITTEN), "outside"),
        # A message that did not reach them, or that went out later, caused nothing.
        ((PAID, h.step("email:1", b.hours(1), StepResult.SKIPPED)), "natural"),
        ((PAID, h.step("email:1", b.hours(1), StepResult.DOUBTFUL)), "natural"),
        ((PAID, h.step("email:1", b.days(4))), "natural"),
        ((PAID, h.step("retry:1", b.days(1), StepResult.DECLINED)), "natural"),
        # Another case's charge, and one that failed, are not what brought the money.
        ((b.succeeded(b.days(3), by=Actor.OURS, key="case_other/retry:1"), PAID), "natural"),
        ((b.declined(at=b.days(3), by=Actor.PROVIDER), PAID), "natural"),
        # A bank debit is dated when it began.
        (
            (
                b.succeeded(
                    b.days(1), by=Actor.OURS, key=h.step_key("retry:1"), method_type="sepa_debit"
                ),
                b.paid(b.days(8)),
            ),
            "retry:1",
        ),
    ],
)
def test_what_brought_the_money_in(events: tuple[BillingEvent, ...], how: str) -> None:
    assert hows(*events) == [how]


def test_a_charge_of_another_day_did_not_bring_the_cheque() -> None:
    part = b.succeeded(b.days(1), by=Actor.OURS, key=h.step_key("retry:1"), amount=1000)
    rest = b.bill(status=InvoiceStatus.PAID, paid_at=b.days(9), out_of_band=True)
    assert hows(part, b.paid(b.days(9), rest)) == ["retry:1", "outside"]


def test_each_part_has_its_own_cause() -> None:
    first = b.succeeded(b.days(1), by=Actor.OURS, key=h.step_key("retry:1"), amount=1000)
    rest = b.payment(3900, b.days(5), name="pi_2")
    assert hows(first, WRITTEN, rest) == ["retry:1", "link"]


def touches(*events: BillingEvent) -> list[Touch | None]:
    sheet = books(b.case_of(b.failed(), *events))
    return [entry.touch for entry in sheet.entries if entry.cause is Cause.PAID]


REMINDED = h.step("email:2", b.days(2), template="reminder")
READ = Touch(email_step="email:2", email_template="reminder", email_at=b.days(2))


@pytest.mark.parametrize(
    ("events", "touch"),
    [
        ((PAID,), Touch()),
        # Whatever brought it in; the last of several; what came later is none of it.
        ((ours("retry:3"), WRITTEN, REMINDED), READ),
        ((CHEQUE, REMINDED, h.step("email:3", b.days(3.1), template="final")), READ),
        ((PAID, REMINDED, h.step("email:3", b.days(2.5), StepResult.DOUBTFUL)), READ),
        ((PAID, REMINDED, h.step("email:3", b.days(2.5), StepResult.SKIPPED)), READ),
        (
            (PAID, REMINDED, h.pressed(b.days(1), CARD), h.pressed(b.days(2))),
            replace(READ, click="pay", click_at=b.days(2)),
        ),
        (
            (PAID, h.pressed(b.days(1), CARD), h.pressed(b.days(4))),
            Touch(click="card", click_at=b.days(1)),
        ),
        # Who fetches the page without pressing anything may be a scanner of mail.
        ((PAID, h.page_opened(b.days(1))), Touch(click="page", click_at=b.days(1))),
        (
            (PAID, h.page_opened(b.days(2)), h.pressed(b.days(1))),
            Touch(click="pay", click_at=b.days(1)),
        ),
    ],
)
def test_what_they_had_last_heard_and_done(events: tuple[BillingEvent, ...], touch: Touch) -> None:
    assert touches(*events) == touches(*reversed(events)) == [touch]


TREATED = replace(held_out_of("standard"), held_out=False)


@pytest.mark.parametrize(
    ("events", "how"),
    [
        ((ours("retry:3"),), "holdout"),
        ((ours("retry:hand:act_1"), PAID), "holdout"),
        ((ours("retry:card:1767960000"), PAID), "holdout"),
        ((ours("retry:backup:1"), PAID), "holdout"),
        ((PAID, WRITTEN), "holdout"),
        ((PAID, h.pressed(b.days(3) - LATELY)), "holdout"),
        ((PAID,), "natural"),
        ((CHEQUE, WRITTEN), "outside"),
        ((THEIRS, RETRIED, WRITTEN), "provider_retry"),
        ((THEIRS, RETRIED, refreshed(1)), "network_updater"),
    ],
)
def test_nothing_is_claimed_of_who_is_held_out(events: tuple[BillingEvent, ...], how: str) -> None:
    case = b.case_of(b.failed(), *events)
    for drawn in (held_out_of("standard"), replace(held_out_of("standard"), instead="gentle")):
        sheet = books(replace(case, drawn=drawn))
        booked = [entry.how for entry in sheet.entries if entry.cause is Cause.PAID]
        assert booked == [how]
        assert not any(map(is_ours, booked))
    for treated in (None, TREATED):
        assert [e.how for e in books(replace(case, drawn=treated)).entries] == ["", *hows(*events)]


def test_money_that_was_refunded_later_keeps_its_cause() -> None:
    assert hows(ours("retry:2"), b.refund(4900, b.days(9))) == ["retry:2"]
