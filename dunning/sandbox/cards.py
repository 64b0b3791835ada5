"""Stripe's special test cards and bank accounts: which number, token or id behaves how."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dunning.sandbox.errors import Obj


@dataclass(frozen=True)
class TestCard:
    """One card and its behaviour."""

    number: str
    brand: str = "visa"
    country: str = "US"
    funding: str = "credit"
    decline: str | None = None
    attaches: bool = True  # False: already refused when attached to a customer
    # no: never asked; setup: asked once when set up; always: asked at every charge
    authentication: str = "no"
    dispute: str | None = None  # reason of the dispute that follows a charge
    inquiry: bool = False
    refund: str = "succeeded"  # or failed, pending

    @property
    def last4(self) -> str:
        """The last four digits."""
        return self.number[-4:]


def _refused(number: str, code: str) -> TestCard:
    return TestCard(number, decline=code, attaches=False)


_VISA = TestCard("4242424242424242")

# The words after `pm_card_` and `tok_`, as Stripe spells them.
BY_NAME: dict[str, TestCard] = {
    "visa": _VISA,
    "visa_debit": TestCard("4000056655665556", funding="debit"),
    "mastercard": TestCard("5555555555554444", "mastercard"),
    "mastercard_debit": TestCard("5200828282828210", "mastercard", funding="debit"),
    "amex": TestCard("378282246310005", "amex"),
    "discover": TestCard("6011111111111117", "discover"),
    "jcb": TestCard("3566002020360505", "jcb", "JP"),
    "gb": TestCard("4000008260000000", country="GB"),
    "de": TestCard("4000002760000016", country="DE"),
    "bypassPending": TestCard("4000000000000077"),
    "chargeCustomerFail": TestCard("4000000000000341", decline="generic_decline"),
    "chargeDeclined": _refused("4000000000000002", "generic_decline"),
    "chargeDeclinedInsufficientFunds": _refused("4000000000009995", "insufficient_funds"),
    "chargeDeclinedLostCard": _refused("4000000000009987", "lost_card"),
    "chargeDeclinedStolenCard": _refused("4000000000009979", "stolen_card"),
    "chargeDeclinedExpiredCard": _refused("4000000000000069", "expired_card"),
    "chargeDeclinedIncorrectCvc": _refused("4000000000000127", "incorrect_cvc"),
    "chargeDeclinedProcessingError": _refused("4000000000000119", "processing_error"),
    "chargeDeclinedVelocityLimitExceeded": _refused("4000000000006975", "card_velocity_exceeded"),
    "chargeDeclinedFraudulent": _refused("4100000000000019", "fraudulent"),
    # Attach, then decline with a hard code: only these two exist at Stripe.
    "chargeCustomerFailLostCard": TestCard("4000000000005423", decline="lost_card"),
    "chargeCustomerFailStolenCard": TestCard("4000000000005563", decline="stolen_card"),
    "authenticationRequired": TestCard("4000002500003155", authentication="setup"),
    "authenticationRequiredOnSetup": TestCard("4000002500003155", authentication="setup"),
    "authenticationRequiredAlways": TestCard("4000002760003184", authentication="always"),
    "threeDSecure2Required": TestCard("4000000000003220", authentication="always"),
    "threeDSecureRequired": TestCard("4000000000003063", authentication="always"),
    "authenticationRequiredChargeDeclinedInsufficientFunds": TestCard(
        "4000008260003178", decline="insufficient_funds", authentication="setup"
    ),
    "createDispute": TestCard("4000000000000259", dispute="fraudulent"),
    "createDisputeProductNotReceived": TestCard("4000000000002685", dispute="product_not_received"),
    "createDisputeInquiry": TestCard("4000000000001976", dispute="fraudulent", inquiry=True),
    "refundFail": TestCard("4000000000005126", refund="failed"),
    "pendingRefund": TestCard("4000000000007726", refund="pending"),
}
BY_NUMBER = {card.number: card for card in BY_NAME.values()}


def card_by_number(number: str) -> TestCard:
    """The special card of that number, or an ordinary one whose brand the first digit tells."""
    digits = number.replace(" ", "").replace("-", "")
    known = BY_NUMBER.get(digits)
    if known is not None:
        return known
    brand = {"5": "mastercard", "2": "mastercard", "3": "amex", "6": "discover"}
    return TestCard(digits, brand.get(digits[:1], "visa"))


def card_by_name(name: str) -> TestCard | None:
    """`pm_card_visa_chargeDeclined`, `tok_visa_chargeDeclined`, `pm_card_chargeDeclined` …"""
    for prefix in ("pm_card_", "tok_"):
        if name.startswith(prefix):
            word = name.removeprefix(prefix)
            return BY_NAME.get(word) or BY_NAME.get(word.removeprefix("visa_"))
    return None


@dataclass(frozen=True)
class TestBank:
    """One bank account; its debits stay processing for days before they end."""

    kind: str  # us_bank_account or sepa_debit
    number: str
    decline: str | None = None
    dispute: str | None = None
    settle_seconds: int | None = None

    @property
    def last4(self) -> str:
        """The last four characters."""
        return self.number[-4:]


_US = TestBank("us_bank_account", "000123456789")
_SEPA = TestBank("sepa_debit", "AT611904300234573201")
BANKS: dict[str, TestBank] = {
    "pm_usBankAccount": _US,
    "pm_usBankAccount_success": _US,
    "pm_usBankAccount_accountClosed": replace(
        _US, number="000111111116", decline="bank_account_closed"
    ),
    "pm_usBankAccount_insufficientFunds": replace(
        _US, number="000222222227", decline="insufficient_funds"
    ),
    "pm_usBankAccount_debitNotAuthorized": replace(
        _US, number="000333333335", decline="debit_not_authorized"
    ),
    "pm_usBankAccount_dispute": replace(_US, number="000000000009", dispute="general"),
    "pm_sepa_debit": _SEPA,
    "pm_sepa_debit_insufficientFunds": replace(
        _SEPA, number="AT861904300235473202", decline="insufficient_funds"
    ),
    "pm_sepa_debit_dispute": replace(
        _SEPA, number="AT591904300235473203", dispute="debit_not_authorized"
    ),
    "pm_sepa_debit_soon": replace(_SEPA, number="AT321904300235473204", settle_seconds=180),
    "pm_sepa_debit_failsSoon": replace(
        _SEPA, number="AT051904300235473205", decline="insufficient_funds", settle_seconds=180
    ),
}
_BANK_BY_NUMBER = {bank.number: bank for bank in BANKS.values()}


def bank_by_number(kind: str, number: str) -> TestBank:
    """The special account of that number, or an ordinary one."""
    digits = number.replace(" ", "")
    known = _BANK_BY_NUMBER.get(digits)
    return known or TestBank(kind, digits)


def card_of(method: Obj) -> TestCard:
    """The behaviour behind a kept payment method or legacy card."""
    return card_by_number(method.get("_number") or _VISA.number)


def bank_of(method: Obj) -> TestBank:
    """The behaviour behind a kept bank account."""
    return bank_by_number(method["type"], method.get("_number") or "")
