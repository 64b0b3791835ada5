"""When a source is held and when it goes on; and that a small company is never held for chance."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from dunning.core.breaking import (
    KNOWN_HOURS,
    LONGEST_DOUBT,
    PAUSE,
    Counts,
    Failures,
    Fuse,
    Normal,
    Seen,
    Signal,
    count,
    decide,
    learn,
    surprise,
    waits_until,
)
from dunning.core.events import StepKind
from dunning.core.gate import Pulse

NOW = datetime(2026, 3, 2, 10, tzinfo=UTC)
KNOWN = Normal(
    hours=KNOWN_HOURS,
    charges=4000,
    paid=1000,
    failures=5000,
    busiest=60,
    codes={"insufficient_funds": 4000, "generic_decline": 900},
)


def calls(number: int, troubled: int) -> Counts:
    return Counts(calls=number, troubled=troubled)


def charges(number: int, paid: int) -> Counts:
    return Counts(calls=number, charges=number, paid=paid)


def heard(number: int, code: str = "insufficient_funds", of_code: int | None = None) -> Failures:
    rest = number - (number // 2 if of_code is None else of_code)
    codes = {code: number - rest, "generic_decline": rest}
    return Failures(count=number, codes={name: one for name, one in codes.items() if one})


@pytest.mark.parametrize(
    ("seen", "normal", "signal"),
    [
        (Seen(short=calls(20, 10)), KNOWN, Signal.PROVIDER),
        (Seen(short=calls(20, 9)), KNOWN, None),
        (Seen(short=calls(19, 18)), KNOWN, None),
        (Seen(long=calls(8, 8)), Normal(), Signal.PROVIDER),
        (Seen(long=calls(9, 8)), Normal(), None),
        (Seen(long=calls(7, 7)), Normal(), None),
        (Seen(long=charges(60, 0)), KNOWN, Signal.DECLINES),
        (Seen(long=charges(60, 8)), KNOWN, None),
        (Seen(long=charges(29, 0)), KNOWN, None),
        (Seen(long=charges(60, 0)), Normal(), None),  # what is normal is not known yet
        (Seen(long=charges(140, 0)), Normal(), Signal.DECLINES),
        (Seen(hour=heard(180)), KNOWN, Signal.FAILURES),
        (Seen(hour=heard(179)), KNOWN, None),
        (Seen(hour=heard(180)), Normal(hours=KNOWN_HOURS - 1, busiest=60), None),
        (Seen(hour=heard(99)), Normal(hours=KNOWN_HOURS, busiest=1), None),
        (Seen(hour=heard(100, "processing_error", 95)), KNOWN, Signal.FAILURES),
        (Seen(hour=heard(100, "insufficient_funds", 90)), KNOWN, None),
    ],
)
def test_what_trips(seen: Seen, normal: Normal, signal: Signal | None) -> None:
    after = decide(Fuse(), seen, normal, NOW)
    assert after.signal is signal
    assert after.is_open(NOW) == (signal is not None)
    if signal is not None:
        assert after.why
        assert after.probe_at == NOW + PAUSE


@pytest.mark.parametrize("declines", [1, 3, 10, 29])
def test_a_small_company_with_some_declines_in_a_row_is_not_held(declines: int) -> None:
    seen = Seen(short=charges(declines, 0), long=charges(declines, 0), hour=heard(declines))
    for normal in (Normal(), KNOWN):
        assert decide(Fuse(), seen, normal, NOW) == Fuse()


def test_chance_alone_does_not_trip_it() -> None:
    chance = random.Random(7)
    for _ in range(20_000):
        number = chance.randint(1, 400)
        paid = sum(chance.random() < 0.25 for _ in range(number))
        seen = Seen(short=charges(number, paid), long=charges(number, paid))
        assert decide(Fuse(), seen, KNOWN, NOW).signal is None


def test_how_surprising_something_is() -> None:
    assert surprise(25, 100, 0.25) == pytest.approx(0)
    assert surprise(0, 100, 0.25) > surprise(0, 50, 0.25) > surprise(5, 50, 0.25) > 0
    assert surprise(50, 50, 1.0) == pytest.approx(0)


# --- and goes on -----------------------------------------------------------------------------


def tripped(signal: Signal) -> Fuse:
    return Fuse(signal=signal, why="x", since=NOW, probe_at=NOW + PAUSE)


def test_until_somebody_may_try_nothing_changes() -> None:
    fuse = tripped(Signal.PROVIDER)
    later = NOW + PAUSE / 2
    assert decide(fuse, Seen(since=calls(9, 0)), KNOWN, later) == fuse
    assert not fuse.lets_probe(StepKind.RETRY, later)
    assert fuse.lets_probe(StepKind.RETRY, NOW + PAUSE)


def test_a_provider_that_answers_again_is_let_go_on() -> None:
    fuse, later = tripped(Signal.PROVIDER), NOW + PAUSE
    for too_little in (calls(0, 0), calls(2, 1)):
        assert decide(fuse, Seen(since=too_little), KNOWN, later) == fuse
    assert decide(fuse, Seen(since=calls(1, 0)), KNOWN, later).signal is None
    after = decide(fuse, Seen(since=calls(3, 1)), KNOWN, later)
    assert (after.signal, after.since) == (None, later)


def test_a_provider_that_is_still_away_is_tried_less_and_less_often() -> None:
    fuse, now, pauses = tripped(Signal.PROVIDER), NOW, []
    for _ in range(6):
        assert fuse.probe_at is not None
        pauses.append(fuse.probe_at - now)
        now = fuse.probe_at
        fuse = decide(fuse, Seen(since=calls(3, 3)), KNOWN, now)
        assert fuse.is_open(now + timedelta(days=30))
    assert pauses == [timedelta(minutes=number) for number in (5, 10, 20, 40, 60, 60)]


@pytest.mark.parametrize(
    ("tried", "over"),
    [(charges(3, 0), None), (charges(29, 0), None), (charges(30, 0), False), (charges(4, 1), True)],
)
def test_declines_are_over_once_charges_are_paid_again(tried: Counts, over: bool | None) -> None:
    fuse = tripped(Signal.DECLINES)
    after = decide(fuse, Seen(since=tried), KNOWN, NOW + PAUSE)
    assert after.is_open(NOW + PAUSE) == (over is not True)
    assert after.rounds == (1 if over is False else 0)


def test_a_flood_is_over_when_it_ebbs() -> None:
    fuse = tripped(Signal.FAILURES)
    assert decide(fuse, Seen(hour=heard(500)), KNOWN, NOW + PAUSE).signal is Signal.FAILURES
    assert decide(fuse, Seen(hour=heard(100)), KNOWN, NOW + 2 * PAUSE).signal is None


@pytest.mark.parametrize("signal", [Signal.DECLINES, Signal.FAILURES])
def test_what_only_looks_unusual_is_not_held_for_ever(signal: Signal) -> None:
    fuse = tripped(signal)
    assert fuse.is_open(NOW + LONGEST_DOUBT - PAUSE)
    assert not fuse.is_open(NOW + LONGEST_DOUBT)
    after = decide(fuse, Seen(long=charges(60, 0)), KNOWN, NOW + LONGEST_DOUBT)
    assert after == Fuse(since=NOW + LONGEST_DOUBT)


def test_a_person_s_hold_ends_by_a_person() -> None:
    fuse = Fuse(signal=Signal.HAND, why="x", since=NOW)
    later = NOW + timedelta(days=90)
    assert decide(fuse, Seen(since=calls(99, 0)), KNOWN, later) == fuse
    assert fuse.is_open(later)
    assert not fuse.lets_probe(StepKind.RETRY, later)


def test_an_email_tries_a_provider_but_is_not_sent_to_see_whether_declines_are_over() -> None:
    assert tripped(Signal.PROVIDER).lets_probe(StepKind.EMAIL, NOW + PAUSE)
    assert not tripped(Signal.DECLINES).lets_probe(StepKind.EMAIL, NOW + PAUSE)


# --- counting, learning, waiting ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "ending", "expected"),
    [
        (StepKind.RETRY, "done", Counts(calls=1, charges=1, paid=1)),
        (StepKind.RETRY, "declined", Counts(calls=1, charges=1)),
        (StepKind.RETRY, "action_needed", Counts(calls=1, charges=1)),
        (StepKind.RETRY, "processing", Counts(calls=1)),
        (StepKind.RETRY, "not_owed", Counts(calls=1)),
        (StepKind.RETRY, "put_off", Counts()),
        (StepKind.RETRY, "skipped", Counts()),
        (StepKind.RETRY, "down", Counts(calls=1, troubled=1)),
        (StepKind.EMAIL, "refused", Counts(calls=1, troubled=1)),
        (StepKind.EMAIL, "done", Counts(calls=1)),
        (StepKind.SUSPEND, "unknown", Counts(calls=1, troubled=1)),
        (StepKind.RESTRICT, "done", Counts()),
        (StepKind.SIGNAL, "done", Counts()),
    ],
)
def test_what_each_ending_counts_as(kind: StepKind, ending: str, expected: Counts) -> None:
    assert count([Pulse("stripe", kind, ending)]) == expected


def test_what_is_normal_follows_what_was() -> None:
    normal = Normal()
    for _ in range(24 * 60):
        normal = learn(normal, 1, charges(10, 3), heard(20))
    assert normal.hours == 24 * 60
    assert normal.paid / normal.charges == pytest.approx(0.3)
    assert normal.busiest == 20
    for _ in range(24 * 60):
        normal = learn(normal, 1, charges(10, 1), heard(5))
    assert 0.1 < normal.paid / normal.charges < 0.12
    assert 5 < normal.busiest < 20


def test_several_hours_at_once_are_learnt_as_their_mean() -> None:
    assert learn(Normal(), 10, Counts(), heard(50)).busiest == 5


def test_what_is_held_is_spread_and_wider_the_longer_it_lasts() -> None:
    fuse = tripped(Signal.PROVIDER)

    def waits(lasted: timedelta) -> list[timedelta]:
        now = NOW + lasted
        return sorted(waits_until(fuse, now, f"case_{i}") - now for i in range(1000))

    soon, late = waits(timedelta(minutes=1)), waits(timedelta(days=12))
    for found, over in ((soon, PAUSE), (late, timedelta(hours=4))):
        assert found[0] >= over / 2
        assert found[-1] <= over * 1.5
        tenths = [sum(1 for one in found if one < over * (0.5 + i / 10)) for i in range(1, 11)]
        assert all(abs(number - 100 * i) < 60 for i, number in enumerate(tenths, 1))
    assert waits_until(fuse, NOW, "case_1") == waits_until(fuse, NOW, "case_1")
