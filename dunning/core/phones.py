"""Phone numbers as they are dialled from anywhere: E.164."""

from __future__ import annotations

import re

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
# What people put between the digits, and the zero of `+44 (0)20` that nobody dials from abroad.
_BETWEEN = re.compile(r"\(0\)|[\s().\-/\u00a0\u2010-\u2015]")


def e164(written: str | None) -> str | None:
    """The number as `+` and digits; None where the country is missing, or it is no number.

    A country is never guessed: a text about a debt must not go to a stranger.
    """
    plain = _BETWEEN.sub("", (written or "").strip())
    if plain.startswith("00"):
        plain = f"+{plain[2:]}"
    return plain if _E164.fullmatch(plain) else None


def is_service(sender: str) -> bool:
    """Whether a sender is a service of the provider's, which chooses the number itself."""
    return re.fullmatch(r"MG[0-9a-fA-F]{32}", sender) is not None


def wrong_sender(sender: str) -> str | None:
    """What is wrong with who texts come from; None: a number, a service, or a name of letters."""
    number = re.fullmatch(r"\+[1-9][0-9]{6,14}|[0-9]{3,8}", sender)
    name = re.fullmatch(r"(?=.*[A-Za-z])[A-Za-z0-9 ]{1,11}", sender)
    if number or name or is_service(sender):
        return None
    return "expected a number such as +4512345678, a messaging service (MG…), or a short name"
