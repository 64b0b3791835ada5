"""What comes back of an email: bounces and complaints, and what they say of the address."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from dunning.core.addresses import is_dead, status_in

# One that did not arrive says little of an address; the third one after the other says enough.
IN_A_ROW = 3
_WHY_LENGTH = 300
# Said where there is no status code, or one that says nothing (5.0.0).
_NOBODY = re.compile(
    r"no such (?:user|mailbox|recipient|address|person)|(?:user|mailbox|recipient|address|account)"
    r" (?:is )?(?:unknown|not found|does(?: not|n't) exist)|unknown (?:user|recipient|mailbox)"
    r"|does not exist|no mailbox here|invalid (?:recipient|mailbox)",
    re.IGNORECASE,
)
_SAYS_NOTHING = re.compile(r"5\.(?:0\.0|1\.0|3\.0|5\.0)$")


class Fate(enum.StrEnum):
    """What became of an email: nobody is there; not arrived; not yet arrived; reported as spam."""

    PERMANENT = "permanent"
    TEMPORARY = "temporary"
    DELAYED = "delayed"
    COMPLAINT = "complaint"


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """One report about one recipient.

    `trusted`: it comes from a service that proved who it is, so that its word for the recipient
    is enough. Anybody may write a bounce; such a one must name the message.
    """

    key: str
    fate: Fate
    why: str
    addresses: tuple[str, ...] = ()  # whom it did not reach, under each name that was given
    message_ids: tuple[str, ...] = ()
    status: str | None = None
    trusted: bool = False


def weigh(action: str, status: str | None, said: str) -> Fate | None:
    """What a report means, by its action (RFC 3464), its status and the words of the server.

    None: nothing went wrong. Only what says that nobody is there is permanent: a full mailbox, a
    filter or a blocked sender says nothing of the address.
    """
    match action.strip().lower():
        case "delayed":
            return Fate.DELAYED
        case "failed":
            found = status if status and not _SAYS_NOTHING.match(status) else status_in(said)
            if found and not _SAYS_NOTHING.match(found):
                return Fate.PERMANENT if is_dead(found) else Fate.TEMPORARY
            return Fate.PERMANENT if _NOBODY.search(said) else Fate.TEMPORARY
        case _:
            return None


def says_that_it_failed(text: str) -> bool:
    """Whether a text in plain words, with no report in it, is about an email that failed."""
    return bool(status_in(text) or _NOBODY.search(text) or re.search(r"\b5[0-9]{2}[ -]", text))


def plainly(text: str, length: int = _WHY_LENGTH) -> str:
    """Foreign words as one harmless line."""
    line = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    return line if len(line) <= length else line[: length - 1] + "…"
