"""Pruning lets go of what nobody needs, and of nothing else, however it is interrupted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import func, select, text, update
from sqlmodel import col

from dunning import crashpoints, prune
from dunning.crashpoints import Killed
from dunning.errors import NotFoundError
from dunning.inbox import replay
from dunning.prune import Limits, Pruned
from dunning.reports import snapshot, verify_all
from dunning.store import (
    AttemptRow,
    CaseRow,
    EntryRow,
    InboxRow,
    MailDayRow,
    OutboxRow,
    PruningRow,
    ReturnRow,
    SeenRow,
    partitions,
)
from tests.providers.stripe.bodies import Body, event, invoice, invoice_payment, paid_invoice
from tests.providers.stripe.bodies_money import charge
from tests.stages.kit import Stage, Together, later, named, on_database, renamed

LIMITS = Limits()
ON_POSTGRES = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
ON_SQLITE = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


@pytest.fixture(params=[True, False], ids=["parted", "whole"])
def old(request: pytest.FixtureRequest, migrated_url: str) -> Iterator[Stage]:
    """An inbox that begins now; on PostgreSQL once with a partition for its days, once without."""
    for stage in on_database(migrated_url, announces=True):
        if request.param:
            partitions.ahead(stage.engine, stage.clock.now())
        yield stage


def failed(name: str) -> Body:
    return named(event("invoice.payment_failed", invoice()), name)


def waits(name: str) -> Body:
    return named(event("charge.failed", charge()), name)


def put(stage: Stage, name: str, state: str) -> None:
    with stage.writing() as session:
        session.execute(update(InboxRow).where(col(InboxRow.event_id) == name).values(state=state))


def there(stage: Stage) -> list[str]:
    return sorted(row.event_id for row in stage.inbox_rows())


def pruned(stage: Stage, *, dry_run: bool = False) -> Pruned:
    return prune.prune(stage.engine, stage.clock.now(), LIMITS, dry_run=dry_run)


def four(stage: Stage) -> dict[str, InboxRow]:
    """One handled, one parked, one new, and one that waits for its case."""
    stage.hears(failed("evt_handled"), renamed(waits("evt_waits"), "9"))
    stage.keep(failed("evt_parked"), failed("evt_new"))
    put(stage, "evt_parked", "parked")
    rows = {row.event_id: row for row in stage.inbox_rows()}
    assert rows["evt_waits"].waiting
    return rows


def test_what_is_needed_stays_as_it_is_and_the_rest_goes_in_its_time(old: Stage) -> None:
    before = four(old)
    old.clock.passes(days=29)
    assert pruned(old).summary() == Pruned().summary()
    old.clock.passes(days=3)
    assert pruned(old).inbox == 1
    assert there(old) == ["evt_new", "evt_parked", "evt_waits"]
    for row in old.inbox_rows():
        assert row == before[row.event_id]
    old.clock.passes(days=5)
    done = pruned(old)
    assert (done.inbox, done.waited) == (1, 1)
    assert there(old) == ["evt_new", "evt_parked"]
    assert pruned(old).inbox == 0


@pytest.mark.parametrize("old", [False], indirect=True)
def test_days_of_emails_and_bounces_of_others_go_in_their_time(old: Stage) -> None:
    day = f"{old.clock.now():%Y-%m-%d}"
    with old.writing() as session:
        at = old.clock.now()
        session.add(MailDayRow(source="s", customer="c", day=day, step_key="case_a/email:1", at=at))
        for key, step, message in (
            ("ours", "case_a/email:1", "1@acme.example"),
            ("theirs", None, "2@other.example"),
            ("nameless", None, None),
        ):
            session.add(
                ReturnRow(
                    key=key, at=at, kind="temporary", address="ann@example.com", via="mailbox",
                    step_key=step, message_id=message,
                )
            )  # fmt: skip
    old.clock.passes(days=89)
    assert pruned(old).summary() == Pruned().summary()
    old.clock.passes(days=3)
    for dry_run in (True, False):
        done = pruned(old, dry_run=dry_run)
        assert (done.mail_days, done.returns) == (1, 1)
    assert old.all(MailDayRow) == []
    assert {row.key for row in old.all(ReturnRow)} == {"ours", "nameless"}


def test_a_webhook_that_waits_is_still_found_by_its_case(old: Stage) -> None:
    old.hears(renamed(waits("evt_waits"), "9"))
    old.clock.passes(days=33)
    pruned(old)
    assert old.all(AttemptRow) == []
    link = later(event("invoice_payment.paid", invoice_payment(amount_paid=4900)), 600)
    late = event("invoice.payment_failed", invoice())
    old.hears(renamed(named(link), "9"), renamed(named(late), "9"))
    assert "ch_9" in [row.id for row in old.all(AttemptRow)]


def test_an_event_is_known_for_longer_than_its_body(old: Stage) -> None:
    old.hears(failed("evt_a"))
    old.clock.passes(days=36)
    assert pruned(old).inbox == 1
    assert old.keep(failed("evt_a")) == []
    assert pruned(old).seen == 0
    old.clock.passes(days=30)
    assert pruned(old).seen == 1
    assert len(old.keep(failed("evt_a"))) == 1


def test_a_dry_run_says_what_would_go_and_changes_nothing(old: Stage) -> None:
    four(old)
    old.clock.passes(days=60)
    told = pruned(old, dry_run=True)
    assert len(old.inbox_rows()) == 4
    assert old.all(PruningRow) == []
    done = pruned(old)
    assert (told.inbox, told.waited, told.seen) == (done.inbox, done.waited, done.seen) == (2, 1, 4)


def test_killed_at_any_batch_it_goes_on_where_it_was(
    old: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prune, "BATCH", 2)
    before = four(old)
    old.hears(*(named(event("nobody.knows", {}), f"evt_{number}") for number in range(9)))
    old.clock.passes(days=60)
    for dies_at in (1, 2, 1):
        with crashpoints.listening(_killer(dies_at)):
            try:
                pruned(old)
            except Killed:
                continue
    pruned(old)
    assert {row.event_id: row for row in old.inbox_rows()} == {
        name: before[name] for name in ("evt_parked", "evt_new")
    }
    assert old.all(SeenRow) == []
    removed = {row.what: row.removed for row in old.all(PruningRow)}
    assert (removed["inbox"], removed["seen"], removed["waited"]) == (11, 13, 1)


def _killer(number: int) -> crashpoints.Listener:
    left = [number]

    def listen(name: str) -> None:
        if name == "prune.batch":
            left[0] -= 1
            if not left[0]:
                raise Killed

    return listen


def test_replaying_what_was_pruned_says_so(old: Stage) -> None:
    (row,) = old.hears(failed("evt_a"))
    assert row.id is not None
    old.clock.passes(days=40)
    pruned(old)
    said = "handled, and let go of by `dunning prune`"
    with old.writing() as session, pytest.raises(NotFoundError, match=said):
        replay(session, [row.id], old.clock.now())


def test_money_and_tries_are_never_pruned(old: Stage) -> None:
    old.hears(failed("evt_a"), waits("evt_b"))
    old.hears(named(later(event("invoice.paid", paid_invoice()), 600), "evt_c"))
    entries, tries = old.all(EntryRow), old.all(AttemptRow)
    assert entries
    old.clock.passes(days=4000)
    assert pruned(old).inbox == 3
    assert old.all(EntryRow) == entries
    assert old.all(AttemptRow) == tries
    with snapshot(old.engine) as session:
        assert verify_all(session).faults == []


def test_calls_of_an_ended_case_go_once_delivered(old: Stage) -> None:
    old.hears(failed("evt_a"), renamed(failed("evt_b"), "2"))
    old.hears(named(later(event("invoice.paid", paid_invoice()), 600), "evt_c"))
    with old.writing() as session:
        session.execute(
            update(OutboxRow)
            .where(col(OutboxRow.type) != "case.recovered")
            .values(state="sent", sent_at=old.clock.now())
        )
    said = {row.type for row in old.all(OutboxRow)}
    assert said >= {"case.opened", "case.recovered"}
    old.clock.passes(days=91)
    assert pruned(old).outbox == 1
    is_open = {row.case_id for row in old.all(OutboxRow) if row.type == "case.opened"}
    assert is_open == {old.case("in_2").id}
    assert {row.type for row in old.all(OutboxRow)} == said
    with old.writing() as session:
        assert session.scalar(select(func.count()).select_from(CaseRow)) == 2


# --- every day ---------------------------------------------------------------------------------


def test_it_is_done_once_a_day_whoever_asks(stage: Stage) -> None:
    ask = partial(prune.due, stage.engine, stage.clock.now(), LIMITS)
    both = Together(ask, ask, ask)
    assert both.errors == []
    assert [bool(given) for given in both.given].count(True) == 1
    assert ask() is None
    stage.clock.passes(days=1)
    assert prune.due(stage.engine, stage.clock.now(), LIMITS) is not None


def test_beside_others_at_work_nothing_is_lost(stage: Stage) -> None:
    """Webhooks come in and are handled while their older mates are removed."""
    partitions.ahead(stage.engine, stage.clock.now())
    stage.hears(*(renamed(failed(f"evt_{number}"), str(number)) for number in range(10)))
    now = stage.clock.passes(days=40)

    def receive() -> None:
        for number in range(10, 20):
            ids = stage.keep(renamed(failed(f"evt_{number}"), str(number)))
            stage.inbox.handle(ids, now)

    def remove() -> int:
        return sum(prune.prune(stage.engine, now, LIMITS).inbox for _ in range(3))

    both = Together(receive, remove)
    assert both.errors == []
    assert pruned(stage).inbox + both.given[1] == 10
    assert {row.state for row in stage.inbox_rows()} == {"handled"}
    assert len(stage.inbox_rows()) == 10
    assert len(stage.all(CaseRow)) == 20


# --- partitions --------------------------------------------------------------------------------


def days_of(stage: Stage) -> Sequence[str]:
    with stage.writing() as session:
        return partitions.names(session.connection(), "inbox")


@ON_POSTGRES
def test_a_day_is_dropped_whole_and_what_is_needed_moves(stage: Stage) -> None:
    partitions.ahead(stage.engine, stage.clock.now())
    day = partitions.inbox_day(stage.clock.now().date()).name
    assert day in days_of(stage)
    before = four(stage)
    stage.clock.passes(days=40)
    assert day in pruned(stage).dropped
    assert day not in days_of(stage)
    assert {row.event_id: row for row in stage.inbox_rows()} == {
        name: before[name] for name in ("evt_parked", "evt_new")
    }
    # And they can be handled where they are now.
    stage.inbox.handle([row.id for row in stage.inbox_rows() if row.id], stage.clock.now())
    assert stage.case("in_1").state == "in_grace"


@ON_POSTGRES
def test_a_day_that_many_still_need_is_left_whole(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prune, "MOVED_AT_MOST", 1)
    partitions.ahead(stage.engine, stage.clock.now())
    day = partitions.inbox_day(stage.clock.now().date()).name
    four(stage)
    stage.clock.passes(days=32)
    done = pruned(stage)
    assert day in done.left
    assert (done.inbox, len(stage.inbox_rows())) == (0, 4)


@ON_POSTGRES
def test_a_day_somebody_works_in_is_left_for_another_day(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prune, "LOCK_MILLISECONDS", "50")
    partitions.ahead(stage.engine, stage.clock.now())
    day = partitions.inbox_day(stage.clock.now().date()).name
    stage.hears(failed("evt_a"))
    stage.clock.passes(days=40)
    with stage.writing() as session:
        session.execute(text("SELECT id FROM inbox FOR UPDATE"))
        assert day in pruned(stage).left
    assert day in pruned(stage).dropped
    assert there(stage) == []


@ON_SQLITE
def test_the_file_gives_back_its_pages_and_its_log_stays_small(
    stage: Stage, tmp_path: Path
) -> None:
    file = tmp_path / "dunning.db"
    bodies = [named(event("nobody.knows", {"text": "x" * 20_000}), f"evt_{n}") for n in range(200)]
    stage.hears(*bodies)
    large = file.stat().st_size + file.with_name("dunning.db-wal").stat().st_size
    assert large > 4_000_000
    stage.clock.passes(days=40)
    assert pruned(stage).inbox == 200
    assert file.stat().st_size < 1_000_000
    assert file.with_name("dunning.db-wal").stat().st_size < 1_000_000
