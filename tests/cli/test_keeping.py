"""`prune` and `move` on the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import select

from dunning.store import InboxRow, migrate, transaction
from tests.builders import hours
from tests.cli.conftest import Books, Shell
from tests.databases import PostgresDatabases, sqlite_url


@pytest.fixture
def target(postgres_databases: PostgresDatabases) -> Iterator[str]:
    url = postgres_databases.create()
    yield url
    postgres_databases.drop(url)


def kept(books: Books) -> set[str]:
    with transaction(books.engine) as session:
        return {row.event_id for row in session.exec(select(InboxRow)).all()}


def test_prune_removes_what_is_old_and_says_how_much(shell: Shell, books: Books) -> None:
    books.webhook("evt_done", "x", b"{}", state="handled")
    books.webhook("evt_parked", "x", b"{}")
    shell.at(hours(24 * 20))
    assert "0 webhooks removed" in shell("prune").out
    told = shell("prune", "--bodies-after", "7d", "--dry-run", "--format", "json").json()
    assert (told["inbox"], told["seen"]) == (1, 0)
    assert kept(books) == {"evt_done", "evt_parked"}
    assert "1 webhook removed" in shell("prune", "--bodies-after", "7d").out
    assert kept(books) == {"evt_parked"}
    said = shell("inbox", "show", "evt_done", code=1).complaint
    assert "was handled, and `dunning prune` has removed it since" in said
    shell.at(hours(24 * 60))
    assert shell("prune", "--format", "json").json()["seen"] == 2
    assert "evt_parked" in shell("inbox", "show", "evt_parked").out


def test_the_settings_say_how_long(shell: Shell, books: Books) -> None:
    books.webhook("evt_done", "x", b"{}", state="handled")
    shell.at(hours(24 * 20))
    shell.env(DUNNING_KEEP_BODIES_DAYS="10")
    assert shell("prune", "--format", "json").json()["inbox"] == 1


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--bodies-after", "soon", "'soon' is not a number of days"),
        ("--bodies-after", "0d", "not a number of days"),
        ("--seen-after", "20d", "at least 35d"),
        ("--calls-after", "1h", "not a number of days"),
    ],
)
def test_what_is_no_span_is_refused(
    shell: Shell, books: Books, option: str, value: str, words: str
) -> None:
    assert words in shell("prune", option, value, code=2).err
    assert kept(books) == set()


def test_move_says_what_to_set_next(shell: Shell, target: str, tmp_path: Path) -> None:
    folder = tmp_path / "old"
    migrate(sqlite_url(folder / "dunning.db"))
    said = shell("move", "--to", target, "--data", str(folder)).out
    assert "the ledger holds and is the same" in said
    assert "DUNNING_DATABASE_URL=postgresql" in said
    told = json.loads(shell("move", "--to", target, "--data", str(folder), "--format", "json").out)
    assert set(told["rows"]) >= {"cases", "entries", "inbox"}


def test_move_refuses_what_it_cannot_move(shell: Shell, tmp_path: Path, target: str) -> None:
    nowhere = str(tmp_path / "nowhere")
    assert (
        "there is no database" in shell("move", "--to", target, "--data", nowhere, code=1).complaint
    )
    assert "database_url" not in shell("move", "--to", "mysql://x/y", code=2).err
