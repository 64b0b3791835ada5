"""The breaker on a real database: counted with the steps, seen by every process, on record."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import Engine, func, select
from sqlmodel import col
from structlog.testing import capture_logs

from dunning.breaker import Breaker, Standing, standings
from dunning.core.breaking import PAUSE, PROBES
from dunning.core.events import StepKind
from dunning.core.gate import Held, Pulse
from dunning.errors import RefusedError
from dunning.store import (
    BreakerChangeRow,
    BreakerRow,
    CaseRow,
    PulseRow,
    engine_for,
    reading,
    transaction,
)
from tests.builders import T0

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
SOURCE = "stripe"


@pytest.fixture
def engine(migrated_url: str) -> Iterator[Engine]:
    made = engine_for(migrated_url)
    yield made
    made.dispose()


def note(
    engine: Engine, breaker: Breaker, ending: str, now: datetime, kind: StepKind = StepKind.RETRY
) -> None:
    with transaction(engine) as session:
        breaker.note(session, [Pulse(SOURCE, kind, ending)], now)


def standing(engine: Engine, now: datetime) -> Standing:
    with reading(engine) as session:
        (found,) = standings(session, [SOURCE], now)
    return found


def changes(engine: Engine) -> list[tuple[str, str]]:
    with transaction(engine) as session:
        rows = session.scalars(select(BreakerChangeRow).order_by(col(BreakerChangeRow.id))).all()
        return [(row.change, row.by) for row in rows]


def held_by(
    breaker: Breaker, source: str, kind: StepKind, now: datetime, case: str = ""
) -> Held | None:
    """What a breaker says that has just read how things stand, as the executor has it do."""
    breaker.refresh(now)
    return breaker.held(source, kind, now, case)


@dataclass
class Company:
    """A source with cases of which each wants one charge; done as the executor does it."""

    engine: Engine
    breaker: Breaker
    due: dict[str, datetime]
    ends: str = "done"
    tries: int = 0
    burnt: list[str] = field(default_factory=list)  # rungs used up without a charge
    done: list[tuple[str, datetime]] = field(default_factory=list)

    def lives(self, since: datetime, until: datetime) -> None:
        now = since
        while now < until:
            for case in [case for case, at in self.due.items() if at <= now]:
                held = held_by(self.breaker, SOURCE, StepKind.RETRY, now, case)
                if held is not None:
                    assert held.until > now
                    self.due[case] = held.until
                    continue
                self.tries += 1
                note(self.engine, self.breaker, self.ends, now)
                if self.ends == "done":
                    self.done.append((case, now))
                    del self.due[case]
                else:
                    self.due[case] = now + 10 * MINUTE
            now += MINUTE


def company(engine: Engine, cases: int, **how: str) -> Company:
    due = {f"case_{number}": T0 for number in range(cases)}
    return Company(engine, Breaker(engine), due, **how)  # type: ignore[arg-type]


def test_a_wrong_key_is_held_no_rung_is_burnt_and_after_it_everybody_goes_on(
    engine: Engine,
) -> None:
    all_cases = company(engine, 60, ends="refused")
    with capture_logs() as logs:
        all_cases.lives(T0, T0 + 12 * HOUR)
    assert [one["event"] for one in logs if one["log_level"] == "error"] == ["breaker.tripped"]
    told = standing(engine, T0 + 12 * HOUR)
    assert told.open
    assert told.signal == "provider"
    assert REGISTRY.get_sample_value("dunning_breaker_open", {"source": SOURCE}) == 1
    # Some tries until it tripped, then a few to see how it stands: not 60 every ten minutes.
    assert all_cases.tries < 60 + 12 * 13 * PROBES
    before = all_cases.tries
    assert not all_cases.done
    all_cases.ends = "done"
    all_cases.lives(T0 + 12 * HOUR, T0 + 18 * HOUR)
    assert len(all_cases.done) == 60
    assert all_cases.tries == before + 60
    assert not standing(engine, T0 + 18 * HOUR).open
    assert changes(engine) == [("held", "dunning"), ("released", "dunning")]
    # Not all at once: in no five minutes more than a part of them.
    most = max(
        sum(1 for _, other in all_cases.done if at <= other < at + 5 * MINUTE)
        for _, at in all_cases.done
    )
    assert most <= 25


def test_three_declines_hold_nobody(engine: Engine) -> None:
    breaker = Breaker(engine)
    for day in range(40):
        for number in range(3):
            note(engine, breaker, "declined", T0 + timedelta(days=day, hours=number))
    assert held_by(breaker, SOURCE, StepKind.RETRY, T0 + timedelta(days=40)) is None


def test_what_was_declined_far_beyond_normal_is_held(engine: Engine) -> None:
    breaker = Breaker(engine)
    for number in range(50):
        usual = ["done", "declined", "declined"] * 3
        with transaction(engine) as session:
            pulses = [Pulse(SOURCE, StepKind.RETRY, ending) for ending in usual]
            breaker.note(session, pulses, T0 + number * HOUR)
    now = T0 + 50 * HOUR
    assert held_by(breaker, SOURCE, StepKind.RETRY, now) is None
    for number in range(80):
        note(engine, breaker, "declined", now + number * MINUTE)
    assert standing(engine, now + 2 * HOUR).signal == "declines"


def test_a_flood_of_first_failures_is_held(engine: Engine) -> None:
    breaker = Breaker(engine)
    with transaction(engine) as session:
        breaker.judge(session, SOURCE, T0)
        row = session.get_one(BreakerRow, SOURCE)
        row.normal = '{"hours": 2000, "busiest": 30, "failures": 9000}'
        session.add(row)
    with transaction(engine) as session:
        session.add_all([a_case(number, T0 + 2 * HOUR) for number in range(120)])
    note(engine, breaker, "done", T0 + 2 * HOUR, StepKind.RECONCILE)
    told = standing(engine, T0 + 2 * HOUR)
    assert told.signal == "failures"
    assert told.why.startswith("120 payments failed within an hour")
    assert held_by(breaker, SOURCE, StepKind.EMAIL, T0 + 2 * HOUR) is not None
    # Two hours later it has ebbed.
    note(engine, breaker, "done", T0 + 4 * HOUR, StepKind.RECONCILE)
    assert held_by(breaker, SOURCE, StepKind.EMAIL, T0 + 4 * HOUR) is None


def a_case(number: int, at: datetime) -> CaseRow:
    return CaseRow(
        id=f"case_{number}",
        source=SOURCE,
        provider="stripe",
        invoice=f"in_{number}",
        scope=f"cus_{number}",
        state="in_grace",
        access="full",
        currency="USD",
        policy="default",
        policy_version="1",
        opened_at=at,
        recorded_at=at,
        decline_code="processing_error",
        facts="{}",
    )


@pytest.mark.parametrize(
    "kind", [StepKind.SUSPEND, StepKind.RESTORE, StepKind.GIVE_UP, StepKind.RECONCILE]
)
def test_only_charges_and_emails_are_held(engine: Engine, kind: StepKind) -> None:
    breaker = Breaker(engine)
    breaker.hold(SOURCE, by="eve", why="an audit", now=T0)
    assert held_by(breaker, SOURCE, kind, T0) is None
    for held in (StepKind.RETRY, StepKind.EMAIL):
        told = held_by(breaker, SOURCE, held, T0)
        assert isinstance(told, Held)
        assert told.why == "stripe is held: an audit"
    assert held_by(breaker, "other", StepKind.RETRY, T0) is None


def test_by_hand_it_is_held_in_every_process_and_on_record(engine: Engine) -> None:
    one, two = Breaker(engine), Breaker(engine)
    assert held_by(two, SOURCE, StepKind.RETRY, T0) is None
    one.hold(SOURCE, by="eve", why="an audit", now=T0)
    later = T0 + timedelta(seconds=2)
    assert held_by(two, SOURCE, StepKind.RETRY, later) is not None
    with pytest.raises(RefusedError, match="held already"):
        one.hold(SOURCE, by="eve", why="again", now=T0)
    for _ in range(30):  # whatever else is heard
        note(engine, two, "done", T0 + HOUR)
    assert held_by(two, SOURCE, StepKind.RETRY, T0 + timedelta(days=9)) is not None
    two.release(SOURCE, by="bob", why="it is over", now=T0 + HOUR)
    assert held_by(one, SOURCE, StepKind.RETRY, T0 + timedelta(days=9, seconds=2)) is None
    with pytest.raises(RefusedError, match="nothing to release"):
        one.release(SOURCE, by="bob", why="again", now=T0 + HOUR)
    assert changes(engine) == [("held", "eve"), ("released", "bob")]


def test_released_by_hand_it_is_not_held_again_for_what_was_before(engine: Engine) -> None:
    breaker = Breaker(engine)
    for number in range(20):
        note(engine, breaker, "down", T0 + number * timedelta(seconds=20))
    now = T0 + 7 * MINUTE
    assert standing(engine, now).open
    breaker.release(SOURCE, by="eve", why="the key is right again", now=now)
    note(engine, breaker, "done", now + MINUTE)
    assert not standing(engine, now + MINUTE).open


def test_a_few_steps_of_each_process_try_how_it_stands(engine: Engine) -> None:
    breaker = Breaker(engine)
    for number in range(20):
        note(engine, breaker, "down", T0 + number * timedelta(seconds=20))
    now = T0 + 7 * MINUTE + 2 * PAUSE
    answers = [held_by(breaker, SOURCE, StepKind.RETRY, now, f"case_{i}") for i in range(50)]
    assert answers.count(None) == PROBES


def test_many_writers_lose_no_count(engine: Engine) -> None:
    breakers = [Breaker(engine) for _ in range(4)]
    failed: list[BaseException] = []

    def write(breaker: Breaker) -> None:
        try:
            for number in range(25):
                note(engine, breaker, "done", T0 + number * timedelta(seconds=1))
        except BaseException as error:  # noqa: BLE001 - the test itself must hear of it
            failed.append(error)

    threads = [threading.Thread(target=write, args=(breaker,)) for breaker in breakers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert failed == []
    with transaction(engine) as session:
        assert session.scalar(select(func.sum(col(PulseRow.calls)))) == 100
        assert session.scalar(select(func.sum(col(PulseRow.paid)))) == 100


def test_a_transaction_that_is_undone_counts_nothing(engine: Engine) -> None:
    breaker = Breaker(engine)

    def undone() -> None:
        with transaction(engine) as session:
            breaker.note(session, [Pulse(SOURCE, StepKind.RETRY, "down")], T0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        undone()
    with transaction(engine) as session:
        assert session.scalar(select(func.count()).select_from(PulseRow)) == 0


def test_switched_off_it_counts_and_holds_nothing(engine: Engine) -> None:
    breaker = Breaker(engine, on=False)
    for number in range(60):
        note(engine, breaker, "down", T0 + number * MINUTE)
    assert held_by(breaker, SOURCE, StepKind.RETRY, T0 + HOUR) is None
    with transaction(engine) as session:
        assert session.scalar(select(func.count()).select_from(PulseRow)) == 0


def test_old_counts_are_let_go_of(engine: Engine) -> None:
    breaker = Breaker(engine)
    for day in range(10):
        for hour in range(24):
            note(engine, breaker, "done", T0 + timedelta(days=day, hours=hour))
    with transaction(engine) as session:
        oldest = session.scalar(select(func.min(col(PulseRow.at))))
        normal = session.get_one(BreakerRow, SOURCE).normal
    assert oldest is not None
    assert oldest >= T0 + timedelta(days=7)
    assert '"hours": 239' in normal
