"""Plays one seed's world to its end and has it audited."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog
from sqlalchemy import select
from sqlmodel import col

from dunning import store
from dunning.clock import from_unix
from dunning.simulation.auditor import Arrived, Evidence, audit
from dunning.simulation.plots import DAY
from dunning.simulation.policies import POLICIES
from dunning.simulation.process import LEASE_SECONDS, SECRETS
from dunning.simulation.script import Script, write
from dunning.simulation.stage import Stage
from dunning.simulation.world import RestlessError, World
from dunning.store import CaseRow, LookAgainRow, ScheduleRow, StepRow

# After the last fault everything is taken up again within a lease and half a minute (I8).
REST_SECONDS = LEASE_SECONDS + 30
# What is deferred, delayed and repeated is over by then.
LAST_DAYS = 10


@dataclass(slots=True)
class Outcome:
    """What came of one seed."""

    seed: int
    breaches: list[str] = field(default_factory=list)
    digest: str = ""
    trace: list[str] = field(default_factory=list)
    turns: int = 0
    struck: Counter[str] = field(default_factory=Counter)
    reached: Counter[str] = field(default_factory=Counter)
    killed: Counter[str] = field(default_factory=Counter)
    endings: Counter[str] = field(default_factory=Counter)
    after_order: Counter[str] = field(default_factory=Counter)
    after_death: Counter[str] = field(default_factory=Counter)


@contextmanager
def _quiet() -> Iterator[None]:
    """The traces say what happens; what the program logs of faults that are meant is noise."""
    loggers = [logging.getLogger(name) for name in ("dunning.sandbox", "stripe")]
    levels = [logger.level for logger in loggers]
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        structlog.configure(**before)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def play(seed: int, only: Collection[int] | None = None) -> Outcome:
    """Play a seed; with `only`, nothing but these happenings."""
    script = write(seed)
    return perform(script if only is None else script.only(only))


def perform(script: Script) -> Outcome:
    """Play a script to its end."""
    stage = Stage.of_this_process()
    world = World(script, stage)
    outcome = Outcome(script.seed)
    with _quiet(), stage.tidy(), world.living():
        try:
            _live(world, outcome)
        except RestlessError as error:
            outcome.breaches.append(f"I8 {error}")
        outcome.endings.update(_endings(world))
    weather = world.weather
    outcome.digest, outcome.trace = world.journal.digest, world.journal.lines
    outcome.turns = world.turns
    outcome.struck, outcome.reached, outcome.killed = (
        weather.struck,
        weather.reached,
        weather.killed,
    )
    outcome.after_order, outcome.after_death = weather.after_order, weather.after_death
    return outcome


def _live(world: World, outcome: Outcome) -> None:
    """Faults; then rest; then whatever is left of the timelines."""
    script = world.script
    length = POLICIES[script.policy].length
    last = max((one.at for one in script.happenings), default=0)
    world.run(script.start + max(length + DAY, last) + 3_600)
    world.say("--- the last fault is over ---")
    world.weather.clear()
    world.clock.go_wrong(0)
    world.down_until = world.now
    world.feeding.rests_until = world.now
    world.run(world.now + REST_SECONDS)
    outcome.breaches += _at_rest(world)
    given_up = any(one.failed for one in world.stripe.events)
    if given_up or world.weather.struck["post lose"]:
        world.say("--- what was missed is asked for ---")
        world.happenings.catch_up(20)
        world.feeding.something_happened()
    world.run(world.now + LAST_DAYS * DAY)
    outcome.breaches += audit(world.process.program.engine, _evidence(world))


def _at_rest(world: World) -> list[str]:
    """I8: nobody holds anything, nothing is overdue."""
    with store.reading(world.process.program.engine) as session:
        now = from_unix(world.now)
        leased = select(ScheduleRow).where(col(ScheduleRow.lease_token).is_not(None))
        running = session.scalars(select(StepRow).where(col(StepRow.state) == "running"))
        overdue = select(ScheduleRow).where(col(ScheduleRow.due_at) < now)
        found = [f"I8 {row.case_id} is held still" for row in session.scalars(leased)]
        found += [f"I8 {row.key} is running still" for row in running]
        late = session.scalars(overdue)
        found += [f"I8 {row.case_id} is overdue since {row.due_at}" for row in late]
        unseen = session.scalars(select(LookAgainRow))
        found += [f"I8 nobody has looked at {row.customer} since {row.since}" for row in unseen]
    return found


def _evidence(world: World) -> Evidence:
    return Evidence(
        books=world.stripe.books.report()["invoices"],
        mails=[
            Arrived(mail.id, mail.at, mail.known, mail.written, mail.heard, mail.to)
            for mail in world.post.mails
        ],
        told=[{"key": t.key, "type": t.type, "data": t.data} for t in world.product.told],
        acked=frozenset(world.incoming.acked),
        movements=world.stripe.books.entries,
        happened=world.stripe.events,
        undisturbed=world.script.notices and not _disturbed(world),
        asked=world.journal.asked_for,
        secrets=SECRETS,
        texts=[*world.journal.lines, *(mail.text for mail in world.post.mails)],
        leaves=frozenset({"deferred", "unknown"}),
        all_failures_known=True,
        only_us=True,
        now=from_unix(world.now),
        apart=world.clock.apart,
        plan_of=world.process.program.cases.plan_of,
    )


def _disturbed(world: World) -> bool:
    """Whether news was kept from the program, or it was away; its clock may have been wrong."""
    faults = ("post", "broker", "kill", "pause", "database")
    return bool(world.clock.apart) or any(name.startswith(faults) for name in world.weather.struck)


def _endings(world: World) -> Counter[str]:
    """How cases and steps ended, for the summary."""
    found: Counter[str] = Counter()
    with store.reading(world.process.program.engine) as session:
        found.update(f"case {row.state}" for row in session.scalars(select(CaseRow)))
        found.update(f"{row.kind} {row.result}" for row in session.scalars(select(StepRow)))
    return found
