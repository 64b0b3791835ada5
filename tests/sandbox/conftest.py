"""A running sandbox, the official SDK pointed at it, and a receiver for its webhooks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import stripe

from dunning.sandbox import Sandbox
from tests.sandbox.helpers import Receiver, sdk


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A fresh sandbox on HTTP, seed 7, nothing in it."""
    made = Sandbox(seed=7)
    with made.serve():
        yield made


@pytest.fixture
def client(sandbox: Sandbox) -> stripe.StripeClient:
    """The official SDK, unmodified."""
    return sdk(sandbox.url)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Somebody who takes webhooks."""
    with Receiver() as listening:
        yield listening
