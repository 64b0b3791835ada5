"""Stories of notices: a card that expires before a renewal, and a renewal ahead of its charge."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlmodel import select

from dunning.store import UnsubscribedRow
from tests.scenarios.conftest import Begin
from tests.world import Customer, World

# A year of a world, day by day, takes its time on a busy machine.
pytestmark = pytest.mark.timeout(400)

POLICY = """
version: 1
policies:
  standard:
    grace: 14d
    window: 28d
    timeline:
      - {at: 0h, do: email, template: payment_failed}
      - {at: 14d, do: suspend}
      - {at: 28d, do: give_up, subscription: cancel, invoice: uncollectible}
  expiry:
    kind: card_expiry
    timeline:
      - {before: 30d, do: email, template: card_expiring}
      - {before: 7d, do: email, template: card_expiring_soon}
  annual:
    kind: renewal
    timeline:
      - {before: 30d, do: email, template: renewal_notice}
choose:
  - {policy: expiry}
  - {when: {interval: year}, policy: annual}
  - {policy: standard}
"""


@pytest.fixture
def noticing(begin: Begin) -> World:
    """A world whose policy has both kinds of notice."""
    return begin(policy=POLICY)


def card(world: World, month: int, year: int = 2026, number: str = "4242424242424242") -> str:
    """A card that is good to the end of that month, not yet anybody's."""
    terms: Any = {
        "type": "card",
        "card": {"number": number, "exp_month": month, "exp_year": year, "cvc": "123"},
    }
    return str(world.stripe.v1.payment_methods.create(terms).id)


def notices(world: World) -> list[tuple[str, str, str | None]]:
    """Every notice: its kind, state and why it ended."""
    return [
        (one["kind"], one["state"], one["closed_reason"])
        for one in world.cases()
        if one["kind"] != "recovery"
    ]


def becomes_default(world: World, who: Customer, method: str) -> None:
    """The customer gives another card, for all they have."""
    world.stripe.v1.payment_methods.attach(method, {"customer": who.id})
    world.stripe.v1.customers.update(
        who.id, {"invoice_settings": {"default_payment_method": method}}
    )


# --- card expiry -----------------------------------------------------------------------------


def test_the_page_of_a_notice_leads_to_where_a_card_is_given(noticing: World) -> None:
    world = noticing
    world.customer(card=card(world, 4))
    world.passes(days=31, expect=["email card_expiring"])
    link = world.link(world.mailbox.messages[-1])
    page = world.http.get(link, timeout=30)
    assert page.status_code == 200
    assert "Check your payment details" in page.text
    assert "Update card" in page.text
    led = world.http.post(f"{link}/card", allow_redirects=False, timeout=30)
    assert led.status_code == 303
    assert led.headers["Location"].startswith(world.sandbox.url)
    world.settles(expect=[])  # the provider tells of the visit


def test_a_card_that_expires_before_a_renewal_is_told_of_twice_and_nothing_is_charged(
    noticing: World,
) -> None:
    world = noticing
    world.customer(card=card(world, 4))  # good to the end of April; it is the 2nd of March
    world.settles(expect=[])
    # 30 days before the 1st of May is the 1st of April; the renewal of the 2nd is before it.
    world.passes(days=29, expect=[])
    assert notices(world) == [("card_expiry", "ahead", None)]
    world.passes(days=2, expect=["email card_expiring"])
    world.passes(days=24, expect=["email card_expiring_soon"])
    said = world.mailbox.messages[-1].get_body(("plain",))
    assert said is not None
    text = said.get_content()
    assert "4242" in text
    assert "May 2, 2026" in text  # the renewal that could not be paid
    world.passes(days=5, expect=[])
    assert notices(world) == [("card_expiry", "over", "passed")]
    assert world.entries_of_all() == []


def test_a_card_that_lasts_is_not_spoken_of(noticing: World) -> None:
    noticing.customer(card=card(noticing, 12, 2034))
    noticing.passes(days=60, expect=[])
    assert notices(noticing) == []


def test_a_new_card_ends_it(noticing: World) -> None:
    world = noticing
    who = world.customer(card=card(world, 4))
    world.passes(days=31, expect=["email card_expiring"])
    becomes_default(world, who, card(world, 12, 2034, "5555555555554444"))
    world.passes(days=40, expect=[])
    assert notices(world) == [("card_expiry", "over", "new_card")]


def test_the_networks_updater_ends_it(noticing: World) -> None:
    world = noticing
    who = world.customer(card=card(world, 4))
    world.passes(days=31, expect=["email card_expiring"])
    world.sandbox.automatically_updated(who.method)
    world.passes(days=40, expect=[])
    assert notices(world) == [("card_expiry", "over", "updated")]


def test_who_cancels_at_the_end_of_the_term_before_it_is_not_told(noticing: World) -> None:
    world = noticing
    who = world.customer(card=card(world, 4))
    world.passes(days=32, expect=["email card_expiring"])
    world.stripe.v1.subscriptions.update(who.subscription, {"cancel_at_period_end": True})
    world.passes(days=9, expect=[])
    assert notices(world) == [("card_expiry", "over", "cancelled")]
    world.stripe.v1.subscriptions.update(who.subscription, {"cancel_at_period_end": False})
    # They stay after all: what was not said yet is said in its time, and nothing twice.
    world.passes(days=15, expect=["email card_expiring_soon"])


def test_the_card_of_the_subscription_comes_before_the_customers_own(noticing: World) -> None:
    world = noticing
    lasting = card(world, 12, 2034, "5555555555554444")
    who = world.customer(card=card(world, 4))
    world.passes(hours=1, expect=[])
    world.stripe.v1.payment_methods.attach(lasting, {"customer": who.id})
    world.stripe.v1.subscriptions.update(who.subscription, {"default_payment_method": lasting})
    world.passes(days=60, expect=[])
    assert notices(world) == []


def test_one_card_of_two_subscriptions_is_told_of_once(noticing: World) -> None:
    world = noticing
    who = world.customer(card=card(world, 4))
    world.subscribe(who.id, who.method)
    world.passes(days=31, expect=["email card_expiring"])
    assert len(notices(world)) == 1


def test_a_term_that_ends_before_the_card_and_renews_after_it_counts_on(noticing: World) -> None:
    world = noticing
    # Renews each year on the 2nd of March; the card ends in between.
    world.customer(card=card(world, 6), interval="year")
    world.passes(days=95, expect=["email card_expiring"])
    said = world.mailbox.messages[-1].get_body(("plain",))
    assert said is not None
    assert "2027" in said.get_content()


def test_who_is_exempt_is_not_told(noticing: World) -> None:
    world = noticing
    who = world.customer(card=card(world, 4))
    world.passes(days=29, expect=[])
    (one,) = world.cases(customer=who.id)
    world.exempts(who.id)
    world.passes(days=40, expect=[])
    assert notices(world) == [("card_expiry", "over", "exempt")]
    assert one["kind"] == "card_expiry"


# --- renewals --------------------------------------------------------------------------------


def test_an_annual_renewal_is_told_of_with_its_date_and_amount(noticing: World) -> None:
    world = noticing
    world.customer(amount=58800, interval="year")
    world.passes(days=330, expect=[])
    world.passes(days=6, expect=["email renewal_notice"])
    said = world.mailbox.messages[-1].get_body(("plain",))
    assert said is not None
    assert "March 2, 2027" in said.get_content()
    assert "$588.00" in said.get_content()
    world.passes(days=40, expect=[])
    assert notices(world) == [("renewal", "over", "renewed")]


def test_months_are_not_told_of(noticing: World) -> None:
    noticing.customer()
    noticing.passes(days=70, expect=[])
    assert notices(noticing) == []


def test_who_cancels_is_not_told_of_a_renewal(noticing: World) -> None:
    world = noticing
    who = world.customer(interval="year")
    world.passes(days=334, expect=[])
    world.stripe.v1.subscriptions.update(who.subscription, {"cancel_at_period_end": True})
    world.passes(days=40, expect=[])
    assert notices(world) == [("renewal", "over", "cancelled")]


def test_a_renewal_that_is_moved_is_told_of_with_its_new_date(noticing: World) -> None:
    world = noticing
    who = world.customer(interval="year")
    world.passes(days=336, expect=["email renewal_notice"])
    later = int(datetime(2027, 3, 20, 10, tzinfo=UTC).timestamp())
    world.stripe.v1.subscriptions.update(
        who.subscription, {"trial_end": later, "proration_behavior": "none"}
    )
    world.passes(days=20, expect=["email renewal_notice"])
    assert notices(world) == [("renewal", "over", "moved"), ("renewal", "ahead", None)]
    said = world.mailbox.messages[-1].get_body(("plain",))
    assert said is not None
    assert "March 20, 2027" in said.get_content()


def test_who_stops_the_notices_hears_of_a_failed_payment_all_the_same(noticing: World) -> None:
    world = noticing
    ends = world.now + timedelta(days=40)
    trial = {"trial_end": int(ends.timestamp())}
    who = world.customer(interval="year", preferred_locales=["de"], subscription=trial)
    world.passes(days=11, expect=["email renewal_notice"])
    text = world.mailbox.messages[-1].get_body(("plain",))
    assert text is not None
    (stop,) = re.findall(r"http\S+/stop", text.get_content())
    # Looked at, by a scanner of mail perhaps, it does nothing.
    page = world.http.get(stop, timeout=60)
    assert '<html lang="de"' in page.text
    assert "Keine Hinweise dieser Art mehr" in page.text
    with world.session() as session:
        assert session.exec(select(UnsubscribedRow)).all() == []
    ending = stop.removesuffix("stop") + "subscription"
    assert ending in text.get_content()
    assert "Abonnement ansehen oder k" in world.http.get(ending, timeout=60).text
    answer = world.http.post(ending, allow_redirects=False, timeout=60)
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith(world.sandbox.url)
    answer = world.http.post(stop, data={"List-Unsubscribe": "One-Click"}, timeout=60)
    assert "Sie erhalten keine Hinweise dieser Art mehr" in answer.text
    assert world.http.post(stop, timeout=60).status_code == 200
    # Another date would be told of; what is owed is told of.
    later = int((ends + timedelta(days=20)).timestamp())
    world.stripe.v1.subscriptions.update(
        who.subscription, {"trial_end": later, "proration_behavior": "none"}
    )
    (skipped,) = world.passes(days=25)
    assert skipped.endswith("email:1 skipped")
    assert "the customer wants no notices since" in world.record()
    world.declines(who)
    world.passes(days=25, expect=["product case.opened", "email payment_failed"])


def test_a_notice_is_no_part_of_what_is_at_risk(noticing: World) -> None:
    world = noticing
    who = world.customer(interval="year", card=card(world, 4))
    world.passes(days=31, expect=["email card_expiring"])
    assert world.entries_of_all() == []
    assert world.product.calls == []
    (one,) = world.cases(customer=who.id)
    assert (one["amount_at_risk"], one["amount_due"], one["access"]) == (0, 0, "full")
