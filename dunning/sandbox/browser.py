"""A very small browser: follows an email's link as a customer would, and fills the form in."""

from __future__ import annotations

import http.client
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urlencode, urljoin, urlsplit

_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_STEPS = 10
_TIMEOUT = 15.0
_SECONDARY = ("unsubscribe", "preference", "privacy", "imprint", "support", "logo", "help")


@dataclass
class Form:
    """One form of a page."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)


@dataclass
class Page:
    """What a person sees after following links."""

    url: str
    status: int
    text: str
    forms: list[Form]
    links: list[str]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[str] = []
        self._open: Form | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._open = Form(given.get("action", ""), given.get("method", "get").upper())
            self.forms.append(self._open)
        elif tag in ("input", "button") and self._open is not None and given.get("name"):
            self._open.fields.setdefault(given["name"], given.get("value", ""))
        elif tag == "a" and given.get("href"):
            self.links.append(given["href"])

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None


class Browser:
    """Goes where links and redirects lead; keeps cookies, knows no scripts."""

    def __init__(self) -> None:
        self._cookies: dict[str, str] = {}

    def open(self, url: str, fields: dict[str, str] | None = None) -> Page:
        """GET the page, or POST the fields to it, and follow redirects."""
        body = urlencode(fields) if fields is not None else None
        for _ in range(_MOST_STEPS):
            status, headers, text = self._once(url, body)
            location = headers.get("location")
            if status not in _REDIRECTS or not location:
                reader = _Reader()
                reader.feed(text)
                return Page(url, status, text, reader.forms, reader.links)
            url = urljoin(url, location)
            if status in (301, 302, 303):
                body = None
        raise ConnectionError(f"too many redirects at {url}")

    def _once(self, url: str, body: str | None) -> tuple[int, dict[str, str], str]:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https"):
            raise ConnectionError(f"not a web address: {url}")
        https = parts.scheme == "https"
        kind = http.client.HTTPSConnection if https else http.client.HTTPConnection
        connection = kind(parts.netloc, timeout=_TIMEOUT)
        path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        sent = {"User-Agent": "Simulated customer", "Accept": "text/html"}
        if self._cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        if body is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            connection.request("POST" if body is not None else "GET", path, body, sent)
            answer = connection.getresponse()
            text = answer.read().decode("utf-8", "replace")
            headers = {name.lower(): value for name, value in answer.getheaders()}
            for cookie in answer.headers.get_all("Set-Cookie") or []:
                name, _, value = cookie.partition(";")[0].partition("=")
                self._cookies[name.strip()] = value.strip()
        finally:
            connection.close()
        return answer.status, headers, text

    def give_card(self, link: str, number: str, shop: str, *, use_saved: bool = False) -> Page:
        """From the link to a page that asks for a card, and through it.

        `shop` is where the payment pages live; a page of the program in between is passed by its
        link to there or by its form.
        """
        page = self.open(link)
        for _ in range(_MOST_STEPS):
            saved = [form for form in page.forms if form.fields.get("action") == "saved"]
            card = [form for form in page.forms if "number" in form.fields]
            if use_saved and saved:
                return self._submit(page, saved[0], {})
            if card:
                return self._submit(page, card[0], {"number": number})
            onward = [one for one in page.links if urljoin(page.url, one).startswith(shop)]
            posts = [form for form in page.forms if form.method == "POST"]
            if onward:
                page = self.open(urljoin(page.url, onward[0]))
            elif posts and not page.url.startswith(shop):
                page = self._submit(page, posts[0], {})
            else:
                return page
        return page

    def _submit(self, page: Page, form: Form, more: dict[str, str]) -> Page:
        return self.open(urljoin(page.url, form.action or page.url), {**form.fields, **more})


def likely_link(links: list[str]) -> str | None:
    """The link a person would click: the first that is not about something else."""
    for link in links:
        secondary = any(word in link.lower() for word in _SECONDARY)
        if link.startswith(("http://", "https://")) and not secondary:
            return link
    return None
