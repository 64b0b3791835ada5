"""What a dispatcher does beside dispatching happens by itself, and once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlmodel import select

from dunning.store import CatchUpRow, PruningRow, reading
from dunning.upkeep import Upkeep
from dunning.wiring import Program
from tests.stages.kit import eventually
from tests.stages.parts import acting, program_on


@pytest.fixture
def program(migrated_url: str, tmp_path: Path) -> Iterator[Program]:
    with program_on(migrated_url, tmp_path, provider=acting()) as made:
        yield made


def pruned(program: Program) -> int:
    with reading(program.engine) as session:
        return len(session.exec(select(PruningRow).where(PruningRow.what == "begun")).all())


def swept(program: Program) -> int:
    with reading(program.engine) as session:
        return len(session.exec(select(CatchUpRow)).all())


def test_the_day_is_pruned_and_the_provider_asked(program: Program) -> None:
    both = [Upkeep(program, every=0.01) for _ in range(2)]
    for one in both:
        one.start()
    eventually(lambda: pruned(program) and swept(program))
    for one in both:
        one.stop()
    assert pruned(program) == 1


def test_beside_a_sandbox_nothing_is_done(program: Program) -> None:
    program.settings = replace(program.settings, sandbox_url="http://127.0.0.1:9")
    beside = Upkeep(program, every=0.01)
    beside.start()
    beside.stop()
    assert (pruned(program), swept(program)) == (0, 0)
