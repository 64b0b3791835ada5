"""Invoices to be paid by hand, as the sweep finds them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.providers.stripe.harness import StripeHarness
from tests.providers.stripe.harness import harness as running

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def harness() -> Iterator[StripeHarness]:
    with running() as made:
        yield made


def test_an_invoice_to_be_paid_by_hand_is_found_once_it_is_overdue(
    harness: StripeHarness,
) -> None:
    customer = harness.customer()
    by_hand: Any = {"customer": customer, "collection_method": "send_invoice", "days_until_due": 30}
    invoice = harness.api.invoices.create(by_hand)
    line: Any = {"customer": customer, "invoice": invoice.id, "amount": 500, "currency": "usd"}
    harness.api.invoice_items.create(line)
    harness.api.invoices.finalize_invoice(str(invoice.id))
    harness.pass_time(timedelta(days=29))
    assert list(harness.provider.open_invoices()) == []
    harness.pass_time(timedelta(days=2))
    (bill,) = harness.provider.open_invoices()
    assert (bill.invoice, bill.automatic) == (invoice.id, False)
    # It was made long before: what came due lately is asked for apart.
    (late,) = harness.provider.open_invoices(since=harness.now() - timedelta(days=3))
    assert late.invoice == invoice.id
    assert list(harness.provider.open_invoices(since=harness.now() - timedelta(hours=1))) == []
