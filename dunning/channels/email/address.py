"""What one email address is, and a line of text that can do no harm in a header."""

from __future__ import annotations

import re
import unicodedata
from email.headerregistry import Address
from functools import lru_cache

NAME_LENGTH = 60
_LINE_LENGTH = 200
_JOINERS = "\u200c\u200d"  # invisible, but Persian, Indic scripts and emoji need them
ATOM_TEXT = "!#$&'*+-/=?^_`{|}~."  # in a local part besides letters and digits; % apart


class AddressError(ValueError):
    """This is not one email address."""


def parsed(text: str) -> Address:
    """Exactly one address; what could be read as two, or as a header, is refused."""
    local, at, domain = text.strip(" ").rpartition("@")
    if not at or not local:
        raise AddressError("it is not an email address")
    if not all(_is_letter(character) or character in ATOM_TEXT + "%" for character in local):
        raise AddressError("it has characters that no address has")
    address = Address(username=unicodedata.normalize("NFC", local), domain=ascii_domain(domain))
    if len(local.encode()) > 64 or len(address.addr_spec) > 254:
        raise AddressError("it is too long")
    return address


@lru_cache(maxsize=256)
def own_address(which: str, text: str) -> Address:
    """`Acme <billing@acme.example>`, or the address alone, as the merchant configured it."""
    found = re.fullmatch(r"(?:([^<>\r\n\0]*)<)?([^<>\r\n\0]+?)>?\s*", text)
    try:
        if found is None:
            raise AddressError("it is not an email address")
        address = parsed(found[2])
    except AddressError as error:
        message = f"the {which} is unusable: {error}"
        raise ValueError(message) from None
    name = one_line(found[1] or "", NAME_LENGTH).strip('"')
    return Address(name, address.username, address.domain)


def _is_letter(character: str) -> bool:
    return unicodedata.category(character)[0] in "LNM"


def ascii_domain(domain: str) -> str:
    """The domain as the mail system writes it: `straße.example` is `xn--strae-oqa.example`.

    Python's own `idna` codec follows the rules of 2003 and would make that `strasse.example`,
    which belongs to somebody else.
    """
    return ".".join(_ascii_label(label) for label in domain.rstrip(".").split("."))


def _ascii_label(label: str) -> str:
    allowed = all(character == "-" or _is_letter(character) for character in label)
    written = label
    if not label.isascii() and allowed:
        folded = unicodedata.normalize("NFC", label.lower())
        written = "xn--" + folded.encode("punycode").decode("ascii")
    if not allowed or not 0 < len(written) < 64 or written[0] == "-" or written[-1] == "-":
        raise AddressError("what follows the @ is not a domain")
    return written


def one_line(text: str, limit: int = _LINE_LENGTH) -> str:
    """One line without control characters and direction marks, at most `limit` long.

    Nor can it pass for an encoded word (`=?utf-8?q?=0D=0A?=`), which mail programs, and the
    email package itself, would decode into what was kept out here.
    """
    kept = []
    for character in text:
        category = unicodedata.category(character)
        if category in {"Cc", "Zl", "Zp"}:
            kept.append(" ")
        elif category not in {"Cf", "Cs", "Co"} or character in _JOINERS:
            kept.append(character)
    line = " ".join("".join(kept).split()).replace("=?", "= ?")
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"
