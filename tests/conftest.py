"""Fixtures that every test may use: databases, Redis, private servers; and the guards.

PostgreSQL and Redis start when a test first asks for them and are shared by the whole run.
TEST_PICTURES names a folder for the pictures of pages, for whoever wants to look at them;
TEST_EVERY_STORY_ON_BOTH plays each story on both databases, not on one of them.
DUNNING_TEST_DATABASE_URL and DUNNING_TEST_REDIS_URL name running servers to use instead: a
PostgreSQL whose user may create databases, and a Redis whose contents may be wiped.
"""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING, TypeVar

import pytest
import redis
from hypothesis import settings

from tests import browser, dialects, guards
from tests.databases import PostgresDatabases, SqliteDatabases, sqlite_url
from tests.secrets import WATCH
from tests.servers import Postgres, Redis, Server, ServerUnavailableError
from tests.sharing import Run, Shared

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from xdist.workermanage import WorkerController

Got = TypeVar("Got")

OVERRIDES = guards.scrub_environment()
guards.guard_sockets()
dialects.share_compiled()

# The same examples in every run; `--hypothesis-profile=explore` looks for new ones.
settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("explore", deadline=None, print_blob=True, max_examples=1000)
settings.load_profile("ci")

SHARED = pytest.StashKey[Shared]()
RUN = pytest.StashKey[Run]()


def pytest_configure(config: pytest.Config) -> None:
    worker: dict[str, str] | None = getattr(config, "workerinput", None)
    if worker is None:
        run = config.stash[RUN] = Run()
        config.stash[SHARED] = Shared(run.folder, OVERRIDES, "main")
    else:
        config.stash[SHARED] = Shared.from_worker(worker)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are cores: many tests wait for servers, leases and deaths."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: WorkerController) -> None:
    """Tell a process of a parallel run which servers it shares."""
    node.workerinput.update(node.config.stash[SHARED].to_worker())


def pytest_unconfigure(config: pytest.Config) -> None:
    run = config.stash.get(RUN, None)
    if run is not None:
        try:
            PostgresDatabases(config.stash[SHARED]).end()
        finally:
            run.end()


def pytest_collection_finish() -> None:
    """What stays until the end need not be searched for garbage again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def pytest_report_header(config: pytest.Config) -> list[str]:
    seed = config.getoption("--hypothesis-seed", default=None)
    chance = "the same in every run" if seed is None else f"from seed {seed}"
    given = ", ".join(sorted(OVERRIDES)) or "none; PostgreSQL and Redis start when first needed"
    return [f"servers given: {given}", f"hypothesis examples: {chance}"]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Name at the end what could not run, and why."""
    if browser.find() is None:
        terminalreporter.line("not run: tests that look at a page need chromium, and there is none")
    failures = config.stash[SHARED].failures()
    if not failures:
        return
    terminalreporter.section("could not run", red=True, bold=True)
    errors = terminalreporter.stats.get("error", [])
    for failure in failures:
        first_line = failure.partition("\n")[0]
        tests = [report.nodeid for report in errors if first_line in report.longreprtext]
        terminalreporter.line(f"{len(tests)} tests: {failure}", red=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """At the end of each test, fail it if a secret was told anywhere."""
    report = yield
    if call.when == "teardown":
        for name, said in report.sections:
            if "log" not in name:  # pytest's own look at records that the program has yet to write
                WATCH.look(name, said)
        if told := WATCH.found():
            report.outcome = "failed"
            report.longrepr = "\n".join(["a secret was told:", *told])
    return report


@pytest.fixture(scope="session")
def servers(pytestconfig: pytest.Config) -> Shared:
    """The servers of this run; most tests want `database_url`, `migrated_url` or `redis_url`."""
    return pytestconfig.stash[SHARED]


@pytest.fixture(scope="session")
def postgres_databases(servers: Shared) -> Iterator[PostgresDatabases]:
    databases = PostgresDatabases(servers)
    yield databases
    databases.close()


@pytest.fixture(scope="session")
def sqlite_databases(tmp_path_factory: pytest.TempPathFactory) -> SqliteDatabases:
    return SqliteDatabases(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest) -> str:
    """Run the test once on each database."""
    name: str = request.param
    return name


@pytest.fixture
def database_url(
    backend: str, tmp_path: Path, postgres_databases: PostgresDatabases
) -> Iterator[str]:
    """A fresh, empty database."""
    if backend == "sqlite":
        url = sqlite_url(tmp_path / "dunning.db")
        yield url
        WATCH.database(url)
    else:
        yield from _postgres_url(postgres_databases, migrated=False)


@pytest.fixture
def migrated_url(
    backend: str,
    tmp_path: Path,
    postgres_databases: PostgresDatabases,
    sqlite_databases: SqliteDatabases,
) -> Iterator[str]:
    """A fresh database with the tables of this version."""
    if backend == "sqlite":
        url = sqlite_databases.copy_migrated(tmp_path / "dunning.db")
        yield url
        WATCH.database(url)
    else:
        yield from _postgres_url(postgres_databases, migrated=True)


def _postgres_url(databases: PostgresDatabases, *, migrated: bool) -> Iterator[str]:
    url = _obtain(lambda: databases.create(migrated=migrated))
    yield url
    WATCH.database(url)
    databases.drop(url)


@pytest.fixture
def redis_url(servers: Shared) -> str:
    """An empty Redis that no other running test uses; FLUSHALL in it harms nobody."""
    url = _obtain(servers.redis_url)
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


@pytest.fixture
def private_postgres(servers: Shared) -> Iterator[Server]:
    """A PostgreSQL of the test's own, to stop, kill and start again."""
    yield from _private(servers, Postgres)


@pytest.fixture
def private_redis(servers: Shared) -> Iterator[Server]:
    """A Redis of the test's own, to stop, kill and start again."""
    yield from _private(servers, Redis)


def _private(servers: Shared, kind: type[Server]) -> Iterator[Server]:
    server = _obtain(lambda: servers.start_private(kind))
    yield server
    server.stop()


def _obtain(start: Callable[[], Got]) -> Got:
    """A missing server fails the test, in two lines that say what to do."""
    try:
        return start()
    except ServerUnavailableError as failure:
        why = str(failure)
    pytest.fail(why, pytrace=False)
