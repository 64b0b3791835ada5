"""`declines` and `limits` of the policy file: what arrives, what is refused, what is warned of."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dunning.config import describe_rules, lint
from dunning.core.declines import Advice, Override, advise
from dunning.core.events import Decline
from dunning.core.limits import built_in, in_force
from dunning.core.policy import from_data, to_data
from tests.config.files import EXAMPLE, heads, load, refusal

DAY = timedelta(days=1)


def rules(*lines: str) -> str:
    """The example with these lines at its top: the first of them is line 2."""
    return "version: 1\n" + "\n".join(lines) + "\n" + EXAMPLE.split("\n", 1)[1]


OVERRIDES = (
    "declines:",
    '  do_not_honor: {advice: wait, wait: 2d, why: "our acquirer says so", source: "a mail"}',
    "  Insufficient Funds: {advice: wait, why: more patience, wait: 3d}",
    "  lost_card: {advice: retry, why: our bank reports it wrongly, source: contract}",
    '  visa:05: {advice: wait, wait: 4d, why: "as measured"}',
    "  new_bank_code: {advice: new_method, category: fix_card_data, why: seen in March}",
)


def test_the_words_of_the_file_arrive_in_every_policy_and_in_its_version() -> None:
    file = load(rules(*OVERRIDES))
    policy = file.policies["standard"]
    assert policy.declines == file.declines
    assert policy.declines[0] == Override(
        code="do_not_honor",
        advice=Advice.WAIT,
        wait=2 * DAY,
        why="our acquirer says so",
        source="a mail",
    )
    assert policy.declines[3] == Override(
        code="05", kind="visa", advice=Advice.WAIT, wait=4 * DAY, why="as measured"
    )
    assert policy.version != load(EXAMPLE).policies["standard"].version
    assert from_data(to_data(policy)) == policy
    assert "declines" not in to_data(load(EXAMPLE).policies["standard"])


@pytest.mark.parametrize(
    ("decline", "advice", "wait", "words"),
    [
        (Decline(code="do_not_honor"), Advice.WAIT, 2 * DAY, "our acquirer says so"),
        (Decline(code="insufficient_funds"), Advice.WAIT, 3 * DAY, "more patience"),
        (Decline(code="lost_card"), Advice.RETRY, DAY, "reports it wrongly"),
        (Decline(code="new_bank_code"), Advice.NEW_METHOD, None, "seen in March"),
        # Whoever is stricter still wins.
        (Decline(code="lost_card", network="visa", network_code="41"), Advice.STOP, None, ""),
        (Decline(code="do_not_honor", advice_code="do_not_try_again"), Advice.STOP, None, ""),
        (
            Decline(code="do_not_honor", network="visa", network_code="05"),
            Advice.WAIT,
            4 * DAY,
            "",
        ),
        # What the file does not speak of is as it was.
        (Decline(code="stolen_card"), Advice.STOP, None, ""),
    ],
)
def test_a_code_means_what_the_file_says(
    decline: Decline, advice: Advice, wait: timedelta | None, words: str
) -> None:
    said = advise(decline, load(rules(*OVERRIDES)).declines)
    assert (said.advice, said.wait) == (advice, wait)
    assert words in said.reason


def test_a_code_that_the_file_explains_is_known() -> None:
    code = Decline(code="new_bank_code")
    assert not advise(code).mapped
    assert advise(code, load(rules(*OVERRIDES)).declines).mapped


def test_a_stricter_word_of_the_house_is_not_set_aside_by_a_network() -> None:
    said = Decline(code="do_not_honor", network="visa", network_code="05")
    assert advise(said).advice is Advice.RETRY
    line = "  do_not_honor: {advice: stop, why: we never get through}"
    assert advise(said, load(rules("declines:", line)).declines).advice is Advice.STOP


PLACED = [
    ("  lost_crd: {advice: stop, why: x}", ("3:3: declines.lost_crd: 'lost_crd' is no code of our"
     " table; one that is new says what it is, by its `category`. Did you mean 'lost_card'?")),
    ("  N7: {advice: stop, why: x}", "Did you mean 'visa:N7'?"),
    ("  viza:05: {advice: stop, why: x}", "3:3: declines.viza:05: 'viza' has no codes; expected"),
    ("  visa:: {advice: stop, why: x}", "3:3: declines.visa:: 'visa:' names no code"),
    ("  lost_card: {advice: retry, why: x}", ("3:14: declines.lost_card: 'lost_card' is a stop in"
     " our table")),
    ("  lost_card: {advice: stop}", "3:14: declines.lost_card: `why` is missing"),
    ("  lost_card: {why: x}", "3:14: declines.lost_card: `advice` is missing"),
    ("  lost_card: {advice: never, why: x}", ("3:23: declines.lost_card.advice: 'never' is not an"
     " advice; expected one of authenticate, new_method, retry, stop, wait")),
    ("  lost_card: {advice: stop, wait: 2d, why: x}", ("3:29: declines.lost_card.wait: `wait` means"
     " nothing with stop")),
    ("  do_not_honor: {advice: wait, wait: 20d, why: x}", ("3:38: declines.do_not_honor.wait:"
     " expected from 1h to 14d")),
    ("  do_not_honor: {advice: wait, wait: soon, why: x}", ("3:38: declines.do_not_honor.wait:"
     " 'soon' is not a duration")),
    ("  do_not_honor: {advice: wait, why: x, becaus: y}", "3:40: declines.do_not_honor.becaus:"),
    ("  do_not_honor: {advice: wait, why: x, category: odd}", ("3:50:"
     " declines.do_not_honor.category: 'odd' is not a category; expected one of")),
    ("  do_not_honor: stop", "3:17: declines.do_not_honor: expected keys and values"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "problem"), PLACED)
def test_what_is_wrong_is_told_with_its_place(line: str, problem: str) -> None:
    (told,) = heads(rules("declines:", line))
    assert problem in told


def test_one_code_in_two_spellings_is_one_code() -> None:
    told = refusal(
        rules(
            "declines:",
            "  visa:5: {advice: stop, why: x}",
            "  visa:05: {advice: wait, why: x}",
        )
    )
    assert "is the same code as" in told


# --- limits --------------------------------------------------------------------------------------


LIMITS = (
    "limits:",
    "  - {name: house ceiling, attempts: 6}",
    "  - {name: Visa declines in a month, declines: 10, within: 30d, source: our acquirer}",
    "  - {name: ours for amex, network: amex, attempts: 4, within: 60d}",
    "  - {name: debits, method: sepa_debit, declines: 1, within: 14d}",
)


def test_limits_arrive_beside_those_of_the_networks() -> None:
    policy = load(rules(*LIMITS)).policies["standard"]
    house, visa, amex, sepa = policy.limits
    assert (house.count, house.window, house.same_amount) == (6, 30 * DAY, True)
    assert (visa.network, visa.count, visa.in_a_row) == ("visa", 10, True)
    assert (amex.network, amex.kind, amex.window) == ("amex", "attempts", 60 * DAY)
    assert (sepa.method_type, sepa.kind) == ("sepa_debit", "declines")
    assert from_data(to_data(policy)) == policy
    whole = in_force(policy.limits)
    assert set(whole) == {*policy.limits, *(one for one in built_in() if not one.is_house)}


WRONG = [
    ("{name: house ceiling, attempts: 16}", "3:5: limits.0: expected at most 15 within 30d"),
    ("{name: house ceiling, attempts: 6, within: 7d}", "3:5: limits.0: expected at most 15"),
    ("{name: house ceiling, declines: 6}", "limits.0.declines: house ceiling counts attempts"),
    ("{name: house ceiling}", "limits.0: expected one of `attempts` and `declines`"),
    ("{name: house ceiling, attempts: 6, declines: 5}", "expected one of `attempts` and"),
    ("{name: house ceiling, attempts: 0}", "'0' is not a whole number from 1 to 100"),
    ("{name: house ceiling, attempts: some}", "'some' is not a whole number"),
    ("{name: house ceiling, attempts: 6, network: visa}", "whom 'house ceiling' binds is known"),
    ("{name: house celing, attempts: 6, within: 30d}", "Did you mean 'house ceiling'?"),
    ("{name: Visa declines in a month, declines: 25}", ("3:5: limits.0: laxer than the rule itself,"
     " 20 declines within 30d")),
    ("{name: Visa declines in a month, declines: 20, within: 20d}", "laxer than the rule itself"),
    ("{name: ACH entry and two re-presentments, attempts: 4}", "laxer than the rule itself"),
    ("{name: mine, network: amex, attempts: 5}", "limits.0: `within` is missing"),
    ("{name: mine, network: amx, attempts: 5, within: 1d}", "'amx' is not a network"),
    ("{name: mine, method: cheque, attempts: 5, within: 1d}", "'cheque' is not a way to pay"),
    ("{attempts: 5, within: 1d}", "limits.0: `name` is missing"),
    ("{name: mine, network: amex, attempts: 5, within: 400d}", "expected from 1h to 365d"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "problem"), WRONG)
def test_a_limit_that_is_laxer_or_makes_no_sense_is_refused(line: str, problem: str) -> None:
    told = heads(rules("limits:", f"  - {line}"))
    assert any(problem in one for one in told), told


def test_a_limit_is_there_once() -> None:
    told = refusal(rules("limits:", *["  - {name: house ceiling, attempts: 6}"] * 2))
    assert "is there twice" in told


# --- warnings and words ------------------------------------------------------------------------


def test_what_softens_the_table_is_warned_of_with_its_place() -> None:
    told = lint(
        load(
            rules(
                "declines:",
                "  lost_card: {advice: retry, why: x, source: y}",
                "  visa:41: {advice: retry, why: x, source: y}",
                "  do_not_honor: {advice: wait, why: x}",
                "limits:",
                "  - {name: house ceiling, attempts: 12}",
            )
        )
    )
    found = [(one.line, one.path, one.sentence) for one in told if one.line < 8]
    assert [(line, path) for line, path, _ in found] == [
        (3, "declines.lost_card"),
        (4, "declines.visa:41"),
        (7, "limits.0"),
    ]
    assert "our table says stop" in found[0][2]
    assert "the network itself says stop" in found[1][2]


def test_the_rules_are_said_in_words() -> None:
    file = load(rules(*OVERRIDES, *LIMITS))
    told = describe_rules(file.declines, file.limits)
    assert told[0] == (
        "do_not_honor means wait, not before 2d after the try: our acquirer says so (a mail)."
    )
    assert "house ceiling: at most 6 attempts within 30d." in told
    assert "ours for amex: at most 4 attempts of amex within 60d." in told
