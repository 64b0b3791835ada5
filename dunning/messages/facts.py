"""What a message may say, checked when it is put together."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from urllib.parse import urlsplit

from dunning.core.brand import NO_BRAND, Brand, rgb
from dunning.core.money import Money
from dunning.errors import MalformedError

_URL_LENGTH = 4000
# Why a payment failed, as far as it changes what the customer should do.
CAUSES = ("funds", "expired", "new_method", "authenticate", "bank_debit", "unknown")
TERM = re.compile(r"(?:([1-9][0-9]?) )?(week|month|year)s?")


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceLine:
    """One of several open invoices."""

    number: str | None
    what_for: str | None
    amount: Money
    since: date
    pay_url: str | None = None

    def __post_init__(self) -> None:
        """Refuse a link that is not a web address."""
        _only_web("pay_url", self.pay_url)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything a template may say. Missing facts are None and their sentences are left out."""

    template: str
    company: str
    amount: Money
    failed_on: date
    customer_name: str | None = None
    invoice_number: str | None = None
    pay_url: str | None = None
    update_card_url: str | None = None
    suspend_on: date | None = None
    give_up_on: date | None = None
    next_retry_on: date | None = None
    reason: str | None = None  # words of `customer_reason`; None says nothing about the cause
    support_email: str | None = None
    locale: str = "en"
    card_last4: str | None = None
    card_expiry: str | None = None  # as printed on the card: "08/2026"
    card_brand: str | None = None
    cause: str | None = None  # one of CAUSES; None is as good as "unknown"
    what_for: str | None = None  # product or plan, in the merchant's words
    invoices: tuple[InvoiceLine, ...] = ()  # where several are open: all of them
    brand: Brand = NO_BRAND
    renews_on: date | None = None
    renewal_amount: Money | None = None
    term: str | None = None  # "month", "year", "2 years": what a renewal is for
    unsubscribe_url: str | None = None  # from notices of this kind, where law wants it
    cancel_url: str | None = None  # where the subscription can be ended

    def __post_init__(self) -> None:
        """Refuse links that are not web addresses, and words that are not of their lists."""
        for name in ("pay_url", "update_card_url", "unsubscribe_url", "cancel_url"):
            _only_web(name, getattr(self, name))
        for name in ("logo_url", "support_url"):
            _only_web(f"brand.{name}", getattr(self.brand, name))
        if self.brand.colour is not None:
            rgb(self.brand.colour)
        if self.cause is not None and self.cause not in CAUSES:
            message = f"cause is not one of {', '.join(CAUSES)}"
            raise MalformedError(message)
        if self.term is not None and not TERM.fullmatch(self.term):
            message = "term is not a number of weeks, months or years such as 'year' or '2 years'"
            raise MalformedError(message)
        if self.card_last4 is not None and not re.fullmatch(r"[0-9]{4}", self.card_last4):
            message = "card_last4 is not four digits"
            raise MalformedError(message)


def _only_web(name: str, url: str | None) -> None:
    if url is not None and not _is_web_address(url):
        message = f"{name} is not an http or https address"  # a link may hold a token
        raise MalformedError(message)


def _is_web_address(url: str) -> bool:
    """Whether a mail program will open this in a browser and nowhere else."""
    if len(url) > _URL_LENGTH or not re.fullmatch(r"[!-~]+", url) or re.search(r'[<>"\\]', url):
        return False
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in {"http", "https"} and bool(parts.hostname) and "@" not in parts.netloc
        )
    except ValueError:
        return False
