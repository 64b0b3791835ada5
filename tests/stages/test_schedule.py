"""Claims: each due case is had by one worker at a time, and never lost with one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

import pytest

from dunning.schedule import Claim, backlog, claim_due, release
from dunning.store import ScheduleRow
from tests.builders import T0, hours
from tests.servers import clean_environment
from tests.sharing import ROOT
from tests.stages.kit import Stage, Together

LEASE = timedelta(minutes=2)


def case(number: int, due: datetime = T0, source: str = "stripe") -> ScheduleRow:
    """A case, of which only this matters here; one that has nothing ahead has no row."""
    return ScheduleRow(case_id=f"case_{number:03}", source=source, due_at=due)


def begin(stage: Stage, *rows: ScheduleRow) -> None:
    with stage.writing() as session:
        session.add_all(rows)


def claim(
    stage: Stage, now: datetime = T0, *, limit: int = 100, sources: Sequence[str] = ("stripe",)
) -> list[Claim]:
    with stage.writing() as session:
        return claim_due(session, now, limit=limit, lease=LEASE, sources=sources)


def names(claims: Sequence[Claim]) -> list[str]:
    return [one.case_id for one in claims]


def test_what_is_due_is_claimed_the_longest_due_first(stage: Stage) -> None:
    begin(stage, case(1, hours(-1)), case(2, hours(-3)), case(3, hours(1)))
    assert names(claim(stage)) == ["case_002", "case_001"]
    assert names(claim(stage)) == []


def test_due_is_from_the_very_moment_on(stage: Stage) -> None:
    begin(stage, case(1))
    assert claim(stage, T0 - timedelta(microseconds=1)) == []
    assert names(claim(stage, T0)) == ["case_001"]


def test_no_more_are_claimed_than_asked(stage: Stage) -> None:
    begin(stage, *(case(number) for number in range(5)))
    assert len(claim(stage, limit=3)) == 3
    assert len(claim(stage, limit=3)) == 2


def test_only_the_sources_that_are_acted_on_are_claimed(stage: Stage) -> None:
    begin(stage, case(1), case(2, source="other"))
    assert claim(stage, sources=()) == []
    assert [(one.case_id, one.source) for one in claim(stage, sources=("other",))] == [
        ("case_002", "other")
    ]
    assert names(claim(stage, sources=("other", "stripe"))) == ["case_001"]


def test_a_claim_runs_out_and_another_worker_takes_over(stage: Stage) -> None:
    begin(stage, case(1))
    (first,) = claim(stage)
    assert claim(stage, T0 + LEASE - timedelta(seconds=1)) == []
    (second,) = claim(stage, T0 + LEASE)
    assert first.token != second.token


def test_a_claim_given_back_is_due_at_once(stage: Stage) -> None:
    begin(stage, case(1, hours(-1)), case(2, hours(-1)))
    claims = claim(stage)
    with stage.writing() as session:
        release(session, claims[:1])
    (again,) = claim(stage)
    assert again.case_id == claims[0].case_id


def test_only_the_holder_gives_back(stage: Stage) -> None:
    begin(stage, case(1))
    (late,) = claim(stage)
    (holder,) = claim(stage, T0 + LEASE)
    with stage.writing() as session:
        release(session, [late])
    assert claim(stage, T0 + LEASE) == []
    with stage.writing() as session:
        release(session, [holder])
    assert names(claim(stage, T0 + LEASE)) == ["case_001"]


def test_threads_never_claim_the_same_case(stage: Stage) -> None:
    begin(stage, *(case(number) for number in range(200)))

    def take() -> list[str]:
        mine: list[str] = []
        while part := claim(stage, limit=7):
            mine += names(part)
        return mine

    workers = Together(*[take] * 4)
    assert workers.errors == []
    taken = [name for given in workers.given for name in given]
    assert len(taken) == 200
    assert len(set(taken)) == 200


TAKES_ALL = """
import json, sys
from datetime import datetime, timedelta
from dunning.schedule import claim_due
from dunning.store import engine_for, transaction
engine = engine_for(sys.argv[1])
now, mine = datetime.fromisoformat(sys.argv[2]), []
sys.stdin.readline()
while True:
    with transaction(engine) as session:
        part = claim_due(
            session, now, limit=5, lease=timedelta(minutes=2), sources=["stripe"]
        )
    if not part:
        break
    mine += [claim.case_id for claim in part]
print(json.dumps(mine))
"""


def test_processes_never_claim_the_same_case(stage: Stage) -> None:
    begin(stage, *(case(number) for number in range(150)))
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", TAKES_ALL, stage.url, T0.isoformat()],
            cwd=ROOT,
            env=clean_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    taken = [json.loads(worker.communicate(timeout=60)[0]) for worker in workers]
    both = [name for mine in taken for name in mine]
    assert len(both) == len(set(both)) == 150


def test_a_worker_does_not_wait_for_what_another_one_looks_at(stage: Stage) -> None:
    begin(stage, *(case(number) for number in range(3)))
    if stage.engine.dialect.name == "sqlite":
        return  # one writer: the second one waits, and sees what the first one took
    with stage.writing() as session:
        held = claim_due(session, T0, limit=2, lease=LEASE, sources=["stripe"])
        other = Together(partial(claim, stage))
        assert other.errors == []
        assert names(other.given[0]) == ["case_002"]
    assert names(held) == ["case_000", "case_001"]


# --- how it stands -----------------------------------------------------------------------------


def stands(stage: Stage, now: datetime, *sources: str) -> tuple[object, ...]:
    with stage.writing() as session:
        told = backlog(session, now, sources or ("stripe",))
    return told.due, told.claimed, told.oldest_due_at, told.next_at


def test_the_backlog_says_what_is_due_and_what_is_under_way(stage: Stage) -> None:
    assert stands(stage, T0) == (0, 0, None, None)
    begin(stage, case(1, hours(-2)), case(2, hours(-1)), case(3, hours(5)))
    begin(stage, case(5, hours(-9), source="other"))
    assert stands(stage, T0) == (2, 0, hours(-2), hours(5))
    assert stands(stage, T0, "other", "stripe") == (3, 0, hours(-9), hours(5))
    claim(stage, limit=1)
    due, claimed, _, next_at = stands(stage, T0)
    assert (due, claimed, next_at) == (1, 1, T0 + LEASE)


def test_a_case_that_is_claimed_again_and_again_is_overdue_all_the_same(stage: Stage) -> None:
    """Claims that nobody works on must not hide that the work is late."""
    begin(stage, case(1, hours(-2)))
    claim(stage)
    assert stands(stage, T0)[2] == hours(-2)


def test_no_source_no_backlog(stage: Stage) -> None:
    begin(stage, case(1))
    with stage.writing() as session:
        told = backlog(session, T0, [])
    assert (told.due, told.claimed, told.next_at) == (0, 0, None)


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_one_claim_call_has_one_token_that_nobody_guesses(stage: Stage) -> None:
    begin(stage, *(case(number) for number in range(3)))
    tokens = {one.token for one in claim(stage, limit=2)} | {one.token for one in claim(stage)}
    assert len(tokens) == 2
    assert all(len(token) == 16 for token in tokens)
