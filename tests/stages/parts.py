"""The assembled program with doubles of what lives on the internet, for tests of its processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from dunning.config import load_settings
from dunning.core.events import StepKind, StepResult
from dunning.core.ports import Doing, Ended, Incomplete, Provider, Reading
from dunning.executor import Executor
from dunning.wiring import Program, assemble
from tests import secrets
from tests.stages.kit import ManualClock

SECRET = secrets.SIGNING


class Stripe:
    """The acting half of a provider: only its fetching is ever asked for."""

    name = "stripe"

    def __init__(self, fetched: Callable[[Incomplete], Reading] | None = None) -> None:
        self._fetched = fetched
        self.asked: list[str] = []

    def fetch(self, thin: Incomplete, **_more: Any) -> Reading:
        self.asked.append(thin.object_id)
        assert self._fetched is not None
        return self._fetched(thin)

    def close(self) -> None:
        pass


def acting(fetched: Callable[[Incomplete], Reading] | None = None) -> Provider:
    return cast("Provider", Stripe(fetched))


class Does:
    """An action for every kind of step, which is done at once."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def act(self, doing: Doing) -> Ended:
        self.done.append(doing.step.key)
        return Ended(result=StepResult.DONE, why="done")


@contextmanager
def program_on(
    url: str,
    folder: Path,
    *,
    clock: Any = None,
    provider: Provider | None = None,
    environ: Mapping[str, str] | None = None,
    **options: Any,
) -> Iterator[Program]:
    """The program on a migrated database, without a key unless a provider is given."""
    env = {
        "DUNNING_DATA": str(folder),
        "DUNNING_DATABASE_URL": url,
        "STRIPE_WEBHOOK_SECRET": SECRET,
        **(environ or {}),
    }
    program = assemble(
        load_settings(env, folder),
        environ=env,
        clock=clock or ManualClock(),
        providers={"stripe": provider} if provider else None,
        **options,
    )
    try:
        yield program
    finally:
        program.close()


def with_actions(program: Program) -> Does:
    """Have every step done by a double."""
    does = Does()
    program.executor = Executor(
        program.engine,
        program.clock,
        program.cases,
        dict.fromkeys(StepKind, does),
        announces=False,
        lease=program.lease,
    )
    return does
