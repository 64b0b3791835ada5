"""Write to the customer: the facts are read again first, and every date and link is fresh."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime
from hashlib import sha256

import structlog

from dunning import metrics
from dunning.actions import notice
from dunning.actions.looking import Seen, look
from dunning.actions.notice import look_ahead
from dunning.actions.speaking import Stored, spoken
from dunning.actions.wording import Card, CardOf, Sender, facts_of
from dunning.core.addresses import message_name
from dunning.core.daily import SOON, THANKS, mail_day
from dunning.core.events import StepResult
from dunning.core.facts import Case
from dunning.core.freezing import freeze
from dunning.core.permission import template_for
from dunning.core.policy import Policy
from dunning.core.ports import (
    Bounced,
    Channel,
    Doing,
    Doubtful,
    Ended,
    Letter,
    Links,
    Provider,
    PutOff,
    Said,
    Saying,
    SendOutcome,
    Sent,
    Unsent,
)
from dunning.core.status import State
from dunning.links import Pages
from dunning.messages import Messages, locale_for

log = structlog.get_logger(__name__)

UNSENT_WAIT = timedelta(minutes=2)
LONGEST_WAIT = timedelta(hours=2)
# Over the rate of the mail server: nothing is wrong, so it is asked again soon.
FULL_WAIT = timedelta(seconds=10)
FULL_LONGEST = timedelta(minutes=10)
# Said once the debt is settled; everything else is about a debt and never follows a payment.
AFTER_PAYMENT = frozenset((THANKS,))

# Our own signed link for a case, behind which a fresh one of the provider is made on each click.
LinkFor = Callable[[Case, str], str | None]
# Why an address is not written to any more, or None.
WhyBad = Callable[[str], str | None]
_NO_ADDRESS = "the provider knows no email address of this customer"


def _nothing_stored(_names: Sequence[str]) -> Sequence[tuple[Case, Policy]]:
    return ()


def _no_card(_source: str, _method: str) -> Card | None:
    return None


def _never_bad(_address: str) -> str | None:
    return None


class Write:
    """The `email` step."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        channel: Channel | None,
        messages: Messages,
        senders: Mapping[str, Sender],
        link_for: LinkFor,
        pages: Mapping[str, Pages],
        *,
        stored: Stored = _nothing_stored,
        card_of: CardOf = _no_card,
        why_bad: WhyBad = _never_bad,
    ) -> None:
        self._providers = providers
        self._channel = channel
        self._messages = messages
        self._senders = senders
        self._link_for = link_for
        self._pages = pages
        self._stored = stored
        self._card_of = card_of
        self._why_bad = why_bad

    def act(self, doing: Doing) -> Ended | PutOff:
        """Send one message, unless it no longer makes sense or there is nobody to send it to."""
        sender = self._senders.get(doing.case.source)
        if self._channel is None or sender is None:
            return Ended(result=StepResult.SKIPPED, why="no way out: DUNNING_SMTP_URL is not set")
        provider = self._providers[doing.case.source]
        looked = see(provider, doing)
        template = template_for(looked.case, doing.step.template or "", doing.policy)
        if stopped := _stopped(doing, looked, template) or _other_day(doing, looked):
            return stopped
        recipient = looked.case.word("email")
        why = self._why_bad(recipient) if recipient else _NO_ADDRESS
        if not recipient or why is not None:
            return Ended(result=StepResult.SKIPPED, why=why or "", events=looked.events)
        told = spoken(provider, self._stored, doing, looked, template)
        links = {one.case.id: self._links(provider, one.case, template) for one in told}
        locale = locale_for(
            looked.case.word("locale"),
            looked.case.word("country"),
            doing.policy.locale,
            self._messages.languages(),
        )
        facts = facts_of(doing, looked, template, sender, told, links, self._card_of, locale)
        rendered = self._messages.render(facts)
        letter = Letter(
            to=recipient,
            to_name=looked.case.word("name"),
            sender=sender.address,
            subject=rendered.subject,
            text=rendered.text,
            html=rendered.html,
            id=_message_id(doing.step.key, sender),
            reply_to=sender.reply_to or sender.support_email,
            bcc=sender.bcc,
            headers={"Date": format_datetime(doing.now)},
        )
        said = Said(
            template=template,
            recipient=recipient,
            locale=locale,
            subject=rendered.subject,
            state="sent",
        )
        # From here on it may have left; whoever takes over before this sends it.
        doing.asking(Saying(template=template, cases=tuple(one.case.id for one in told)))
        with metrics.sending_email():
            outcome = self._channel.send(letter)
        # Nothing is wrong with one that waits for its turn, so it is counted apart.
        held = isinstance(outcome, Unsent) and outcome.full
        ending = "held" if held else type(outcome).__name__.lower()
        metrics.email(ending)
        log.info(f"mail.{ending}", mail=letter.id, template=template, cases=len(told))
        return _concluded(doing, looked, said, outcome)

    def _links(self, provider: Provider, case: Case, template: str) -> Links:
        if template in AFTER_PAYMENT:
            return Links(pay=None, update_card=None)
        if case.notice is not None:
            return Links(pay=None, update_card=self._link_for(case, "card"))
        own = Links(pay=self._link_for(case, "pay"), update_card=self._link_for(case, "card"))
        if own.pay is not None:
            return own
        # Without a public address of ours the provider's page is linked, fresh as of now.
        page = provider.links(case.invoice, None, return_url=None).pay
        if page is not None and not self._pages[case.source].allow(page):
            log.warning("link.refused", why="not a page of the provider; see DUNNING_PAGE_HOSTS")
            page = None
        return Links(pay=page, update_card=page)


def see(provider: Provider, doing: Doing) -> Seen:
    """Look once more, just before it is sent."""
    return look(provider, doing) if doing.case.notice is None else look_ahead(provider, doing)


def _stopped(doing: Doing, looked: Seen, template: str) -> Ended | PutOff | None:
    """What the fresh view says against sending, if anything."""
    if looked.case.notice is not None:
        return notice.stopped(doing, looked)
    state = looked.status.state
    if template in AFTER_PAYMENT:
        if state is State.RECOVERED:
            return None
        return Ended(result=StepResult.SKIPPED, why="not recovered after all", events=looked.events)
    if not state.is_open:
        why = f"not sent: {looked.status.reason or 'no longer owed'}"
        return Ended(result=StepResult.NOT_OWED, why=why, events=looked.events)
    if standing := freeze(looked.case, doing.now):
        until = standing.until or doing.now + LONGEST_WAIT
        return PutOff(until=until, why=standing.why, events=looked.events)
    return None


def _other_day(doing: Doing, looked: Seen) -> PutOff | None:
    """The look told of another zone: the day that was taken for this message is not today's."""
    days = [mail_day(case, doing.policy, doing.now).day for case in (doing.case, looked.case)]
    if days[0] == days[1]:
        return None
    why = f"it is {days[1]} where the customer lives"
    return PutOff(until=doing.now + SOON, why=why, events=looked.events)


def _concluded(doing: Doing, looked: Seen, said: Said, outcome: SendOutcome) -> Ended | PutOff:
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
