"""`branches` of a policy: the lines that hold instead while the last decline has a meaning."""

from __future__ import annotations

from collections.abc import Callable

from dunning.config.cursor import At, fields, listing
from dunning.config.problems import expected_one_of, quoted
from dunning.core.branches import BRANCHES
from dunning.core.policy import Rung

Branch = tuple[str, tuple[Rung, ...]]


def read_branches(at: At, reader: Callable[[At], Rung | None], most: int) -> tuple[Branch, ...]:
    """The branches in the order of the file, which decides when two fit."""
    found = fields(at)
    if found is None:
        return ()
    if not found.table.entries:
        at.fail("expected some of " + ", ".join(BRANCHES))
    read = []
    for name in found.table.entries:
        if name not in BRANCHES:
            known = expected_one_of(BRANCHES, name)
            found.fail_key(name, f"{quoted(name)} is not what a decline can mean; {known}")
        place = found.get(name)
        lines = [] if place is None else listing(place, "steps", most)
        read.append((name, tuple(rung for line in lines if (rung := reader(line)) is not None)))
    return tuple(read)
