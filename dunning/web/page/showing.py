"""Makes the page: words in the customer's language, the merchant's looks, and nothing from afar."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from babel import Locale
from babel.dates import format_date
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse, Response

from dunning.core.brand import Brand, palette
from dunning.core.money import Money
from dunning.links import Pages
from dunning.messages import Catalogues, format_money, words_for_templates
from dunning.messages.catalogues import ROOT, SOURCE
from dunning.messages.values import locale_of, one_line

_LANGUAGES_ASKED = 12
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow, noarchive",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
}
# For the first looks at a result that is still to come; then the customer asks.
WAITS = (3, 3, 5, 8, 13, 20)


def is_plain(url: str) -> bool:
    """Whether an address can stand in a policy of contents: https, and nothing to part it by."""
    parts = urlsplit(url)
    return parts.scheme == "https" and bool(
        re.fullmatch(r"[a-z0-9.-]+(:[0-9]+)?", parts.netloc.lower())
        and re.fullmatch(r"[A-Za-z0-9/._~%+@-]*", parts.path)
    )


@dataclass(frozen=True, slots=True)
class Voice:
    """A language that there are words for, and how its people write amounts and dates."""

    locale: Locale
    language: str

    def money(self, amount: Money) -> str:
        """An amount."""
        return format_money(amount, self.locale)

    def day(self, day: date) -> str:
        """A date as people read it: 4 December 2026."""
        return str(format_date(day, "long", self.locale))

    def weekday(self, day: date) -> str:
        """A near date, of which the day of the week says most: Friday, 4 December 2026."""
        return str(format_date(day, "full", self.locale))


class Showing:
    """Renders pages. `folder` holds catalogues of ops' own, before ours."""

    def __init__(self, catalogues: Catalogues) -> None:
        self._catalogues = catalogues
        self._environment = Environment(
            loader=FileSystemLoader(ROOT),
            autoescape=True,
            undefined=StrictUndefined,
            extensions=["jinja2.ext.i18n"],
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.newstyle_gettext = True  # type: ignore[attr-defined]
        self._environment.policies["ext.i18n.trimmed"] = True

    def voice(self, wished: str | None, accepted: str = "") -> Voice:
        """The customer's language, else the best that the browser asks for, else English."""
        for name in [wished] if wished else _asked_for(accepted):
            locale = locale_of(name)
            language = self._catalogues.language_of(locale)
            # What nobody has words for comes back as English, asked for or not.
            if language != SOURCE or name[:2].lower() == SOURCE:
                return Voice(locale, language)
        return Voice(Locale.parse(SOURCE), SOURCE)

    def said(self, voice: Voice, sentence: str) -> str:
        """One of our English sentences in this language."""
        return str(self._catalogues.for_(voice.locale).gettext(sentence))

    def page(
        self,
        template: str,
        voice: Voice,
        brand: Brand,
        *,
        status: int = 200,
        leads_to: Pages | None = None,
        headers: Mapping[str, str] | None = None,
        **words: Any,
    ) -> Response:
        """One page; `leads_to`: where its buttons may end."""
        logo = brand.logo_url if brand.logo_url and is_plain(brand.logo_url) else None
        style = self._style(brand.colour)
        words = {
            **words_for_templates(self._catalogues.for_(voice.locale), autoescape=True),
            "language": voice.language.replace("_", "-"),
            "direction": Locale.parse(voice.language).text_direction,
            "brand": brand,
            "logo": logo,
            "style": Markup(style),  # noqa: S704 ours, and a checked colour
            "strong": _strong,
            "mail": _mail,
            "again": False,
            "notice": None,
            **words,
        }
        html = self._environment.get_template(f"page/{template}.jinja").render(words)
        policy = _contents(style, logo, leads_to)
        told = {**_HEADERS, "Content-Security-Policy": policy, **(headers or {})}
        return HTMLResponse(html, status, headers=told)

    @lru_cache(maxsize=16)  # noqa: B019 there is one of these
    def _style(self, colour: str | None) -> str:
        made = self._environment.get_template("page/style.jinja").render(colours=palette(colour))
        return made.replace("\n", "")


def redirect_headers() -> dict[str, str]:
    """What an answer says that leads on."""
    return {**_HEADERS, "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"}


def _contents(style: str, logo: str | None, leads_to: Pages | None) -> str:
    """Nothing but our own style, the merchant's logo, and forms that end at the provider."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    images = "data:"
    if logo is not None:
        parts = urlsplit(logo)
        images += f" https://{parts.netloc}{parts.path}"
    # A browser holds a form's redirection to this as well.
    ends = ["'self'", *(leads_to.patterns() if leads_to else ())]
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src {images}; "
        f"form-action {' '.join(ends)}; base-uri 'none'; frame-ancestors 'none'"
    )


def _asked_for(accepted: str) -> Sequence[str]:
    """The languages of an Accept-Language header, best first."""
    wished = []
    for place, part in enumerate(accepted.split(",")[:_LANGUAGES_ASKED]):
        name, _, weight = part.strip().partition(";")
        told = re.fullmatch(r"\s*q=([01](?:\.[0-9]{0,3})?)\s*", weight) if weight else None
        rank = float(told[1]) if told else float(not weight)
        if re.fullmatch(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,2}", name) and rank > 0:
            wished.append((-rank, place, name))
    return [name for _, _, name in sorted(wished)]


def _strong(text: object) -> Markup:
    return Markup("<strong>{}</strong>").format(text)


def _mail(address: str) -> Markup:
    return Markup('<a href="mailto:{}">{}</a>').format(address, address)


def clean(text: str | None) -> str | None:
    """A value from outside, on one line; None where nothing is left of it."""
    return (one_line(text) or None) if text is not None else None
