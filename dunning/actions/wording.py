"""What a message may say: amounts, dates, the card, and why a payment failed, for one customer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from zoneinfo import ZoneInfo

from dunning.actions import notice
from dunning.actions.looking import Seen
from dunning.actions.speaking import Spoken
from dunning.core.branches import method_type
from dunning.core.brand import NO_BRAND, Brand
from dunning.core.calendar import day_of
from dunning.core.coming import coming
from dunning.core.entries import Account
from dunning.core.events import Attempt, BillingEvent, MethodChanged, StepKind
from dunning.core.facts import Case
from dunning.core.local import local_of
from dunning.core.money import Money
from dunning.core.ports import Doing, Links
from dunning.core.status import last_decline, spoken_of
from dunning.core.words import THANKS
from dunning.messages import Facts, InvoiceLine, customer_cause, customer_reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who writes: the same for every message of a source."""

    address: str
    company: str
    support_email: str | None = None
    reply_to: str | None = None  # the support address, unless another one is set
    bcc: tuple[str, ...] = ()  # staff who get every email too
    brand: Brand = NO_BRAND


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What is printed on a card, as far as it is known."""

    brand: str | None = None
    last4: str | None = None
    exp_month: int | None = None
    exp_year: int | None = None


# A way to pay of a source, as it was last heard of.
CardOf = Callable[[str, str], Card | None]


def facts_of(
    doing: Doing,
    looked: Seen,
    template: str,
    sender: Sender,
    told: Sequence[Spoken],
    links: Mapping[str, Links],
    card_of: CardOf,
    locale: str,
) -> Facts:
    """Everything the message may say of this case, and of the others it speaks of."""
    if looked.case.notice is not None:
        return replace(
            notice.facts(doing, looked, template),
            company=sender.company,
            brand=sender.brand,
            locale=locale,
            update_card_url=links[looked.case.id].update_card,
            cancel_url=links[looked.case.id].cancel,
            unsubscribe_url=links[looked.case.id].unsubscribe,
            support_email=sender.support_email,
        )
    case, last = looked.case, last_decline(looked.case)
    said = spoken_of(case, doing.policy.declines)
    zone = local_of(case, doing.policy).zone
    ahead = coming(case, doing.policy, doing.now)
    reason, cause = None, None
    if said is not None and last is not None and last.decline is not None:
        code = last.decline.code or last.decline.error_code
        reason = customer_reason(said, code)
        cause = customer_cause(said, code, method_type(last))
    assert case.failed_at is not None

    def local(kind: StepKind) -> date | None:
        moment = ahead.get(kind)
        return day_of(moment, zone) if moment else None

    card = None if case.by_hand else _card(case, last, looked.events, card_of)
    several = [_line(one, template, zone, links) for one in told] if len(told) > 1 else []
    return Facts(
        template=template,
        company=sender.company,
        brand=sender.brand,
        locale=locale,
        customer_name=case.word("name"),
        amount=_owed(looked, template),
        invoice_number=case.word("number"),
        what_for=what_for(case),
        invoices=tuple(several),
        failed_on=day_of(case.failed_at, zone),
        pay_url=links[case.id].pay,
        update_card_url=links[case.id].update_card,
        suspend_on=local(StepKind.SUSPEND),
        give_up_on=local(StepKind.GIVE_UP),
        next_retry_on=local(StepKind.RETRY),
        reason=reason,
        cause=cause,
        card_brand=card.brand if card else None,
        card_last4=card.last4 if card else None,
        card_expiry=_expiry(card),
        support_email=sender.support_email,
    )


def _owed(looked: Seen, template: str) -> Money:
    """What is still owed; of a debt that is settled what came in."""
    owed = looked.status.at_risk
    if template == THANKS:
        owed = looked.status.books.balance(Account.RECOVERED)
    return Money(owed, looked.case.currency)


def _line(one: Spoken, template: str, zone: ZoneInfo, links: Mapping[str, Links]) -> InvoiceLine:
    assert one.case.failed_at is not None
    return InvoiceLine(
        number=one.case.word("number"),
        what_for=what_for(one.case),
        amount=_owed(one.looked, template),
        since=day_of(one.case.failed_at, zone),
        pay_url=links[one.case.id].pay,
    )


def what_for(case: Case) -> str | None:
    """What the invoice is for in the merchant's words, where the provider told us."""
    return case.word("what_for")


# --- the card --------------------------------------------------------------------------------


def _card(
    case: Case, last: Attempt | None, fresh: Iterable[BillingEvent], card_of: CardOf
) -> Card | None:
    """The card that failed: what was read of it a moment ago, or what was heard of it before."""
    method = (last.method if last else None) or case.method
    if method is None:
        return None
    seen = [e for e in fresh if isinstance(e, MethodChanged) and e.method == method and e.last4]
    if seen:
        new = seen[-1]
        found: Card | None = Card(
            brand=new.network, last4=new.last4, exp_month=new.exp_month, exp_year=new.exp_year
        )
    else:
        found = card_of(case.source, method)
    digits = found.last4 if found else None
    ascii_digits = digits is not None and len(digits) == 4 and digits.isascii()
    return found if ascii_digits and digits is not None and digits.isdigit() else None


def _expiry(card: Card | None) -> str | None:
    if card is None or card.exp_month is None or card.exp_year is None:
        return None
    return f"{card.exp_month:02}/{card.exp_year}"
