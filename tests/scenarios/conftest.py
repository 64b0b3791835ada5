"""A world for each story, on one of the two databases; what must hold at the end of every one.

A story is about what is decided. What the databases do differently is asked of both in
`tests/stages`, so here half of the stories is played on either, always the same half.
TEST_EVERY_STORY_ON_BOTH plays each on both.
"""

from __future__ import annotations

import os
import zlib
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
DATABASES = ("sqlite", "postgresql")
ON_BOTH = "TEST_EVERY_STORY_ON_BOTH" in os.environ
# These are about what is stored, and when.
STORING = ("test_workers_dying", "test_webhook_deliveries")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Say on which databases a story is played, where it does not say so itself."""
    module = metafunc.module.__name__.rpartition(".")[2]
    said = [one.args[0] for one in metafunc.definition.iter_markers("parametrize")]
    if "backend" not in metafunc.fixturenames or "backend" in said:
        return
    both = ON_BOTH or module in STORING
    name = f"{module}::{metafunc.function.__name__}"
    one = DATABASES[zlib.crc32(name.encode()) % 2]
    metafunc.parametrize("backend", DATABASES if both else [one], indirect=True)


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> str:
    """The database that this story is played on."""
    name: str = request.param
    return name


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
