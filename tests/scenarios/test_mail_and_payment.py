"""No reminder after a payment, no mail twice, none lost, and the first one at once."""

from __future__ import annotations

from typing import Any

import pytest

from dunning.core.ports import Letter
from tests.world import World

PAID = ["product case.recovered", "email recovered"]


def test_the_customer_hears_at_the_first_failure_and_not_when_all_is_over(world: World) -> None:
    world.failing()
    (message,) = world.mailbox.messages
    assert message["To"] == "Ann Lee <ann@example.com>"
    assert "$49.00" in message["Subject"]
    world.passes(days=1, expect=["retry:1 paid", *PAID])


def test_who_pays_while_the_webhooks_are_late_gets_no_reminder(world: World) -> None:
    ann = world.failing()
    world.passes(hours=1)
    world.sandbox.deliver("hold")
    world.pays(ann)
    expect = ["retry:1 not_owed", *PAID]
    world.passes(days=1, expect=expect)
    world.control("DELETE", "deliveries/rules")
    world.sandbox.release()
    world.passes(days=5, expect=[])
    assert len(world.tries(ann)) == 2


def test_who_pays_just_before_the_reminder_is_sent_gets_none(world: World) -> None:
    ann = world.failing(times=2)
    world.passes(days=2.9)
    world.sandbox.deliver("hold")
    world.sandbox.world.faults.charges.clear()
    world.pays(ann)
    world.passes(days=0.2, expect=["product case.recovered", "email:2 not_owed", "email recovered"])
    world.control("DELETE", "deliveries/rules")
    world.sandbox.release()
    world.settles(expect=[])


def test_a_payment_between_the_writing_and_the_next_look_ends_everything(world: World) -> None:
    """The customer pays in the very moment in which their message is on its way."""
    ann = world.failing(times=2)
    channel: Any = world.program.mail
    real = channel.send

    def send(letter: Letter) -> object:
        channel.send = real
        world.sandbox.world.faults.charges.clear()
        world.pays(ann)
        return real(letter)

    channel.send = send
    world.passes(days=3, expect=["retry:1 declined", PAID[0], "email reminder"])
    assert world.state(ann)[0] == "recovered"
    # Thanks wait for the next day: today they had an email.
    world.passes(days=25, expect=[PAID[1]])
    assert world.tries(ann)[-1] == "customer succeed"


def test_a_mail_server_that_is_away_delays_and_loses_nothing(world: World) -> None:
    ann = world.customer()
    world.declines(ann)
    world.mailbox.close()
    world.renewal(ann)
    world.passes(hours=4, expect=["product case.opened"])
    assert world.mailbox.messages == []
    world.mailbox.open()
    world.passes(hours=2.5, expect=["email payment_failed"])
    world.passes(hours=18, expect=["retry:1 paid", *PAID])


@pytest.mark.parametrize("moment", ["greeting", "MAIL", "RCPT"])
def test_a_mail_server_that_hangs_up_delays_and_neither_loses_nor_doubles(
    world: World, moment: str
) -> None:
    ann = world.customer()
    world.declines(ann, times=2)
    world.mailbox.away_at = moment
    world.renewal(ann)
    world.passes(hours=4, expect=["product case.opened"])
    assert world.mailbox.hung_up > 1
    step = world.step(ann, "email:1")
    assert (step.state, step.result, world.mailbox.messages) == ("deferred", None, [])
    world.mailbox.away_at = ""
    world.passes(hours=2.5, expect=["email payment_failed"])
    assert len(world.mailbox.messages) == 1


def test_a_mail_server_that_says_later_gets_it_later_and_once(world: World) -> None:
    ann = world.customer()
    world.declines(ann)
    world.mailbox.refuse = "451 come back later"
    world.renewal(ann)
    world.passes(hours=4, expect=["product case.opened"])
    world.mailbox.refuse = None
    world.passes(hours=2.5, expect=["email payment_failed"])
    assert len(world.mailbox.messages) == 1


def test_an_outage_over_the_reminders_day_sends_one_message_and_not_a_pile(world: World) -> None:
    ann = world.customer()
    world.declines(ann, times=9)
    world.mailbox.close()
    world.renewal(ann)
    world.passes(
        days=4,
        expect=["product case.opened", "retry:1 declined", "email:1 skipped", "retry:2 declined"],
    )
    world.mailbox.open()
    world.passes(hours=3, expect=["email reminder"])


def test_an_address_that_does_not_exist_is_kept_as_bounced_and_stops_nobody(world: World) -> None:
    ann = world.customer(email="gone@example.com")
    world.declines(ann, times=2)
    world.mailbox.refuse = "550 no such mailbox"
    world.renewal(ann)
    assert world.happened() == ["product case.opened", "email:1 skipped"]
    world.mailbox.refuse = None
    (row,) = world.messages()
    assert (row.state, row.recipient) == ("bounced", "gone@example.com")
    assert "550" in row.why
    bob = world.customer(email="bob@example.com")
    assert bob.id != ann.id
    world.passes(days=4, expect=["retry:1 declined", "email reminder", "retry:2 paid", *PAID])


def test_a_message_whose_answer_got_lost_is_doubtful_and_not_repeated(world: World) -> None:
    ann = world.customer()
    world.declines(ann, times=2)
    world.mailbox.lose_answers = 1
    world.leaves.add("doubtful")
    world.renewal(ann)
    assert world.happened() == ["product case.opened", "email:1 doubtful"]
    world.passes(days=1, expect=["retry:1 declined"])
    assert [row.state for row in world.messages()] == ["doubtful"]
    assert len(world.mailbox.messages) == 1


def test_somebody_without_an_address_is_not_written_to_and_still_recovered(world: World) -> None:
    ann = world.failing(email=None, at_once=["product case.opened", "email:1 skipped"])
    assert "no email address" in world.step(ann, "email:1").why
    world.passes(days=1, expect=["retry:1 paid", "product case.recovered"])
