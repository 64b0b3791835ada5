"""Links in messages: unbroken by any encoding, and good for as long as the case is."""

from __future__ import annotations

import re

from tests.world import World


def test_a_link_survives_the_encoding_of_mail_on_its_way(world: World) -> None:
    world.failing()
    (message,) = world.mailbox.messages
    assert message.is_multipart()
    for part in message.walk():
        if part.get_content_maintype() == "text":
            links = re.findall(r"https?://[^\s\"<>]+/r/[^\s\"<>]+", part.get_content())
            assert links
            assert all(re.search(r"/r/rcv_(pay|card)_[a-z2-7]+_[a-z2-7]+$", one) for one in links)
    page = world.http.get(world.link(message), timeout=10)
    assert page.status_code == 200
    assert "49.00 USD" in page.text
    world.passes(days=1, expect=["retry:1 paid", "product case.recovered", "email recovered"])


def test_a_link_weeks_old_still_leads_to_a_page_where_one_can_pay(world: World) -> None:
    ann = world.failing(times=20)
    link = world.link(world.mailbox.messages[0])
    before = world.http.get(link, allow_redirects=False, timeout=10).headers["Location"]
    world.passes(days=27)
    after = world.http.get(link, allow_redirects=False, timeout=10).headers["Location"]
    assert after
    assert before
    world.sandbox.world.faults.charges.clear()
    paid = world.http.post(
        after, data={"action": "new_card", "number": "4242424242424242"}, timeout=10
    )
    assert "Payment received" in paid.text
    world.settles(
        expect=["restore:1", "product case.recovered", "product access.restored", "email recovered"]
    )
    assert world.how(ann) == ["link"]
    page = world.http.get(link, timeout=10)
    assert "Already paid" in page.text


def test_a_link_while_stripe_is_away_asks_for_patience(world: World) -> None:
    world.failing()
    link = world.link(world.mailbox.messages[0])
    with world.stripe_away():
        assert world.http.get(link, timeout=10).status_code == 503
    assert world.http.get(link, timeout=10).status_code == 200
    world.passes(days=1, expect=["retry:1 paid", "product case.recovered", "email recovered"])


def test_a_link_that_somebody_changed_leads_nowhere(world: World) -> None:
    world.failing()
    link = world.link(world.mailbox.messages[0])
    changed = link[:-1] + ("a" if link[-1] != "a" else "b")
    assert world.http.get(changed, timeout=10).status_code == 404
    assert world.http.get(link.replace("rcv_pay", "rcv_card"), timeout=10).status_code == 404
    world.passes(days=1, expect=["retry:1 paid", "product case.recovered", "email recovered"])


def test_no_page_and_no_click_ever_charges(world: World) -> None:
    """Only the timeline, a new card and a person charge; whoever opens a page only looks."""
    ann = world.failing(times=2)
    (message,) = world.mailbox.messages
    link = world.link(message)
    text = message.get_body(("plain",))
    assert text is not None
    links = re.findall(r"https?://\S+/r/\S+", text.get_content())
    assert link in links
    planned = world.case(ann)["next_at"]
    for _ in range(3):
        for one in links:
            assert world.http.get(one, timeout=10).status_code == 200
            assert world.http.head(one, timeout=10).ok
            posted = world.http.post(one, data={"action": "pay"}, timeout=10)
            assert posted.status_code == 405
        for path in ("healthz", "readyz", "metrics"):
            world.http.get(f"{link.partition('/r/')[0]}/{path}", timeout=10)
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
