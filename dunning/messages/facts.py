"""What a message may say, checked when it is put together."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date
from urllib.parse import urlsplit

from dunning.core.money import Money
from dunning.errors import MalformedError

_URL_LENGTH = 4000


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

    def __post_init__(self) -> None:
        """Refuse a link that is not a web address and card digits that are more than four."""
        for name in ("pay_url", "update_card_url"):
            url = getattr(self, name)
            if url is not None and not _is_web_address(url):
                message = f"{name} is not an http or https address"  # a link may hold a token
                raise MalformedError(message)
        if self.card_last4 is not None and not re.fullmatch(r"[0-9]{4}", self.card_last4):
            message = "card_last4 is not four digits"
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


def few_facts(template: str) -> Facts:
    amount = Money(4900, "usd")
    return Facts(template=template, company="Acme", amount=amount, failed_on=date(2026, 3, 1))


def every_fact(template: str) -> Facts:
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
        support_email="help@acme.example",
        card_last4="4242",
        card_expiry="02/2026",
    )
