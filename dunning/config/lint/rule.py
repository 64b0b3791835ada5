"""What a rule of the linter is, what it looks at, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from dunning.config.policy_file import PolicyFile
from dunning.config.problems import Path
from dunning.config.timing import in_order
from dunning.core.events import StepKind
from dunning.core.policy import Policy, Retries, Rung

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


class Found(NamedTuple):
    """Where (counted from what the rule was given), what is the matter, what to do there."""

    path: Path
    sentence: str
    advice: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a policy: where it stands in it, and how long after the first failure it comes."""

    place: Path
    rung: Rung
    offset: timedelta


@dataclass(frozen=True, slots=True)
class Way:
    """The lines of one policy that one case may live through, soonest first."""

    file: PolicyFile
    policy: Policy
    lines: tuple[Line, ...]

    def of(self, *kinds: StepKind) -> list[Line]:
        return [line for line in self.lines if line.rung.do in kinds]

    def first(self, kind: StepKind) -> Line | None:
        return next(iter(self.of(kind)), None)

    @property
    def retries(self) -> list[Line]:
        return self.of(StepKind.RETRY)

    @property
    def charges(self) -> list[Line]:
        """The retries that are made: none where the provider owns them."""
        return [] if self.policy.retries is Retries.PROVIDER else self.retries

    @property
    def emails(self) -> list[Line]:
        return self.of(StepKind.EMAIL)

    @property
    def doors(self) -> list[Line]:
        return self.of(StepKind.SUSPEND, StepKind.GIVE_UP)


def ways(file: PolicyFile, policy: Policy) -> Iterator[Way]:
    """Every way through a policy; the one of its timeline comes first."""
    lines = (Line(("timeline", line.index), line.rung, line.offset) for line in in_order(policy))
    yield Way(file, policy, tuple(lines))


FileRule = Callable[[PolicyFile], Iterator[Found]]
WayRule = Callable[[Way], Iterator[Found]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One thing that does harm: its stable name, why it does, how to mend it, how to find it.

    It looks at the whole file, or at each way through each policy.
    """

    name: str
    why: str
    fix: str
    of_file: FileRule | None = None
    of_way: WayRule | None = None
