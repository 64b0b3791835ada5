"""Each condition of `choose` and of the `when` of a line does what it says; ignored, it fails."""

from __future__ import annotations

from typing import Any

import pytest

from tests.scenarios.conftest import Begin
from tests.world import Customer, World

OPENED = "product case.opened"
RESTRICTED = ["restrict:1", "product access.restricted"]

CHOOSING = """
version: 1
value:
  expected_years: 2
  acquisition_cost: {{metadata: cac, default: 100 USD}}
  margin: 50%
segments:
  vip: {{tag: vip}}
  worthy: {{lifetime_value: {{at_least: 488 USD}}}}
policies:
  chosen: {{grace: 9d, window: 9d, timeline: [{{at: 0h, do: restrict}}]}}
  other: {{grace: 9d, window: 9d, timeline: [{{at: 9d, do: suspend}}]}}
choose:
  - {{when: {{{when}}}, policy: chosen}}
  - {{policy: other}}
"""
GOLD = {"metadata": {"tier": "gold", "tags": "vip, beta"}}
# The customer pays 49 USD a month, and once before this; they came a month ago.
CHOICES: list[tuple[str, dict[str, Any], bool]] = [
    ("metadata: {tier: gold}", GOLD, True),
    ("metadata: {tier: iron}", GOLD, False),
    ("tag: vip", GOLD, True),
    ("tag: [staff, beta]", {"subscription": GOLD}, True),
    ("tag: staff", GOLD, False),
    ("segment: vip", GOLD, True),
    ("segment: vip", {}, False),
    ("segment: [vip, worthy]", {}, True),
    ("segment: worthy", {"amount": 4_899}, False),
    ("interval: week", {"interval": "week"}, True),
    ("interval: [week, year]", {}, False),
    ("plan: Team", {"nickname": "Team"}, True),
    ("plan: Team", {"nickname": "Solo"}, False),
    ("method: card", {}, True),
    ("method: sepa_debit", {}, False),
    ("tenure: {at_least: 28d}", {}, True),
    ("tenure: {below: 28d}", {}, False),
    ("subscription: true", {}, True),
    ("subscription: false", {}, False),
    ("by_hand: false", {}, True),
    ("by_hand: true", {}, False),
    ("lifetime_revenue: {at_least: 49 USD}", {}, True),
    ("lifetime_revenue: {at_least: 49.01 USD}", {}, False),
    ("lifetime_value: {at_least: 488 USD}", {}, True),
    ("lifetime_value: {at_least: 488.01 USD}", {}, False),
    ("lifetime_value: {at_least: 488.01 USD}", {"metadata": {"cac": "99.99 USD"}}, True),
    ("lifetime_value: {at_least: 1 USD}", {"metadata": {"cac": "much"}}, False),
]


@pytest.mark.parametrize(("when", "facts", "fits"), CHOICES)
def test_the_policy_is_chosen_by_what_is_known(
    begin: Begin, when: str, facts: dict[str, Any], fits: bool
) -> None:
    world = begin(policy=CHOOSING.format(when=when))
    given = dict(facts)
    if name := given.pop("nickname", None):
        price = world.stripe.v1.prices.create(
            {
                "currency": "usd",
                "unit_amount": 4900,
                "nickname": name,
                "recurring": {"interval": "month"},
                "product_data": {"name": "Pro"},
            }
        )
        given["subscription"] = {"items": [{"price": price.id}]}
    at_once = [OPENED, *RESTRICTED] if fits else [OPENED]
    ann = world.failing(at_once=at_once, times=9, **given)
    assert world.case(ann)["policy"] == ("chosen" if fits else "other")


def test_a_policy_file_that_asks_for_no_revenue_keeps_none(begin: Begin) -> None:
    world = begin(policy=CHOOSING.format(when="tag: vip"))
    world.failing(at_once=[OPENED], times=9)
    with world.session() as session:
        assert session.connection().exec_driver_sql("SELECT * FROM revenues").all() == []


# --- the `when` of a line --------------------------------------------------------------------

LINE = """
version: 1
segments:
  vip: {{tag: vip}}
policies:
  standard:
    grace: 20d
    window: 25d
    timeline:
      - {{at: 1d, do: restrict, when: {{{when}}}}}
"""
LINES: list[tuple[str, dict[str, Any], bool]] = [
    ("decline: [funds, unknown]", {}, True),
    ("decline: hard_decline", {}, False),
    ("advice: wait", {}, True),
    ("advice: [stop, new_method]", {}, False),
    ("code: insufficient_funds", {}, True),
    ("code: lost_card", {}, False),
    ("outcome: declined", {}, True),
    ("outcome: [action_needed, none]", {}, False),
    ("outcome: action_needed", {"outcome": "requires_action"}, True),
    ("amount: {at_least: 49 USD}", {}, True),
    ("amount: {below: 49 USD}", {}, False),
    ("segment: vip", GOLD, True),
    ("segment: vip", {}, False),
    ("clicked: false", {}, True),
    ("clicked: true", {}, False),
    ("open_invoices: {below: 2}", {}, True),
    ("open_invoices: {at_least: 2}", {}, False),
    ("lifetime_revenue: {at_least: 49 USD}", {}, True),
    ("lifetime_revenue: {at_least: 50 USD}", {}, False),
    ("method: card", {}, True),
    ("method: sepa_debit", {}, False),
    ("tenure: {at_least: 28d}", {}, True),
    ("tenure: {below: 28d}", {}, False),
    ("decline: funds, amount: {below: 49 USD}", {}, False),
]


@pytest.mark.parametrize(("when", "facts", "fits"), LINES)
def test_a_line_is_done_only_when_its_condition_holds(
    begin: Begin, when: str, facts: dict[str, Any], fits: bool
) -> None:
    world = begin(policy=LINE.format(when=when))
    ann = world.failing(times=9, at_once=[OPENED], **facts)
    world.passes(days=1.1, expect=RESTRICTED if fits else ["restrict:1 skipped"])
    if not fits:
        assert "its condition does not hold: " in world.step(ann, "restrict:1").why


def test_the_amount_is_what_is_still_owed_at_the_moment_of_the_line(begin: Begin) -> None:
    world = begin(policy=LINE.format(when="amount: {below: 20 USD}"))
    ann = world.failing(times=9, at_once=[OPENED])
    world.sandbox.world.faults.charges.clear()
    world.pays_part(ann, 3_000)
    world.passes(days=1.1, expect=RESTRICTED)


def test_the_number_of_invoices_is_read_anew_at_the_moment_of_the_line(begin: Begin) -> None:
    world = begin(policy=LINE.format(when="open_invoices: {at_least: 2}"))
    ann = world.failing(times=99, at_once=[OPENED])
    world.passes(hours=2, expect=[])
    bob = another(world, ann)
    world.passes(days=1, expect=[OPENED, *RESTRICTED])
    (first,) = world.cases(subscription=ann.subscription)
    world.stripe.v1.invoices.pay(first["invoice"], {"paid_out_of_band": True})
    paid = ["restore:1", "product case.recovered", "product access.restored"]
    world.passes(days=1, expect=[*paid, "restrict:1 skipped"])
    assert "unpaid invoices is 1" in world.step(bob, "restrict:1").why


def another(world: World, who: Customer) -> Customer:
    """A second subscription of the customer, whose first invoice fails in an hour."""
    interval = {"trial_end": int(world.now.timestamp()) + 3_600}
    return world.subscribe(who.id, who.method, more=interval)


def test_a_link_that_was_followed_counts(begin: Begin) -> None:
    text = LINE.format(when="clicked: true").replace(
        "timeline:", "timeline:\n      - {at: 0h, do: email, template: payment_failed}"
    )
    world = begin(policy=text)
    ann = world.failing(times=9, at_once=[OPENED, "email payment_failed"])
    assert world.leads_to(world.link(world.mailbox.messages[0]), ann)
    world.passes(days=1.1, expect=RESTRICTED)


@pytest.mark.parametrize("fits", [True, False])
def test_no_email_names_the_date_of_a_line_that_will_not_be_done(begin: Begin, fits: bool) -> None:
    text = LINE.format(when="tag: vip").replace(
        "- {at: 1d, do: restrict, when: {tag: vip}}",
        "- {at: 0h, do: email, template: payment_failed}\n"
        "      - {at: 20d, do: suspend, when: {tag: vip}}",
    )
    world = begin(policy=text)
    world.failing(times=9, at_once=[OPENED, "email payment_failed"], **(GOLD if fits else {}))
    part = world.mailbox.messages[0].get_body(("plain",))
    assert part is not None
    assert ("April 22" in part.get_content()) is fits, part.get_content()
