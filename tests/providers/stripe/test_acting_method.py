"""Which card a charge names, out of all the defaults that Stripe keeps."""

from __future__ import annotations

from typing import Any

import pytest

from dunning.providers.stripe.views import choose_method


def method(name: str, created: int) -> dict[str, Any]:
    return {"id": name, "object": "payment_method", "created": created}


def billed(
    own: dict[str, Any] | None = None,
    subscription: dict[str, Any] | None = None,
    customer: dict[str, Any] | None = None,
    sources: tuple[str | None, str | None, str | None] = (None, None, None),
) -> dict[str, Any]:
    return {
        "default_payment_method": own,
        "default_source": sources[0],
        "customer": {
            "invoice_settings": {"default_payment_method": customer},
            "default_source": sources[2],
        },
        "parent": {
            "subscription_details": {
                "subscription": {
                    "default_payment_method": subscription,
                    "default_source": sources[1],
                }
            }
        },
    }


OLD, NEW, NEWEST = method("pm_old", 100), method("pm_new", 200), method("pm_newest", 300)


@pytest.mark.parametrize(
    ("invoice", "declined", "expected"),
    [
        (billed(), (), None),
        (billed(own=OLD, subscription=NEW, customer=NEWEST), (), "pm_old"),
        (billed(subscription=OLD, customer=NEW), (), "pm_old"),
        (billed(customer=NEW), (), "pm_new"),
        (billed(sources=(None, "card_sub", "card_cus")), (), "card_sub"),
        (billed(sources=(None, None, "card_cus")), (), "card_cus"),
        # The first in order has failed on this very invoice: the newest default it is.
        (billed(subscription=OLD, customer=NEW), ("pm_old",), "pm_new"),
        (billed(own=OLD, subscription=NEW, customer=NEWEST), ("pm_old",), "pm_newest"),
        (billed(subscription=NEW, customer=OLD), ("pm_new",), "pm_new"),
        (billed(subscription=NEW, customer=OLD, sources=(None, None, "card_1")), (), "pm_new"),
        (billed(customer=NEW, sources=(None, "card_1", None)), ("card_1",), "pm_new"),
        # Both have failed: never back to the older one.
        (billed(subscription=OLD, customer=NEW), ("pm_old", "pm_new"), "pm_new"),
        # Another card has failed, the chosen one has not been tried.
        (billed(subscription=OLD, customer=NEW), ("pm_other",), "pm_old"),
        ({"customer": "cus_1", "parent": None}, (), None),
        ({"customer": {"id": "cus_1", "deleted": True}, "parent": None}, (), None),
    ],
)
def test_which_card_a_charge_names(
    invoice: dict[str, Any], declined: tuple[str, ...], expected: str | None
) -> None:
    assert choose_method(invoice, frozenset(declined)) == expected
