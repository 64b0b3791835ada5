"""What is in force: one row that every process sees, and a file on disk that comes in by itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlmodel import col, select
from structlog.testing import capture_logs

from dunning.config import read_policy_text
from dunning.core.choosing import Subject
from dunning.core.money import Money
from dunning.in_force import Policies, Text, hash_of, loader, standing
from dunning.messages import Messages
from dunning.store import PolicyFileRow, engine_for, reading, transaction
from tests.builders import T0

FIRST = read_policy_text(None)[0]
SECOND = FIRST.replace("grace: 14d", "grace: 13d")
THIRD = FIRST.replace("grace: 14d", "grace: 12d")
LOAD = loader(tuple(Messages().names()))


@pytest.fixture
def engine(migrated_url: str) -> Iterator[Engine]:
    engine = engine_for(migrated_url)
    yield engine
    engine.dispose()


class Machine:
    """A process on a machine with a policy file of its own."""

    def __init__(self, engine: Engine, path: Path, text: str) -> None:
        self.path = path
        self.writes(text)
        read = Text(*read_policy_text(path))
        self.policies = Policies(engine, LOAD(read), read, load=LOAD, path=path, now=lambda: T0)
        self.policies.begin()

    def writes(self, text: str) -> None:
        """Ops put another file there."""
        before = self.path.stat().st_mtime_ns if self.path.exists() else 0
        self.path.write_text(text)
        os.utime(self.path, ns=(before + 10**9, before + 10**9))

    def looks(self) -> str:
        """A second later; the text it goes by then."""
        self.policies._looked_at = float("-inf")
        self.policies.tick()
        return self.policies.hash


def kinds(engine: Engine) -> list[tuple[str, str]]:
    with reading(engine) as session:
        query = select(PolicyFileRow).order_by(col(PolicyFileRow.id))
        return [(row.kind, row.hash) for row in session.scalars(query)]


def test_the_first_file_is_in_force_and_a_changed_one_comes_in(
    engine: Engine, tmp_path: Path
) -> None:
    one = Machine(engine, tmp_path / "a.yaml", FIRST)
    assert kinds(engine) == [("first", hash_of(FIRST))]
    one.looks()
    assert len(kinds(engine)) == 1
    one.writes(SECOND)
    assert one.looks() == hash_of(SECOND)
    assert kinds(engine)[1:] == [("file", hash_of(SECOND))]
    chosen = one.policies.choose(Subject(source="stripe", amount=Money(4900, "usd")))
    assert chosen is not None
    assert chosen.policy.grace.days == 13


def test_two_machines_with_an_old_and_a_new_file_do_not_take_turns(
    engine: Engine, tmp_path: Path
) -> None:
    old = Machine(engine, tmp_path / "old.yaml", FIRST)
    new = Machine(engine, tmp_path / "new.yaml", SECOND)
    for _ in range(3):
        assert old.looks() == new.looks() == hash_of(SECOND)
    again = Machine(engine, tmp_path / "old.yaml", FIRST)
    assert again.looks() == hash_of(SECOND)
    assert len(kinds(engine)) == 2


def test_what_was_rolled_back_stays_so(engine: Engine, tmp_path: Path) -> None:
    one = Machine(engine, tmp_path / "a.yaml", FIRST)
    one.writes(SECOND)
    one.looks()
    with transaction(engine) as session:
        first = session.get_one(PolicyFileRow, 1)
        session.add(
            PolicyFileRow(
                kind="rollback", hash=first.hash, name=first.name, text=first.text,
                versions=first.versions, by="ops", why="no", at=T0, open_cases="null", back_to=1,
            )
        )  # fmt: skip
    assert one.looks() == hash_of(FIRST)
    again = Machine(engine, tmp_path / "a.yaml", SECOND)
    assert (again.looks(), one.looks()) == (hash_of(FIRST), hash_of(FIRST))
    with reading(engine) as session:
        told = [each.what for each in standing(session, tmp_path / "a.yaml")]
    assert any("was in force before, and is not now" in what for what in told)


def test_a_wrong_file_is_refused_once_and_named(engine: Engine, tmp_path: Path) -> None:
    one = Machine(engine, tmp_path / "a.yaml", FIRST)
    with capture_logs() as logs:
        for _ in range(3):
            one.writes(FIRST.replace("do: retry", "do: retyr"))
            assert one.looks() == hash_of(FIRST)
    said = [line for line in logs if line["event"] == "policy.refused"]
    assert len(said) == 1
    assert "retyr" in said[0]["why"]
    (refused,) = one.policies.refused
    assert "retyr" in refused.why
    assert "policy check" in refused.do
    one.path.unlink()
    one.looks()
    assert "cannot be read" in one.policies.refused[0].why
    one.writes(THIRD)
    assert one.looks() == hash_of(THIRD)
    assert one.policies.refused == ()


def test_a_text_that_this_program_cannot_read_leaves_what_it_had(
    engine: Engine, tmp_path: Path
) -> None:
    one = Machine(engine, tmp_path / "a.yaml", FIRST)
    with transaction(engine) as session:
        text = FIRST.replace("version: 1", "version: 2")
        session.add(
            PolicyFileRow(
                kind="apply", hash=hash_of(text), name="later.yaml", text=text, versions="{}",
                by="ops", why="a later program", at=T0, open_cases="[]",
            )
        )  # fmt: skip
    assert one.looks() == hash_of(FIRST)
    assert "update dunning" in one.policies.refused[0].do


def test_accounts_that_changed_need_a_restart_and_the_log_says_so(
    engine: Engine, tmp_path: Path
) -> None:
    one = Machine(engine, tmp_path / "a.yaml", FIRST)
    sources = (
        "sources:\n  - {name: eu, provider: stripe, api_key_env: EU_KEY,"
        " webhook_secrets_env: EU_SECRET, mode: test}\n"
    )
    with capture_logs() as logs:
        one.writes(FIRST + sources)
        one.looks()
    assert [line["event"] for line in logs].count("policy.sources_changed") == 1


def test_a_new_built_in_default_replaces_an_older_one_but_nothing_people_chose(
    engine: Engine,
) -> None:
    def starts(text: str, name: str = "default.yaml") -> str:
        read = Text(text, name)
        policies = Policies(engine, LOAD(read), read, load=LOAD, now=lambda: T0)
        policies.begin()
        return policies.hash

    assert starts(FIRST) == hash_of(FIRST)
    assert starts(SECOND) == hash_of(SECOND)
    with transaction(engine) as session:
        row = session.get_one(PolicyFileRow, 2)
        row.kind, row.name = "apply", "default.yaml"
    assert starts(THIRD) == hash_of(SECOND)


def test_before_the_tables_are_there_the_file_is_all_there_is(database_url: str) -> None:
    engine = engine_for(database_url)
    read = Text(FIRST, "default.yaml")
    policies = Policies(engine, LOAD(read), read, load=LOAD, now=lambda: T0)
    policies.begin()
    policies.look()
    assert policies.hash == hash_of(FIRST)
    engine.dispose()


SEGMENTS = """
segments:
  eu: {country: [DE, AT]}
  large: {amount: {at_least: 100 USD}}
"""


def test_who_chooses_says_which_segments_a_case_is_in(engine: Engine, tmp_path: Path) -> None:
    policies = Machine(engine, tmp_path / "policies.yaml", FIRST + SEGMENTS).policies
    for amount, country, segments in ((20_000, "DE", ("eu", "large")), (900, "US", ())):
        subject = Subject(source="stripe", amount=Money(amount, "usd"), country=country)
        chosen = policies.choose(subject)
        assert chosen is not None
        assert chosen.segments == segments
