"""A view is read by a machine whose clock is behind the provider's."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from dunning.core.events import AttemptReported, InvoiceReported
from tests.providers.stripe.harness import SandboxClock, StripeHarness
from tests.providers.stripe.harness import harness as running

if TYPE_CHECKING:
    from collections.abc import Iterator


class ClockBehind(SandboxClock):
    """An hour behind."""

    def now(self) -> datetime:
        return super().now() - timedelta(hours=1)


@pytest.fixture
def harness() -> Iterator[StripeHarness]:
    with running() as made:
        yield made


def test_a_view_is_no_older_than_what_it_shows(harness: StripeHarness) -> None:
    """Else what was paid after the failure would have been paid before it."""
    harness.clock = ClockBehind(harness.sandbox)
    slow = harness.connect(harness.url)
    view = slow.look(harness.failing().invoice)
    tried = [event.at for event in view.events if isinstance(event, AttemptReported)]
    (reported,) = (event for event in view.events if isinstance(event, InvoiceReported))
    assert reported.at == max(tried) > harness.clock.now()
