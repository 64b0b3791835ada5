"""The ways out to staff: mail, and an incoming webhook of a chat room."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from dunning.core.ports import Attachment, Bounced, Channel, Doubtful, Letter, Sent, Unsent
from dunning.staff.notice import Notice
from dunning.staff.written import as_chat, as_html, as_text, subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one message to one place."""

    sent: bool
    why: str = ""
    final: bool = False  # trying again is no use
    retry_after: timedelta | None = None


class Way(Protocol):
    """One place a message goes to."""

    @property
    def name(self) -> str:
        """`email` or `chat`."""

    @property
    def recipient(self) -> str:
        """The address of an email; empty for the chat room."""

    def send(self, name: str, notice: Notice, *, again: bool) -> Outcome:
        """Send it; nothing is raised. `name` is the same each time, `again`: it may be there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """A mail as it goes out."""

    subject: str
    text: str
    html: str
    files: tuple[Attachment, ...] = ()


@dataclass(frozen=True, slots=True)
class MailWay:
    """One address of the merchant's own people."""

    recipient: str
    sender: str
    channel: Channel
    name: str = "email"

    def send(self, name: str, notice: Notice, *, again: bool) -> Outcome:
        """See `Way`."""
        text, html = as_text(notice, again=again), as_html(notice, again=again)
        return self.deliver(name, Parcel(subject=subject(notice), text=text, html=html))

    def deliver(self, name: str, parcel: Parcel) -> Outcome:
        """Send it. What is in doubt is sent again under the same Message-ID."""
        letter = letter_to(self.recipient, self.sender, name, parcel)
        match self.channel.send(letter):
            case Sent():
                return Outcome(sent=True)
            case Bounced(why=why):
                return Outcome(sent=False, why=why, final=True)
            case Unsent(why=why) | Doubtful(why=why):
                return Outcome(sent=False, why=why)


def letter_to(recipient: str, sender: str, name: str, parcel: Parcel) -> Letter:
    """The mail to one address."""
    return Letter(
        to=recipient,
        to_name=None,
        sender=sender,
        subject=parcel.subject,
        text=parcel.text,
        html=parcel.html,
        id=f"staff-{name}",
        attachments=parcel.files,
    )


# Posts JSON; the outcome in the words of this module. Handed in by wiring.
Post = Callable[[Mapping[str, object]], Outcome]


@dataclass(frozen=True, slots=True)
class ChatWay:
    """The chat room."""

    post: Post
    name: str = "chat"
    recipient: str = ""

    def send(self, name: str, notice: Notice, *, again: bool) -> Outcome:
        """See `Way`."""
        return self.post(as_chat(notice, again=again))


def ways_of(
    emails: Sequence[str], sender: str | None, mail: Channel | None, post: Post | None
) -> tuple[Way, ...]:
    """Every place that is configured and can be reached."""
    mails = mails_to(emails, sender, mail)
    return (*mails, *([ChatWay(post)] if post else ()))


def mails_to(
    emails: Sequence[str], sender: str | None, mail: Channel | None
) -> tuple[MailWay, ...]:
    """Every address that is configured and can be reached."""
    return tuple(MailWay(each, sender, mail) for each in emails if sender and mail)
