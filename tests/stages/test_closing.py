"""A closed month: nothing gets into it, what it says is sealed, and whatever changes is found."""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import func, insert, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session, col

from dunning import closed, closing, crashpoints, ledger, statements
from dunning.closing import Wish
from dunning.core.entries import Account
from dunning.crashpoints import Killed
from dunning.errors import RefusedError
from dunning.moving import move
from dunning.reports import snapshot, verify_all
from dunning.statements import Statement
from dunning.store import (
    CatchUpRow,
    EntryRow,
    InboxRow,
    StatementRow,
    engine_for,
    reading,
    transaction,
)
from tests.databases import PostgresDatabases, SqliteDatabases
from tests.reports.shop import NOW, Shop, Unpaid, on
from tests.stages.tampering import ddl, guard_off, tamper


@pytest.fixture
def shop(migrated_url: str) -> Iterator[Shop]:
    """An empty shop."""
    shop = Shop(migrated_url)
    yield shop
    shop.engine.dispose()


def close(shop: Shop, period: str, why: str = "", **more: Any) -> Statement:
    return closing.close(shop.engine, Wish(period=period, by="ann", why=why, **more), NOW)


def january(shop: Shop) -> tuple[Unpaid, Unpaid]:
    """One paid in January, one still open at its end."""
    paid, still_open = shop.failed(on(1, 5), 1000), shop.failed(on(1, 20), 700, "jpy")
    paid.charged(on(1, 8), "retry:1")
    paid.paid(on(1, 8))
    return paid, still_open


def faults(shop: Shop) -> list[str]:
    with shop.reading() as session:
        return [what for _, what in verify_all(session).faults]


def late(shop: Shop) -> list[tuple[str, str, Any, str | None]]:
    with reading(shop.engine) as session:
        rows = session.scalars(select(EntryRow).order_by(col(EntryRow.id))).all()
    return [(r.debit, r.credit, r.posted_at, r.closed_period) for r in rows if r.posted_at]


# --- what a closing does ---------------------------------------------------------------------


def test_a_statement_says_what_the_month_did(shop: Shop) -> None:
    january(shop)
    told = close(shop, "2026-01")
    assert told.content["entries"] == 3
    usd = told.content["currencies"]["usd"]
    assert usd["opening"] == dict.fromkeys((name.value for name in Account), 0)
    assert usd["closing"] == usd["opening"] | {"owed": -1000, "recovered": 1000}
    moved = {"debit": "at_risk", "credit": "recovered", "cause": "paid", "how": "retry:1"}
    assert moved | {"amount": 1000, "entries": 1} in usd["transfers"]
    assert told.content["currencies"]["jpy"]["closing"]["at_risk"] == 700
    assert faults(shop) == []


def test_the_digests_can_be_made_by_anybody(shop: Shop) -> None:
    january(shop)
    close(shop, "2026-01")
    with reading(shop.engine) as session:
        mark, told = statements.named(session, "2026-01")
        lines = [statements.line_of(row) for row in statements.entries_of(session, mark)]
        row = session.get(StatementRow, "2026-01")
    assert row is not None
    assert told.content["entries_digest"] == hashlib.sha256(b"".join(lines)).hexdigest()
    assert told.digest == hashlib.sha256(row.content.encode()).hexdigest()
    assert dict(zip(statements.FIELDS_OF[2], json.loads(lines[0]), strict=True))["case_id"]


def test_what_is_heard_too_late_is_booked_to_the_next_month(shop: Shop) -> None:
    _, still_open = january(shop)
    sealed = close(shop, "2026-01")
    still_open.charged(on(1, 25), "retry:1")
    still_open.paid(on(1, 25))
    assert late(shop) == [("at_risk", "recovered", on(2, 1, 0), "2026-01")]
    february = close(shop, "2026-02")
    jpy = february.content["currencies"]["jpy"]
    assert jpy["opening"] == sealed.content["currencies"]["jpy"]["closing"]
    assert (jpy["opening"]["at_risk"], jpy["closing"]["at_risk"]) == (700, 0)
    assert [list(one.values()) for one in jpy["of_closed_periods"]] == [
        [700, "paid", "recovered", "at_risk", 1, "2026-01"]
    ]
    assert february.content["previous"] == sealed.digest
    assert faults(shop) == []


def test_a_correction_of_a_closed_month_counts_in_the_next(shop: Shop) -> None:
    """The first word on a payment was wrong: both halves of the correction are February's."""
    unpaid = shop.failed(on(1, 5), 1000)
    unpaid.paid(on(1, 9))
    close(shop, "2026-01")
    unpaid.charged(on(1, 8), "retry:1")
    assert {(posted, own) for *_, posted, own in late(shop)} == {(on(2, 1, 0), "2026-01")}
    told = close(shop, "2026-02").content["currencies"]["usd"]
    assert told["opening"] == told["closing"]
    by_how = {one["how"]: one["amount"] for one in told["transfers"]}
    assert by_how == {"natural": -1000, "retry:1": 1000}
    assert faults(shop) == []


def test_by_the_calendar_of_the_books(shop: Shop) -> None:
    shop.failed(on(1, 31, 22, 30), 100)
    shop.failed(on(1, 31, 23, 30), 30)  # the first of February in Berlin
    told = close(shop, "2026-01", zone="Europe/Berlin")
    assert told.content["entries"] == 1
    assert told.content["ends_at"] == "2026-01-31T23:00:00Z"
    with pytest.raises(RefusedError, match="by the calendar of Europe/Berlin, not of UTC"):
        close(shop, "2026-02", zone="UTC")
    assert close(shop, "2026-02").content["currencies"]["usd"]["closing"]["at_risk"] == 130


# --- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("period", "words"),
    [
        ("2026-06", "2026-06 is not over before 2026-07-01"),
        ("2026-03", "one after the other, and 2026-01 is still open"),
        *((wrong, "is no month") for wrong in ("2026-13", "2026-1", "0000-01", "january", "")),
    ],
)
def test_a_month_that_cannot_be_closed(shop: Shop, period: str, words: str) -> None:
    january(shop)
    with pytest.raises(RefusedError, match=words):
        close(shop, period, "because")


def test_a_month_is_closed_once(shop: Shop) -> None:
    january(shop)
    digest = close(shop, "2026-01").digest
    with pytest.raises(RefusedError, match=f"closed by ann on 2026-06-30; digest {digest}"):
        close(shop, "2026-01")
    with pytest.raises(RefusedError, match="2026-01 is closed already"):
        close(shop, "2025-12")


def test_what_is_not_settled_wants_a_reason(shop: Shop) -> None:
    january(shop)
    body: dict[str, Any] = {
        "source": "stripe",
        "type": "x",
        "received_at": NOW,
        "body": b"{}",
        "wake_at": NOW,
    }
    with transaction(shop.engine) as session:
        for number, state in enumerate(("new", "parked", "parked", "handled")):
            session.add(
                InboxRow(
                    id=number + 1, event_id=f"e{number}", created_at=on(1, 9), state=state, **body
                )
            )
        session.add(InboxRow(id=9, event_id="e9", created_at=on(2, 9), state="new", **body))
        session.add(CatchUpRow(source="stripe", kind="sweep", since=on(1, 1), seen_to=on(1, 31)))
    words = "1 webhooks not handled, 2 webhooks parked, 1 sources not asked up to its end"
    with pytest.raises(RefusedError, match=words):
        close(shop, "2026-01")
    told = close(shop, "2026-01", "the auditors wait").content
    assert told["even_so"] == "the auditors wait"
    assert told["loose_ends"]["webhooks parked"] == 2
    with pytest.raises(RefusedError, match="2 webhooks not handled, 2 webhooks parked"):
        close(shop, "2026-02", " ")


FORGED = (
    "INSERT INTO closings SELECT '2026-04', zone, '2026-05-01 00:00:00.000000',"
    " '2026-06-01 00:00:00.000000', closed_at, closed_by, why, loose_ends FROM closings"
)


REPLACED = [
    "INSERT OR REPLACE INTO closings SELECT * FROM closings",
    "INSERT OR REPLACE INTO statements SELECT * FROM statements",
]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE closings SET period = '2026-02'",
        "UPDATE statements SET period = '2026-02'",
        "DELETE FROM closings",
        "DELETE FROM statements",
        "INSERT INTO statements SELECT '2025-12', content, digest, written_at FROM statements",
        "INSERT INTO statements SELECT '2026-09', content, digest, written_at FROM statements",
        FORGED,
    ],
)
def test_the_database_refuses_to_change_closed_books(shop: Shop, change: str) -> None:
    january(shop)
    close(shop, "2026-01")
    sqlite = shop.engine.dialect.name == "sqlite"
    changes = [change]
    changes += REPLACED if sqlite else ["TRUNCATE closings", "TRUNCATE statements"]
    for statement in changes:
        with pytest.raises(DBAPIError, match="closed"), transaction(shop.engine) as session:
            session.execute(text(statement))
    assert faults(shop) == []


@pytest.mark.parametrize("posted", [None, on(1, 31)])
def test_the_database_takes_no_entry_into_a_closed_month(shop: Shop, posted: Any) -> None:
    """Not even from somebody who writes past the program."""
    january(shop)
    close(shop, "2026-01")
    with transaction(shop.engine) as session:
        first = session.scalars(select(EntryRow).order_by(col(EntryRow.id))).first()
        assert first is not None
        copy = first.model_dump(exclude={"id"}) | {"place": 3, "key": "x", "posted_at": posted}
    with pytest.raises(DBAPIError, match="closed"), transaction(shop.engine) as session:
        session.execute(insert(EntryRow).values(copy))


# --- what was tampered with ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        # Of an entry, this is something that no case and no sum would show.
        ("UPDATE entries SET recorded_at = occurred_at WHERE place = 1", "2026-01, entries_digest"),
        ("UPDATE entries SET click = 'pay' WHERE cause = 'paid'", "2026-01, entries_digest"),
        ("UPDATE statements SET content = '{}'", "is not what its digest is of"),
        ("UPDATE statements SET content = '[' WHERE period = '2026-01'", "cannot be read"),
        ("UPDATE statements SET digest = 'x' WHERE period = '2026-01'", "2026-02: the statement"),
        ("DELETE FROM statements WHERE period = '2026-02'", "2026-02: its statement is missing"),
        ("DELETE FROM closings WHERE period = '2026-02'", "of a period that is not closed"),
        ("UPDATE closings SET closed_by = 'bob'", "does not belong to its closing"),
        ("UPDATE closings SET why = 'so'", "even_so"),
        ("UPDATE closings SET zone = 'Asia/Tokyo'", "the closing is not of that month"),
        ("UPDATE entries SET closed_period = '2026-02' WHERE posted_at IS NULL", "booked neither"),
    ],
)
def test_whatever_is_changed_in_closed_books_is_found(shop: Shop, change: str, words: str) -> None:
    january(shop)
    close(shop, "2026-01")
    close(shop, "2026-02")
    tamper(shop, change)
    assert words in "\n".join(faults(shop))


def test_a_statement_made_up_anew_is_found_by_the_one_after_it(shop: Shop) -> None:
    """Who changes an entry and makes up its statement anew breaks the chain of digests."""
    january(shop)
    close(shop, "2026-01")
    close(shop, "2026-02")
    tamper(shop, "UPDATE entries SET recorded_at = occurred_at WHERE place = 1")
    with reading(shop.engine) as session:
        content = statements.content_of(session, "2026-01")
    anew = {"content": content, "digest": statements.digest_of(content)}
    january_s = col(StatementRow.period) == "2026-01"
    tamper(shop, update(StatementRow).where(january_s).values(anew))
    found = faults(shop)
    assert not any(what.startswith("2026-01") for what in found)
    assert "2026-02: the statement does not belong to its closing and to the one before" in found


@pytest.mark.parametrize("table", ["closings", "statements"])
@pytest.mark.parametrize("guard", ["no_delete", "no_update", "in_order"])
def test_a_guard_of_the_closed_books_that_is_gone_is_a_fault(
    shop: Shop, table: str, guard: str
) -> None:
    words = {"no_delete": "no_change", "no_update": "no_truncate"}
    sqlite = shop.engine.dialect.name == "sqlite"
    guard_off(shop, table, guard if sqlite else words.get(guard, guard))
    assert faults(shop) == [
        "the database no longer refuses to change closed books: a trigger is gone"
    ]


def test_without_the_guard_of_closed_months_the_ledger_is_not_guarded(shop: Shop) -> None:
    if shop.engine.dialect.name == "sqlite":
        guard_off(shop, "entries", "not_closed")
    else:
        older = "CREATE OR REPLACE FUNCTION entries_in_order() RETURNS trigger LANGUAGE plpgsql"
        ddl(shop, f"{older} AS 'BEGIN RAISE EXCEPTION ''append''; END'")
    with reading(shop.engine) as session:
        assert not ledger.guarded(session)


# --- at once, killed, moved ------------------------------------------------------------------


def test_an_entry_on_its_way_is_in_the_month_that_is_closed(shop: Shop) -> None:
    """Whoever closes waits for it; it is in the statement, and nothing is between the two."""
    january(shop)
    with ThreadPoolExecutor(1) as pool:
        with shop.trial() as session:
            third = shop.failed(on(1, 30), 50)
            future = pool.submit(close, shop, "2026-01")
            waits_for(shop, future.running)
            session.commit()
        told = future.result(60)
    assert told.content["currencies"]["usd"]["closing"]["at_risk"] == 50
    assert faults(shop) == []
    third.paid(on(2, 2))
    assert late(shop) == []


def waits_for(shop: Shop, begun: Callable[[], bool]) -> None:
    """Until the one who closes waits for a lock; on SQLite it waits for the file."""
    deadline = time.monotonic() + 60
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'")
    waits = shop.engine.dialect.name != "postgresql"
    while not (begun() and waits):
        assert time.monotonic() < deadline, "nobody waits"
        if not waits:
            with reading(shop.engine) as session:
                waits = bool(session.execute(waiting).scalar_one())


@pytest.mark.parametrize("point", ["close.marked", "close.written"])
def test_a_closing_that_dies_is_finished_by_the_next(shop: Shop, point: str) -> None:
    _, still_open = january(shop)

    def dies(name: str) -> None:
        if name == point:
            raise Killed(point)

    with pytest.raises(Killed), crashpoints.listening(dies):
        close(shop, "2026-01")
    still_open.paid(on(1, 25))
    assert late(shop)
    if point == "close.marked":
        missing = "2026-01: its statement is missing; `dunning ledger close 2026-01` writes it"
        assert faults(shop) == [missing]
        assert close(shop, "2026-01").content["entries"] == 3
    assert faults(shop) == []


def test_closed_books_are_moved_as_they_are(
    tmp_path: Any, sqlite_databases: SqliteDatabases, postgres_databases: PostgresDatabases
) -> None:
    shop = Shop(sqlite_databases.copy_migrated(tmp_path / "dunning.db"))
    _, still_open = january(shop)
    close(shop, "2026-01")
    still_open.paid(on(1, 25))
    digest = close(shop, "2026-02").digest
    shop.engine.dispose()
    target = postgres_databases.create()
    move(f"sqlite:///{tmp_path / 'dunning.db'}", target)
    engine = engine_for(target)
    with snapshot(engine) as session:
        assert verify_all(session).faults == []
        assert [one.digest for one in statements.listed(session)][-1] == digest
    engine.dispose()
    postgres_databases.drop(target)


# --- what reports count by ---------------------------------------------------------------------


def test_every_entry_is_booked_in_one_month(shop: Shop) -> None:
    _, still_open = january(shop)
    close(shop, "2026-01")
    still_open.paid(on(1, 25))
    shop.failed(on(2, 3), 10)
    months = [on(1, 1, 0), on(2, 1, 0), on(3, 1, 0)]
    with reading(shop.engine) as session:
        counts = [_count(session, month) for month in itertools.pairwise(months)]
        at = session.scalars(select(closed.booked_at()).order_by(closed.booked_at())).all()
    assert counts == [3, 2]
    assert [moment.month for moment in at] == [1, 1, 1, 2, 2]


def _count(session: Session, month: Sequence[Any]) -> int:
    query = select(func.count()).select_from(EntryRow)
    found: int = session.execute(query.where(closed.booked_between(*month))).scalar_one()
    return found
