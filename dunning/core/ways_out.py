"""The sockets of the ways out to customers: letters by email, texts to phones; see `ports`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file that goes with a letter; its name is plain ASCII."""

    name: str
    type: str  # such as application/pdf
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A rendered message, ready for a channel."""

    to: str
    to_name: str | None
    sender: str
    subject: str
    text: str
    html: str
    id: str  # becomes the Message-ID, so a second sending can be recognised
    reply_to: str | None = None
    # `List-Unsubscribe` and `List-Unsubscribe-Post` only where a law wants them.
    headers: Mapping[str, str] = field(default_factory=dict)
    bcc: tuple[str, ...] = ()  # get it too, without a word of it in the letter
    attachments: tuple[Attachment, ...] = ()  # only of letters to the merchant's own people


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """The channel took it."""

    reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounced:
    """The channel will never take it for this address; `dead`: nor anything else."""

    why: str
    dead: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsent:
    """The channel is away or busy; certainly nothing went out.

    `full`: it is well, and so many letters go there just now that this one has to wait.
    """

    why: str
    full: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubtful:
    """The connection broke after the message was handed over: it may have gone out."""

    why: str


SendOutcome = Sent | Bounced | Unsent | Doubtful


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A rendered text, ready for a phone. `to` is E.164.

    `mark` is the part of the words by which it is known again where it was sent: another try to
    write the same text has a link of another moment in it.
    """

    to: str
    body: str
    mark: str


class Texting(Protocol):
    """A way out to phones."""

    name: str

    def send(self, text: Text) -> SendOutcome:
        """Send one text; business endings are values, nothing is raised for them."""

    def find(self, text: Text, since: datetime) -> SendOutcome:
        """What became of a text that may have been sent since then; nothing is sent.

        `Doubtful` where it is not there, which proves nothing; `Unsent` where nobody answers.
        """

    def check(self) -> str | None:
        """None when it could send, else what is wrong; nothing is sent."""


class Channel(Protocol):
    """One way out to a customer."""

    name: str

    def send(self, letter: Letter) -> SendOutcome:
        """Send one message; business endings are values, nothing is raised for them."""
