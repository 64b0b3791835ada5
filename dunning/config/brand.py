"""`brand`: the merchant as customers see it in emails and on pages."""

from __future__ import annotations

import re
from dataclasses import fields as names
from dataclasses import replace

from dunning.config.addresses import wrong_mailbox, wrong_url
from dunning.config.cursor import At, Fields, fields, one_or_more, text
from dunning.config.problems import quoted
from dunning.core.brand import Brand, rgb

BRAND_KEYS = ("name", "logo", "colour", "address", "support")
SUPPORT_KEYS = ("email", "url", "phone")
MAX_LINES = 8
COLOUR = "#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})"
PHONE = r"\+?[0-9][0-9 ()/.-]{2,30}"

_COLOUR = 'a colour in quotes, such as "#1d4ed8"'


def read_brand(at: At) -> Brand | None:
    """What the file says of the merchant; None where it says something wrong."""
    found = fields(at, BRAND_KEYS)
    if found is None:
        return None
    problems = at.report.count
    support_at = found.get("support")
    support = None if support_at is None else _support(support_at)
    brand = Brand(
        name=found.read("name", lambda each: text(each, "your name"), None),
        logo_url=found.read("logo", _logo, None),
        colour=found.read("colour", _colour, None),
        address=found.read("address", _address, ()) or (),
        **(support or {}),
    )
    return brand if at.report.count == problems else None


def of_source(own: Brand, whole: Brand) -> Brand:
    """A source's brand: what it does not say is as the file has it for all."""
    said = {each.name: value for each in names(own) if (value := getattr(own, each.name))}
    return replace(whole, **said)


def describe_brand(brand: Brand) -> str:
    """In a sentence: what customers see."""
    seen = {
        "logo": brand.logo_url,
        "colour": brand.colour,
        "address": ", ".join(brand.address),
        "support": ", ".join(
            filter(None, (brand.support_email, brand.support_url, brand.support_phone))
        ),
    }
    told = "; ".join(f"{key} {value}" for key, value in seen.items() if value)
    name = brand.name or "the name in DUNNING_COMPANY"
    return f"Customers see {name}{f', {told}' if told else ''}."


def _support(at: At) -> dict[str, str | None] | None:
    found = fields(at, SUPPORT_KEYS)
    return None if found is None else _ways(found)


def _ways(found: Fields) -> dict[str, str | None]:
    return {
        "support_email": found.read("email", _email, None),
        "support_url": found.read("url", _page, None),
        "support_phone": found.read("phone", _phone, None),
    }


def _email(at: At) -> str | None:
    value = text(at, "an address such as help@example.com")
    return _unless(at, value, wrong_mailbox(value, named=False) if value else None)


def _page(at: At) -> str | None:
    return _secure(at, "https://example.com/help")


def _logo(at: At) -> str | None:
    """Mail programs warn of pictures that come over an open line, or leave them out."""
    return _secure(at, "https://example.com/logo.png")


def _secure(at: At, example: str) -> str | None:
    value = text(at, f"an address such as {example}")
    if value is None:
        return None
    wrong = wrong_url(value, ("https",), example)
    if wrong is None and not (value.isascii() and not set(value) & set('<>"\\@')):
        wrong = f"has a character that is not one of links; expected one such as {example}"
    return _unless(at, value, f"{quoted(value)} {wrong}" if wrong else None)


def _phone(at: At) -> str | None:
    expected = "a number such as +44 20 7946 0018"
    value = text(at, expected)
    if value is None or re.fullmatch(PHONE, value, re.ASCII):
        return value
    at.fail(f"{quoted(value)} is not a phone number; expected {expected}")
    return None


def _colour(at: At) -> str | None:
    value = text(at, _COLOUR)  # without quotes, YAML takes it for a comment
    if value is None:
        return None
    try:
        rgb(value)
    except ValueError:
        at.fail(f"{quoted(value)} is not a colour; expected {_COLOUR}")
        return None
    return value


def _address(at: At) -> tuple[str, ...]:
    return one_or_more(at, lambda each: text(each, "a line of the address"), "lines", MAX_LINES)


def _unless(at: At, value: str | None, wrong: str | None) -> str | None:
    if wrong:
        at.fail(wrong)
        return None
    return value
