"""A command line to type into, and a database with cases to look at."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import structlog
import time_machine
from sqlalchemy import Engine

from dunning.case_rows import read_facts, summary
from dunning.cases import CaseBook
from dunning.cli.entry import run
from dunning.core.events import BillingEvent, StepEnded
from dunning.core.ports import Envelope
from dunning.inbox import Received, keep
from dunning.store import CaseRow, InboxRow, StepRow, engine_for, transaction
from tests import browser
from tests.builders import PROVIDER, SOURCE, declined, failed, hours
from tests.happenings import customer, step
from tests.policies import STANDARD
from tests.secrets import WATCH

NOW = hours(2)  # two hours after the first failure


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that look at a page in a browser are for machines that have one."""
    if browser.find() is not None:
        return
    left_out = [item for item in items if "chromium" in getattr(item, "fixturenames", ())]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@dataclass(frozen=True, slots=True)
class Said:
    """What a command said, and the code it left with."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def complaint(self) -> str:
        """The one line on stderr; nothing else may be there."""
        assert self.err.count("\n") == 1, self.err
        assert "Traceback" not in self.err
        return self.err.rstrip("\n")


class Shell:
    """Types commands in a folder of its own, with the environment that was set."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        folder: Path,
        time: time_machine.Traveller,
    ) -> None:
        self._time = time
        self._patch = monkeypatch
        self._capsys = capsys
        self.folder = folder
        monkeypatch.chdir(folder)
        # A wide terminal, and no colours in usage texts.
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.setenv("NO_COLOR", "1")

    def at(self, moment: datetime) -> None:
        """The machine's clock is set."""
        self._time.move_to(moment)

    def env(self, **values: str) -> None:
        for name, value in values.items():
            self._patch.setenv(name, value)

    def __call__(self, *arguments: str, code: int = 0) -> Said:
        self._capsys.readouterr()
        got = run(arguments)
        out, err = self._capsys.readouterr()
        WATCH.look(" ".join(("dunning", *arguments)), out + err)
        assert got == code, f"left with {got}\n{out}\n{err}"
        return Said(got, out, err)


@pytest.fixture
def shell(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[Shell]:
    folder = tmp_path / "cwd"
    folder.mkdir()
    with time_machine.travel(NOW, tick=True) as time:
        yield Shell(monkeypatch, capsys, folder, time)
    # Logs were led to a stream that is gone now.
    structlog.reset_defaults()


class Books:
    """A database that is filled through the one door, as the program does it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.book = CaseBook(choose=lambda _subject: STANDARD)

    def take(self, *events: BillingEvent, now: datetime | None = None) -> str:
        """Take events in; the id of the case they moved."""
        with transaction(self.engine) as session:
            applied = self.book.apply(
                session, SOURCE, PROVIDER, events, now or max(event.at for event in events)
            )
        return applied.cases[0]

    def failing(self, code: str = "insufficient_funds", **about: Any) -> str:
        """A case as the first webhooks make it."""
        case = self.take(failed(), customer(email="ann@example.com", **about), declined(code))
        self.did(case, step("reconcile:open"), "asked the provider")
        return case

    def did(self, case: str, event: StepEnded, why: str = "") -> None:
        """A step of ours ended, as the executor puts it down."""
        with transaction(self.engine) as session:
            session.add(
                StepRow(
                    key=event.id,
                    case_id=case,
                    kind=event.kind.value,
                    state="ended",
                    result=event.result.value,
                    why=why,
                    template=event.template,
                    due_at=event.at,
                    started_at=event.at,
                    first_started_at=event.at,
                    ended_at=event.at,
                    policy_version=STANDARD.version,
                )
            )
            row = session.get_one(CaseRow, case)
            self.book.apply_by_hand(session, row, [event], event.at)

    def row(self, case: str) -> dict[str, Any]:
        with transaction(self.engine) as session:
            return summary(session.get_one(CaseRow, case))

    def facts(self, case: str) -> Any:
        with transaction(self.engine) as session:
            return read_facts(session.get_one(CaseRow, case))

    def webhook(
        self, event_id: str, kind: str, body: bytes, *, state: str = "parked", reason: str = ""
    ) -> int:
        """A kept webhook in some state; its row."""
        envelope = Envelope(id=event_id, type=kind, created=hours(0), livemode=False)
        with transaction(self.engine) as session:
            (row_id,) = keep(session, [Received(SOURCE, envelope, body)], hours(0))
            row = session.get_one(InboxRow, row_id)
            row.state, row.reason = state, reason
            session.add(row)
        return row_id


@pytest.fixture
def books(migrated_url: str, shell: Shell) -> Iterator[Books]:
    """A migrated database that the shell's commands look into, on each backend."""
    shell.env(DUNNING_DATABASE_URL=migrated_url)
    engine = engine_for(migrated_url)
    yield Books(engine)
    engine.dispose()


def columns(table: str, heading: str) -> list[str]:
    """The cells under a heading of a table whose columns are two blanks apart."""
    lines = [line for line in table.splitlines() if line.strip()]
    head = next(line for line in lines if heading in line)
    start = head.index(heading)
    rest: Sequence[str] = lines[lines.index(head) + 1 :]
    return [line[start:].partition("  ")[0].strip() for line in rest]
