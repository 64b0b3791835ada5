"""What `doctor` asks of Stripe: the key, its mode and rights, and who else retries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from dunning.core.ports import Health
from dunning.providers.stripe.calls import Calls
from dunning.providers.stripe.outcomes import Ending, Obj, StripeDownError, StripeRefusedError

if TYPE_CHECKING:
    from stripe import StripeClient, StripeObject

_SAMPLE = 100
# No object has this id: with the right to write Stripe answers 404, without it 403.
_NOBODY = "dunning_probe"


class _Right(NamedTuple):
    name: str
    needed_for: str
    ask: Callable[[], StripeObject]
    always: bool = True  # else only where somebody uses what needs it


def check(client: StripeClient, calls: Calls, api_key: str) -> Iterator[Health]:
    """One fact after another; ends early when nothing more can be learned."""
    mode = _mode(api_key)
    try:
        yield from _account(client, calls, mode)
        yield from _rights(client, calls)
        yield from _retries(client, calls)
    except StripeDownError as exc:
        wrong_key = exc.trouble.ending is Ending.BAD_KEY
        advice = "check STRIPE_API_KEY" if wrong_key else "try again; see status.stripe.com"
        yield Health(level="error", what=str(exc), advice=advice)
    except StripeRefusedError as exc:
        yield Health(level="error", what=str(exc), advice="check STRIPE_API_KEY")


def _mode(api_key: str) -> str:
    if api_key.startswith(("sk_live_", "rk_live_")):
        return "live mode"
    return "test mode" if api_key.startswith(("sk_test_", "rk_test_")) else "an unknown mode"


def _account(client: StripeClient, calls: Calls, mode: str) -> Iterator[Health]:
    try:
        account = calls.read(client.v1.accounts.retrieve_current)
    except StripeRefusedError as exc:
        if exc.trouble.ending is not Ending.NO_RIGHT:
            raise
        yield Health(level="ok", what=f"the API key works, in {mode}")
        return
    yield Health(level="ok", what=f"the API key works, for {account['id']} in {mode}")


def _rights(client: StripeClient, calls: Calls) -> Iterator[Health]:
    missing = [right for right in _needed(client) if not _has(calls, right)]
    for right in missing:
        only = "" if right.always else "only "
        add = "add it to the restricted key in the Dashboard"
        yield Health(
            level="error" if right.always else "warning",
            what=f"the API key lacks the right: {right.name}",
            advice=f"{only}{right.needed_for} needs it; {add}",
        )
    if not missing:
        yield Health(level="ok", what="the API key has every right that dunning uses")


def _needed(client: StripeClient) -> list[_Right]:
    api = client.v1
    subscription, invoice, customer = f"sub_{_NOBODY}", f"in_{_NOBODY}", f"cus_{_NOBODY}"
    return [
        _Right("Invoices read", "everything", partial(api.invoices.list, {"limit": 1})),
        _Right("Customers read", "writing to them", partial(api.customers.list, {"limit": 1})),
        _Right("Charges read", "reading declines", partial(api.charges.list, {"limit": 1})),
        _Right(
            "PaymentIntents read",
            "reading declines",
            partial(api.payment_intents.list, {"limit": 1}),
        ),
        _Right("Events read", "settling doubts", partial(api.events.list, {"limit": 1})),
        _Right(
            "Invoices write", "charging", partial(api.invoices.update, invoice, {"metadata": {}})
        ),
        _Right(
            "Subscriptions write",
            "suspending",
            partial(api.subscriptions.update, subscription, {"metadata": {}}),
        ),
        _Right(
            "Customer portal write",
            "the link to give a new card",
            partial(api.billing_portal.sessions.create, {"customer": customer}),
        ),
        _Right(
            "Payment Methods read",
            "naming the card to charge",
            partial(api.customers.payment_methods.list, customer, {"limit": 1}),
        ),
        _Right(
            "SetupIntents read",
            "`backup_methods`",
            partial(api.setup_intents.list, {"limit": 1}),
            always=False,
        ),
        _Right(
            "Disputes read",
            "`report reconcile`",
            partial(api.disputes.list, {"limit": 1}),
            always=False,
        ),
    ]


def _has(calls: Calls, right: _Right) -> bool:
    try:
        calls.read(right.ask)
    except StripeRefusedError as exc:
        return exc.trouble.ending is not Ending.NO_RIGHT
    return True


def _retries(client: StripeClient, calls: Calls) -> Iterator[Health]:
    """Stripe does not tell its settings; its plans for open invoices give them away."""
    ask = partial(client.v1.invoices.list, {"status": "open", "limit": _SAMPLE})
    invoices: list[Obj] = calls.read(ask)["data"]
    tried = [invoice for invoice in invoices if invoice.get("attempted")]
    planned = [invoice for invoice in tried if invoice.get("next_payment_attempt")]
    if not planned:
        yield Health(
            level="ok", what=f"Stripe plans no retry of {len(tried)} failed invoices looked at"
        )
        return
    yield Health(
        level="warning",
        what=f"Stripe plans to retry {len(planned)} of {len(tried)} failed invoices looked at",
        advice=(
            "two owners of one retry charge twice as often: switch off Dashboard > Billing >"
            " Revenue recovery > Retries, or let the policy leave retries to the provider"
        ),
    )
