"""One door to everything that turns Stripe's JSON objects into our own values.

Each function takes the plain object (nested dictionaries, as `json.loads` or the SDK's `to_dict()`
give them), expanded or not, of any API version, and raises `FieldError` (a `MalformedError`) with
the path and what was expected there when a needed field cannot be used. All are pure.
"""

from __future__ import annotations

from dunning.providers.stripe.attempts import (
    UNKNOWN_CAUSE,
    Cause,
    attempt_of_charge,
    attempts_of_payment_intent,
    cause_of,
)
from dunning.providers.stripe.bills import (
    bill,
    credit_note,
    dispute,
    payment,
    payments_of,
    refund,
    refunds_of_charge,
    upcoming,
)
from dunning.providers.stripe.fields import FieldError
from dunning.providers.stripe.people import customer, method, subscription

__all__ = [
    "UNKNOWN_CAUSE",
    "Cause",
    "FieldError",
    "attempt_of_charge",
    "attempts_of_payment_intent",
    "bill",
    "cause_of",
    "credit_note",
    "customer",
    "dispute",
    "method",
    "payment",
    "payments_of",
    "refund",
    "refunds_of_charge",
    "subscription",
    "upcoming",
]
