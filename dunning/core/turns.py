"""Turns to call a provider: who may send which request when, so that no rate limit is exceeded.

A board holds the turns of one account that are given away. Turns lie on a grid as wide as the
account's rate allows; lanes (one endpoint, the background) take only some of them. Whoever gets a
turn sends within `LATE` of it, or lets it pass. Times are microseconds since 1970.

Why no second ever holds more requests than allowed: turns use `USED` of a rate, so `1 s + LATE`
holds at most that many of them, and a request is sent at its turn or less than `LATE` after.
"""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

SECOND = 1_000_000
USED = 0.97
LATE = 30_000
ACCOUNT = ""  # the name of the lane that every request is in

# After a 429: half the rate at once, and back by a twentieth of the full rate each second.
SLOWER = 0.5
SLOWEST = 0.05
FASTER = 0.05
# Several workers hear of one and the same excess: the rate is lowered once for it.
ONE_EXCESS = SECOND
# Some lanes have one turn a minute: so long the last turn of a lane matters.
SLOWEST_GAP = 70 * SECOND
SHORT_BREAK = SECOND // 4  # when the provider does not say how long


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many requests a second the provider takes, from the account and at one endpoint."""

    account: float
    endpoint: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """What a request counts against: the name of it, and the rate when nothing is wrong."""

    name: str
    rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a lane stands: its last turn, and what a 429 left behind."""

    last: int = 0
    not_before: int = 0
    share: float = 1.0
    slowed_at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """The turns of an account that are given away, soonest first, and how each lane stands."""

    taken: tuple[int, ...] = ()
    lanes: Mapping[str, Standing] = field(default_factory=dict)
    refused_at: int = 0  # when the key was last refused; 0 while it is accepted


def lanes_of(limits: Limits, endpoint: str, *, background: bool) -> tuple[Lane, ...]:
    """The lanes of a request, the account's first.

    What can wait (sweeps) gets at most half of any rate, so that charges never queue behind it.
    """
    whole = Lane(name=ACCOUNT, rate=limits.account)
    own = min(limits.endpoint, limits.account)
    lane = Lane(name=endpoint, rate=own)
    if not background:
        return (whole, lane)
    return (
        whole,
        lane,
        Lane(name="background", rate=limits.account / 2),
        Lane(name=f"background {endpoint}", rate=own / 2),
    )


def book(
    board: Board, lanes: Sequence[Lane], now: int, count: int, horizon: int
) -> tuple[Board, tuple[int, ...]]:
    """Give away up to `count` turns, each the earliest that every lane allows.

    None lies further ahead than `horizon`: who would have to wait longer gets none.
    """
    grid = _gap(board, lanes[0], now)
    taken = [at for at in board.taken if at > now - SECOND]
    standing = {name: one for name, one in board.lanes.items() if _matters(one, now)}
    turns: list[int] = []
    for _ in range(count):
        at = now
        for lane in lanes:
            known = standing.get(lane.name, _FRESH)
            gap = 0 if lane.name == ACCOUNT else _gap(board, lane, now)
            at = max(at, known.not_before, known.last + gap)
        at = _free(taken, at, grid)
        if at > now + horizon:
            break
        insort(taken, at)
        turns.append(at)
        for lane in lanes:
            known = standing.get(lane.name, _FRESH)
            # The account's turns are all on the board; its lane only says what a 429 left behind.
            last = known.last if lane.name == ACCOUNT else at
            standing[lane.name] = replace(known, last=last)
    return replace(board, taken=tuple(taken), lanes=standing), tuple(turns)


def slow(board: Board, name: str, now: int, pause: int | None) -> Board:
    """The provider said 429 about this lane: wait, then go on at half the rate."""
    known = board.lanes.get(name, _FRESH)
    until = max(known.not_before, now + (SHORT_BREAK if pause is None else pause))
    if now - known.slowed_at < ONE_EXCESS:
        after = replace(known, not_before=until)
    else:
        share = max(SLOWEST, share_of(known, now) * SLOWER)
        after = replace(known, not_before=until, share=share, slowed_at=now)
    return replace(board, lanes={**board.lanes, name: after})


def share_of(standing: Standing, now: int) -> float:
    """The part of its rate that a lane may use: it recovers step by step after a 429."""
    seconds = max(0, now - max(standing.slowed_at, standing.not_before)) // SECOND
    return min(1.0, standing.share + FASTER * seconds)


def wait_for(board: Board, lanes: Sequence[Lane], now: int) -> int:
    """How long the provider asked us to stay away from the slowest of these lanes."""
    return max(0, *(board.lanes.get(lane.name, _FRESH).not_before - now for lane in lanes))


_FRESH = Standing()


def _matters(standing: Standing, now: int) -> bool:
    """Whether a lane's past still says anything; what does not is forgotten."""
    return (
        standing.last > now - SLOWEST_GAP
        or standing.not_before > now
        or share_of(standing, now) < 1.0
    )


def _gap(board: Board, lane: Lane, now: int) -> int:
    share = share_of(board.lanes.get(lane.name, _FRESH), now)
    return math.ceil(SECOND / (lane.rate * USED * share))


def _free(taken: Sequence[int], at: int, grid: int) -> int:
    """The first place on the grid from `at` on that is a whole gap away from every turn."""
    at = -(-at // grid) * grid
    index = bisect_right(taken, at - grid)
    while index < len(taken) and taken[index] < at + grid:
        at = -(-(taken[index] + grid) // grid) * grid
        index += 1
    return at
