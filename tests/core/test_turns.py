"""Turns: never more in a second than allowed, nearly all of it used, and slower after a 429."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dunning.core.turns import (
    ACCOUNT,
    LATE,
    SECOND,
    Board,
    Limits,
    book,
    lanes_of,
    share_of,
    slow,
    wait_for,
)

NOW = 1_770_000_000 * SECOND
PATIENCE = 5 * SECOND
STRIPE = Limits(account=100, endpoint=25)
ENDPOINTS = [f"GET /v1/{name}" for name in ("charges", "customers", "events", "invoices", "pay")]


def most_in_a_second(turns: list[int]) -> int:
    """The most requests any second holds when each is sent as late as it may be, or at once."""
    turns = sorted(turns)
    return max(
        sum(1 for other in turns[index:] if other - at < SECOND + LATE)
        for index, at in enumerate(turns)
    )


def busy(
    limits: Limits, endpoints: list[str], seconds: float, *, background: bool = False
) -> dict[str, list[int]]:
    """Everybody asks for a few turns at each endpoint, again and again, for some seconds."""
    board, given = Board(), {name: list[int]() for name in endpoints}
    now = NOW
    while now < NOW + seconds * SECOND:
        for name in endpoints:
            if not given[name] or given[name][-1] < now + SECOND // 10:
                lanes = lanes_of(limits, name, background=background)
                board, turns = book(board, lanes, now, 4, PATIENCE)
                given[name] += turns
        now += SECOND // 100
    return given


@pytest.mark.parametrize(
    "limits", [STRIPE, Limits(account=25, endpoint=25), Limits(account=7, endpoint=2)]
)
def test_all_endpoints_together_use_the_accounts_rate_and_not_more(limits: Limits) -> None:
    given = busy(limits, ENDPOINTS, 20)
    whole = [turn for turns in given.values() for turn in turns]
    assert most_in_a_second(whole) <= limits.account
    for turns in given.values():
        assert most_in_a_second(turns) <= limits.endpoint
    # Between the beginning and the end, where not everybody asks.
    amid = [turn for turn in whole if 5 * SECOND <= turn - NOW < 15 * SECOND]
    assert len(amid) >= 0.95 * limits.account * 10


def test_one_endpoint_uses_its_own_rate_and_not_more() -> None:
    (turns,) = busy(STRIPE, ENDPOINTS[:1], 20).values()
    assert most_in_a_second(turns) <= 25
    assert len(turns) >= 0.95 * 25 * 20


def test_what_can_wait_leaves_half_to_the_others() -> None:
    given = busy(STRIPE, ENDPOINTS, 10, background=True)
    whole = [turn for turns in given.values() for turn in turns]
    assert most_in_a_second(whole) <= 50
    (turns,) = busy(STRIPE, ENDPOINTS[:1], 10, background=True).values()
    assert most_in_a_second(turns) <= 13
    assert len(turns) >= 0.9 * 12.5 * 10


def test_a_charge_does_not_queue_behind_a_sweep() -> None:
    board = Board()
    sweep = lanes_of(STRIPE, "GET /v1/events", background=True)
    board, waiting = book(board, sweep, NOW, 20, PATIENCE)
    assert len(waiting) == 20
    board, (charge,) = book(board, lanes_of(STRIPE, "POST pay", background=False), NOW, 1, PATIENCE)
    assert charge - NOW < SECOND // 20


def test_nobody_is_given_a_turn_further_away_than_they_would_wait() -> None:
    lanes = lanes_of(STRIPE, "POST pay", background=False)
    board, turns = book(Board(), lanes, NOW, 1000, PATIENCE)
    assert max(turns) <= NOW + PATIENCE
    assert len(turns) == pytest.approx(25 * 5, abs=5)
    assert book(board, lanes, NOW, 1, PATIENCE)[1] == ()
    assert wait_for(board, lanes, NOW) == 0


def test_after_an_excess_everybody_stays_away_as_long_as_asked() -> None:
    lanes = lanes_of(STRIPE, "POST pay", background=False)
    board = slow(Board(), ACCOUNT, NOW, 30 * SECOND)
    assert book(board, lanes, NOW, 1, PATIENCE)[1] == ()
    assert wait_for(board, lanes, NOW) == 30 * SECOND
    assert book(board, lanes, NOW + 30 * SECOND, 1, PATIENCE)[1][0] >= NOW + 30 * SECOND


def test_the_rate_is_halved_once_for_one_excess_and_comes_back_by_and_by() -> None:
    board = slow(Board(), ACCOUNT, NOW, None)
    again = slow(board, ACCOUNT, NOW + SECOND // 2, None)
    assert share_of(again.lanes[ACCOUNT], NOW + SECOND) == 0.5
    third = slow(again, ACCOUNT, NOW + SECOND, None)
    assert share_of(third.lanes[ACCOUNT], NOW + SECOND) == 0.25
    shares = [share_of(third.lanes[ACCOUNT], NOW + second * SECOND) for second in range(1, 40)]
    assert all(later >= earlier for earlier, later in pairwise(shares))
    assert shares[-1] == 1.0
    assert shares[5] < 0.6


def test_a_storm_of_excesses_leaves_something() -> None:
    board = Board()
    for second in range(100):
        board = slow(board, ACCOUNT, NOW + second * SECOND, None)
    lanes = lanes_of(STRIPE, "POST pay", background=False)
    now = NOW + 100 * SECOND
    assert len(book(board, lanes, now, 1000, PATIENCE)[1]) >= 5


def test_an_excess_at_one_endpoint_slows_no_other() -> None:
    board = slow(Board(), "POST pay", NOW, 2 * SECOND)
    board, other = book(board, lanes_of(STRIPE, "GET charges", background=False), NOW, 1, PATIENCE)
    assert other[0] < NOW + SECOND // 10
    _, own = book(board, lanes_of(STRIPE, "POST pay", background=False), NOW, 1, PATIENCE)
    assert own[0] >= NOW + 2 * SECOND


def test_a_second_after_the_storm_the_rate_is_as_it_was() -> None:
    board = slow(Board(), ACCOUNT, NOW, None)
    later = NOW + 15 * SECOND
    lanes = [lanes_of(STRIPE, name, background=False) for name in ENDPOINTS]
    turns: list[int] = []
    for lane in lanes:
        board, more = book(board, lane, later, 30, SECOND)
        turns += more
    assert len(turns) >= 95


@given(
    st.lists(
        st.tuples(
            st.sampled_from(ENDPOINTS),
            st.integers(0, SECOND),
            st.integers(1, 12),
            st.sampled_from(["book", "book", "book", "sweep", "slow", "slow endpoint"]),
        ),
        max_size=60,
    ),
    st.sampled_from([1, 3, 25, 60, 100, 250]),
    st.sampled_from([1, 10, 25, 60]),
)
def test_whatever_is_asked_in_whatever_order_no_second_holds_too_many(
    asked: list[tuple[str, int, int, str]], account: int, endpoint: int
) -> None:
    limits = Limits(account=account, endpoint=min(account, endpoint))
    board, now = Board(), NOW
    given: dict[str, list[int]] = {}
    for name, passed, count, how in asked:
        now += passed
        if how.startswith("slow"):
            board = slow(board, name if how.endswith("endpoint") else ACCOUNT, now, passed)
            continue
        lanes = lanes_of(limits, name, background=how == "sweep")
        board, turns = book(board, lanes, now, count, PATIENCE)
        assert all(turn >= now for turn in turns)
        given.setdefault(name, []).extend(turns)
    whole = [turn for turns in given.values() for turn in turns]
    if whole:
        assert most_in_a_second(whole) <= limits.account
        assert all(most_in_a_second(turns) <= limits.endpoint for turns in given.values() if turns)
