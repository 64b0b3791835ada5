"""How a digest looks: in a real browser, on a phone and a desk, by day and night; in chat."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from dunning.staff import Notice, Part
from dunning.staff.notice import discreet, from_text, to_text
from dunning.staff.written import AGAIN, as_chat, as_html, as_text
from tests import browser
from tests.browser import Browser

DIGEST = Notice(
    title="Digest of Saturday, 21 November 2026",
    lead="143 opened, 61 recovered, 4 lost.",
    parts=(
        Part(
            title="Money",
            head=("Currency", "Opened", "Recovered", "Lost", "At risk now"),
            rows=(
                ("EUR", "12,400.00 (31)", "3,120.00 (12)", "–", "48,210.00 (96)"),
                ("JPY", "1,200,000 (3)", "–", "–", "2,400,000 (6)"),
                ("USD", "31,007.50 (109)", "14,902.25 (49)", "1,960.00 (4)", "102,344.10 (310)"),
            ),
            note="In brackets: cases. Lost is net of what came in after all.",
        ),
        Part(
            title="To be suspended tomorrow, Monday 23 November, unless they pay before: 2",
            head=("Owed", "Customer", "Case"),
            rows=(
                ("1,200.00 USD", "cus_QcBn3mVv0bTz1A", "case_upu3quqsl5mtj2mtnv5c"),
                ("49.00 USD", "cus_<script>alert(1)</script>", "case_wkhbmkyfrmq3uj6rxazk"),
            ),
        ),
        Part(
            title="Needs a person",
            head=("What", "How many", "See"),
            rows=(("Webhooks not understood", "2", "dunning inbox list --state parked"),),
        ),
    ),
    foot="Days are those of Europe/Berlin.",
    tone="warning",
)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser.browser(tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


# Nothing is wider than the screen, nothing is cut off, and everything can be read.
WIDE = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
CONTRAST = """
(() => {
  const light = (colour) => {
    const [r, g, b] = colour.match(/[0-9.]+/g).slice(0, 3).map((part) => {
      const value = part / 255;
      return value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (each) => {
    for (; each; each = each.parentElement) {
      const colour = getComputedStyle(each).backgroundColor;
      if (!/, 0\\)$/.test(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  return [...document.querySelectorAll("h1, h2, p, th, td, .foot")].map((each) => {
    const pair = [light(getComputedStyle(each).color), light(behind(each))].sort((a, b) => b - a);
    return [(pair[0] + 0.05) / (pair[1] + 0.05), each.textContent.trim().slice(0, 30)];
  }).filter(([contrast]) => contrast < 4.5);
})()
"""


@pytest.mark.parametrize("dark", [False, True], ids=["day", "night"])
@pytest.mark.parametrize("width", [390, 1100])
def test_it_fits_and_can_be_read(
    chromium: Browser, tmp_path: Path, width: int, *, dark: bool
) -> None:
    file = tmp_path / "digest.html"
    file.write_text(as_html(DIGEST), encoding="utf-8")
    chromium.show(file, width, dark=dark)
    assert chromium.ask(WIDE) is False
    assert chromium.ask(CONTRAST) == []
    assert chromium.ask("document.scripts.length") == 0
    chromium.photo(tmp_path / f"digest-{width}{'-dark' if dark else ''}.png")


def test_what_is_kept_is_what_is_sent() -> None:
    assert from_text(to_text(DIGEST)) == DIGEST


def test_the_plain_part_has_its_tables_in_columns() -> None:
    lines = as_text(DIGEST, again=True).splitlines()
    head = next(line for line in lines if "Currency" in line)
    usd = next(line for line in lines if line.startswith("  USD"))
    assert head.index("Recovered") == usd.index("14,902.25")
    assert AGAIN in lines[-1]
    assert max(len(line) for line in lines if line.startswith("  ")) < 100


def test_in_chat_nobody_is_called_and_nothing_is_a_link() -> None:
    rude = "<!channel> @channel *bold* <https://evil.example|click>"
    notice = Notice(title=rude, lead=rude, parts=(Part(title=rude, rows=((rude,),)),))
    told = as_chat(notice)
    said = json.dumps(told["text"], ensure_ascii=False) + json.dumps(told["blocks"][1:-1])
    assert "<" not in said
    assert "@channel" not in said
    assert "*bold*" not in said


def test_chat_keeps_to_what_slack_takes() -> None:
    rows = tuple((f"{number:,}.00 USD", "cus_" + "x" * 90, "y" * 200) for number in range(900))
    told = as_chat(Notice(title="t" * 400, lead="l", parts=(Part(title="p", rows=rows),)))
    assert len(told["blocks"]) <= 50
    assert len(told["blocks"][0]["text"]["text"]) <= 150
    assert all(len(b["text"]["text"]) <= 3000 for b in told["blocks"] if b["type"] == "section")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("ann@example.com", "a…@example.com"),
        ("<ann.lee+x@mail.example.com>: unknown", "<a…@mail.example.com>: unknown"),
        ("two: a@b.example,bob@c.example", "two: a…@b.example,b…@c.example"),
        ("no address\nat all", "no address at all"),
        ("ünï@straße.example", "ü…@straße.example"),
    ],
)
def test_no_address_is_told_in_full(said: str, told: str) -> None:
    assert discreet(said) == told
