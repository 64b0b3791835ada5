"""Hold-outs: who is left alone, or walked by another policy, so that ours can be measured.

The group is drawn by a hash of source, customer, policy and salt: the same for every invoice of the
customer, under every version of the policy, in whatever order the news comes. A larger share keeps
everybody who was held out before. What was drawn when the case began is a fact of the case.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from dunning.core.words import StepKind

if TYPE_CHECKING:
    from dunning.core.facts import Case
    from dunning.core.policy import Policy

WHOLE = 10_000  # a share is so many ten-thousandths
MOST = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdout:
    """The part of a policy's customers that is held out, and what happens to them instead.

    Without `policy` nothing is done to bring the money in. `instead` is that policy as the file
    has it: no part of what this policy says, and not there when it is read from a case.
    """

    share: int
    policy: str | None = None
    salt: str = ""
    instead: Policy | None = field(default=None, compare=False, repr=False)

    def to_data(self) -> dict[str, Any]:
        """As it goes into the policy's hash."""
        return {"share": self.share, "policy": self.policy, "salt": self.salt}

    @staticmethod
    def from_data(data: Mapping[str, Any]) -> Holdout:
        """Read back what `to_data` wrote."""
        return Holdout(share=data["share"], policy=data["policy"], salt=data["salt"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """What was drawn for a case when it began. `instead`: who walks it; None: nobody does.

    `window`: so long after its first failure it counts, whichever group it is in.
    """

    policy: str
    held_out: bool
    instead: str | None
    share: int
    window: timedelta

    @property
    def left_alone(self) -> bool:
        """Whether no retry and no email of ours may be made."""
        return self.held_out and self.instead is None

    @property
    def terms(self) -> str:
        """What the treated are compared with: `10 %, left alone` or `10 %, policy gentle`."""
        instead = f"policy {self.instead}" if self.instead else "left alone"
        return f"{self.share / 100:g} %, {instead}"


def draw(policy: Policy, source: str, customer: str | None) -> Drawn | None:
    """The group of a customer; None where nobody is held out, or nobody knows who it is."""
    holdout = policy.holdout
    if holdout is None or customer is None:
        return None
    held_out = _lot(holdout.salt, policy.name, source, customer) < holdout.share
    # Both groups are looked at for the same time, so that neither has longer to pay.
    windows = [policy.window, *([holdout.instead.window] if holdout.instead else [])]
    return Drawn(
        policy=policy.name,
        held_out=held_out,
        instead=holdout.policy,
        share=holdout.share,
        window=max(windows),
    )


def is_late(before: Case, after: Case) -> bool:
    """Whether a case may still be drawn: its customer was not known, and nothing was done yet."""
    if before.customer is not None or after.customer is None or after.drawn is not None:
        return False
    return all(step.kind is StepKind.RECONCILE for step in after.done)


def walked_by(policy: Policy, drawn: Drawn | None) -> Policy:
    """The policy that walks the case: the other one for a group that has one."""
    holdout = policy.holdout
    if drawn is None or not drawn.held_out or holdout is None or holdout.instead is None:
        return policy
    return holdout.instead


def _lot(salt: str, policy: str, source: str, customer: str) -> int:
    text = f"holdout\x00{salt}\x00{policy}\x00{source}\x00{customer}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) % WHOLE
