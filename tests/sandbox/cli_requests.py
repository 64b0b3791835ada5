"""The requests `stripe trigger` sends, event by event, for machines without the Stripe CLI.

Recorded from version 1.52.0 against the sandbox and written down in short. `{customer}` stands
for the id that an earlier step of that name returned, `{disputes.0}` for the first of a list.
"""

from __future__ import annotations

from typing import NamedTuple


class Step(NamedTuple):
    """One request; a step that must be refused says with which status."""

    name: str
    method: str
    path: str
    form: dict[str, str]
    status: int = 200


NOTE = {"description": "(created by Stripe CLI)"}


def _post(
    name: str,
    path: str,
    form: dict[str, str] | None = None,
    *,
    status: int = 200,
    note: bool = True,
) -> Step:
    return Step(name, "POST", path, {**(NOTE if note else {}), **(form or {})}, status)


def _act(path: str, form: dict[str, str] | None = None, *, status: int = 200) -> Step:
    return _post("done", path, form, status=status, note=False)


CUSTOMER = _post("customer", "customers")
PAYER = _post(
    "customer",
    "customers",
    {
        "payment_method": "pm_card_visa",
        "invoice_settings[default_payment_method]": "pm_card_visa",
    },
)
ITEM = _post(
    "item", "invoiceitems", {"amount": "2000", "currency": "usd", "customer": "{customer}"}
)
DRAFT = _post(
    "invoice",
    "invoices",
    {"customer": "{customer}", "pending_invoice_items_behavior": "include"},
)
INVOICE = [CUSTOMER, ITEM, DRAFT]
OPEN = [*INVOICE, _act("invoices/{invoice}/finalize")]
PRODUCT = _post("product", "products", {"name": "myproduct"})
PRICE = _post(
    "price",
    "prices",
    {
        "product": "{product}",
        "unit_amount": "1500",
        "currency": "usd",
        "recurring[interval]": "month",
    },
    note=False,
)


def _subscription(**more: str) -> Step:
    form = {"customer": "{customer}", "items[0][price]": "{price}", **more}
    return _post("subscription", "subscriptions", form, note=False)


def _intent(method: str | None = None, *, status: int = 200, **more: str) -> Step:
    form = {"amount": "2000", "currency": "usd", "payment_method_types[0]": "card", **more}
    if method is not None:
        form |= {"payment_method": method, "confirm": "true"}
    return _post("intent", "payment_intents", form, status=status)


def _attach(card: str) -> Step:
    form = {"customer": "{customer}"}
    return _post("method", f"payment_methods/{card}/attach", form, note=False)


def _pay(card: str, status: int = 200) -> list[Step]:
    pay = _act("invoices/{invoice}/pay", {"payment_method": "{method}"}, status=status)
    return [CUSTOMER, _attach(card), ITEM, DRAFT, pay]


def _renewing(card: str) -> list[Step]:
    card_form = {"type": "card", "card[token]": card}
    default = {"invoice_settings[default_payment_method]": "{method}"}
    return [
        _post("method", "payment_methods", card_form, note=False),
        _post("customer", "customers", {"name": "SubscriptionTestCustomer"}),
        _act("payment_methods/{method}/attach", {"customer": "{customer}"}),
        _act("customers/{customer}", default),
        PRODUCT,
        PRICE,
        _subscription(),
        Step("done", "GET", "invoices/{subscription.latest_invoice}", {}),
    ]


NOTED = {"metadata[foo]": "bar"}
DISPUTED = [
    _intent("pm_card_createDisputeInquiry"),
    Step("disputes", "GET", "disputes", {"payment_intent": "{intent}"}),
]
CREDITED = [
    *OPEN,
    _post(
        "note",
        "credit_notes",
        {
            "invoice": "{invoice}",
            "lines[0][type]": "custom_line_item",
            "lines[0][unit_amount]": "1000",
            "lines[0][quantity]": "1",
            "lines[0][description]": "(created by Stripe CLI)",
        },
        note=False,
    ),
]
REFUNDED = [
    _intent("pm_card_visa"),
    _post("refund", "refunds", {"payment_intent": "{intent}"}, note=False),
]
CLOCK = _post(
    "clock",
    "test_helpers/test_clocks",
    {"frozen_time": "1577836800", "name": "(created by Stripe CLI)"},
    note=False,
)
RUNNING = [PAYER, PRODUCT, PRICE, _subscription()]

# trigger -> its requests
TRIGGERS: dict[str, list[Step]] = {
    "invoice.payment_failed": _pay("pm_card_chargeCustomerFail", 402),
    "invoice.payment_action_required": _pay("pm_card_threeDSecure2Required", 402),
    "invoice.paid": _pay("pm_card_visa"),
    "invoice.payment_succeeded": _pay("pm_card_visa"),
    "invoice.created": INVOICE,
    "invoice.updated": [*INVOICE, _act("invoices/{invoice}", NOTED)],
    "invoice.finalized": OPEN,
    "invoice.voided": [*OPEN, _act("invoices/{invoice}/void")],
    "invoice.marked_uncollectible": [*OPEN, _act("invoices/{invoice}/mark_uncollectible")],
    "invoice.sent": [
        CUSTOMER,
        ITEM,
        DRAFT._replace(
            form={
                **DRAFT.form,
                "collection_method": "send_invoice",
                "days_until_due": "7",
            }
        ),
        _act("invoices/{invoice}/send"),
    ],
    "invoice.deleted": [*INVOICE, Step("done", "DELETE", "invoices/{invoice}", {})],
    "charge.succeeded": [_intent("pm_card_visa")],
    "charge.failed": [_intent("pm_card_visa_chargeDeclined", status=402)],
    "charge.refunded": REFUNDED,
    "charge.refund.updated": [*REFUNDED, _act("refunds/{refund}", {"metadata[order_id]": "6735"})],
    "charge.dispute.created": DISPUTED[:1],
    "charge.dispute.updated": [*DISPUTED, _act("disputes/{disputes.0}", NOTED)],
    "charge.dispute.closed": [*DISPUTED, _act("disputes/{disputes.0}/close")],
    "charge.captured": [
        _intent("pm_card_visa", capture_method="manual"),
        _act("payment_intents/{intent}/capture"),
    ],
    "payment_intent.created": [_intent()],
    "payment_intent.succeeded": [_intent("pm_card_visa")],
    "payment_intent.payment_failed": [_intent("pm_card_chargeDeclined", status=402)],
    "payment_intent.requires_action": [_intent("pm_card_authenticationRequired")],
    "payment_intent.canceled": [
        _intent(),
        _act("payment_intents/{intent}/cancel", {"cancellation_reason": "requested_by_customer"}),
    ],
    "payment_intent.processing": [
        _post(
            "method",
            "payment_methods",
            {
                "type": "sepa_debit",
                "sepa_debit[iban]": "AT321904300235473204",
                "billing_details[name]": "Bob",
                "billing_details[email]": "bob@example.com",
            },
            note=False,
        ),
        _post(
            "intent",
            "payment_intents",
            {
                "payment_method": "{method}",
                "payment_method_types[0]": "sepa_debit",
                "amount": "1000",
                "currency": "eur",
                "confirm": "true",
                "mandate_data[customer_acceptance][accepted_at]": "1590590577",
                "mandate_data[customer_acceptance][type]": "offline",
            },
            note=False,
        ),
    ],
    "payment_method.attached": [CUSTOMER, _attach("pm_card_visa")],
    "payment_method.detached": [
        CUSTOMER,
        _attach("pm_card_visa"),
        _act("payment_methods/{method}/detach"),
    ],
    "payment_method.updated": [
        CUSTOMER,
        _post(
            "setup",
            "setup_intents",
            {"customer": "{customer}", "payment_method": "pm_card_visa", "confirm": "true"},
        ),
        _act("payment_methods/{setup.payment_method}", NOTED),
    ],
    "setup_intent.succeeded": [
        _post("setup", "setup_intents", {"payment_method": "pm_card_visa", "confirm": "true"})
    ],
    "setup_intent.setup_failed": [
        _post(
            "setup",
            "setup_intents",
            {"payment_method": "pm_card_chargeDeclined", "confirm": "true"},
            status=402,
        )
    ],
    "customer.created": [CUSTOMER],
    "customer.updated": [CUSTOMER, _act("customers/{customer}", NOTED)],
    "customer.deleted": [CUSTOMER, Step("done", "DELETE", "customers/{customer}", {})],
    "customer.source.created": [
        CUSTOMER,
        _act("customers/{customer}/sources", {"source": "tok_visa"}),
    ],
    "customer.subscription.created": RUNNING,
    "customer.subscription.updated": [*RUNNING, _act("subscriptions/{subscription}", NOTED)],
    "customer.subscription.deleted": [
        *RUNNING,
        Step("done", "DELETE", "subscriptions/{subscription}", {}),
    ],
    "customer.subscription.trial_will_end": [
        CUSTOMER,
        PRODUCT,
        PRICE,
        _subscription(trial_period_days="1"),
    ],
    "customer.subscription.paused": [
        CUSTOMER,
        PRODUCT,
        PRICE,
        _subscription(
            **{
                "trial_period_days": "7",
                "trial_settings[end_behavior][missing_payment_method]": "pause",
            }
        ),
        _act("subscriptions/{subscription}", {"trial_end": "now"}),
    ],
    "subscription.payment_failed": _renewing("tok_chargeCustomerFail"),
    "subscription.payment_succeeded": _renewing("tok_visa"),
    "credit_note.created": CREDITED,
    "credit_note.updated": [*CREDITED, _act("credit_notes/{note}", NOTED)],
    "credit_note.voided": [*CREDITED, _act("credit_notes/{note}/void")],
    "billing_portal.session.created": [
        CUSTOMER,
        _act("billing_portal/sessions", {"customer": "{customer}"}),
    ],
    "test_helpers.test_clock.ready": [
        CLOCK,
        _act("test_helpers/test_clocks/{clock}/advance", {"frozen_time": "1580515200"}),
    ],
}
