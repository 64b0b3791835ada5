"""Texts to phones: off unless configured, one message a day, never after a payment, never twice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlmodel import select

from dunning.store import BadAddressRow
from tests.phones import SENDER, Phones
from tests.scenarios.conftest import Begin
from tests.world import World

POLICY = """\
version: 1
policies:
  standard:
    grace: 10d
    window: 20d
    send_between: "08:00-20:00"
    timeline:
      - {at: 0h, do: email, template: payment_failed}
      - {at: 3d, do: sms, template: sms_reminder}
      - {at: 4d, do: sms, template: sms_final_notice}
      - {at: 5d, do: email, template: reminder}
choose: [{policy: standard}]
"""
NUMBER = "+4512345678"


@pytest.fixture
def phones() -> Iterator[tuple[Phones, dict[str, str]]]:
    served = Phones()
    with served.serve() as url:
        yield served, {"DUNNING_SMS_URL": url, "DUNNING_SMS_FROM": SENDER}


Served = tuple[Phones, dict[str, str]]


def world_with(begin: Begin, phones: Served) -> World:
    world = begin(policy=POLICY, environ=phones[1])
    phones[0].now = lambda: world.now
    return world


def test_a_text_reminds_between_the_emails_and_none_follows_a_payment(
    begin: Begin, phones: Served
) -> None:
    world, sent = world_with(begin, phones), phones[0].texts
    ann = world.failing(times=9, phone="+45 12 34 56 78")
    world.passes(days=3.5, expect=["sms:1"])
    (text,) = sent
    assert text["to"] == NUMBER
    assert text["body"].startswith("Example Ltd: $49.00 is still open. Pay here: http://127.0.0.1:")
    link = text["body"].rpartition(" ")[2]
    assert "case" not in link
    assert world.http.get(link, timeout=60).status_code == 200
    (kept,) = [row for row in world.messages() if row.channel == "sms"]
    assert (kept.template, kept.recipient, kept.state) == ("sms_reminder", NUMBER, "sent")
    assert kept.reference == text["sid"]
    # Paid while the webhook is under way: the look before sending sees it.
    world.sandbox.deliver("hold")
    world.sandbox.world.faults.charges.clear()
    world.pays(ann)
    world.passes(days=1, expect=["product case.recovered", "email recovered", "sms:2 not_owed"])
    assert len(sent) == 1
    world.control("DELETE", "deliveries/rules")
    world.sandbox.release()
    world.passes(minutes=10)


def test_without_a_way_out_or_a_number_the_step_is_skipped_and_nothing_else_is(
    begin: Begin,
) -> None:
    world = begin(policy=POLICY)
    ann = world.failing(times=9, phone=NUMBER)
    world.passes(days=6, expect=["sms:1 skipped", "sms:2 skipped", "email reminder"])
    assert world.step(ann, "sms:1").why == "no way out: DUNNING_SMS_URL is not set"


def test_a_number_that_will_not_do_is_skipped_and_one_with_stop_is_marked(
    begin: Begin, phones: Served
) -> None:
    world = world_with(begin, phones)
    ann = world.failing(times=9, phone="12 34 56 78")
    world.passes(days=3.5, expect=["sms:1 skipped"])
    assert "not in international form" in world.step(ann, "sms:1").why
    world.stripe.v1.customers.update(ann.id, {"phone": NUMBER})
    phones[0].refuse = (400, 21610)
    world.passes(days=3, expect=["sms:2 skipped", "email reminder"])
    assert "has texted STOP" in world.step(ann, "sms:2").why
    with world.session() as session:
        (bad,) = session.exec(select(BadAddressRow)).all()
        assert (bad.address, bad.kind) == (NUMBER, "refused")


def test_an_outage_delays_a_text_and_a_lost_answer_neither_doubles_nor_loses_it(
    begin: Begin, phones: Served
) -> None:
    world, provider = world_with(begin, phones), phones[0]
    ann = world.failing(times=9, phone=NUMBER)
    provider.refuse = (401, 20003)
    world.passes(days=3.2, expect=[])
    assert world.step(ann, "sms:1").state == "deferred"
    provider.refuse, provider.lose_answers = None, 1
    world.passes(days=0.3, expect=["sms:1"])
    assert [row.reference for row in world.messages()][-1] == provider.texts[0]["sid"]
    assert provider.looked_for[-1]["To"] == NUMBER
    # Of this one nobody can say whether it left.
    provider.lose_texts, asked = 1, len(provider.forms)
    world.passes(days=1, expect=["sms:2 doubtful"])
    assert "lists no such text" in world.step(ann, "sms:2").why
    assert (len(provider.texts), len(provider.forms)) == (1, asked + 1)
