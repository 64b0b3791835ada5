"""Who is credited for what came in: the last email and click apart, hold-outs never claimed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlmodel import col

from dunning.cases import CaseBook
from dunning.chosen import Chosen
from dunning.core.choosing import Subject
from dunning.core.events import BillingEvent, InvoiceNews
from dunning.core.holdout import Holdout, draw
from dunning.core.money import Money
from dunning.demo.outcome import claimed
from dunning.demo.show import show
from dunning.errors import RefusedError
from dunning.reports import (
    Report,
    at_risk,
    churn,
    lost,
    rates,
    recovered,
    tiles,
    uplift,
    verify_all,
)
from dunning.reports.scope import Scope
from dunning.store import CaseRow, EntryRow
from tests.databases import SqliteDatabases
from tests.policies import STANDARD
from tests.reports.shop import NOW, Shop, Unpaid, on
from tests.stages.tampering import tamper

HALF = replace(STANDARD, holdout=Holdout(share=5_000))


def by(report: Report, *keys: str, figure: str = "recovered") -> dict[tuple[Any, ...], int]:
    return {tuple(row[key] for key in keys): row[figure] for row in report.rows if row[figure]}


# --- the last email and click ----------------------------------------------------------------


def test_the_last_email_and_click_before_a_payment_stand_apart_from_what_brought_it(
    shop: Shop,
) -> None:
    with shop.trial() as session:
        retried = shop.failed(on(1, 5), 1000)
        retried.written_to(on(1, 6), "payment_failed")
        retried.pressed(on(1, 7), "card")
        retried.charged(on(1, 8), "retry:1")
        led = shop.failed(on(1, 5), 2000)
        led.written_to(on(1, 6), "payment_failed")
        led.written_to(on(1, 9), "reminder")
        led.pressed(on(1, 10))
        led.paid(on(1, 10, 13))
        led.written_to(on(1, 11), "recovered")
        led.refunded(on(2, 1), 500)
        shop.failed(on(1, 5), 4000).paid(on(1, 7))
        ask = ("mechanism", "last_email", "last_click")
        report = recovered(session, NOW, Scope(by=ask))
        assert by(report, *ask) == {
            ("our_retry", "payment_failed", "card"): 1000,
            ("link", "reminder", "pay"): 1500,
            ("natural", "none", "none"): 4000,
        }
        steps = recovered(session, NOW, Scope(by=("last_email_step",), date="recorded"))
        assert by(steps, "last_email_step") == {
            ("email:payment_failed",): 1000,
            ("email:reminder",): 1500,
            ("none",): 4000,
        }
        assert verify_all(session).faults == []


def test_an_email_heard_of_late_corrects_what_was_written(shop: Shop) -> None:
    with shop.trial() as session:
        unpaid = shop.failed(on(1, 5), 1000)
        unpaid.charged(on(1, 8), "retry:1")
        unpaid.written_to(on(1, 7), "reminder")
        unpaid.pressed(on(1, 7))
        report = recovered(session, NOW, Scope(by=("last_email", "last_click", "step")))
        assert by(report, "last_email", "last_click", "step") == {
            ("reminder", "pay", "retry:1"): 1000
        }
        assert sum(row["cases"] for row in report.rows) == 1
        rows = session.scalars(select(EntryRow).order_by(col(EntryRow.id))).all()
        standing = [row for row in rows if row.reverses is None][-1]
        assert (standing.email_at, standing.click_at) == (on(1, 7), on(1, 7))
        assert verify_all(session).faults == []


def test_entries_of_before_it_was_kept_say_so_and_hold(shop: Shop) -> None:
    shop.failed(on(1, 5), 1000).charged(on(1, 8), "retry:1")
    blank = dict.fromkeys(("email_step", "email_template", "email_at", "click", "click_at"))
    tamper(shop, update(EntryRow).values(**blank))
    with shop.reading() as session:
        report = recovered(session, NOW, Scope(by=("last_email", "last_click", "mechanism")))
        assert verify_all(session).faults == []
    keys = ("last_email", "last_click", "mechanism")
    assert by(report, *keys) == {("unknown", "unknown", "our_retry"): 1000}
    tamper(shop, update(EntryRow).where(col(EntryRow.cause) == "paid").values(email_step="email:9"))
    with shop.reading() as session:
        assert verify_all(session).faults


# --- hold-outs -------------------------------------------------------------------------------


def held_out(unpaid: Unpaid) -> bool:
    drawn = draw(HALF, unpaid.source, f"cus_{unpaid.invoice}")
    assert drawn is not None
    return drawn.held_out


def test_what_who_is_held_out_paid_is_never_claimed(shop: Shop) -> None:
    """Walked by another policy, so that even our own charges brought it in."""
    instead = replace(STANDARD, name="gentle")
    walked = replace(STANDARD, holdout=Holdout(share=5_000, policy="gentle", instead=instead))
    shop.book = CaseBook(choose=lambda _: walked)
    ours: Counter[bool] = Counter()
    with shop.trial() as session:
        for number in range(6):
            unpaid = shop.failed(on(1, 5), 1000 + number)
            unpaid.charged(on(1, 8), "retry:1")
            ours[held_out(unpaid)] += unpaid.amount
        assert ours[True]
        assert ours[False]
        assert verify_all(session).faults == []
        whole = recovered(session, NOW, Scope(by=("mechanism",)))
        assert by(whole, "mechanism") == {
            ("our_retry",): ours[False],
            ("holdout",): ours[True],
        }
        assert by(whole, "mechanism", figure="claimed") == {("our_retry",): ours[False]}
        assert tiles([whole])[1].values == [str(Money(ours[False], "usd"))]
        shared = rates(session, NOW, Scope(by=("mechanism",)), definitions=("stripe",))
        assert by(shared, "mechanism", figure="numerator") == by(whole, "mechanism")


def test_who_is_drawn_as_the_case_begins_is_booked_so_at_once(shop: Shop) -> None:
    """Failed and paid in one breath: the entries are those of the group all the same."""
    shop.book = CaseBook(choose=lambda _: HALF)
    with shop.trial() as session:
        for number in range(8):
            told = Gathered()
            both = Unpaid(told, f"in_{number}", 1000, "usd", "stripe")
            both.charged(on(1, 8), "retry:1")
            both.declined(on(1, 5), "expired_card")
            both.shown(InvoiceNews.PAYMENT_FAILED, on(1, 5))
            shop.tell("stripe", *told.heard)
        assert set(session.scalars(select(col(CaseRow.holdout_group)))) == {"held_out", "treated"}
        assert verify_all(session).faults == []


class Gathered(Shop):
    """Hears what the provider tells, and keeps it to be told at once."""

    def __init__(self) -> None:
        self.heard: list[BillingEvent] = []

    def tell(self, source: str, *events: BillingEvent, now: Any = None) -> None:
        self.heard += events


def test_the_demo_says_what_is_ours(capsys: pytest.CaptureFixture[str]) -> None:
    came_by = {"retry:2": 1000, "link": 300, "holdout": 70, "natural": 5, "": 1}
    told = dict.fromkeys(("webhooks_received", "retries", "emails", "suspensions"), 0)
    told |= dict.fromkeys(("restorations", "days", "seconds", "charged_twice"), 0)
    told |= dict.fromkeys(("emails_after_payment", "webhooks_parked"), 0)
    by_currency = {"recovered_by": {"usd": came_by}, "of_which_ours": {"usd": claimed(came_by)}}
    holds = dict.fromkeys(("identity_holds", "agrees_with_billing_system", "ties_out"), True)
    show({**told, **by_currency, **holds, "notices": {}, "cases": {}, "ledger": {}}, None)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "of which ours 13.00 USD" in lines
    assert "retry 2 of the timeline 10.00 USD" in lines
    assert "of customers held out for comparison (not claimed) 0.70 USD" in lines
    assert "the ledger does not say 0.01 USD" in lines


# --- segments, and what makes no sense -------------------------------------------------------


def test_a_case_keeps_the_segments_it_began_in(shop: Shop) -> None:
    named: dict[int, tuple[str, ...]] = {1000: (), 9000: ("large",), 9500: ("vip", "large")}

    def choose(subject: Subject) -> Chosen:
        assert subject.amount is not None
        return Chosen(STANDARD, "", named[subject.amount.minor])

    shop.book = CaseBook(choose=choose)
    with shop.trial() as session:
        for amount in named:
            shop.failed(on(1, 5), amount).paid(on(1, 8))
        shop.book = CaseBook(choose=lambda _: Chosen(STANDARD, "", ("other",)))
        session.expire_all()
        for report in (
            recovered(session, NOW, Scope(by=("segment",))),
            rates(session, NOW, Scope(by=("segment",)), definitions=("stripe",)),
        ):
            figure = "recovered" if report.name == "recovered" else "numerator"
            assert by(report, "segment", figure=figure) == {
                (None,): 1000,
                ("large",): 9000,
                ("large+vip",): 9500,
            }


ASKED = (
    "day week month quarter year policy policy_version step mechanism decline advice network "
    "country plan segment source last_email last_click"
).split()
PERIODS = set(ASKED[:5])
OF_PAYMENTS = {"step", "mechanism", "last_email", "last_click"}
OF_CASES = set(ASKED) - PERIODS - OF_PAYMENTS
# What has no rows by which key: said with a reason, never an empty report.
NONE_OF = {
    at_risk: PERIODS | OF_PAYMENTS,
    recovered: set[str](),
    lost: OF_PAYMENTS,
    rates: set[str](),
    churn: OF_PAYMENTS | OF_CASES - {"source"},
    uplift: set(ASKED) - {"policy", "month"},
}


@pytest.mark.parametrize("ask", NONE_OF, ids=lambda ask: ask.__name__)
def test_every_report_by_every_key_or_why_not(
    ask: Any, sqlite_databases: SqliteDatabases, tmp_path: Path
) -> None:
    shop = Shop(sqlite_databases.copy_migrated(tmp_path / "empty.db"))
    with shop.trial() as session:
        for key in ASKED:
            if key in NONE_OF[ask]:
                with pytest.raises(RefusedError, match=r"by '\w+': .{20,}; it can be \w"):
                    ask(session, NOW, Scope(by=(key,)))
            else:
                assert ask(session, NOW, Scope(by=(key,))).rows == []
    shop.engine.dispose()
