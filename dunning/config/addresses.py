"""Checks of addresses: of mail, of servers, of pages. Messages never repeat what may be secret."""

from __future__ import annotations

import re
from email.utils import parseaddr
from urllib.parse import urlsplit

from dunning.config.problems import quoted

# Strict on purpose: one plain mailbox. Quoted local parts and comments are refused.
_MAILBOX = re.compile(r"[^\s@<>\"(),:;\\]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\Z")


def wrong_mailbox(value: str, *, named: bool = True) -> str | None:
    """What is wrong with `Name <box@example.com>` or `box@example.com`; None: nothing."""
    example = "Billing <billing@example.com>" if named else "help@example.com"
    name, address = parseaddr(value)
    plain = value.isprintable() and _MAILBOX.match(address) is not None
    whole = value == address or (named and value.endswith(f"<{address}>"))
    if plain and whole and (named or not name):
        return None
    return f"{quoted(value)} is not a mail address; expected one such as {example}"


def wrong_url(url: str, schemes: tuple[str, ...], example: str) -> str | None:
    """What is wrong with the address of a server; None: nothing."""
    expected = f"expected one such as {example}"
    scheme, separator, _ = url.partition("://")
    if not separator or scheme.lower() not in schemes:
        known = ", ".join(f"{each}://" for each in schemes)
        return f"does not begin with {known}; {expected}"
    if not url.isprintable() or " " in url:
        return f"has a space or a control character in it; {expected}"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return f"has no usable host and port; {expected}; special characters as %XX"
    if not host or "@" in parts.path + parts.query + parts.fragment:
        return f"has no host; {expected}; special characters of a password as %XX"
    return None


def wrong_page(url: str, example: str) -> str | None:
    """What is wrong with the base of web pages: no password, no query."""
    wrong = wrong_url(url, ("http", "https"), example)
    if wrong:
        return wrong
    parts = urlsplit(url)
    if "@" in parts.netloc or parts.query or parts.fragment or url.endswith(("?", "#")):
        return f"has more than scheme, host and path; expected one such as {example}"
    return None
