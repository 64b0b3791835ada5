"""Each invoice has one owner of its retries: never the provider and dunning at once."""

from __future__ import annotations

from tests.scenarios.conftest import Begin
from tests.world import AT_ONCE, World

PROVIDER = """
version: 1
policies:
  standard:
    grace: 5d
    window: 9d
    retries: {retries}
    timeline:
      - {{at: 0h, do: email, template: payment_failed}}
      - {{at: 4d, do: email, template: reminder}}
      - {{at: 5d, do: suspend}}
      - {{at: 9d, do: give_up}}
"""
LADDER = """
version: 1
policies:
  standard:
    grace: 8d
    window: 9d
    retries: {retries}
    timeline:
      - {{at: 0h, do: email, template: payment_failed}}
      - {{at: 1d, do: retry}}
      - {{at: 3d, do: retry}}
      - {{at: 6d, do: retry}}
      - {{at: 8d, do: suspend}}
      - {{at: 9d, do: give_up}}
"""


def test_stripes_own_retries_are_switched_off_before_ours_begin(begin: Begin) -> None:
    world = begin(smart_retries=[0.5, 2, 2])
    ann = world.failing(times=3)
    bill = world.invoice(ann)
    assert (bill.auto_advance, bill.next_payment_attempt) == (False, None)
    expect = ["retry:1 declined", "email reminder", "retry:2 declined"]
    world.passes(days=4, expect=expect)
    assert world.tries(ann) == ["stripe decline", "api decline", "api decline"]
    world.passes(days=3, expect=["retry:3 paid", "product case.recovered", "email recovered"])
    assert world.how(ann) == ["retry:3"]


def test_we_do_not_charge_what_stripe_keeps_retrying_in_spite_of_us(begin: Begin) -> None:
    world = begin(smart_retries=[0.5, 9])
    world.sandbox.next_request({"status": 400}, path="/v1/invoices/in_", method="POST", times=99)
    ann = world.failing(times=9)
    # Half a day later Stripe tries, and a day after that we would have.
    world.passes(days=1, hours=16, expect=["retry:1 skipped"])
    assert world.tries(ann) == ["stripe decline", "stripe decline"]
    world.sandbox.world.faults.requests.clear()
    # The next rung asks once more, and now Stripe obeys.
    world.passes(days=3, expect=["email reminder", "retry:2 declined"])
    world.passes(
        days=7,
        expect=[
            "retry:3 declined",
            "restrict:1",
            "product access.restricted",
            "email final_notice",
        ],
    )
    assert world.tries(ann) == [*["stripe decline"] * 2, *["api decline"] * 2]


def test_where_the_provider_owns_the_retries_we_write_and_manage_access_only(
    begin: Begin,
) -> None:
    world = begin(policy=PROVIDER.format(retries="provider"), smart_retries=[1, 2, 3])
    ann = world.failing(times=2)
    assert world.invoice(ann).auto_advance is True
    world.passes(days=3, expect=["product case.recovered", "email recovered"])
    assert world.tries(ann) == ["stripe decline", "stripe decline", "stripe succeed"]
    assert world.how(ann) == ["provider_retry"]


def test_where_the_provider_owns_the_retries_a_new_card_is_not_charged_by_us(
    begin: Begin,
) -> None:
    world = begin(policy=PROVIDER.format(retries="provider"), smart_retries=[3])
    ann = world.failing()
    world.passes(days=1)
    world.sandbox.new_card(ann.id)
    world.settles(expect=["retry:card:" + str(int(world.now.timestamp())) + " skipped"])
    world.passes(days=2, expect=["product case.recovered", "email recovered"])
    assert world.tries(ann) == ["stripe decline", "stripe succeed"]


def test_ours_begin_when_the_providers_are_exhausted_and_not_one_try_later(begin: Begin) -> None:
    world = begin(policy=LADDER.format(retries="provider_first"), smart_retries=[2, 2])
    ann = world.failing(times=4)
    world.passes(days=5.9)
    assert world.tries(ann) == ["stripe decline"] * 3
    world.passes(hours=3, expect=["retry:3 declined"])
    assert world.tries(ann) == [*["stripe decline"] * 3, "api decline"]
    world.passes(
        days=3,
        expect=[
            "suspend:1",
            "product access.suspended",
            "email suspended",
            "give_up:1",
            "product case.lost",
        ],
    )


def test_where_the_billing_system_charges_we_say_when(begin: Begin) -> None:
    world = begin(policy=LADDER.format(retries="signal"))
    ann = world.failing(times=2)
    world.passes(days=1, expect=["retry:1", "product retry.due"])
    invoice = world.case(ann)["invoice"]
    assert world.product.calls[-1]["data"]["invoice"] == invoice
    assert world.tries(ann) == ["stripe decline"]
    world.declines(ann)
    world.passes(days=1, expect=[])
    world.passes(days=1, expect=["retry:2", "product retry.due"])
    # The application charges now, by itself.
    world.sandbox.world.faults.charges.clear()
    world.stripe.v1.invoices.pay(invoice)
    world.settles(expect=["product case.recovered", "email recovered"])
    assert world.tries(ann) == ["stripe decline", "api succeed"]
    assert world.how(ann) != ["retry:2"]


def test_the_default_policy_writes_at_once(world: World) -> None:
    world.failing(at_once=AT_ONCE)
