"""A card that wants its owner to confirm: we ask, we do not charge blindly, and they pay."""

from __future__ import annotations

import re

from tests.world import World

TOLD = ["product case.opened", "email action_required"]


def test_who_has_to_authenticate_is_asked_to_and_pays_on_the_hosted_page(world: World) -> None:
    ann = world.failing("requires_action", at_once=TOLD)
    assert world.case(ann)["advice"] == "authenticate"
    world.passes(days=1, expect=["retry:1 skipped"])
    (message,) = world.mailbox.messages
    page = world.http.get(world.leads_to(world.link(message), ann), timeout=10)
    assert re.search("Pay with saved card", page.text)
    paid = world.http.post(page.url, data={"action": "saved"}, timeout=10)
    assert "Payment received" in paid.text
    world.settles(expect=["product case.recovered", "email recovered"])
    assert world.tries(ann) == ["stripe requires_action", "customer succeed"]
    assert world.how(ann) == ["link"]


def test_a_retry_that_is_asked_for_authentication_writes_and_waits(world: World) -> None:
    ann = world.failing()
    world.declines(ann, "requires_action", times=9)
    world.passes(days=1, expect=["retry:1 action_needed", "email action_required"])
    world.passes(days=4, expect=["email action_required", "retry:2 skipped"])
    assert world.tries(ann) == ["stripe decline", "api requires_action"]


def test_a_card_that_always_asks_is_never_charged_blindly(world: World) -> None:
    ann = world.failing("authentication_required", times=20, at_once=TOLD)
    happened = world.passes(days=28)
    assert [one for one in happened if one.startswith("retry")] == [
        f"retry:{n} skipped" for n in range(1, 6)
    ]
    assert world.tries(ann) == ["stripe decline"]
    assert world.state(ann)[0] == "lost"
