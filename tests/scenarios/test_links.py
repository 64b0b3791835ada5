"""Links in messages: unbroken by any encoding, and good for as long as the case is."""

from __future__ import annotations

import re

from tests.scenarios.conftest import Begin
from tests.world import World


def name(world: World) -> str:
    (one,) = world.cases()
    return str(one["id"]).removeprefix("case_")[:10]


def led_to(world: World, link: str) -> str:
    """Where the button to pay leads right now."""
    answer = world.http.post(f"{link}/invoice/{name(world)}", allow_redirects=False, timeout=30)
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"]


def test_a_link_survives_the_encoding_of_mail_on_its_way(world: World) -> None:
    world.failing()
    (message,) = world.mailbox.messages
    assert message.is_multipart()
    for part in message.walk():
        if part.get_content_maintype() == "text":
            links = re.findall(r"https?://[^\s\"<>]+/pay/[^\s\"<>]+", part.get_content())
            assert links
            assert all(re.search(r"/pay/rcv_(pay|card)_[a-z2-7_]+$", one) for one in links)
    page = world.http.get(world.link(message), timeout=30)
    assert page.status_code == 200
    assert "$49.00" in page.text
    world.passes(days=1, expect=["retry:1 paid", "product case.recovered", "email recovered"])


def test_a_link_weeks_old_still_leads_to_a_page_where_one_can_pay(world: World) -> None:
    ann = world.failing(times=20)
    link = world.link(world.mailbox.messages[0])
    before = led_to(world, link)
    world.passes(days=27)
    after = led_to(world, link)
    assert after
    assert before
    world.sandbox.world.faults.charges.clear()
    paid = world.http.post(
        after, data={"action": "new_card", "number": "4242424242424242"}, timeout=30
    )
    assert "Payment received" in paid.text
    happened = world.passes()
    # Which is heard of first, the card or the payment, is a race; the card is not charged again.
    charge = [one for one in happened if one.startswith("retry:card:")]
    assert [one for one in charge if not one.endswith(" not_owed")] == []
    assert [one for one in happened if one not in charge] == [
        *("restore:1", "product case.recovered", "product access.restored", "email recovered"),
    ]
    assert world.how(ann) == ["link"]
    assert "everything is paid" in world.http.get(link, timeout=30).text


def test_a_link_older_than_it_may_be_sends_a_fresh_one(begin: Begin) -> None:
    """Nobody needs a person for it."""
    world = begin(environ={"DUNNING_LINK_DAYS": "10"})
    world.failing(times=20)
    old = world.link(world.mailbox.messages[0])
    world.passes(days=11)
    before = len(world.mailbox.messages)
    page = world.http.get(old, timeout=30)
    assert page.status_code == 410
    assert "Send me a new link" in page.text
    assert "ann@example.com" not in page.text
    assert "on its way" in world.http.post(f"{old}/link", timeout=30).text
    assert "already sent" in world.http.post(f"{old}/link", timeout=30).text
    (message,) = world.mailbox.messages[before:]
    assert message["To"].addresses[0].addr_spec == "ann@example.com"
    assert "$49.00" in world.http.get(world.link(message), timeout=30).text
    world.passes(days=20)


def test_a_link_while_stripe_is_away_asks_for_patience(world: World) -> None:
    world.failing()
    link = world.link(world.mailbox.messages[0])
    button = f"{link}/invoice/{name(world)}"
    with world.stripe_away():
        assert world.http.get(link, timeout=30).status_code == 200
        assert world.http.post(button, timeout=30).status_code == 503
    assert world.http.post(button, timeout=30).status_code == 200
    world.passes(days=1, expect=["retry:1 paid", "product case.recovered", "email recovered"])


def test_a_link_that_somebody_changed_leads_nowhere(world: World) -> None:
    world.failing()
    link = world.link(world.mailbox.messages[0])
    changed = link[:-1] + ("a" if link[-1] != "a" else "b")
    assert world.http.get(changed, timeout=30).status_code == 404
    assert world.http.get(link.replace("rcv_pay", "rcv_card"), timeout=30).status_code == 404
    world.passes(days=1, expect=["retry:1 paid", "product case.recovered", "email recovered"])


def test_no_page_and_no_click_ever_charges(world: World) -> None:
    """Only the timeline, a new card and a person charge; whoever opens a page only looks."""
    ann = world.failing(times=2)
    (message,) = world.mailbox.messages
    link = world.link(message)
    text = message.get_body(("plain",))
    assert text is not None
    links = re.findall(r"https?://\S+/pay/\S+", text.get_content())
    assert link in links
    planned = world.case(ann)["next_at"]
    for _ in range(3):
        for one in links:
            assert world.http.get(one, timeout=10).status_code == 200
            assert world.http.head(one, timeout=10).ok
            posted = world.http.post(one, data={"action": "pay"}, timeout=10)
            assert posted.status_code == 405
        for path in ("healthz", "readyz", "metrics"):
            world.http.get(f"{link.partition('/pay/')[0]}/{path}", timeout=10)
    world.settles(expect=[])
    assert world.tries(ann) == ["stripe decline"]
    assert world.case(ann)["next_at"] == planned
    # After a new card there is one charge for it, however often the page is opened then.
    world.sandbox.new_card(ann.id)
    world.settles(expect=[f"retry:card:{int(world.now.timestamp())} declined"])
    for _ in range(3):
        assert world.http.get(link, timeout=10).status_code == 200
    world.settles(expect=[])
    assert world.tries(ann) == ["stripe decline", "api decline"]
    world.passes(days=1, expect=["retry:1 paid", "product case.recovered", "email recovered"])
