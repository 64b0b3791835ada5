"""Emails of made-up names, amounts and languages, read by parsers that are not ours."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from html.parser import HTMLParser
from typing import ClassVar

from hypothesis import given
from hypothesis import strategies as st

from dunning.core.money import Money
from dunning.messages import (
    TEMPLATES,
    Brand,
    InvoiceLine,
    Messages,
    every_fact,
    format_money,
)
from dunning.messages.values import locale_of

MESSAGES = Messages()
LINKS = {"pay": "https://pay.example/i/1", "card": "https://pay.example/c/1"}


@given(
    name=st.text(max_size=120),
    what=st.text(max_size=120),
    minor=st.integers(min_value=1, max_value=10**15),
    currency=st.sampled_from(
        ["usd", "eur", "jpy", "krw", "kwd", "bhd", "clp", "isk", "ugx", "huf"]
    ),
    locale=st.sampled_from([*MESSAGES.languages(), "de-AT", "fr-CA", "pt-PT", "ar", "fi", "zh-TW"]),
    template=st.sampled_from(TEMPLATES),
    several=st.booleans(),
)
def test_whatever_is_said_in_whatever_language_the_message_stands(
    name: str, what: str, minor: int, currency: str, locale: str, template: str, several: bool
) -> None:
    amount = Money(minor, currency)
    line = InvoiceLine(number=name, what_for=what, amount=amount, since=date(2026, 3, 1))
    facts = replace(
        every_fact(template),
        locale=locale,
        customer_name=name,
        what_for=what,
        amount=amount,
        renewal_amount=amount,
        invoices=(line, replace(line, number="F-2")) if several else (),
        brand=Brand(name=what, address=(name, what), support_phone=name),
    )
    rendered = MESSAGES.render(facts)
    reader = Outline()
    reader.feed(rendered.html)
    reader.close()
    assert reader.open == []  # every element is closed, whatever was in the values
    assert set(reader.names) <= Outline.OURS
    assert reader.links <= {f"mailto:{facts.support_email}", LINKS["pay"], LINKS["card"]} | {
        link for link in reader.links if re.fullmatch(r"tel:[0-9+]+", link)
    }
    assert not re.search(r"%\(\w+\)s|\{\{|\{%", rendered.text.replace(name, "").replace(what, ""))
    written = EmailMessage(policy=policy.SMTP)
    written["Subject"] = rendered.subject
    written.set_content(rendered.text)
    assert list(BytesParser(policy=policy.default).parsebytes(written.as_bytes()).keys()) == [
        "Subject", "Content-Type", "Content-Transfer-Encoding", "MIME-Version",
    ]  # fmt: skip
    named = template != "new_link" and not several
    shown = format_money(amount, locale_of(locale)) if named else None
    assert shown is None or shown in rendered.text


class Outline(HTMLParser):
    """A page as a parser of its own reads it: what is open, which elements, which links."""

    ALONE: ClassVar = {"meta", "img", "br", "hr", "link", "input"}
    OURS: ClassVar = {
        *("html", "head", "meta", "title", "style", "body", "div", "table", "tbody", "tr", "td"),
        *("p", "a", "strong", "span", "br"),
    }

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: list[str] = []
        self.links: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.links |= {value or "" for key, value in attrs if key in {"href", "src"}}
        if tag not in self.ALONE:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
