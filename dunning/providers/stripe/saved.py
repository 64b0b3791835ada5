"""What a customer has saved to pay with, and what of it may be charged while they are away.

Stripe does not say so of a payment method. It says for what a set-up or a payment was made that
saved one: `off_session` there is the customer's consent. A method that was only attached has none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from dunning.core.events import MethodChanged, MethodNews
from dunning.providers.stripe import people
from dunning.providers.stripe.calls import Calls
from dunning.providers.stripe.fields import Fields
from dunning.providers.stripe.outcomes import Ending, Obj, StripeRefusedError

if TYPE_CHECKING:
    from stripe import StripeObject, V1Services

log = structlog.get_logger(__name__)

PAGE = 100
OFF_SESSION = "off_session"


def methods(api: V1Services, calls: Calls, customer: str) -> tuple[MethodChanged, ...]:
    """Every method attached to the customer, with whether they agreed to charges while away."""

    def ask(after: str | None) -> StripeObject:
        params: Any = {"limit": PAGE, **({"starting_after": after} if after else {})}
        return api.customers.payment_methods.list(customer, params)

    try:
        found = [one for page in calls.pages(ask) for one in page]
    except StripeRefusedError as exc:
        _without_right(exc, customer)
        return ()
    if not found:
        return ()
    agreed = set(_agreed(api, calls, customer))
    return tuple(_saved(one, customer, agreed=one.get("id") in agreed) for one in found)


def _saved(obj: Obj, customer: str, *, agreed: bool) -> MethodChanged:
    made = datetime.fromtimestamp(Fields(obj, "payment_method").time("created").timestamp(), UTC)
    name = f"saved:{obj['id']}:{'off' if agreed else 'on'}_session"
    return people.method(
        obj, MethodNews.SAVED, id=name, at=made, customer=customer, off_session=agreed
    )


def _agreed(api: V1Services, calls: Calls, customer: str) -> Iterator[str]:
    """The methods that a set-up or a payment saved for charges off session."""
    params: Any = {"customer": customer, "limit": PAGE}
    for ask, word in (
        (partial(api.setup_intents.list, params), "usage"),
        (partial(api.payment_intents.list, params), "setup_future_usage"),
    ):
        try:
            page = calls.read(ask)
        except StripeRefusedError as exc:
            _without_right(exc, customer)
            continue
        for intent in page.get("data") or ():
            if intent.get("status") == "succeeded" and intent.get(word) == OFF_SESSION:
                yield from _name(intent.get("payment_method"))


def _without_right(refused: StripeRefusedError, customer: str) -> None:
    """Without the right to read of it there is no consent on record: nothing is charged."""
    if refused.trouble.ending is not Ending.NO_RIGHT:
        raise refused
    log.warning("methods.refused", customer=customer, why=str(refused))


def _name(method: object) -> Iterator[str]:
    if isinstance(method, Mapping):
        method = method.get("id")
    if isinstance(method, str):
        yield method
