"""Write to the customer: the facts are read again first, and every date and link is fresh."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from email.utils import format_datetime
from zoneinfo import ZoneInfo

import structlog

from dunning import metrics
from dunning.actions.looking import Looked, look
from dunning.core.branches import method_type
from dunning.core.brand import NO_BRAND, Brand
from dunning.core.entries import Account
from dunning.core.events import StepKind, StepResult
from dunning.core.facts import Case
from dunning.core.freezing import freeze
from dunning.core.lines import has_when
from dunning.core.local import local_of
from dunning.core.money import Money
from dunning.core.permission import template_for, why_no_access, why_no_charge
from dunning.core.plan import TAKES_ACCESS, plan, timeline
from dunning.core.policy import Policy
from dunning.core.ports import (
    Asked,
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
    SendOutcome,
    Sent,
    Unsent,
)
from dunning.core.status import State, last_decline, spoken_of
from dunning.links import Pages
from dunning.messages import Facts, Messages, customer_cause, customer_reason, locale_for

log = structlog.get_logger(__name__)

UNSENT_WAIT = timedelta(minutes=2)
LONGEST_WAIT = timedelta(hours=2)
# Said once the debt is settled; everything else is about a debt and never follows a payment.
AFTER_PAYMENT = frozenset(("recovered",))

# Our own signed link for a case, behind which a fresh one of the provider is made on each click.
LinkFor = Callable[[Case, str], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who writes: the same for every message of a source."""

    address: str
    company: str
    support_email: str | None = None
    brand: Brand = NO_BRAND


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
    ) -> None:
        self._providers = providers
        self._channel = channel
        self._messages = messages
        self._senders = senders
        self._link_for = link_for
        self._pages = pages

    def act(self, doing: Doing) -> Ended | PutOff:
        """Send one message, unless it no longer makes sense or there is nobody to send it to."""
        sender = self._senders.get(doing.case.source)
        if self._channel is None or sender is None:
            return Ended(result=StepResult.SKIPPED, why="no way out: DUNNING_SMTP_URL is not set")
        provider = self._providers[doing.case.source]
        looked = look(provider, doing)
        template = template_for(looked.case, doing.step.template or "", doing.policy)
        if stopped := _stopped(doing, looked, template):
            return stopped
        recipient = looked.case.word("email")
        if not recipient:
            why = "the provider knows no email address of this customer"
            return Ended(result=StepResult.SKIPPED, why=why, events=looked.events)
        links = self._links(provider, looked.case, template)
        locale = locale_for(
            looked.case.word("locale"),
            looked.case.word("country"),
            doing.policy.locale,
            self._messages.languages(),
        )
        facts = replace(_facts(doing, looked, template, sender, links), locale=locale)
        rendered = self._messages.render(facts)
        letter = Letter(
            to=recipient,
            to_name=looked.case.word("name"),
            sender=sender.address,
            subject=rendered.subject,
            text=rendered.text,
            html=rendered.html,
            id=_message_id(doing.step.key, sender),
            reply_to=sender.support_email,
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
        doing.asking(Asked(method=None))
        with metrics.sending_email():
            outcome = self._channel.send(letter)
        ending = type(outcome).__name__.lower()
        metrics.email(ending)
        log.info(f"mail.{ending}", mail=letter.id, template=template)
        return _concluded(doing, looked, said, outcome)

    def _links(self, provider: Provider, case: Case, template: str) -> Links:
        if template in AFTER_PAYMENT:
            return Links(pay=None, update_card=None)
        own = Links(pay=self._link_for(case, "pay"), update_card=self._link_for(case, "card"))
        if own.pay is not None:
            return own
        # Without a public address of ours the provider's page is linked, fresh as of now.
        page = provider.links(case.invoice, None, return_url=None).pay
        if page is not None and not self._pages[case.source].allow(page):
            log.warning("link.refused", why="not a page of the provider; see DUNNING_PAGE_HOSTS")
            page = None
        return Links(pay=page, update_card=page)


def _stopped(doing: Doing, looked: Looked, template: str) -> Ended | PutOff | None:
    """What the fresh view says against sending, if anything."""
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


def _concluded(doing: Doing, looked: Looked, said: Said, outcome: SendOutcome) -> Ended | PutOff:
    seen = looked.events
    match outcome:
        case Sent(reference=reference):
            kept = _said(said, "sent", "", reference)
            why = f"{said.template} to {said.recipient}"
            return Ended(result=StepResult.DONE, why=why, events=seen, said=kept)
        case Bounced(why=why):
            kept = _said(said, "bounced", why, None)
            return Ended(result=StepResult.SKIPPED, why=why, events=seen, said=kept)
        case Doubtful(why=why):
            kept = _said(said, "doubtful", why, None)
            return Ended(result=StepResult.DOUBTFUL, why=why, events=seen, said=kept)
        case Unsent(why=why):
            wait = min(UNSENT_WAIT * 2 ** min(doing.tries, 8), LONGEST_WAIT)
            return PutOff(until=doing.now + wait, why=why, events=seen)


def _said(said: Said, state: str, why: str, reference: str | None) -> Said:
    return replace(said, state=state, why=why, reference=reference)


def _message_id(key: str, sender: Sender) -> str:
    domain = sender.address.rpartition("@")[2].strip("> ") or "localhost"
    return f"<{key.replace('/', '.').replace(':', '.')}@{domain}>"


# --- what the message may say ----------------------------------------------------------------


def _facts(doing: Doing, looked: Looked, template: str, sender: Sender, links: Links) -> Facts:
    case, last = looked.case, last_decline(looked.case)
    said = spoken_of(case, doing.policy.declines)
    zone = local_of(case, doing.policy).zone
    ahead = _dates(case, doing.policy, doing.now)
    owed = looked.status.at_risk
    if template in AFTER_PAYMENT:
        owed = looked.status.books.balance(Account.RECOVERED)
    reason, cause = None, None
    if said is not None and last is not None and last.decline is not None:
        code = last.decline.code or last.decline.error_code
        reason = customer_reason(said, code)
        cause = customer_cause(said, code, method_type(last))
    assert case.failed_at is not None

    def local(kind: StepKind) -> datetime | None:
        moment = ahead.get(kind)
        return moment.astimezone(zone) if moment else None

    suspend, give_up, retry = (
        local(StepKind.SUSPEND),
        local(StepKind.GIVE_UP),
        local(StepKind.RETRY),
    )
    return Facts(
        template=template,
        company=sender.company,
        customer_name=case.word("name"),
        amount=Money(owed, case.currency),
        invoice_number=case.word("number"),
        failed_on=_day(case.failed_at, zone),
        pay_url=links.pay,
        update_card_url=links.update_card,
        suspend_on=suspend.date() if suspend else None,
        give_up_on=give_up.date() if give_up else None,
        next_retry_on=retry.date() if retry else None,
        reason=reason,
        support_email=sender.support_email,
        brand=sender.brand,
        cause=cause,
    )


def _day(moment: datetime, zone: ZoneInfo) -> date:
    return moment.astimezone(zone).date()


def _dates(case: Case, policy: Policy, now: datetime) -> dict[StepKind, datetime]:
    """The next moment of each kind of step, as the plan has it."""
    found: dict[StepKind, datetime] = {}
    charges = why_no_charge(case, policy) is None
    # Nor for a line whose condition does not hold, as far as is known.
    undone = {step.key for step in plan(case, policy, now).steps if step.skip and has_when(step)}
    for step in timeline(case, policy):
        if step.key in undone:
            continue
        if step.kind is StepKind.RETRY and not charges:
            continue  # no date is promised for a charge that will not be made
        if step.kind in TAKES_ACCESS and why_no_access(case):
            continue
        if step.due_at > now and case.step(step.key) is None and step.rung is not None:
            known = found.get(step.rung.do)
            found[step.rung.do] = min(known, step.due_at) if known else step.due_at
    return found
