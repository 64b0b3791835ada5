"""At most one email a day: several invoices are one message, what was said is not said again, and
what waits is neither lost nor piled up.
"""

from __future__ import annotations

import json
from datetime import timedelta
from email.message import EmailMessage

from sqlmodel import col, select

from dunning.case_rows import read_facts
from dunning.core.events import StepDeferred
from dunning.store import CaseRow, MailDayRow
from tests.scenarios.conftest import Begin
from tests.world import Customer, World

OPENED = "product case.opened"
RECOVERED = "product case.recovered"


def policy(*lines: str, more: str = "", grace: str = "20d", window: str = "25d") -> str:
    listed = "\n".join(f"      - {{{line}}}" for line in lines)
    return (
        f"version: 1\npolicies:\n  standard:\n    grace: {grace}\n    window: {window}\n"
        f"    {more}\n    timeline:\n{listed}\nchoose: [{{policy: standard}}]\n"
    )


def two(world: World, *, times: int = 9, product: str | None = None) -> tuple[Customer, Customer]:
    """A customer with two subscriptions that renew at one moment; the next charges fail."""
    first = world.customer(amount=4900)
    second = world.subscribe(first.id, first.method, 1900, product=product)
    world.declines(first, times=times)
    return first, second


def text_of(message: EmailMessage) -> str:
    part = message.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


def why(world: World, who: Customer, name: str) -> str:
    return world.step(who, name).why


def spoken(world: World) -> list[tuple[str, int]]:
    """Of each message of the mailbox that was left: its template and how many cases it is of."""
    with world.session() as session:
        rows = session.exec(select(MailDayRow).order_by(col(MailDayRow.day))).all()
        return [(row.template or "", len(json.loads(row.cases or "[]"))) for row in rows]


def test_two_invoices_of_one_day_are_one_message_of_both(world: World) -> None:
    one, two_ = two(world)
    world.renewal(one)
    # The other may wait a moment, to hear what becomes of the first.
    happened = [*world.happened(), *world.passes(minutes=2)]
    assert sorted(happened) == ["email payment_failed", "email:1 skipped", OPENED, OPENED]
    (message,) = world.mailbox.messages
    assert spoken(world) == [("payment_failed", 2)]
    said = {name: why(world, who, "email:1") for name, who in (("one", one), ("two", two_))}
    (skipped,) = [text for text in said.values() if text.startswith("said today")]
    cases = {case["id"] for case in world.cases()}
    assert skipped.removeprefix("said today in the message of case ") in cases
    assert message["To"] == "Ann Lee <ann@example.com>"
    text = text_of(message)
    assert "$49.00" in text
    assert "$19.00" in text


def test_what_is_paid_meanwhile_is_not_in_the_message(world: World) -> None:
    """The webhook of the payment is still under way when the reminder is written."""
    one, two_ = two(world)
    world.renewal(one)
    world.happened()
    world.passes(days=2.5)
    world.sandbox.deliver("hold")
    world.sandbox.world.faults.charges.clear()
    world.pays(two_)
    world.declines(one, times=9)
    world.passes(days=0.6)
    assert spoken(world)[-1] == ("reminder", 1)
    assert len(world.mailbox.messages) == 2
    world.control("DELETE", "deliveries/rules")
    world.sandbox.release()
    world.passes(days=2)
    assert len(world.mailbox.messages) == 3  # the thanks, a day later


def test_when_all_is_paid_meanwhile_nothing_is_sent(world: World) -> None:
    one, two_ = two(world)
    world.renewal(one)
    world.happened()
    world.passes(days=2.5)
    world.sandbox.deliver("hold")
    world.sandbox.world.faults.charges.clear()
    world.pays(one)
    world.pays(two_)
    happened = world.passes(days=0.6)
    assert "email reminder" not in happened
    assert happened.count("email:2 not_owed") == 2
    # One message of thanks for both.
    assert [what for what in happened if what.startswith("email")].count("email recovered") == 1
    assert spoken(world)[-1] == ("recovered", 2)
    world.control("DELETE", "deliveries/rules")
    world.sandbox.release()
    world.settles(expect=[])


def test_thanks_wait_for_the_next_day_and_come_once(world: World) -> None:
    ann = world.failing(times=1)
    world.passes(hours=1)
    world.pays(ann)
    assert world.passes(hours=12) == [RECOVERED]
    assert world.passes(hours=12) == ["email recovered"]
    assert "one message a day" in " ".join(told.why for told in deferred(world, ann))
    world.passes(days=5, expect=[])


def deferred(world: World, who: Customer) -> tuple[StepDeferred, ...]:
    with world.session() as session:
        return read_facts(session.get_one(CaseRow, world.case(who)["id"])).deferred


def test_a_case_on_hold_is_not_spoken_of_and_has_its_own_message_later(world: World) -> None:
    one, two_ = two(world)
    world.renewal(one)
    world.happened()
    until = world.now + timedelta(days=6)
    world.hands.hold(world.case(two_)["id"], world.ops, until=until)
    world.passes(days=4)
    assert spoken(world)[-1] == ("reminder", 1)
    world.passes(days=3)
    assert [row.template for row in world.messages()].count("reminder") == 2


def test_a_disputed_case_is_not_spoken_of(world: World) -> None:
    one, two_ = two(world)
    world.renewal(one)
    world.passes(minutes=2)
    world.sandbox.world.faults.charges.clear()
    world.pays_part(two_, 900)
    world.control("POST", f"customers/{two_.id}/disputes", {"reason": "fraudulent"})
    world.declines(one, times=9)
    world.passes(days=3.1)
    assert spoken(world)[-1] == ("reminder", 1)


def test_a_stronger_message_goes_first_and_says_the_weaker(begin: Begin) -> None:
    """One invoice is three days older: its final notice comes on the day of the other's first."""
    world = begin(
        policy=policy(
            "at: 0h, do: email, template: payment_failed",
            'at: 1d, do: email, template: final_notice, time: "15:00"',
        )
    )
    one = world.customer()
    world.passes(days=1)
    two_ = world.subscribe(one.id, one.method, 1900)
    world.declines(one, times=9)
    world.renewal(one)
    assert world.happened() == [OPENED, "email payment_failed"]
    world.renewal(two_)
    assert world.happened() == [OPENED]
    world.passes(hours=6, expect=["email final_notice", "email:1 skipped"])
    assert "says more, and comes today" in deferred(world, two_)[0].why
    assert "said today" in why(world, two_, "email:1")
    # The final notice of the second invoice is due a day later, and leaves by itself.
    world.passes(days=1, expect=["email final_notice"])
    assert spoken(world) == [("payment_failed", 1), ("final_notice", 2), ("final_notice", 2)]


def test_a_stronger_message_that_comes_too_late_for_the_day_leaves_on_the_next(
    begin: Begin,
) -> None:
    world = begin(
        policy=policy(
            "at: 0h, do: email, template: payment_failed",
            "at: 2h, do: email, template: final_notice",
            "at: 4h, do: email, template: reminder",
            more='send_between: "09:00-18:00"',
        )
    )
    ann = world.failing(times=9)
    # Put off to the morning, when the reminder is due as well: the last one says it all.
    world.passes(hours=24, expect=["email:2 skipped", "email reminder"])
    assert "missed" in why(world, ann, "email:2")
    assert len(world.mailbox.messages) == 2


def test_a_door_waits_for_a_final_notice_that_was_put_off(begin: Begin) -> None:
    world = begin(
        policy=policy(
            "at: 0h, do: email, template: payment_failed",
            "at: 4h, do: email, template: final_notice",
            "at: 1d, do: suspend",
            grace="1d",
        )
    )
    ann = world.failing(times=9)
    # The notice leaves at midnight, some 12 hours late; the customer has 20 hours to read it.
    world.passes(hours=14, expect=["email final_notice"])
    step = world.step(ann, "email:2")
    world.passes(hours=18.5, expect=[])
    world.passes(hours=1, expect=["suspend:1", "product access.suspended"])
    world.passes(hours=4, expect=["email suspended"])  # on Saturday: the notice was Friday's
    suspended = world.step(ann, "suspend:1")
    assert step.ended_at is not None
    assert suspended.ended_at is not None
    assert (suspended.ended_at - step.ended_at).total_seconds() >= 20 * 3600


def test_a_bad_address_is_not_written_to_and_the_timeline_goes_on(begin: Begin) -> None:
    world = begin(why_bad=lambda address: f"{address} is marked bad since 2026-03-01: bounce")
    ann = world.failing(times=1, at_once=[OPENED, "email:1 skipped"])
    assert why(world, ann, "email:1") == "ann@example.com is marked bad since 2026-03-01: bounce"
    assert world.mailbox.messages == []
    world.passes(days=1, expect=["retry:1 paid", RECOVERED])


def test_an_email_waits_for_the_day_after_a_holiday_of_the_customers_country(begin: Begin) -> None:
    """Thursday 2 April 2026 in Germany: Good Friday, a weekend, and Easter Monday follow."""
    world = begin(
        policy=policy(
            "at: 1d, do: email, template: payment_failed",
            more='send_between: "09:00-18:00"\n    quiet_days: [saturday, sunday, holiday]',
        )
    )
    world.failing(times=9, at_once=[OPENED], address={"country": "DE"})
    world.passes(days=4, hours=19, expect=[])
    world.passes(hours=2, expect=["email payment_failed"])
    (row,) = world.messages()
    assert row.at.date().isoformat() == "2026-04-07"


def test_the_message_names_the_card_that_failed(begin: Begin) -> None:
    world = begin(policy=policy("at: 0h, do: email, template: new_card_needed"))
    world.failing("expired_card", times=9, at_once=[OPENED, "email new_card_needed"])
    (message,) = world.mailbox.messages
    assert "4242" in text_of(message)
