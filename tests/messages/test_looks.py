"""Emails in a real browser: on a phone and a desk, by day and at night, in every language.

`SHOTS=folder` in the environment keeps the pictures there, to be looked at by a person.
"""

from __future__ import annotations

import base64
import os
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dunning.core.brand import Brand
from dunning.core.money import Money
from dunning.messages import TEMPLATES, Facts, Messages, every_fact
from dunning.messages.samples import BRAND, INVOICES
from tests.browser import Browser, browser

MESSAGES = Messages()
PHONE, DESK = 390, 1280
# Every run of words with the colour it has and the colour it stands on, and everything to press.
MEASURE = r"""
(() => {
  const rgb = text => text.match(/[\d.]+/g).map(Number);
  const part = value => value <= 10.31475 ? value / 3294.6 : ((value / 255 + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => .2126 * part(r) + .7152 * part(g) + .0722 * part(b);
  const ground = node => {
    for (let at = node; at; at = at.parentElement) {
      const colour = rgb(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const pale = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || getComputedStyle(node).display === "none") continue;
    const two = [rgb(getComputedStyle(node).color), ground(node)].map(light).sort((a, b) => b - a);
    const apart = (two[0] + .05) / (two[1] + .05);
    if (apart < 4.5) pale.push([walk.currentNode.data.trim().slice(0, 40), apart]);
  }
  const box = node => node.getBoundingClientRect();
  const button = document.querySelector("a.button");
  const wide = [...document.querySelectorAll("body *")].filter(
    node => box(node).width && (box(node).right > innerWidth + .5 || box(node).left < -.5));
  return {
    width: document.documentElement.scrollWidth,
    pale,
    buttons: document.querySelectorAll("a.button").length,
    height: button ? box(button).height : null,
    buttonWidth: button ? box(button).width : null,
    wide: wide.map(node => node.outerHTML.slice(0, 60)),
    direction: getComputedStyle(document.body).direction,
    remote: performance.getEntriesByType("resource").map(each => each.name),
  };
})()
"""


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser")) as made:
        yield made


def look(opened: Browser, folder: Path, facts: Facts, name: str) -> list[dict[str, object]]:
    """The email at both widths in both lights; pictures of it where somebody wants them."""
    kept = Path(os.environ.get("SHOTS") or folder)
    kept.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.html"
    path.write_text(MESSAGES.render(facts).html, encoding="utf-8")
    seen = []
    for width in (PHONE, DESK):
        for dark in (False, True):
            opened.show(path, width, dark=dark)
            measured = opened.ask(MEASURE)
            opened.photo(kept / f"{name}-{width}-{'dark' if dark else 'light'}.png")
            assert measured["width"] == width, f"{name} is wider than {width} pixels"
            assert measured["wide"] == []
            assert measured["pale"] == [], f"{name} at {width}, dark: {dark}"
            assert measured["remote"] == []
            seen.append(measured)
    return seen


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_email_fits_and_can_be_read_and_pressed(
    opened: Browser, tmp_path: Path, name: str
) -> None:
    for measured in look(opened, tmp_path, every_fact(name), name):
        assert measured["buttons"] == (0 if name == "recovered" else 1)
        assert name == "recovered" or float(str(measured["height"])) >= 44


@pytest.mark.parametrize("language", MESSAGES.languages())
def test_every_language_fits(opened: Browser, tmp_path: Path, language: str) -> None:
    facts = replace(
        every_fact("payment_failed"),
        locale=language,
        cause="funds",
        reason=None,
        invoices=INVOICES,
        brand=replace(BRAND, logo_url=None),
        unsubscribe_url="https://pay.example/u/1",
    )
    for measured in look(opened, tmp_path, facts, f"several-{language}"):
        assert float(str(measured["height"])) >= 44


@pytest.mark.parametrize("colour", ["#ffe066", "#0b1020", "#ffffff", "#e11d48", "#1d232d"])
def test_any_colour_of_a_merchant_can_be_read(opened: Browser, tmp_path: Path, colour: str) -> None:
    brand = replace(BRAND, logo_url=None, colour=colour)
    look(opened, tmp_path, replace(every_fact("reminder"), brand=brand), f"colour{colour[1:]}")


def test_the_longest_of_everything_stays_inside(opened: Browser, tmp_path: Path) -> None:
    link = "https://pay.example/pay/rcv_" + "a1B2c3D4" * 40
    facts = replace(
        every_fact("final_notice"),
        locale="de",
        company="W" * 200,
        customer_name="Donaudampfschifffahrtsgesellschaftskapitän" * 3,
        what_for="Unternehmensweite" * 12,
        amount=Money(99_999_999_999_00, "usd"),
        invoice_number="9" * 200,
        pay_url=link,
        brand=Brand(address=("x" * 200,) * 3, support_email="y" * 80 + "@example.com"),
    )
    look(opened, tmp_path, facts, "longest")


def picture(width: int, height: int) -> str:
    """A PNG of one colour, as an address that needs no network."""

    def chunk(name: bytes, data: bytes) -> bytes:
        check = zlib.crc32(name + data).to_bytes(4, "big")
        return len(data).to_bytes(4, "big") + name + data + check

    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\x00\x00\x00"
    rows = (b"\x00" + b"\x0f\x76\x6e" * width) * height
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    whole = b"\x89PNG\r\n\x1a\n" + b"".join(parts)
    return "data:image/png;base64," + base64.b64encode(whole).decode()


@pytest.mark.parametrize(("shape", "width"), [((300, 120), 100), ((2400, 120), None)])
def test_a_logo_is_seen_in_its_room(
    opened: Browser, tmp_path: Path, shape: tuple[int, int], width: int | None
) -> None:
    """It is 40 pixels high; a very wide one is made smaller, and not squeezed."""
    kept = Path(os.environ.get("SHOTS") or tmp_path)
    kept.mkdir(parents=True, exist_ok=True)
    path = tmp_path / "logo.html"
    page = MESSAGES.render(replace(every_fact("reminder"), brand=BRAND)).html
    path.write_text(page.replace(str(BRAND.logo_url), picture(*shape)), encoding="utf-8")
    for screen in (PHONE, DESK):
        for dark in (False, True):
            opened.show(path, screen, dark=dark)
            opened.photo(kept / f"logo{shape[0]}-{screen}-{'dark' if dark else 'light'}.png")
            logo = "document.querySelector('img')"
            assert opened.ask(f"{logo}.complete && {logo}.naturalWidth") == shape[0]
            wide, high = opened.ask(f"[{logo}.clientWidth, {logo}.clientHeight]")
            assert abs(wide / high - shape[0] / shape[1]) < 0.1 * shape[0] / shape[1]
            assert high <= 40
            assert width in (None, wide)
            assert opened.ask(MEASURE)["wide"] == []


def test_a_logo_that_does_not_load_says_the_name(opened: Browser, tmp_path: Path) -> None:
    path = tmp_path / "logo.html"
    broken = "data:image/png;base64,broken"
    page = MESSAGES.render(replace(every_fact("reminder"), brand=BRAND)).html
    assert page.count(str(BRAND.logo_url)) == 1
    path.write_text(page.replace(str(BRAND.logo_url), broken), encoding="utf-8")
    opened.show(path, PHONE)
    assert opened.ask("document.querySelector('img').alt") == "Acme"
    assert opened.ask("document.documentElement.scrollWidth") == PHONE


def test_from_right_to_left(opened: Browser, tmp_path: Path) -> None:
    """A language of ops' own that is written the other way."""
    folder = tmp_path / "mine" / "locale"
    folder.mkdir(parents=True)
    (folder / "ar.po").write_text('msgid "Hello,"\nmsgstr "مرحبا،"\n', encoding="utf-8")
    page = Messages(tmp_path / "mine").render(
        replace(every_fact("reminder"), locale="ar", customer_name=None)
    )
    path = tmp_path / "ar.html"
    path.write_text(page.html, encoding="utf-8")
    opened.show(path, PHONE)
    measured = opened.ask(MEASURE)
    assert measured["direction"] == "rtl"
    assert measured["wide"] == []
    label, value = opened.ask(
        "[...document.querySelectorAll('table.details tr:first-child td')]"
        ".map(cell => cell.getBoundingClientRect().left)"
    )
    assert label > value
