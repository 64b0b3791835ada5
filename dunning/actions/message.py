"""Write to the customer by email."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime
from hashlib import sha256

import structlog

from dunning import metrics
from dunning.actions.composing import LONGEST_WAIT, Composed, Composer, Way
from dunning.actions.looking import Seen
from dunning.actions.speaking import same_address
from dunning.actions.wording import Sender
from dunning.core.addresses import message_name
from dunning.core.events import StepResult
from dunning.core.ports import (
    Bounced,
    Channel,
    Doing,
    Doubtful,
    Ended,
    Letter,
    PutOff,
    Said,
    Saying,
    SendOutcome,
    Sent,
    Unsent,
)
from dunning.messages import Rendered

log = structlog.get_logger(__name__)

UNSENT_WAIT = timedelta(minutes=2)
# Over the rate of the mail server: nothing is wrong, so it is asked again soon.
FULL_WAIT = timedelta(seconds=10)
FULL_LONGEST = timedelta(minutes=10)
ONE_CLICK = "List-Unsubscribe=One-Click"
_NO_ADDRESS = "the provider knows no email address of this customer"


def _address(looked: Seen) -> tuple[str | None, str]:
    return looked.case.word("email"), _NO_ADDRESS


EMAIL = Way(_address, same_address)


class Write:
    """The `email` step."""

    def __init__(self, composer: Composer, channel: Channel | None) -> None:
        self._composer = composer
        self._channel = channel

    def act(self, doing: Doing) -> Ended | PutOff:
        """Send one message, unless it no longer makes sense or there is nobody to send it to."""
        if self._channel is None or not self._composer.sender(doing.case).address:
            return Ended(result=StepResult.SKIPPED, why="no way out: DUNNING_SMTP_URL is not set")
        made = self._composer.compose(doing, EMAIL)
        if not isinstance(made, Composed):
            return made
        rendered = self._composer.messages.render(made.facts)
        letter = _letter(doing, made, rendered)
        said = Said(
            template=made.template,
            recipient=made.recipient,
            locale=made.locale,
            subject=rendered.subject,
            state="sent",
        )
        # From here on it may have left; whoever takes over before this sends it.
        cases = tuple(one.case.id for one in made.told)
        doing.asking(Saying(template=made.template, cases=cases))
        with metrics.sending_email():
            outcome = self._channel.send(letter)
        # Nothing is wrong with one that waits for its turn, so it is counted apart.
        held = isinstance(outcome, Unsent) and outcome.full
        ending = "held" if held else type(outcome).__name__.lower()
        metrics.email(ending)
        log.info(f"mail.{ending}", mail=letter.id, template=made.template, cases=len(cases))
        return concluded(doing, made.looked, said, outcome)


def to_stop(url: str | None) -> dict[str, str]:
    """The headers by which a mail program stops notices: it posts to the address by itself.

    RFC 8058 wants https; elsewhere there is the link in the letter.
    """
    if url is None or not url.startswith("https://"):
        return {}
    return {"List-Unsubscribe": f"<{url}>", "List-Unsubscribe-Post": ONE_CLICK}


def _letter(doing: Doing, made: Composed, rendered: Rendered) -> Letter:
    sender = made.sender
    headers = {"Date": format_datetime(doing.now), **to_stop(made.facts.unsubscribe_url)}
    return Letter(
        to=made.recipient,
        to_name=made.looked.case.word("name"),
        sender=sender.address,
        subject=rendered.subject,
        text=rendered.text,
        html=rendered.html,
        id=_message_id(doing.step.key, sender),
        reply_to=sender.reply_to or sender.support_email,
        bcc=sender.bcc,
        headers=headers,
    )


def concluded(doing: Doing, looked: Seen, said: Said, outcome: SendOutcome) -> Ended | PutOff:
    """What becomes of the step."""
    seen = looked.events
    match outcome:
        case Sent(reference=reference):
            kept = _said(said, "sent", "", reference)
            why = f"{said.template} to {said.recipient}"
            return Ended(result=StepResult.DONE, why=why, events=seen, said=kept)
        case Bounced(why=why, dead=dead):
            kept = replace(_said(said, "bounced", why, None), dead=dead)
            return Ended(result=StepResult.SKIPPED, why=why, events=seen, said=kept)
        case Doubtful(why=why):
            kept = _said(said, "doubtful", why, None)
            return Ended(result=StepResult.DOUBTFUL, why=why, events=seen, said=kept)
        case Unsent(why=why, full=True):
            return PutOff(
                until=doing.now + _turn_after(doing.step.key, doing.tries), why=why, events=seen
            )
        case Unsent(why=why):
            wait = min(UNSENT_WAIT * 2 ** min(doing.tries, 8), LONGEST_WAIT)
            return PutOff(until=doing.now + wait, why=why, events=seen)


def _turn_after(key: str, tries: int) -> timedelta:
    """How long until there may be room: those who wait come back one after the other."""
    longest = min(FULL_WAIT * (1 << min(tries, 8)), FULL_LONGEST)
    place = sha256(f"{key} {tries}".encode()).digest()[0] / 256
    return longest / 2 * (1 + place)


def _said(said: Said, state: str, why: str, reference: str | None) -> Said:
    return replace(said, state=state, why=why, reference=reference)


def _message_id(key: str, sender: Sender) -> str:
    domain = sender.address.rpartition("@")[2].strip("> ") or "localhost"
    return f"<{message_name(key)}@{domain}>"
