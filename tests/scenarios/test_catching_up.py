"""What happened while nobody was there is found by asking, once, and brings no second charge."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlmodel import SQLModel, select

from dunning import bookmarks, crashpoints
from dunning.bookmarks import LEASE
from dunning.catching_up import EVERY, OVERLAP, Swept, catch_up, standing
from dunning.reconcile import Account, Found, reconcile
from dunning.store import AttemptRow, CatchUpRow, EntryRow, InboxRow
from tests.scenarios.conftest import Begin
from tests.world import AT_ONCE, World

CHARGES = """
version: 1
policies:
  standard:
    grace: 14d
    window: 28d
    timeline:
      - {at: 1d, do: retry}
      - {at: 3d, do: retry}
      - {at: 28d, do: give_up}
"""


def sweeps(world: World) -> list[Swept]:
    """A sweep that is due now; what it found is handed to the workers."""
    swept = catch_up(world.program, world.now)
    world.up.work.poke.set()
    return swept


def asks(world: World, days: float = 30, **options: Any) -> Found:
    """`dunning reconcile`."""
    live = world.program.sources["stripe"]
    assert live.provider is not None
    program = world.program
    found = reconcile(
        program.engine,
        program.cases,
        program.inbox,
        Account("stripe", live.reader, live.provider),
        since=world.now - timedelta(days=days),
        now=lambda: world.now,
        **options,
    )
    world.up.work.poke.set()
    return found


def bookmark(world: World, kind: str = "sweep") -> CatchUpRow:
    with world.session() as session:
        return session.get_one(CatchUpRow, ("stripe", kind))


def deaf(world: World) -> None:
    """From here on no webhook reaches us."""
    world.settles(expect=[])
    world.sandbox.deliver("drop")


def hears_again(world: World) -> None:
    world.control("DELETE", "deliveries/rules")


def test_four_days_of_downtime_are_caught_up_with_by_themselves(world: World) -> None:
    ann = world.customer()
    world.passes(days=2)
    bob = world.customer()
    world.declines(ann)
    world.renewal(ann)
    world.settles(expect=AT_ONCE)
    assert [one.found.missed for one in sweeps(world)] == [0]
    deaf(world)
    world.declines(bob)
    with world.stripe_away():  # the program can do nothing, as if it were not there
        world.pays(ann)
        world.passes(days=4, expect=[])
        assert world.cases(customer=bob.id) == []
    (swept,) = sweeps(world)
    assert swept.found.types == {"invoice.paid": 1, "invoice.payment_failed": 1}
    assert swept.found.events_new > swept.found.missed == 2
    assert swept.since <= world.now - timedelta(days=4)
    hears_again(world)
    world.passes(hours=6)
    assert world.state(ann) == ("recovered", "full", "paid")
    assert world.state(bob)[0] == "recovered"
    # Two rungs were due while nobody was there: one charge is made, and not two.
    assert world.tries(bob) == ["stripe decline", "api succeed"]
    with world.session() as session:
        states = {row.state for row in session.exec(select(InboxRow)).all()}
    assert states <= {"handled", "ignored"}
    # What was found is not found again.
    assert [one.found.events_new for one in sweeps(world)] == [0]


def test_a_sweep_comes_once_in_a_while_and_one_at_a_time(world: World) -> None:
    assert len(sweeps(world)) == 1
    assert sweeps(world) == []
    world.passes(minutes=14)
    assert sweeps(world) == []
    world.passes(minutes=2)
    held = bookmarks.claim(world.program.engine, "stripe", world.now)
    assert held is not None
    assert sweeps(world) == []
    # Whoever held it died: another goes on once the lease has run out.
    world.passes(minutes=LEASE.total_seconds() / 60)
    assert len(sweeps(world)) == 1
    row = bookmark(world)
    assert (row.state, row.lease_token) == ("done", None)
    assert row.wake_at == world.now + EVERY


def test_webhooks_that_keep_being_missed_are_told_to_ops(world: World) -> None:
    sweeps(world)
    deaf(world)
    for times in (1, 2):
        world.customer(email=f"{times}@example.com")
        world.passes(minutes=30)
        (swept,) = sweeps(world)
        assert swept.found.missed > 0
        with world.session() as session:
            (health,) = standing(session, world.now)
        assert (health.level == "warning") is (times == 2)
        assert ("invoice.paid" in health.what) is (times == 2)
    assert (bookmark(world).in_a_row, bookmark(world).missed_in_all > 0) == (2, True)
    hears_again(world)
    world.passes(minutes=30)
    sweeps(world)
    assert bookmark(world).in_a_row == 0


def test_a_provider_that_is_away_is_asked_again_later(world: World) -> None:
    sweeps(world)
    world.passes(minutes=20)
    seen_to = bookmark(world).seen_to
    with world.stripe_away():
        assert sweeps(world) == []
    row = bookmark(world)
    assert row.error != ""
    assert (row.lease_token, row.wake_at) == (None, world.now + EVERY)
    assert seen_to - OVERLAP <= row.seen_to <= seen_to
    world.passes(minutes=20)
    assert len(sweeps(world)) == 1
    assert bookmark(world).error == ""


def killed_at_page(number: int) -> Callable[[str], None]:
    left = [number]

    def listen(point: str) -> None:
        if point == "reconcile.page":
            left[0] -= 1
            if left[0] == 0:
                raise crashpoints.Killed(point)

    return listen


def test_a_killed_run_goes_on_where_it_stopped(world: World) -> None:
    deaf(world)
    ann = world.customer()
    world.declines(ann)
    world.renewal(ann)
    with crashpoints.listening(killed_at_page(3)), pytest.raises(crashpoints.Killed):
        asks(world, page=2)
    stopped = bookmark(world, "run")
    with world.session() as session:
        kept = len(session.exec(select(InboxRow)).all())
    # The third page is kept, and the bookmark does not know of it yet.
    assert (stopped.state, stopped.events, kept) == ("events", 4, 6)
    found = asks(world, page=2)
    assert found.resumed == stopped.seen_to
    assert found.duplicates >= 2
    assert asks(world).resumed is None
    hears_again(world)
    world.passes(minutes=1, expect=AT_ONCE)
    assert bookmark(world, "run").state == "done"


def test_a_dry_run_counts_and_keeps_nothing(world: World) -> None:
    deaf(world)
    ann = world.customer()
    world.declines(ann)
    world.renewal(ann)
    planned = asks(world, dry=True)
    with world.session() as session:
        kept = session.exec(select(InboxRow)).all()
        assert session.exec(select(CatchUpRow)).all() == []
    assert world.cases() == []
    found = asks(world)
    assert planned.events_new == found.events_new > len(kept)
    hears_again(world)
    world.passes(minutes=1, expect=AT_ONCE)


# --- a restored backup -----------------------------------------------------------------------


class Backup:
    """A copy of the database, which an operator puts back."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._file = sqlite3.connect(":memory:", check_same_thread=False)
        self._rows: dict[str, list[dict[str, Any]]] = {}
        if engine.dialect.name == "sqlite":
            with closing(sqlite3.connect(str(engine.url.database))) as live:
                live.backup(self._file)
            return
        with engine.connect() as connection:
            for table in SQLModel.metadata.sorted_tables:
                rows = connection.execute(table.select()).mappings().all()
                self._rows[table.name] = [dict(row) for row in rows]

    def restore(self) -> None:
        """Make the database what it was."""
        if self._engine.dialect.name == "sqlite":
            with closing(sqlite3.connect(str(self._engine.url.database), timeout=30)) as live:
                self._file.backup(live)
            self._file.close()
            return
        with self._engine.begin() as connection:
            # As pg_restore does it: the triggers that guard the ledger do not fire.
            connection.execute(text("SET LOCAL session_replication_role = replica"))
            for table in SQLModel.metadata.sorted_tables:
                connection.execute(table.delete())
                if self._rows[table.name]:
                    connection.execute(table.insert(), self._rows[table.name])


def books(world: World) -> dict[str, Any]:
    """The cases and the ledger, without what says when we heard."""
    with world.session() as session:
        entries = session.exec(select(EntryRow)).all()
        attempts = session.exec(select(AttemptRow)).all()
    undone = {row.reverses for row in entries if row.reverses}
    standing = [row for row in entries if row.key not in undone and not row.reverses]
    return {
        "cases": sorted((c["id"], c["state"], c["access"], c["opened_at"]) for c in world.cases()),
        "entries": sorted((e.base, e.debit, e.credit, e.amount, e.occurred_at) for e in standing),
        "attempts": sorted((row.id, row.at, row.status, row.key) for row in attempts),
    }


@pytest.mark.parametrize("ending", ["declined", "paid"])
def test_a_restored_backup_comes_to_the_same_end_without_a_second_charge(
    begin: Begin, ending: str
) -> None:
    world = begin(policy=CHARGES)
    times = 2 if ending == "declined" else 1
    ann = world.failing(times=times, at_once=["product case.opened"])
    sweeps(world)
    world.passes(hours=23.5, expect=[])
    backup = Backup(world.program.engine)
    world.passes(hours=1)
    before, tries = books(world), world.tries(ann)
    assert len(tries) == 2
    world.sandbox.deliver("drop")
    backup.restore()
    world.leaves.add("restored")
    world.up.work.poke.set()
    assert asks(world, days=3).events_new > 0
    (swept,) = sweeps(world)
    assert swept.found.events_new == 0
    hears_again(world)
    world.passes(minutes=5)
    assert books(world) == before
    assert world.tries(ann) == tries
    # And once more, as Stripe delivers what it has not seen acknowledged.
    asks(world, days=3)
    world.passes(minutes=5, expect=[])
    assert books(world) == before
    world.passes(days=1.3, expect=[])
    assert world.tries(ann) == tries
