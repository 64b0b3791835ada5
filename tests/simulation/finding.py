"""Find the seeds at which planted bugs show: `python -m tests.simulation.finding [BUG …]`.

What it prints goes into `catches.py`, so that a run of the tests plays those seeds only.
"""

from __future__ import annotations

import sys
from itertools import islice
from time import monotonic

from dunning.simulation.run import play
from tests.simulation.catches import SCRIPTED
from tests.simulation.planted import BUGS, planted

# A bug that so many likely worlds do not show is not found.
MOST_SEEDS = 300
# Of one bug, so that one more change of the worlds does not lose it.
WANTED = 1


def find(name: str, most: int = MOST_SEEDS, wanted: int = WANTED) -> tuple[list[int], int]:
    """The first seeds that fail with the bug and hold without it; how many were played."""
    found: list[int] = []
    played = 0
    for seed in islice(BUGS[name].seeds(), most):
        played += 1
        with planted(name):
            breaches = play(seed).breaches
        if breaches and not play(seed).breaches:
            found.append(seed)
            if len(found) == wanted:
                break
    return found, played


def main(names: list[str]) -> None:
    """Print a line for each bug."""
    for name in names or [name for name in BUGS if name not in SCRIPTED]:
        began = monotonic()
        found, played = find(name)
        seeds = "".join(f"{seed}, " for seed in found).strip()
        spent = f"of {played} worlds, {monotonic() - began:.0f} s"
        sys.stdout.write(f'    "{name}": ({seeds}),  # {spent}\n')
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
