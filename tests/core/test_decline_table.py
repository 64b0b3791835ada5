"""declines.csv: every code has one reviewed row, and a faulty file is refused."""

from __future__ import annotations

import re
from collections import Counter
from datetime import timedelta
from importlib import resources

import pytest

from dunning.core.declines import (
    ANY_CODE,
    Advice,
    Row,
    advise,
    permits_charge,
    read_rows,
    table,
)
from dunning.core.events import Decline
from dunning.errors import ConfigError

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
METHODS = {
    "bank_debit_ach": "us_bank_account",
    "bank_debit_sepa": "sepa_debit",
    "bank_debit_bacs": "bacs_debit",
    "bank_debit_any": "au_becs_debit",
}
ROWS = [row for row in table() if row.code != ANY_CODE]


def heard(row: Row) -> Decline:
    """The decline in which this row, and nothing else, is said."""
    match row.kind:
        case "charge_outcome_reason":
            return Decline(outcome_reason=row.code)
        case "api_error_code":
            return Decline(error_code=row.code)
        case "outcome_type":
            return Decline(outcome_type=row.code)
        case "advice_code":
            return Decline(advice_code=row.code)
        case "visa" | "mastercard":
            return Decline(network=row.kind, network_code=row.code)
        case "visa_category":
            return Decline(network="visa", network_advice_code=row.code)
        case "mastercard_advice":
            return Decline(network="mastercard", network_advice_code=row.code)
        case _:
            return Decline(code=row.code, method_type=METHODS.get(row.kind, "card"))


def label(row: Row) -> str:
    return row.name


# --- the table -----------------------------------------------------------------------------


@pytest.mark.parametrize("row", ROWS, ids=label)
def test_every_code_is_classified_as_its_row_says(row: Row) -> None:
    verdict = advise(heard(row))
    assert verdict.mapped
    assert verdict.advice is row.advice
    assert verdict.wait == row.wait
    assert verdict.customer_may_know is row.customer_may_know
    assert verdict.quiet is row.quiet
    assert verdict.tell_ops is row.tell_ops
    assert len(verdict.sources) == 1
    assert row.meaning in verdict.reason
    assert row.reason in verdict.reason


def test_every_advice_is_used() -> None:
    assert {row.advice for row in table()} == set(Advice)


def test_every_row_says_why_and_on_whose_word() -> None:
    for row in table():
        assert re.fullmatch(r"[A-Z].*[.)]", row.reason), row.name
        assert len(row.source) > 8, row.name
        assert not row.meaning.endswith("."), row.name


BY_CATEGORY = {
    "needs_authentication": (Advice.AUTHENTICATE, None),
    "soft_temporary": (Advice.RETRY, HOUR),
    "soft_funds": (Advice.WAIT, DAY),
    "issuer_unspecified": (Advice.RETRY, DAY),
    "fix_card_data": (Advice.NEW_METHOD, None),
    "hard_never_retry": (Advice.STOP, None),
    "fraud_block": (Advice.STOP, None),
    "merchant_config": (Advice.STOP, None),
}
# Bank debits may be tried again only for the reasons their schemes name.
STRICTER_THAN_CATEGORY = {
    "bank_debit_ach:refer_to_customer",
    "bank_debit_sepa:refer_to_customer",
    "bank_debit_sepa:MS02",
    "bank_debit_sepa:generic_could_not_process",
    "bank_debit_sepa:AC13",
    "bank_debit_any:refer_to_customer",
    "bank_debit_any:generic_could_not_process",
    "bank_debit_any:*",
}
OTHER_WAIT = {
    "api_error_code:card_decline_rate_limit_exceeded": DAY,
    "api_error_code:charge_exceeds_source_limit": DAY,
    "mastercard_advice:24": HOUR,
    "mastercard_advice:26": 2 * DAY,
    "mastercard_advice:27": 4 * DAY,
    "mastercard_advice:28": 6 * DAY,
    "mastercard_advice:29": 8 * DAY,
    "mastercard_advice:30": 10 * DAY,
}


@pytest.mark.parametrize("row", table(), ids=label)
def test_the_advice_follows_from_the_category(row: Row) -> None:
    advice, wait = BY_CATEGORY[row.category]
    if row.name in STRICTER_THAN_CATEGORY:
        assert row.advice is Advice.NEW_METHOD
        return
    assert row.advice is advice
    assert row.wait == OTHER_WAIT.get(row.name, wait)


def test_exceptions_to_the_categories_exist() -> None:
    assert STRICTER_THAN_CATEGORY | set(OTHER_WAIT) <= {row.name for row in table()}


VISA = {
    1: "04 07 12 14 15 41 43 46 57 R0 R1 R3",
    2: "03 19 39 51 52 53 59 61 62 65 75 78 83 86 91 93 96 5C 9G N3 N4 Z5",
    3: "54 55 82 6P N7 70 1A",
    4: "01 05 63 *",
}


def test_visa_codes_stand_in_the_category_visa_gave_them() -> None:
    found: dict[int, set[str]] = {}
    for row in table():
        if row.kind == "visa":
            category = int(row.reason.removeprefix("Visa category ")[0])
            found.setdefault(category, set()).add(row.code)
    assert found == {category: set(codes.split()) for category, codes in VISA.items()}


def test_visa_category_1_is_never_tried_again() -> None:
    for code in VISA[1].split():
        verdict = advise(Decline(network="visa", network_code=code))
        assert verdict.advice is Advice.STOP


RETRYABLE_DEBITS = {
    "bank_debit_ach": {"insufficient_funds", "R01", "R09"},
    "bank_debit_sepa": {"insufficient_funds", "AM04", "MS03"},
    "bank_debit_bacs": {"ARUDD-0"},
    "bank_debit_any": {"insufficient_funds"},
}


def test_bank_debits_are_tried_again_only_for_want_of_funds() -> None:
    found: dict[str, set[str]] = {kind: set() for kind in RETRYABLE_DEBITS}
    for row in table():
        if row.kind in found and permits_charge(row.advice):
            found[row.kind].add(row.code)
    assert found == RETRYABLE_DEBITS


def test_errors_of_ours_never_read_as_a_decline() -> None:
    for row in table():
        if row.category == "merchant_config":
            assert row.tell_ops, row.name
    for code in ("Invoice is already paid", "resource_missing", "rate_limit", "idempotency_error"):
        assert "Not a decline" in advise(Decline(error_code=code)).reason


# --- the file ------------------------------------------------------------------------------

HEADER, FIRST, *REST = (
    resources.files("dunning.core").joinpath("declines.csv").read_text("utf-8").splitlines()
)


def test_no_code_is_there_twice() -> None:
    names = Counter((row.kind, row.code.casefold()) for row in table())
    assert [name for name, times in names.items() if times > 1] == []


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ([FIRST, FIRST], "twice"),
        ([FIRST.replace(",authenticate,", ",perhaps,")], "perhaps"),
        ([FIRST.replace(",authenticate,", ",retry,")], "needs a wait"),
        ([FIRST.replace(",authenticate,,", ",authenticate,24h,")], "needs a wait"),
        ([FIRST.replace(",authenticate,,", ",retry,soon,")], "soon"),
        ([FIRST.replace(",yes,no,no,no,", ",yes,no,no,yes,")], "is vague"),
        ([FIRST.replace(",yes,no,no,no,", ",yes,no,no,maybe,")], "maybe"),
        ([FIRST.replace(",no,no,no,,", ",no,no,no,visa:39 visa:XX,")], "visa:XX"),
        ([FIRST.replace(",no,no,no,,", ",no,no,no,advice_code:do_not_try_again,")], "no row of"),
        ([FIRST.replace(",verified", ",sure")], "sure"),
        ([FIRST + ",more"], "more cells"),
        ([FIRST.rpartition(",")[0]], "row 1"),
        ([FIRST.replace("authentication_required", " ")], "empty: code"),
    ],
)
def test_a_fault_in_the_file_is_refused(lines: list[str], fault: str) -> None:
    assert lines != [FIRST]
    with pytest.raises(ConfigError, match=re.escape(fault)):
        read_rows([HEADER, *lines, *REST])


def test_a_missing_fallback_is_refused() -> None:
    without = [line for line in (FIRST, *REST) if not line.startswith("*,visa,")]
    with pytest.raises(ConfigError, match="visa"):
        read_rows([HEADER, *without])
