"""What a message has to say and to whom: the facts read again, every date and link fresh."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from dunning.actions import notice
from dunning.actions.looking import Seen, look
from dunning.actions.notice import look_ahead
from dunning.actions.speaking import Readers, Spoken, Stored, spoken
from dunning.actions.wording import Card, CardOf, Sender, facts_of
from dunning.core.daily import SOON, mail_day
from dunning.core.events import StepResult
from dunning.core.facts import Case
from dunning.core.freezing import freeze
from dunning.core.permission import template_for
from dunning.core.policy import Policy
from dunning.core.ports import Doing, Ended, Links, Provider, PutOff
from dunning.core.status import State
from dunning.core.words import THANKS, Kind
from dunning.links import Pages
from dunning.messages import Facts, Messages, locale_for

log = structlog.get_logger(__name__)

LONGEST_WAIT = timedelta(hours=2)
# Said once the debt is settled; everything else is about a debt and never follows a payment.
AFTER_PAYMENT = frozenset((THANKS,))

# Our own signed link for a case, behind which a fresh one of the provider is made on each click.
LinkFor = Callable[[Case, str], str | None]
# Why an address is not written to any more, or None.
WhyBad = Callable[[str], str | None]
# Since when this customer of this source wants no notices of what lies ahead, or None.
NoNotices = Callable[[str, str], datetime | None]


def _nothing_stored(_names: Sequence[str]) -> Sequence[tuple[Case, Policy]]:
    return ()


def _no_card(_source: str, _method: str) -> Card | None:
    return None


def _all_want_them(_source: str, _customer: str) -> datetime | None:
    return None


def _never_bad(_address: str) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Way:
    """One way to a customer: where it leads, or why nowhere; and who else reads what goes there."""

    to: Callable[[Seen], tuple[str | None, str]]
    reads_it: Readers


@dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """A message that may leave, as far as it is the same for every way out."""

    looked: Seen
    template: str
    recipient: str
    told: Sequence[Spoken]
    facts: Facts
    locale: str
    sender: Sender


class Composer:
    """Puts together what is said, and says why nothing is."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        messages: Messages,
        senders: Mapping[str, Sender],
        link_for: LinkFor,
        pages: Mapping[str, Pages],
        *,
        stored: Stored = _nothing_stored,
        card_of: CardOf = _no_card,
        why_bad: WhyBad = _never_bad,
        no_notices: NoNotices = _all_want_them,
    ) -> None:
        self._providers = providers
        self.messages = messages
        self._senders = senders
        self.link_for = link_for
        self._pages = pages
        self._stored = stored
        self._card_of = card_of
        self._why_bad = why_bad
        self._no_notices = no_notices

    def sender(self, case: Case) -> Sender:
        """In whose name the customer is written to; `address` is empty where there is none."""
        return self._senders[case.source]

    def see(self, doing: Doing) -> Seen:
        """Look once more, just before it is sent."""
        return see(self._providers[doing.case.source], doing)

    def locale(self, case: Case, policy: Policy) -> str:
        """The customer's language."""
        known = self.messages.languages()
        return locale_for(case.word("locale"), case.word("country"), policy.locale, known)

    def compose(self, doing: Doing, way: Way) -> Composed | Ended | PutOff:
        """What to say, unless it no longer makes sense or there is nobody to say it to."""
        provider, sender = self._providers[doing.case.source], self.sender(doing.case)
        looked = see(provider, doing)
        template = template_for(looked.case, doing.step.template or "", doing.policy)
        if why_not := stopped(doing, looked, template) or _other_day(doing, looked):
            return why_not
        if why := self._unwanted(looked.case):
            return Ended(result=StepResult.SKIPPED, why=why, events=looked.events)
        recipient, nobody = way.to(looked)
        why = self._why_bad(recipient) if recipient else nobody
        if not recipient or why is not None:
            return Ended(result=StepResult.SKIPPED, why=why or "", events=looked.events)
        told = spoken(provider, self._stored, doing, looked, template, way.reads_it)
        links = {one.case.id: self._links(provider, one.case, template) for one in told}
        locale = self.locale(looked.case, doing.policy)
        return Composed(
            looked=looked,
            template=template,
            recipient=recipient,
            told=told,
            facts=facts_of(doing, looked, template, sender, told, links, self._card_of, locale),
            locale=locale,
            sender=sender,
        )

    def _unwanted(self, case: Case) -> str | None:
        """Why a notice is not sent to this customer; of a debt they always hear."""
        if case.notice is None or case.customer is None:
            return None
        since = self._no_notices(case.source, case.customer)
        return f"the customer wants no notices since {since:%Y-%m-%d}" if since else None

    def _links(self, provider: Provider, case: Case, template: str) -> Links:
        if template in AFTER_PAYMENT:
            return Links(pay=None, update_card=None)
        if case.notice is not None:
            page = self.link_for(case, "card")
            if page is None or case.notice.kind is not Kind.RENEWAL:
                return Links(pay=None, update_card=page)
            more = {"cancel": f"{page}/subscription", "unsubscribe": f"{page}/stop"}
            return Links(pay=None, update_card=page, **more)
        own = Links(pay=self.link_for(case, "pay"), update_card=self.link_for(case, "card"))
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


def stopped(doing: Doing, looked: Seen, template: str) -> Ended | PutOff | None:
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
