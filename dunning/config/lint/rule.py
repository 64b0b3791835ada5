"""What a rule of the linter is, what it looks at, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from dunning.config.lint.standing import all_are, clash, words_of
from dunning.config.policy_file import PolicyFile
from dunning.config.problems import Path
from dunning.config.timing import in_order
from dunning.core.choosing import When
from dunning.core.events import StepKind
from dunning.core.places import every_way
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
    """The lines of one policy that one case may live through, soonest first.

    `branch` is the meaning of a decline whose lines these are; None: the timeline. `chosen` are the
    conditions by which invoices come to the policy.
    """

    file: PolicyFile
    policy: Policy
    lines: tuple[Line, ...]
    branch: str | None
    chosen: tuple[When, ...]

    @property
    def place(self) -> Path:
        """Where its lines stand."""
        return ("branches", self.branch) if self.branch else ("timeline",)

    def of(self, *kinds: StepKind) -> list[Line]:
        return [line for line in self.lines if line.rung.do in kinds]

    def first(self, kind: StepKind) -> Line | None:
        return next(iter(self.of(kind)), None)

    @property
    def retries(self) -> list[Line]:
        return self.of(StepKind.RETRY)

    @property
    def charges(self) -> list[Line]:
        """The retries that are made: none where somebody else does, or it would be no use."""
        return self.retries if self.can_charge else []

    @property
    def can_charge(self) -> bool:
        """Whether any charge of ours may bring the money here."""
        if self.policy.retries is Retries.PROVIDER or self.by_hand:
            return False
        return self.branch not in ONLY_THE_CUSTOMER

    @property
    def by_hand(self) -> bool:
        """Whether these customers pay by themselves, so that there is nothing to charge."""
        return all_are(self.chosen, "by_hand", so=True, terms=self.file.terms)

    @property
    def emails(self) -> list[Line]:
        return self.of(StepKind.EMAIL)

    @property
    def doors(self) -> list[Line]:
        return self.of(StepKind.SUSPEND, StepKind.GIVE_UP)

    def words(self, key: str) -> frozenset[str] | None:
        """What every invoice of the policy has one of; None: it may have anything."""
        return words_of(self.chosen, key, self.file.terms)

    def apart(self, one: Line, other: Line) -> bool:
        """Whether the two are never both done."""
        return clash(self.file.terms, one.rung.when, other.rung.when) is not None


# What only the customer can mend: the same card, charged again, is declined again.
ONLY_THE_CUSTOMER = ("hard_decline", "authentication", "data_to_fix")


def ways(file: PolicyFile, policy: Policy) -> Iterator[Way]:
    """Every way through a policy; the one of its timeline comes first."""
    names = {policy.name}  # and those whose hold-outs come here
    names |= {n for n, p in file.policies.items() if p.holdout and p.holdout.policy == policy.name}
    chosen = tuple(choice.when for choice in file.choices if choice.policy in names)
    for way in every_way(policy):
        own = len(dict(policy.branches)[way.branch]) if way.branch else len(policy.timeline)
        kinds = [rung.do for rung in policy.timeline]
        lines = []
        for line in in_order(way.policy):
            place: Path = ("branches", way.branch or "", line.index)
            if way.branch is None:
                place = ("timeline", line.index)
            elif line.index >= own:
                place = ("timeline", kinds.index(line.rung.do))
            lines.append(Line(place, line.rung, line.offset))
        yield Way(file, policy, tuple(lines), way.branch, chosen)


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
    of_notices: bool = False  # whether it is for policies that only tell of what lies ahead, too
