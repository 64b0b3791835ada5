"""Network limits against a count that does it the long way; the table, and a policy's own."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dunning.core.events import Attempt, AttemptStatus
from dunning.core.limits import ORIGINAL, Limit, in_force, read_limits
from dunning.errors import ConfigError
from tests.core.test_limits import (
    AMOUNT,
    ATTEMPTS,
    DAY,
    HOUSE,
    LIMITS,
    METHODS,
    NETWORKS,
    NOW,
    ask,
    attempt,
    named,
)

# --- against a count that does it the long way --------------------------------------------------


def binding(limit: Limit, network: str | None, method_type: str | None) -> bool:
    return limit.network in (None, network) and limit.method_type in (None, method_type)


def fits(limit: Limit, history: list[Attempt], now: datetime) -> bool:
    """Whether one more try at `now` leaves no window that holds it with more than the count."""
    latest: dict[str, Attempt] = {}
    order = list(AttemptStatus)
    for one in history:
        known = latest.get(one.id)
        rank = (order.index(one.status), one.at)
        if known is None or rank > (order.index(known.status), known.at):
            latest[one.id] = one
    told = [one for one in latest.values() if not limit.same_amount or one.amount == AMOUNT]
    paid = [(one.at, one.id) for one in told if one.status is AttemptStatus.SUCCEEDED]
    since = max(paid, default=None) if limit.in_a_row else None
    counted = []
    for one in told:
        if one.status is AttemptStatus.SUCCEEDED or (since and (one.at, one.id) < since):
            continue
        if limit.kind == "attempts" or one.status is AttemptStatus.DECLINED:
            counted.append(one.at)
    if limit.counted == ORIGINAL:
        return len(counted) < limit.count and all(now - at <= limit.window for at in counted)
    whole = [*counted, now]
    begins = [at for at in whole if at <= now < at + limit.window]
    # A clock ahead of ours: what is dated after now is in the same window as now.
    return all(sum(at >= begin for at in whole) <= limit.count for begin in begins)


def all_fit(
    history: list[Attempt], network: str | None, method_type: str | None, now: datetime
) -> bool:
    return all(
        fits(limit, history, now) for limit in LIMITS if binding(limit, network, method_type)
    )


DENSE = st.lists(
    st.builds(
        attempt,
        st.integers(-1, 200 * 24).map(lambda hours: timedelta(hours=hours)),
        status=st.sampled_from(
            (AttemptStatus.DECLINED, AttemptStatus.DECLINED, *tuple(AttemptStatus))
        ),
        amount=st.sampled_from((AMOUNT, AMOUNT, 1)),
        id=st.integers(0, 200).map(str),
    ),
    max_size=60,
)
# Whole windows and what lies around them, where counting goes wrong.
EDGES = st.lists(
    st.builds(
        attempt,
        st.tuples(st.sampled_from((0, 1, 24, 30 * 24, 31 * 24, 180 * 24)), st.integers(-2, 2)).map(
            lambda told: timedelta(hours=told[0], seconds=told[1])
        ),
        amount=st.sampled_from((AMOUNT, AMOUNT, 1)),
        id=st.integers(0, 500).map(str),
    ),
    max_size=45,
)


@given(st.one_of(DENSE, EDGES, ATTEMPTS), NETWORKS, METHODS)
def test_a_charge_is_let_through_exactly_when_every_window_still_has_room(
    history: list[Attempt], network: str | None, method_type: str | None
) -> None:
    blocked = ask(history, network=network, method_type=method_type)
    assert (blocked is None) == all_fit(history, network, method_type, NOW)


@given(st.one_of(DENSE, EDGES, ATTEMPTS), NETWORKS, METHODS)
def test_until_is_the_first_moment_at_which_every_window_has_room(
    history: list[Attempt], network: str | None, method_type: str | None
) -> None:
    blocked = ask(history, network=network, method_type=method_type)
    if blocked is None:
        return
    windows = {limit.window for limit in LIMITS if binding(limit, network, method_type)}
    # Only when something leaves a window does anything change.
    moments = sorted({one.at + window for one in history for window in windows} | {NOW})
    first = next(
        (at for at in moments if at >= NOW and all_fit(history, network, method_type, at)), None
    )
    if blocked.until is None:
        assert first is None
        return
    assert blocked.until > NOW
    # A debt whose original entry grows too old meanwhile is never allowed again.
    if first is not None:
        assert blocked.until == first


# --- the table, and a policy's own ----------------------------------------------------------

HEAD = (
    "name,network,method_type,kind,count,window,same_amount,in_a_row,counted,who,note,source,"
    "certainty"
)
ROW = "house ceiling,,,attempts,8,30d,yes,no,rolling,everybody,,a source,judgement"


def test_a_table_is_read() -> None:
    (limit,) = read_limits([HEAD, ROW])
    assert (limit.name, limit.count, limit.window) == ("house ceiling", 8, 30 * DAY)
    assert limit.is_house


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("attempts", "tries"),
        (",8,", ",0,"),
        ("30d", ""),
        ("30d", "soon"),
        ("yes", "perhaps"),
        ("rolling", "sometimes"),
        ("everybody", "us"),
        ("a source", ""),
        ("judgement", "sure"),
        ("house ceiling", "another"),
        ("judgement", "judgement,more"),
    ],
)
def test_a_table_that_is_wrong_is_refused(old: str, new: str) -> None:
    with pytest.raises(ConfigError, match=r"limits\.csv"):
        read_limits([HEAD, ROW.replace(old, new, 1)])


def test_a_name_is_there_once() -> None:
    with pytest.raises(ConfigError, match="twice"):
        read_limits([HEAD, ROW, ROW])


def test_a_policy_replaces_the_house_ceiling_and_nothing_else() -> None:
    house = replace(HOUSE, count=2)
    own = replace(HOUSE, name="ours for amex", network="amex", count=1)
    assert in_force(()) == LIMITS
    assert set(in_force((house,))) == {house, *LIMITS} - {HOUSE}
    assert set(in_force((own,))) == {own, *LIMITS}


def test_visas_is_met_by_counting_everybodys_tries_as_one() -> None:
    limit = named("Visa declines in a month")
    assert limit.who == "everybody"
    assert "apart" in limit.note
