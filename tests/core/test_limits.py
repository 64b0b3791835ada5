"""Network limits to the second, counted over everybody's attempts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dunning.core.events import Actor, Attempt, AttemptStatus
from dunning.core.limits import (
    Blocked,
    Limit,
    allowed,
    built_in,
)

LIMITS = built_in()


NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
AMOUNT = 4900


def attempt(
    age: timedelta,
    *,
    status: AttemptStatus = AttemptStatus.DECLINED,
    amount: int = AMOUNT,
    by: Actor = Actor.OURS,
    id: str | None = None,
) -> Attempt:
    at = NOW - age
    # Names in the opposite order of time, so that nothing can lean on their order.
    name = id or f"ch_{9_999_999_999 - int(at.timestamp())}_{amount}_{status}"
    return Attempt(id=name, at=at, status=status, amount=amount, currency="usd", by=by)


def spread(
    count: int, oldest: timedelta, step: timedelta, *, amount: int = AMOUNT
) -> list[Attempt]:
    return [attempt(oldest - number * step, amount=amount) for number in range(count)]


def ask(
    history: list[Attempt],
    *,
    network: str | None = None,
    method_type: str | None = "card",
    now: datetime = NOW,
) -> Blocked | None:
    return allowed(history, network=network, method_type=method_type, amount=AMOUNT, now=now)


def named(name: str) -> Limit:
    return next(limit for limit in LIMITS if limit.name == name)


HOUSE = named("house ceiling")


def test_a_card_without_history_may_be_charged() -> None:
    assert ask([]) is None


def test_every_limit_has_a_source() -> None:
    assert len({limit.name for limit in LIMITS}) == len(LIMITS)
    for limit in LIMITS:
        assert len(limit.source) > 20, limit.name
        assert limit.certainty in {"verified", "judgement", "unverified"}
        assert limit.kind in {"declines", "attempts"}
        assert limit.count > 0


def test_the_house_stays_well_below_visa_old_and_new() -> None:
    assert HOUSE.count < 15 < named("Visa declines in a month").count
    assert HOUSE.window == named("Visa declines in a month").window


def numbers(network: str | None, method_type: str | None) -> list[tuple[int, timedelta]]:
    return [
        (limit.count, limit.window)
        for limit in LIMITS
        if limit.network == network and limit.method_type == method_type
    ]


def test_the_numbers_are_those_of_the_networks() -> None:
    assert numbers(None, None) == [(8, 30 * DAY)]
    assert numbers("visa", None) == [(20, 30 * DAY)]
    assert numbers("mastercard", None) == [(10, DAY), (35, 30 * DAY)]
    assert numbers(None, "us_bank_account") == [(3, 180 * DAY)]  # the entry and two more
    assert numbers(None, "sepa_debit") == [(3, 30 * DAY)]
    assert numbers(None, "bacs_debit") == [(3, 30 * DAY)]


@pytest.mark.parametrize("network", [None, "visa", "mastercard", "amex"])
def test_the_house_ceiling_to_the_second(network: str | None) -> None:
    full = spread(8, 29 * DAY, DAY)
    assert ask(full[:7], network=network) is None
    blocked = ask(full, network=network)
    assert blocked is not None
    assert blocked.until == full[0].at + 30 * DAY
    assert "house ceiling" in blocked.why
    assert blocked.until.isoformat() in blocked.why
    assert ask(full, network=network, now=blocked.until - SECOND) == blocked
    assert ask(full, network=network, now=blocked.until) is None


def test_an_attempt_exactly_as_old_as_the_window_is_outside() -> None:
    newer = spread(7, 20 * DAY, DAY)
    assert ask([attempt(30 * DAY), *newer]) is None
    inside = ask([attempt(30 * DAY - SECOND), *newer])
    assert inside == Blocked(NOW + SECOND, inside.why if inside else "")


def test_when_over_the_limit_enough_must_leave_and_not_only_the_oldest() -> None:
    history = spread(10, 29 * DAY, DAY)
    blocked = ask(history)
    assert blocked is not None
    assert blocked.until == history[2].at + 30 * DAY
    assert ask(history, now=blocked.until) is None
    assert ask(history, now=blocked.until - SECOND) is not None


def test_mastercard_counts_a_day_whatever_the_amounts() -> None:
    history = [attempt(23 * HOUR - number * HOUR, amount=100 + number) for number in range(10)]
    blocked = ask(history, network="mastercard")
    assert blocked is not None
    assert blocked.until == history[0].at + DAY
    assert "Mastercard declines in a day: 10 declines within 24 hours" in blocked.why
    assert ask(history, network="mastercard", now=blocked.until) is None
    assert ask(history[1:], network="mastercard") is None
    assert ask(history, network="visa") is None
    assert ask(history, network=" MasterCard ") == blocked


@pytest.mark.parametrize(
    ("network", "name"),
    [("visa", "Visa declines in a month"), ("mastercard", "Mastercard declines in a month")],
)
def test_the_networks_own_monthly_limits_hold_beside_the_house(network: str, name: str) -> None:
    """The house is reached first; far above it the network's limit lasts just as long."""
    limit = named(name)
    history = spread(limit.count, 29 * DAY, 12 * HOUR)
    blocked = ask(history, network=network)
    assert blocked is not None
    assert blocked.until is not None
    assert blocked.until >= history[0].at + limit.window


@pytest.mark.parametrize(
    ("method_type", "window"),
    [("us_bank_account", 180 * DAY), ("bacs_debit", 30 * DAY)],
)
def test_a_debt_is_presented_to_a_bank_twice_more_and_within_the_window_of_its_first_entry(
    method_type: str, window: timedelta
) -> None:
    history = spread(3, window - DAY, 5 * DAY)
    assert ask(history[:2], method_type=method_type) is None
    for later in (timedelta(0), DAY, window, 10 * window):
        blocked = ask(history, method_type=method_type, now=NOW + later)
        assert blocked is not None
        assert blocked.until is None
    last = history[0].at + window
    assert ask(history[:2], method_type=method_type, now=last) is None
    late = ask(history[:2], method_type=method_type, now=last + SECOND)
    assert late is not None
    assert late.until is None
    assert "after the original entry" in late.why
    assert ask(history, method_type="card") is None


def test_the_next_invoice_is_an_entry_of_its_own() -> None:
    old = spread(3, 60 * DAY, 5 * DAY)
    new = [attempt(DAY, id="new_1")]

    def of(debt: list[Attempt]) -> Blocked | None:
        return allowed(
            [*old, *new],
            network=None,
            method_type="us_bank_account",
            amount=AMOUNT,
            now=NOW,
            debt={one.id for one in debt},
        )

    assert of(new) is None
    blocked = of(old)
    assert blocked is not None
    assert blocked.until is None


def test_sepa_has_three_tries_in_any_thirty_days() -> None:
    history = spread(3, 29 * DAY, 5 * DAY)
    assert ask(history[:2], method_type="sepa_debit") is None
    blocked = ask(history, method_type="sepa_debit")
    assert blocked is not None
    assert blocked.until == history[0].at + 30 * DAY
    assert ask(history, method_type="sepa_debit", now=blocked.until) is None
    assert ask(history, method_type="sepa_debit", now=blocked.until - SECOND) is not None


def test_a_success_starts_a_debit_afresh_but_not_the_house_ceiling() -> None:
    paid = attempt(10 * DAY, status=AttemptStatus.SUCCEEDED)
    debits = [*spread(3, 20 * DAY, DAY), paid, attempt(DAY)]
    assert ask(debits, method_type="us_bank_account") is None
    cards = [*spread(7, 20 * DAY, DAY), paid, attempt(DAY)]
    assert ask(cards) is not None


def test_a_success_of_another_amount_changes_nothing() -> None:
    other = attempt(DAY, status=AttemptStatus.SUCCEEDED, amount=AMOUNT + 1)
    assert ask([*spread(3, 20 * DAY, DAY), other], method_type="us_bank_account") is not None


def test_other_amounts_do_not_count_towards_the_house_ceiling() -> None:
    assert ask(spread(8, 20 * DAY, DAY, amount=AMOUNT + 1)) is None


def test_successes_are_no_attempts_that_failed() -> None:
    paid = [attempt(number * DAY, status=AttemptStatus.SUCCEEDED) for number in range(1, 20)]
    assert ask(paid, network="mastercard") is None


@pytest.mark.parametrize(
    "status", [AttemptStatus.PROCESSING, AttemptStatus.ACTION_NEEDED, AttemptStatus.CANCELED]
)
def test_unfinished_attempts_count_as_attempts_but_not_as_declines(status: AttemptStatus) -> None:
    same = [attempt(number * HOUR, status=status) for number in range(1, 9)]
    assert ask(same) is not None
    others = [attempt(number * HOUR, status=status, amount=number) for number in range(1, 20)]
    assert ask(others, network="mastercard") is None


def test_everybody_counts() -> None:
    history = [
        replace(one, by=actor)
        for one, actor in zip(spread(8, 20 * DAY, DAY), [*Actor, *Actor], strict=True)
    ]
    assert ask(history) is not None


def test_two_reports_of_one_try_count_once_and_the_later_status_is_believed() -> None:
    history = spread(7, 20 * DAY, DAY)
    assert ask([*history, *history]) is None
    eighth = attempt(DAY, id="ch_8")
    paid = replace(eighth, status=AttemptStatus.SUCCEEDED)
    assert ask([*history, eighth]) is not None
    assert ask([*history, eighth, paid]) is None
    assert ask([*history, paid, eighth]) is None


def test_of_two_limits_the_one_that_lasts_longer_is_told() -> None:
    history = spread(12, 12 * HOUR, HOUR)
    blocked = ask(history, network="mastercard")
    assert blocked is not None
    assert blocked.until == history[4].at + 30 * DAY
    assert "house ceiling" in blocked.why


def test_a_clock_ahead_of_ours_does_not_hide_an_attempt() -> None:
    history = [*spread(7, 20 * DAY, DAY), attempt(-5 * SECOND)]
    assert ask(history) is not None


ATTEMPTS = st.lists(
    st.builds(
        attempt,
        st.integers(0, 200 * 24).map(lambda hours: timedelta(hours=hours)),
        status=st.sampled_from(AttemptStatus),
        amount=st.sampled_from((AMOUNT, 1)),
        id=st.integers(0, 60).map(str),
    ),
    max_size=60,
)
NETWORKS = st.sampled_from((None, "visa", "mastercard", "amex"))
METHODS = st.sampled_from((None, "card", "us_bank_account", "sepa_debit", "bacs_debit"))


@given(ATTEMPTS, NETWORKS, METHODS, st.randoms(use_true_random=False))
def test_the_order_of_the_reports_does_not_matter(
    history: list[Attempt], network: str | None, method_type: str | None, chance: object
) -> None:
    shuffled = list(history)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    straight = ask(history, network=network, method_type=method_type)
    mixed = ask(shuffled, network=network, method_type=method_type)
    assert straight == mixed
