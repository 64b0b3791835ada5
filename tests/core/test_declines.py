"""Of all that is said of a declined charge the strictest word wins."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dunning.core.declines import (
    ANY_CODE,
    STRICTNESS,
    UNKNOWN,
    Advice,
    advise,
    permits_charge,
    table,
)
from dunning.core.events import Decline

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
WORDS = (
    "code",
    "error_code",
    "advice_code",
    "network_code",
    "network_advice_code",
    "outcome_type",
    "outcome_reason",
)
ROWS = [row for row in table() if row.code != ANY_CODE]


# --- well-known declines -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("decline", "advice", "wait"),
    [
        (Decline(code="insufficient_funds"), Advice.WAIT, DAY),
        (Decline(code="generic_decline"), Advice.RETRY, DAY),
        (Decline(code="do_not_honor"), Advice.RETRY, DAY),
        (Decline(code="processing_error"), Advice.RETRY, HOUR),
        (Decline(code="issuer_not_available"), Advice.RETRY, HOUR),
        (Decline(code="expired_card"), Advice.NEW_METHOD, None),
        (Decline(error_code="expired_card"), Advice.NEW_METHOD, None),
        (Decline(code="incorrect_cvc"), Advice.NEW_METHOD, None),
        (Decline(code="authentication_required"), Advice.AUTHENTICATE, None),
        (Decline(code="lost_card"), Advice.STOP, None),
        (Decline(code="stolen_card"), Advice.STOP, None),
        (Decline(code="fraudulent"), Advice.STOP, None),
        (Decline(code="transaction_not_allowed"), Advice.STOP, None),
        (Decline(code="duplicate_transaction"), Advice.STOP, None),
        (Decline(code="highest_risk_level"), Advice.STOP, None),
        (Decline(error_code="card_decline_rate_limit_exceeded"), Advice.RETRY, DAY),
        (Decline(advice_code="do_not_try_again"), Advice.STOP, None),
        (Decline(advice_code="confirm_card_data"), Advice.NEW_METHOD, None),
    ],
    ids=repr,
)
def test_well_known_declines(decline: Decline, advice: Advice, wait: timedelta | None) -> None:
    verdict = advise(decline)
    assert (verdict.advice, verdict.wait) == (advice, wait)
    assert verdict.mapped


def test_the_same_number_means_different_things_per_network() -> None:
    code = Decline(code="generic_decline", network_code="82")
    assert advise(replace(code, network="visa")).advice is Advice.NEW_METHOD
    assert advise(replace(code, network="mastercard")).advice is Advice.RETRY
    for network in ("amex", "discover", None):
        assert advise(replace(code, network=network)) == advise(Decline(code="generic_decline"))


@pytest.mark.parametrize("network", ["amex", "discover", None])
def test_a_network_we_have_no_table_of_leaves_nothing_known(network: str | None) -> None:
    assert advise(Decline(network=network, network_code="05", network_advice_code="03")) == UNKNOWN


def test_mastercard_names_the_earliest_time_and_the_longest_wait_wins() -> None:
    funds = Decline(code="insufficient_funds", network="mastercard", network_code="51")
    waits = {"24": DAY, "25": DAY, "26": 2 * DAY, "27": 4 * DAY, "30": 10 * DAY}
    for advice_code, wait in waits.items():
        assert advise(replace(funds, network_advice_code=advice_code)).wait == wait
    verdict = advise(replace(funds, network_advice_code="27", advice_code="try_again_later"))
    assert verdict.advice is Advice.WAIT
    assert verdict.sources == (
        "decline_code insufficient_funds",
        "advice_code try_again_later",
        "mastercard code 51",
        "mastercard advice 27",
    )
    assert "Not before 96 h after the try (mastercard advice 27)." in verdict.reason


@pytest.mark.parametrize("never", ["03", "3", "21", "42"])
def test_mastercard_can_forbid_what_the_decline_code_allows(never: str) -> None:
    verdict = advise(
        Decline(code="insufficient_funds", network="MasterCard", network_advice_code=never)
    )
    assert verdict.advice is Advice.STOP
    assert verdict.wait is None
    assert verdict.sources[0] == "decline_code insufficient_funds"


def test_card_declined_says_nothing_beside_a_better_word() -> None:
    alone = advise(Decline(error_code="card_declined"))
    assert (alone.advice, alone.wait) == (Advice.RETRY, DAY)
    better = advise(Decline(error_code="card_declined", code="processing_error"))
    assert better.wait == HOUR
    assert better.sources == ("decline_code processing_error",)


def test_what_stripe_blocked_is_not_tried_again() -> None:
    radar = Decline(code="generic_decline", outcome_type="blocked", outcome_reason="rule")
    assert advise(radar).advice is Advice.STOP
    assert not advise(radar).customer_may_know
    assert advise(Decline(code="generic_decline", outcome_type="blocked")).advice is Advice.STOP
    excessive = Decline(
        code="generic_decline", outcome_reason="previously_declined_do_not_retry", network="visa"
    )
    assert advise(excessive).advice is Advice.STOP


def test_visa_39_knows_better_than_invalid_account() -> None:
    invalid = Decline(code="invalid_account", network="visa")
    assert advise(invalid).advice is Advice.STOP
    assert advise(replace(invalid, network_code="14")).advice is Advice.STOP
    no_credit_account = advise(replace(invalid, network_code="39"))
    assert no_credit_account.advice is Advice.RETRY
    assert no_credit_account.sources == (
        "visa code 39",
        "decline_code invalid_account (set aside: the network's code knows better)",
    )
    forbidden = replace(invalid, network_code="39", advice_code="do_not_try_again")
    assert advise(forbidden).advice is Advice.STOP
    assert advise(replace(invalid, network_code="39", network="mastercard")).advice is Advice.STOP


@pytest.mark.parametrize(
    ("method", "code", "raw", "advice"),
    [
        ("us_bank_account", "insufficient_funds", "R01", Advice.WAIT),
        ("us_bank_account", "insufficient_funds", None, Advice.WAIT),
        ("us_bank_account", None, "r09", Advice.WAIT),
        ("us_bank_account", "debit_not_authorized", "R08", Advice.STOP),
        ("us_bank_account", "bank_account_closed", "R02", Advice.NEW_METHOD),
        ("us_bank_account", "refer_to_customer", None, Advice.NEW_METHOD),
        ("sepa_debit", "insufficient_funds", "AM04", Advice.WAIT),
        ("sepa_debit", "refer_to_customer", None, Advice.NEW_METHOD),
        ("sepa_debit", "refer_to_customer", "MS03", Advice.RETRY),
        ("sepa_debit", "refer_to_customer", "MS02", Advice.NEW_METHOD),
        ("sepa_debit", "generic_could_not_process", "AC13", Advice.NEW_METHOD),
        ("bacs_debit", "refer_to_customer", None, Advice.NEW_METHOD),
        ("bacs_debit", "refer_to_customer", "0", Advice.WAIT),
        ("bacs_debit", None, "ARUDD 1", Advice.STOP),
        ("au_becs_debit", "insufficient_funds", "6", Advice.WAIT),
        ("au_becs_debit", "account_closed", None, Advice.NEW_METHOD),
        (None, "R01", None, Advice.WAIT),
    ],
)
def test_bank_debits(method: str | None, code: str | None, raw: str | None, advice: Advice) -> None:
    decline = Decline(code=code, network_code=raw, method_type=method)
    assert advise(decline).advice is advice
    assert advise(decline).mapped


@pytest.mark.parametrize(
    "code", ["lost_card", "stolen_card", "pickup_card", "restricted_card", "fraudulent"]
)
def test_a_possible_thief_is_told_nothing(code: str) -> None:
    assert not advise(Decline(code=code)).customer_may_know
    mixed = advise(Decline(code=code, advice_code="try_again_later"))
    assert not mixed.customer_may_know


@pytest.mark.parametrize(
    "decline",
    [
        Decline(code="recipient_deceased", method_type="sepa_debit"),
        Decline(code="recipient_deceased"),
        Decline(network_code="MD07", method_type="sepa_debit"),
        Decline(code="ARUDD-2", method_type="bacs_debit"),
        Decline(network_code="2", method_type="bacs_debit"),
    ],
    ids=repr,
)
def test_nothing_is_written_to_the_dead(decline: Decline) -> None:
    verdict = advise(decline)
    assert verdict.quiet
    assert verdict.tell_ops
    assert verdict.advice is Advice.STOP
    assert advise(replace(decline, error_code="processing_error")).quiet


@pytest.mark.parametrize(
    "code", [" Insufficient_Funds ", "INSUFFICIENT_FUNDS", "insufficient-funds"]
)
def test_spelling_does_not_matter(code: str) -> None:
    assert advise(Decline(code=code)).advice is Advice.WAIT


@pytest.mark.parametrize("network", ["mastercard", "MasterCard", "master_card", " Master Card "])
def test_the_spelling_of_a_network_does_not_matter(network: str) -> None:
    assert advise(Decline(network=network, network_advice_code="03")).advice is Advice.STOP


def test_a_bank_answer_is_read_as_such_whatever_the_network_is_called() -> None:
    debit = Decline(method_type="us_bank_account", network="visa", network_code="R01")
    assert advise(debit).advice is Advice.WAIT
    assert advise(debit).sources == ("us_bank_account code R01",)


# --- what is not in the table --------------------------------------------------------------


def test_an_unknown_code_is_spaced_out_and_reported() -> None:
    verdict = advise(Decline(code="brand_new_code"))
    assert (verdict.advice, verdict.wait) == (Advice.RETRY, DAY)
    assert not verdict.mapped
    assert verdict.tell_ops
    assert "decline_code brand_new_code" in verdict.reason
    assert "`declines` in the policy file" in verdict.reason


def test_a_star_is_a_code_like_any_other() -> None:
    assert advise(Decline(code="*")).advice is Advice.RETRY
    assert not advise(Decline(code="*")).mapped


def test_an_unknown_code_beside_a_known_one_is_reported_too() -> None:
    verdict = advise(Decline(code="expired_card", advice_code="brand_new_advice"))
    assert verdict.advice is Advice.NEW_METHOD
    assert not verdict.mapped
    assert verdict.tell_ops


def test_any_other_visa_answer_is_category_4_without_an_alarm() -> None:
    verdict = advise(Decline(network="visa", network_code="99"))
    assert (verdict.advice, verdict.wait) == (Advice.RETRY, DAY)
    assert not verdict.mapped
    assert not verdict.tell_ops


@pytest.mark.parametrize("method", ["us_bank_account", "sepa_debit", "bacs_debit"])
def test_an_unknown_answer_to_a_bank_debit_is_not_tried_again(method: str) -> None:
    for decline in (Decline(code="X99"), Decline(code="insufficient_funds", network_code="X99")):
        verdict = advise(replace(decline, method_type=method))
        assert verdict.advice is Advice.NEW_METHOD
        assert not verdict.mapped
        assert verdict.tell_ops


@pytest.mark.parametrize("empty", [None, "", "  "])
def test_nothing_said_is_not_an_unknown_code(empty: str | None) -> None:
    silence = Decline(code=empty, error_code=empty, network="visa", method_type="card")
    assert advise(silence) is UNKNOWN
    assert permits_charge(UNKNOWN.advice)
    assert UNKNOWN.wait == DAY
    assert UNKNOWN.mapped


def test_only_retry_and_wait_permit_a_charge() -> None:
    permitted = [advice for advice in Advice if permits_charge(advice)]
    assert permitted == [Advice.RETRY, Advice.WAIT]


# --- properties ----------------------------------------------------------------------------

CODES = sorted({row.code for row in table()})
WORD = st.none() | st.sampled_from(CODES) | st.text(max_size=8)
CONTEXT = {
    "network": st.sampled_from((None, "visa", "mastercard", "amex")),
    "method_type": st.sampled_from(
        (None, "card", "us_bank_account", "sepa_debit", "bacs_debit", "au_becs_debit", "paypal")
    ),
}
DECLINES = st.builds(Decline, **CONTEXT, **dict.fromkeys(WORDS, WORD))


def strictness(decline: Decline) -> tuple[int, bool, bool, bool]:
    verdict = advise(decline)
    hidden = not verdict.customer_may_know
    return STRICTNESS[verdict.advice], verdict.quiet, hidden, verdict.tell_ops


def said(decline: Decline) -> set[str]:
    return {getattr(decline, word) for word in WORDS} - {None}


def set_aside(decline: Decline) -> bool:
    return any("set aside" in source for source in advise(decline).sources)


@given(DECLINES, st.sampled_from(WORDS), st.sampled_from(CODES) | st.text(min_size=1, max_size=8))
def test_a_further_source_never_makes_the_verdict_laxer(
    decline: Decline, word: str, code: str
) -> None:
    before = replace(decline, **{word: None})
    after = replace(decline, **{word: code})
    assume(set_aside(before) or not set_aside(after))
    for less, more in zip(strictness(before), strictness(after), strict=True):
        assert less <= more


@pytest.mark.parametrize("method", ["card", "us_bank_account", "sepa_debit", "bacs_debit"])
@pytest.mark.parametrize("network", ["visa", "mastercard"])
def test_of_any_two_rows_the_stricter_wins(method: str, network: str) -> None:
    """Exhaustive where the property samples: every decline code with every network answer."""
    names = [row.code for row in ROWS if row.kind == "card_decline_code"]
    raw = [row.code for row in ROWS if row.kind == network]
    for name in names:
        for answer in raw:
            both = Decline(code=name, network_code=answer, network=network, method_type=method)
            each = (replace(both, network_code=None), replace(both, code=None))
            strictest = max(STRICTNESS[advise(one).advice] for one in each)
            declared = set_aside(both)
            assert declared or STRICTNESS[advise(both).advice] == strictest
            assert not declared or (name, answer) == ("invalid_account", "39")


@given(DECLINES)
def test_every_decline_gets_a_verdict_that_hangs_together(decline: Decline) -> None:
    verdict = advise(decline)
    assert verdict.reason
    assert (verdict.wait is not None) is permits_charge(verdict.advice)
    assert verdict.mapped or "Unknown: " in verdict.reason
    assert verdict == advise(decline)


@given(DECLINES)
def test_the_longest_wait_wins(decline: Decline) -> None:
    whole = advise(decline)
    assume(permits_charge(whole.advice) and not set_aside(decline))
    assume(not any(row.vague and row.code in said(decline) for row in table()))
    for word in WORDS:
        one = {other: None for other in WORDS if other != word}
        alone = advise(replace(decline, **one))
        if alone is not UNKNOWN:
            assert alone.wait is not None
            assert whole.wait is not None
            assert alone.wait <= whole.wait


def test_the_words_tested_are_all_there_are() -> None:
    assert {field.name for field in fields(Decline)} == {*WORDS, *CONTEXT}
