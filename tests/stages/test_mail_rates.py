"""So many emails a second leave all workers together, and so many to one domain."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest

from dunning.actions.message import FULL_LONGEST, FULL_WAIT, _turn_after
from dunning.channels.email import EmailChannel, Turns
from dunning.core.mail_rates import ALL, MailRates
from dunning.core.ports import Sent, Unsent
from dunning.core.turns import SECOND, Board, book
from dunning.store import PaceRow
from tests.builders import T0
from tests.channels.mail import LETTER
from tests.channels.talking import talking
from tests.stages.kit import Stage

RATES = MailRates(whole=40, domains={"slow.example": 1 / 60})


def let_through(turns: Turns, domain: str, tries: int) -> int:
    return sum(turns.why_not(domain) is None for _ in range(tries))


def test_workers_share_the_rate_of_a_domain_through_the_database(stage: Stage) -> None:
    workers = [Turns(stage.engine, RATES) for _ in range(3)]
    # One a minute, and who would wait for more than a second is told so.
    assert sum(let_through(worker, "slow.example", 3) for worker in workers) == 1
    assert let_through(workers[0], "fast.example", 3) == 3
    assert [row.source for row in stage.all(PaceRow)] == ["mail:"]


def test_a_letter_over_the_rate_is_put_off_and_nobody_is_asked(stage: Stage) -> None:
    turns = Turns(stage.engine, MailRates(domains={"customer.example": 1 / 60}))
    with ExitStack() as stack:
        server = stack.enter_context(talking({}))
        channel = EmailChannel(f"smtp://{server.where}", turns=turns)
        stack.callback(channel.close)
        ends = [channel.send(LETTER) for _ in range(3)]
        free = channel.send(replace(LETTER, to="ada@other.example"))
    assert isinstance(ends[0], Sent)
    for end in ends[1:]:
        assert end == Unsent(
            why="as many emails go to customer.example as DUNNING_MAIL_RATE allows", full=True
        )
    assert isinstance(free, Sent)
    assert server.taken == 2


def test_who_is_put_off_over_a_rate_comes_back_soon_and_not_all_at_once() -> None:
    waits = [_turn_after(f"case_{n}/email:1", tries) for tries in (1, 9) for n in range(50)]
    assert len(set(waits)) > 40
    assert min(waits) >= FULL_WAIT
    assert max(waits) <= FULL_LONGEST
    assert waits[0] < timedelta(seconds=25)


@pytest.mark.parametrize(
    ("rates", "domain", "expected"),
    [
        (MailRates(), "a.example", {}),
        (MailRates(domains={"b.example": 2}), "a.example", {}),
        (MailRates(domains={"b.example": 2}), "b.example", {"b.example": 2}),
        (MailRates(whole=9), "a.example", {ALL: 9}),
        (MailRates(whole=9, domains={"b.example": 2}), "b.example", {ALL: 9, "b.example": 2}),
    ],
)
def test_what_a_letter_counts_against(
    rates: MailRates, domain: str, expected: dict[str, float]
) -> None:
    assert {lane.name: lane.rate for lane in rates.lanes(domain)[1:]} == expected


@pytest.mark.parametrize("rate", [1 / 60, 0.5, 1, 1.9])
def test_slow_lanes_keep_their_distance_over_many_bookings(rate: float) -> None:
    """Booked one by one, later and later: the board must remember for longer than a second."""
    now = int(T0.timestamp()) * SECOND
    board, turns = Board(), list[int]()
    for step in range(400):
        lanes = MailRates(whole=rate).lanes("a.example")
        board, got = book(board, lanes, now + step * SECOND // 2, 1, SECOND)
        turns += got
    gaps = [later - earlier for earlier, later in pairwise(turns)]
    assert min(gaps) >= SECOND / rate
    assert len(turns) >= 200 * rate * 0.8
