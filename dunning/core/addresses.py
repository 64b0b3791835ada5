"""Email addresses as they are compared, and what an answer of a mail server says of one."""

from __future__ import annotations

import re
import unicodedata

# What RFC 3463 says of the mailbox itself: unknown, badly written, moved away, switched off.
# 5.1.7 and 5.1.8 speak of the sender; 5.2.2 is a full mailbox; 5.7 is about the letter.
_DEAD = re.compile(r"5\.(?:1\.(?:1|2|3|6|10)|2\.1|4\.4)$")
_STATUS = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.])")
LONGEST = 320


def normalised(address: str) -> str:
    """The form in which addresses are compared: one case, one way to write each letter.

    In theory `Ann@…` and `ann@…` are two mailboxes; no provider of today gives out both.
    """
    text = unicodedata.normalize("NFC", address).strip().strip("<>").strip().lower()
    local, at, domain = text.rpartition("@")
    return f"{local}{at}{_ascii(domain).rstrip('.')}"[:LONGEST]


def is_dead(status: str | None) -> bool:
    """Whether this enhanced status code (RFC 3463) says that nobody is at the address."""
    return status is not None and _DEAD.match(status) is not None


def status_in(text: str) -> str | None:
    """The first enhanced status code in an answer such as `550 5.1.1 no such user`."""
    found = _STATUS.search(text)
    return found[1] if found else None


def message_name(step_key: str) -> str:
    """What stands before the @ of the Message-ID of a step's email."""
    return step_key.replace("/", ".").replace(":", ".")


def _ascii(domain: str) -> str:
    return ".".join(
        part if part.isascii() else "xn--" + part.encode("punycode").decode("ascii")
        for part in domain.split(".")
    )
