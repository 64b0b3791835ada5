"""What was worked out for a policy, kept by the object: a process has few, and plans all day."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from dunning.core.policy import Policy

_T = TypeVar("_T")
MANY = 512


def per_policy(work: Callable[[Policy], _T]) -> Callable[[Policy], _T]:
    """Do the work once for each policy: by the object, as to hash a whole one takes long."""
    known: dict[int, tuple[Policy, _T]] = {}

    @wraps(work)
    def remembered(policy: Policy) -> _T:
        found = known.get(id(policy))
        if found is None or found[0] is not policy:
            if len(known) >= MANY:
                known.clear()
            found = known[id(policy)] = (policy, work(policy))
        return found[1]

    return remembered
