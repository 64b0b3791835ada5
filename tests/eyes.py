"""Looks at a page as people do: on a phone and a desk, by day and at night, and with axe."""

from __future__ import annotations

import json
import os
import time
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.browser import PATIENCE, Browser

PHONE, DESK = 390, 1280
# Where pictures go that a person wants to look at; else they go away with the test's own folder.
PICTURES = "TEST_PICTURES"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
MEASURE = """
(() => {
  const wrong = [], wide = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > wide) wrong.push('the page is wider than the screen');
  for (const e of document.querySelectorAll('h1,h2,p,dt,dd,li,button,select,label,a,img')) {
    const box = e.getBoundingClientRect();
    if (!box.width) continue;
    if (box.left < 0 || box.right > wide + 0.5) wrong.push(`${e.textContent} sticks out`);
    if (['BUTTON', 'SELECT'].includes(e.tagName) && box.height < 44)
      wrong.push(`${e.textContent} is too small to be pressed`);
  }
  for (const e of document.querySelectorAll('form + p')) {
    const above = e.previousElementSibling.getBoundingClientRect();
    if (e.getBoundingClientRect().top - above.bottom < 16) wrong.push(`${e.textContent} is tight`);
  }
  return wrong;
})()
"""


@cache
def _axe() -> str:
    return (files("axe_core_python") / "axe.min.js").read_text("utf-8")


class Eyes:
    """A browser that looks at one site."""

    def __init__(self, browser: Browser, site: str, folder: Path) -> None:
        self.browser = browser
        self._site = urlsplit(site).netloc
        kept = os.environ.get(PICTURES)
        self._folder = Path(kept) if kept else folder
        self._folder.mkdir(parents=True, exist_ok=True)
        for domain in ("Network", "Log", "Page"):
            browser.call(f"{domain}.enable")
        self._scripts(False)  # whatever the page is, it must do without

    def look(self, url: str, name: str) -> None:
        """See the page in every way; fail on whatever is wrong with it."""
        for width in (PHONE, DESK):
            for dark in (False, True):
                self.browser.told.clear()
                self.browser.visit(url, width, dark=dark)
                self.check(f"{name}-{width}-{'dark' if dark else 'light'}")

    def check(self, name: str) -> None:
        """What is seen right now is whole, readable by all, and loads nothing from elsewhere."""
        self.browser.photo(self._folder / f"{name}.png")
        measured = self.browser.ask(MEASURE)
        assert measured == [], (name, measured)
        assert self.browser.ask("document.scripts.length") == 0, name
        self.heard_nothing(name)
        found = self.violations()
        assert found == [], (name, found)
        self.browser.told.clear()

    def heard_nothing(self, name: str) -> None:
        """Nothing was refused by the policy of contents, and nothing asked of anybody else."""
        self.heard_nothing_refused(name)
        asked = {
            told["request"]["url"]
            for what, told in self.browser.told
            if what == "Network.requestWillBeSent"
            and urlsplit(told["documentURL"]).netloc == self._site
        }
        others = {url for url in asked if urlsplit(url).netloc not in ("", self._site)}
        assert others == set(), name

    def heard_nothing_refused(self, name: str) -> None:
        """Nothing was against a policy of contents: neither a style nor where a form led."""
        refused = [
            told["entry"]["text"]
            for what, told in self.browser.told
            if what == "Log.entryAdded" and told["entry"]["source"] in ("security", "violation")
        ]
        assert refused == [], name

    def _scripts(self, run: bool) -> None:
        self.browser.call("Emulation.setScriptExecutionDisabled", value=not run)

    def violations(self) -> list[str]:
        """What axe says of the page; it is a script itself."""
        self._scripts(True)
        try:
            return self._violations()
        finally:
            self._scripts(False)

    def _violations(self) -> list[str]:
        options = {"runOnly": TAGS, "preload": False, "resultTypes": ["violations"]}
        said = self._wait_for(
            f"{_axe()}; axe.run(document, {json.dumps(options)}).then(found => JSON.stringify("
            "found.violations.map(one => [one.id, one.help, one.nodes.map(node => node.html)])))"
        )
        return [f"{rule}: {help_} at {nodes}" for rule, help_, nodes in json.loads(said)]

    def _wait_for(self, expression: str) -> Any:
        found = self.browser.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"]["value"]

    def press(self, selector: str, leads_to: str = "") -> str:
        """Press a button as a finger does; the address of the page that comes.

        A provider that was too slow for the page is asked once more, as its customers would.
        """
        found = ""
        for _ in range(5):
            page = str(self.browser.ask("location.href"))
            found = self._pressed(selector)
            if found.startswith(leads_to):
                return found
            self.browser.visit(page, DESK)
        raise AssertionError(f"{selector} leads to {found}: {self.text()}")

    def _pressed(self, selector: str) -> str:
        place = self.browser.ask(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            " e.scrollIntoView({block: 'center'}); const box = e.getBoundingClientRect();"
            " window.isOld = true; return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.browser.call(
                "Input.dispatchMouseEvent",
                type=kind,
                x=place[0],
                y=place[1],
                button="left",
                clickCount=1,
            )
        until = time.monotonic() + PATIENCE
        while self.browser.ask("window.isOld || document.readyState !== 'complete'"):
            assert time.monotonic() < until, f"nothing follows {selector}"
        return str(self.browser.ask("location.href"))

    def text(self) -> str:
        """All that can be read."""
        return str(self.browser.ask("document.body.innerText"))
