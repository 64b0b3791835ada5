"""Makes a failing world small: leaves happenings out as long as it goes on failing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dunning.simulation.run import Outcome, play
from dunning.simulation.script import write

# Each try plays a world; by then it is small enough to be read.
MOST_TRIES = 120


def shrink(seed: int, fails: Callable[[Outcome], bool] | None = None) -> tuple[list[int], Outcome]:
    """The happenings that are enough for a failure of the same invariant, and what came of them."""
    kept = [one.index for one in write(seed).happenings]
    outcome = play(seed)
    wanted = {breach.partition(" ")[0] for breach in outcome.breaches}
    check = fails or (lambda one: bool(wanted & {b.partition(" ")[0] for b in one.breaches}))
    tries = 0
    size = max(1, len(kept) // 2)
    while size:
        place = 0
        while place < len(kept) and tries < MOST_TRIES:
            fewer = kept[:place] + kept[place + size :]
            tries += 1
            tried = play(seed, fewer)
            if check(tried):
                kept, outcome = fewer, tried
            else:
                place += size
        size //= 2
    return kept, outcome


def words(seed: int, kept: Sequence[int], outcome: Outcome) -> list[str]:
    """The small world in plain words: what happened to it, what it did, what is wrong."""
    lines = [f"seed {seed}, with {len(kept)} of its happenings:"]
    lines += [
        f"  {one.at / 3_600:7.2f} h  {one}" for one in write(seed).happenings if one.index in kept
    ]
    lines.append("the trace:")
    # What only shows that time passed is left out.
    lines += [f"  {line}" for line in outcome.trace if not line.endswith(" feeder")]
    lines += [f"BREACH {breach}" for breach in outcome.breaches]
    return lines


def command(seed: int, kept: Sequence[int] | None = None) -> str:
    """What to type to see it again."""
    few = "" if kept is None else " --only " + ",".join(map(str, kept))
    return f"dunning simulate --seed {seed}{few}"
