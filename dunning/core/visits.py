"""What customers do on their page: a part of `core.events`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

PAY, CARD = "pay", "card"


@dataclass(frozen=True, slots=True, kw_only=True)
class PageOpened:
    """The page behind one of our links was fetched: by the customer, or by a scanner of mail."""

    id: str
    at: datetime
    invoice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ButtonPressed:
    """The customer pressed a button of the page and was led on to the provider: a click.

    Of each button the first press in an hour is kept, so `id` says which hour.
    """

    id: str
    at: datetime
    invoice: str
    button: str
