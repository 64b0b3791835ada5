"""The customer's page in a real browser without JavaScript: every state, every button."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import browser
from tests.eyes import Eyes
from tests.world import World

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("browser")


@pytest.fixture
def eyes(world: World, folder: Path, tmp_path: Path) -> Iterator[Eyes]:
    site = world.program.settings.public_url
    assert site is not None
    with browser(tmp_path / "browser") as opened:
        yield Eyes(opened, site, folder)


def link(world: World, which: int = 0) -> str:
    return world.link(world.mailbox.messages[which])


def test_what_is_owed_is_seen_and_paid(world: World, eyes: Eyes) -> None:
    ann = world.failing(times=20)
    page = link(world)
    eyes.look(page, "open")
    assert "Your payment of $49.00 did not go through" in eyes.text()
    there = eyes.press("form[action*='/invoice/'] button")
    assert there.startswith(world.sandbox.url)
    assert "49.00 USD" in eyes.text()
    world.sandbox.world.faults.charges.clear()
    world.pays(ann, "4242424242424242")
    eyes.browser.call("Page.navigate", url=page)
    world.settles(expect=["product case.recovered", "email recovered"])
    assert world.how(ann) == ["link"]
    eyes.look(page, "paid")
    assert "Thank you, everything is paid" in eyes.text()
