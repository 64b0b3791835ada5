"""The customer's page in stories: what the buttons bring in, and what a promise holds up."""

from __future__ import annotations

from tests.scenarios.conftest import Begin
from tests.world import World

POLICY = """\
version: 1
policies:
  standard:
    grace: 14d
    window: 28d
    promises: %s
    timeline:
      - {at: 0h, do: email, template: payment_failed}
      - {at: 1d, do: retry}
      - {at: 14d, do: suspend}
      - {at: 28d, do: give_up}
"""


def names(world: World) -> list[str]:
    return [one["id"].removeprefix("case_")[:10] for one in world.cases()]


def test_who_pays_after_pressing_the_button_was_brought_by_the_link(world: World) -> None:
    ann = world.failing(times=20)
    page = world.link(world.mailbox.messages[0])
    (name,) = names(world)
    world.passes(days=2)
    answer = world.http.post(f"{page}/invoice/{name}", timeout=30)
    assert answer.status_code == 200
    assert "49.00 USD" in answer.text
    world.sandbox.world.faults.charges.clear()
    world.pays(ann)
    # Nobody waits for the webhook: the page asks.
    assert "everything is paid" in world.http.get(page, timeout=30).text
    world.settles(expect=["product case.recovered", "email recovered"])
    assert world.how(ann) == ["link"]


def test_a_new_card_given_on_the_portal_is_charged(world: World) -> None:
    told = ["product case.opened", "email new_card_needed"]
    ann = world.failing("expired_card", times=1, at_once=told)
    page = world.link(world.mailbox.messages[0])
    portal = world.http.post(f"{page}/card", timeout=30)
    assert "Update your card" in portal.text
    world.http.post(portal.url, data={"number": "4242424242424242"}, timeout=30)
    back = world.http.get(f"{page}?back=card", timeout=30)
    assert back.status_code == 200
    happened = world.passes(minutes=1)
    assert any(one.startswith("retry:card") for one in happened), happened
    assert "everything is paid" in world.http.get(f"{page}?back=card&n=1", timeout=30).text
    assert world.how(ann) == ["new_card"]


def test_a_promise_holds_everything_up_and_then_it_goes_on(begin: Begin) -> None:
    world = begin(policy=POLICY % "{within: 10d, most: 1}")
    ann = world.failing()
    page = world.link(world.mailbox.messages[0])
    until = (world.now.date().isoformat()[:8]) + f"{world.now.day + 9:02}"
    answer = world.http.post(f"{page}/promise", data={"until": until}, timeout=30)
    assert "You said that you will pay by" in answer.text
    world.passes(days=9, expect=[])
    (said,) = [one for one in world.hands_on_record(ann) if one.act == "promise"]
    assert (said.by, said.why) == ("customer", "said so on the payment page")
    world.passes(days=2, expect=["retry:1 paid", "product case.recovered", "email recovered"])


def test_where_the_policy_grants_none_nothing_is_promised(begin: Begin) -> None:
    world = begin(policy=POLICY % "off")
    world.failing()
    page = world.link(world.mailbox.messages[0])
    assert "/promise" not in world.http.get(page, timeout=30).text
    until = f"{world.now.date().isoformat()[:8]}{world.now.day + 2:02}"
    world.http.post(f"{page}/promise", data={"until": until}, timeout=30)
    world.passes(days=1, expect=["retry:1 paid", "product case.recovered", "email recovered"])


def test_several_invoices_stand_on_one_page_each_currency_for_itself(world: World) -> None:
    ann = world.customer()
    euros = world.subscribe(ann.id, ann.method, 1900, "eur")
    world.declines(ann, times=40)
    world.renewal(euros)
    world.passes(minutes=5)
    page = world.http.get(world.link(world.mailbox.messages[0]), timeout=30).text
    assert "2 invoices are not paid yet" in page
    assert "$49.00" in page
    assert "€19.00" in page
    assert page.count(">Total<") == 2
    assert page.count("/invoice/") == 2
    world.passes(days=40)
