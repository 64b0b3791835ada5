"""A world for each story, on each database; what must hold at the end of every one."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.invariants import check
from tests.staging import world_on
from tests.world import World

FAILED = pytest.StashKey[bool]()
Begin = Callable[..., World]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember whether the story itself failed: then nothing can be asked of its end."""
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report


@pytest.fixture
def begin(request: pytest.FixtureRequest, migrated_url: str, tmp_path: Path) -> Iterator[Begin]:
    """Starts a world with a policy or settings of the story's own; nobody is there yet."""
    with ExitStack() as stack:
        worlds: list[World] = []

        def start(**options: Any) -> World:
            worlds.append(stack.enter_context(world_on(migrated_url, tmp_path, **options)))
            return worlds[-1]

        yield start
        for world in worlds if not request.node.stash.get(FAILED, False) else ():
            check(world)


@pytest.fixture
def world(begin: Begin) -> World:
    """The default policy, nobody there yet."""
    return begin()
