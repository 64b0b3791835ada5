"""The customer's page in a real browser without JavaScript: every state, every button."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dunning.acts import Person
from dunning.core.brand import Brand
from dunning.messages.catalogues import ROOT, Catalogues
from dunning.revoking import Revoking
from dunning.web.page.showing import Showing
from tests.browser import browser
from tests.eyes import DESK, MEASURE, PHONE, PICTURES, Eyes
from tests.scenarios.conftest import Begin
from tests.world import World

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)

BRAND = """\
version: 1
brand:
  name: Example Coffee
  colour: "#f5c518"
  address: [Example Coffee Ltd, 1 High Street, London]
  support: {email: help@example.com, phone: "+44 20 7946 0018", url: "https://example.com/help"}
policies:
  standard:
    grace: 2d
    window: 28d
    timeline:
      - {at: 0h, do: email, template: payment_failed}
      - {at: 1d, do: retry}
      - {at: 2d, do: suspend}
      - {at: 28d, do: give_up}
"""
See = Callable[[World], Eyes]


@pytest.fixture
def see(tmp_path: Path) -> Iterator[See]:
    with ExitStack() as stack:

        def open_eyes(world: World) -> Eyes:
            site = world.program.settings.public_url
            assert site is not None
            opened = stack.enter_context(browser(tmp_path / "browser"))
            return Eyes(opened, site, tmp_path / "pictures")

        yield open_eyes


def link(world: World, which: int = 0) -> str:
    return world.link(world.mailbox.messages[which])


def test_what_is_owed_is_seen_and_paid(world: World, see: See) -> None:
    eyes = see(world)
    ann = world.failing(times=20)
    page = link(world)
    eyes.look(page, "open")
    assert "Your payment of $49.00 did not go through" in eyes.text()
    eyes.press("form[action*='/invoice/'] button", world.sandbox.url)
    assert "49.00 USD" in eyes.text()
    eyes.heard_nothing_refused("leaving to pay")
    world.sandbox.world.faults.charges.clear()
    world.pays(ann)
    eyes.browser.visit(page, DESK)
    assert "Thank you, everything is paid" in eyes.text()
    world.settles(expect=["product case.recovered"])  # they are thanked the next day
    assert world.how(ann) == ["link"]
    eyes.look(page, "paid")


def test_a_card_is_given_and_the_result_shown(world: World, see: See) -> None:
    eyes = see(world)
    told = ["product case.opened", "email new_card_needed"]
    ann = world.failing("expired_card", at_once=told)
    page = link(world)
    eyes.look(page, "expired-card")
    there = eyes.press("form[action$='/card'] button", world.sandbox.url)
    eyes.heard_nothing_refused("leaving for the portal")
    eyes.look(f"{page}?back=card", "asking")
    world.http.post(there, data={"number": "4242424242424242"}, timeout=30)
    world.passes(minutes=1)
    eyes.browser.visit(f"{page}?back=card", DESK)
    assert "Thank you, everything is paid" in eyes.text()
    assert world.how(ann) == ["new_card"]


def test_a_promise_is_chosen_and_seen(world: World, see: See) -> None:
    eyes = see(world)
    world.failing()
    page = link(world)
    eyes.browser.visit(page, DESK)
    eyes.press(".promise button")
    assert "You said that you will pay by April 3, 2026" in eyes.text()
    eyes.look(page, "promised")
    eyes.look(f"{page}?said=no_promise", "not-promised")
    world.passes(days=2)


def test_several_invoices_and_a_payment_under_way(world: World, see: See) -> None:
    eyes = see(world)
    ann = world.customer(preferred_locales=["de-DE"])
    euros = world.subscribe(ann.id, ann.method, 1900, "eur")
    world.declines(ann, times=40)
    world.renewal(euros)
    world.passes(minutes=5)
    eyes.look(link(world), "several")
    assert "2 Rechnungen sind noch nicht bezahlt" in eyes.text()
    world.passes(days=40)


def test_a_payment_under_way_is_waited_for(world: World, see: See) -> None:
    eyes = see(world)
    ann = world.failing(times=1)
    page = link(world)
    world.declines(ann, "processing")
    world.pays(ann)
    world.settles(expect=[])
    eyes.look(page, "processing")
    assert "Your payment is being processed" in eyes.text()
    world.leaves.add("in_process")


def test_the_merchants_looks_and_paused_access(begin: Begin, see: See) -> None:
    world = begin(policy=BRAND)
    eyes = see(world)
    world.failing(times=20)
    world.passes(days=3)
    eyes.look(link(world), "paused")
    assert "Your access is paused" in eyes.text()
    assert "Example Coffee" in eyes.text()
    eyes.browser.visit(link(world), DESK, media="print")
    assert eyes.browser.paper().startswith(b"%PDF-")
    world.passes(days=30)


def test_links_that_are_none(begin: Begin, see: See) -> None:
    world = begin(environ={"DUNNING_LINK_DAYS": "3"})
    eyes = see(world)
    world.failing(times=20)
    page = link(world)
    eyes.look(page[:-1], "unknown")
    world.passes(days=4)
    eyes.look(page, "old")
    eyes.press("form button")
    assert "A new link is on its way" in eyes.text()
    eyes.check("sent")
    eyes.browser.visit(page, DESK)
    eyes.press("form button")
    eyes.check("sent-before")
    fresh = link(world, -1)
    eyes.browser.visit(fresh, DESK)
    with world.stripe_away():
        eyes.press("form[action$='/card'] button")
        eyes.check("away")
        answers = [world.http.post(f"{fresh}/card", timeout=30).status_code for _ in range(9)]
        assert answers[-1] == 429
        eyes.browser.visit(fresh, DESK)
        eyes.press("form[action$='/card'] button")
        assert "Too many requests" in eyes.text()
        eyes.check("too-many")
    person = Person(by="ops", why="forwarded", now=world.now + timedelta(seconds=1))
    Revoking(world.program.engine).of_case(world.cases()[0]["id"], person)
    eyes.look(fresh, "revoked")
    world.passes(days=30)


def test_every_small_page_on_a_phone_and_a_desk(tmp_path: Path, backend: str) -> None:
    """All states of `notice.jinja`, those that no story above comes by among them."""
    written = (ROOT / "page" / "notice.jinja").read_text("utf-8")
    known = set(re.findall(r"'(\w+)'", written.partition("{% block content %}")[0]))
    assert known >= {"nothing", "card", "charging", "not_sent"}
    pages = Showing(Catalogues([]))
    kept = Path(os.environ.get(PICTURES) or tmp_path)
    kept.mkdir(parents=True, exist_ok=True)
    facts: Any = {"base": "/pay/rcv_x", "days": 60, "again": True, "amount": "$49.00"}
    with browser(tmp_path / "browser") as opened:
        for notice in sorted(known | {"away"}):
            brand = Brand(name="Example Ltd")
            made = pages.page("notice", pages.voice("en"), brand, notice=notice, **facts)
            page = tmp_path / f"{notice}.html"
            page.write_bytes(bytes(made.body))
            for width in (PHONE, DESK):
                opened.show(page, width)
                opened.photo(kept / f"small-{notice}-{width}-light.png")
                assert opened.ask(MEASURE) == [], (notice, width)
