"""Made-up facts to look at messages with: all that there can be, few, and every cause."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date

from dunning.core.brand import Brand
from dunning.core.money import Money
from dunning.messages.facts import CAUSES, Facts, InvoiceLine

RENEWAL = "renewal_notice"
NOTICES = ("card_expiring", "card_expiring_soon", RENEWAL)
BRAND = Brand(
    name="Acme",
    logo_url="https://acme.example/logo.png",
    colour="#0f766e",
    address=("Acme Ltd", "1 High Street", "London EC1A 1AA"),
    support_email="help@acme.example",
    support_url="https://acme.example/help",
    support_phone="+44 20 7946 0018",
)
INVOICES = (
    InvoiceLine(
        number="F-1001",
        what_for="Team plan",
        amount=Money(4900, "usd"),
        since=date(2026, 3, 1),
    ),
    InvoiceLine(
        number="F-1002",
        what_for=None,
        amount=Money(1250, "usd"),
        since=date(2026, 3, 2),
        pay_url="https://pay.example/i/2",
    ),
    InvoiceLine(
        number=None,
        what_for="Storage",
        amount=Money(900, "eur"),
        since=date(2026, 3, 3),
    ),
)


def few_facts(template: str) -> Facts:
    """As little as there can be."""
    amount = Money(4900, "usd")
    return Facts(template=template, company="Acme", amount=amount, failed_on=date(2026, 3, 1))


def every_fact(template: str) -> Facts:
    """All that there can be of one open invoice."""
    return replace(
        few_facts(template),
        customer_name="Ada Lovelace",
        invoice_number="F-1001",
        pay_url="https://pay.example/i/1",
        update_card_url="https://pay.example/c/1",
        suspend_on=date(2026, 3, 15),
        give_up_on=date(2026, 3, 29),
        next_retry_on=date(2026, 3, 4),
        reason="The card has expired.",
        cause="expired",
        support_email="help@acme.example",
        card_last4="4242",
        card_expiry="02/2026",
        card_brand="visa",
        what_for="Team plan",
        renews_on=date(2026, 4, 1),
        renewal_amount=Money(4900, "usd"),
        term="year",
    )


def linked(facts: Facts) -> Facts:
    """With the links that a message of this template has when it is sent."""
    page = facts.update_card_url
    if facts.template == "recovered":
        return replace(facts, pay_url=None, update_card_url=None)
    if facts.template not in NOTICES:
        return facts
    if facts.template != RENEWAL or page is None:
        return replace(facts, pay_url=None)
    stop = f"{page}/stop"
    return replace(facts, pay_url=None, cancel_url=f"{page}/subscription", unsubscribe_url=stop)


def every_kind(template: str, locale: str = "en") -> Iterator[Facts]:
    """So many facts that every branch of a template is walked."""
    full = replace(every_fact(template), locale=locale)
    yield full
    yield replace(few_facts(template), locale=locale)
    for cause in CAUSES:
        yield replace(full, cause=cause, reason=None)
    yield replace(full, cause="funds", brand=BRAND, invoices=INVOICES)
    yield replace(full, pay_url=None, term="2 years", unsubscribe_url="https://pay.example/u/1")
    yield replace(full, suspend_on=None, term="3 months", cancel_url="https://pay.example/end")
    yield replace(full, card_last4=None, invoice_number=None, invoices=INVOICES[:2], term="week")
