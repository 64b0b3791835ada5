"""`policy preview --format svg|html`: what the picture says, and that it can be read anywhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dunning.cli.drawing import Story, page, shapes, story_of, wide
from dunning.cli.drawing.text import cut, folded, width
from dunning.cli.preview import live_through
from dunning.cli.trial import Asked
from dunning.config import load_policies
from dunning.core.money import Money
from tests.browser import Browser, browser
from tests.cli.conftest import Shell
from tests.policies import STANDARD

EVIL = '</desc></title><script>alert("日本語 x")</script>&amp;'
FAILED_AT = datetime(2026, 3, 1, 9, tzinfo=UTC)
LINES = [
    *(f"{{at: {5 * i + 3}h, do: retry, jitter: 10m}}" for i in range(26)),
    *(f"{{at: {31 * i + 1}h, do: email, template: reminder}}" for i in range(26)),
    "{at: 4d, do: restrict}",
    "{at: 5d, do: suspend}",
    "{at: 5d, do: email, template: a_message_with_a_name_that_is_longer_than_most_of_them_are}",
    "{at: 90d, do: give_up, subscription: cancel}",
]
MANY = "version: 1\npolicies:\n  p:\n    grace: 3d\n    window: 90d\n    timeline:\n" + "".join(
    f"      - {line}\n" for line in LINES
)


AHEAD = """
version: 1
policies:
  p:
    kind: renewal
    timeline:
      - {before: 30d, do: email, template: renewal_notice}
      - {before: 7d, do: email, template: a_second_word, time: "09:00"}
  failed:
    grace: 1d
    window: 1d
    timeline: [{at: 0h, do: email, template: renewal_notice}]
choose: [{policy: p}, {policy: failed}]
"""


def story(code: str = "insufficient_funds", text: str = "", zone: str = "Europe/Berlin") -> Story:
    policy = STANDARD
    if text:
        names = set(re.findall(r"template: (\w+)", text))
        loaded = load_policies(text, filename="p.yaml", environ=None, known_templates=names)
        policy = loaded.policies["p"]
    asked = Asked(amount=Money(4900, "usd"), failed_at=FAILED_AT, code=code, timezone=zone)
    return story_of(live_through(policy, asked))


STORIES = {
    "usual": story(),
    "left_out": story("lost_card"),
    "many": story(EVIL, MANY, "Asia/Tokyo"),
    "notice": story(text=AHEAD),
}


# --- what it says ----------------------------------------------------------------------------


def test_the_story_of_the_default() -> None:
    told = STORIES["usual"]
    assert [(round(band.start), round(band.end), band.level) for band in told.bands] == [
        (0, 10, "full"),
        (10, 14, "restricted"),
        (14, 28, "suspended"),
    ]
    assert told.lanes == ["Charges", "Emails", "Doors"]
    assert [mark.name for mark in told.on("Doors")] == ["restrict", "suspend", "give up"]
    assert [(tick.day, tick.date) for tick in told.ticks[:2]] == [(0, "1 Mar"), (7, "8 Mar")]
    assert told.words.startswith("Day 0, Sun 1 Mar, 10:00: first failure, declined. Day 0, Sun")
    assert told.words.endswith("In the end: lost (given up)")


def test_what_is_left_out_is_told_with_its_reason() -> None:
    (told,) = STORIES["left_out"].left_out
    assert told.startswith("Left out: retry 1, retry 2, retry 3, retry 4, retry 5 (stop: The card")
    svg = wide(STORIES["left_out"])
    assert svg.count('class="skipped"') == 6  # and one in the legend
    assert ">retry 1, left out</text>" in svg


def test_the_story_of_a_notice_counts_down_to_its_moment() -> None:
    told = STORIES["notice"]
    assert [(mark.name, mark.number) for mark in told.marks] == [
        ("email renewal_notice", -30),
        ("email a_second_word", -6),
        ("the renewal", 0),
    ]
    assert (told.ticks[-1].day, told.ticks[-1].at) == (0, told.days)
    assert [mark.day for mark in told.marks] == sorted(mark.day for mark in told.marks)
    assert told.marks[-1].day == told.days
    assert told.bands == ()  # no access is taken
    assert "The bank says" not in dict(told.facts)


def test_nothing_from_outside_is_taken_for_markup() -> None:
    text = page(STORIES["many"])
    assert "<script" not in text
    assert "&lt;/desc&gt;&lt;/title&gt;&lt;script&gt;alert" in text
    assert "default-src 'none'" in text


@pytest.mark.parametrize("colours", [shapes._LIGHT, shapes._DARK])
def test_colours_can_be_told_apart(colours: str) -> None:
    found = dict(re.findall(r"--([\w-]+):#(\w{6})", colours))
    assert len(found) == 13
    for text, ground in (
        *(("ink", "paper"), ("soft", "paper")),
        *((f"on-{level}", level) for level in shapes.LEVELS),
    ):
        assert contrast(found[text], found[ground]) >= 4.5, (text, ground)
    for sign in ("charge", "mail", "door"):
        assert contrast(found[sign], found["paper"]) >= 3, sign


def contrast(one: str, other: str) -> float:
    """As the accessibility guidelines reckon it."""

    def light(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        red, green, blue = (
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, bright = sorted((light(one), light(other)))
    return (bright + 0.05) / (dark + 0.05)


def test_text_is_cut_and_folded_to_its_room() -> None:
    assert cut("short", 13, 100) == "short"
    assert cut("much longer than that", 13, 60).endswith("…")
    assert width(cut("much longer than that", 13, 60), 13) <= 60
    lines = folded("some words and a_very_long_word_that_does_not_fit", 13, 80)
    assert lines[0] == "some words"
    assert all(width(line, 13) <= 80 for line in lines)


def test_it_is_written_to_a_file_or_to_the_screen(shell: Shell) -> None:
    asked = ("policy", "preview", "--amount", "49", "--failed-at", "2026-03-01T09:00Z")
    out = shell(*asked, "--format", "html", "--out", "way.html").out
    assert out == "way.html is written.\n"
    assert (shell.folder / "way.html").read_text("utf-8").startswith("<!doctype html>")
    assert shell(*asked, "--format", "svg").out.startswith("<svg ")
    assert "a table is for the screen" in shell(*asked, "--out", "x", code=2).err
    assert "cannot write" in shell(*asked, "--format", "csv", "--out", ".", code=1).complaint


# --- in a real browser -----------------------------------------------------------------------

MEASURE = """
(() => {
  const seen = [...document.querySelectorAll('svg text')].filter(e => e.getClientRects().length);
  const boxes = seen.map(e => [e.textContent, e.getBoundingClientRect()]);
  const wrong = [];
  const page = document.documentElement;
  if (page.scrollWidth > innerWidth) wrong.push(`the page is ${page.scrollWidth} wide`);
  if (!boxes.length) wrong.push('no drawing is seen');
  for (const [text, box] of boxes) {
    const round = [...document.querySelectorAll('svg')].filter(e => e.getClientRects().length)[0]
      .getBoundingClientRect();
    if (box.left < round.left - 1 || box.right > round.right + 1 || box.bottom > round.bottom + 1
        || box.top < round.top - 1) wrong.push(`${text} leaves the drawing`);
  }
  boxes.forEach(([one, a], i) => boxes.slice(i + 1).forEach(([other, b]) => {
    const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (across > 1 && down > 3) wrong.push(`${one} and ${other} overlap`);
  }));
  for (const e of seen) {
    const scale = e.getScreenCTM().a || Math.abs(e.getScreenCTM().b);
    const size = parseFloat(getComputedStyle(e).fontSize) * scale;
    if (size < 10.5) wrong.push(`${e.textContent} is small: ${size}`);
  }
  for (const e of document.querySelectorAll('td, th, dd, h1'))
    if (e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== 'inline'
        && e.getClientRects().length && !e.closest('thead')) wrong.push(`${e.textContent} is cut`);
  return wrong;
})()
"""


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.mark.parametrize("screen", [360, 390, 768, 1280])
@pytest.mark.parametrize("name", STORIES)
def test_nothing_overlaps_or_overflows(
    name: str, screen: int, chromium: Browser, tmp_path: Path
) -> None:
    file = tmp_path / "page.html"
    file.write_text(page(STORIES[name]), "utf-8")
    chromium.show(file, screen)
    assert chromium.ask(MEASURE) == []
    assert chromium.ask("document.scripts.length") == 0


def test_a_drawing_alone_is_whole_and_said_in_words(chromium: Browser, tmp_path: Path) -> None:
    for name, told in STORIES.items():
        file = tmp_path / f"{name}.svg"
        file.write_text(wide(told), "utf-8")
        chromium.show(file, 1280)
        assert chromium.ask(MEASURE.replace("'svg text'", "'text'")) == [], name
        says = "['title', 'desc'].map(tag => document.querySelector(tag).textContent)"
        assert chromium.ask(says) == [told.title, told.words]
        assert chromium.ask("document.querySelectorAll('script, image, a').length") == 0
        assert not re.search(r"(?:href|src|url\()", wide(told).replace("http://www.w3.org", ""))


def test_it_is_dark_at_night_and_light_on_paper(chromium: Browser, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text(page(STORIES["usual"]), "utf-8")
    ground = "getComputedStyle(document.body).backgroundColor"
    chromium.show(file, 1280)
    assert chromium.ask(ground) == "rgb(255, 255, 255)"
    chromium.show(file, 1280, dark=True)
    assert chromium.ask(ground) == "rgb(20, 24, 29)"
    chromium.show(file, 1280, dark=True, media="print")
    assert chromium.ask(ground) == "rgb(255, 255, 255)"
    assert chromium.paper().startswith(b"%PDF-")
