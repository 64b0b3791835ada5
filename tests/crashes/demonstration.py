"""Shows it: `python -m tests.crashes.demonstration`; weeks of customers while everything is killed.

Three workers, a dispatcher and a receiver on a PostgreSQL and a Redis of their own; at the end the
simulated Stripe's books, the mail server and the product are compared with what we have on record.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from dunning import store
from tests.crashes.house import house_on
from tests.crashes.storm import KINDS, Storm, figures, moves_in
from tests.servers import Postgres, Redis, scratch_folder


def main() -> int:
    """Play it and print the figures; 0 when nothing was lost and nothing done twice."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--customers", type=int, default=200)
    words.add_argument("--days", type=float, default=45)
    words.add_argument("--seconds", type=float, default=90)
    words.add_argument("--seed", type=int, default=7)
    told = words.parse_args()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=scratch_folder()))
        Path(folder).chmod(0o711)
        postgres = stack.enter_context(Postgres(Path(folder) / "postgres"))
        broker = stack.enter_context(Redis(Path(folder) / "redis"))
        store.migrate(postgres.url)
        house = stack.enter_context(
            house_on(
                postgres.url,
                Path(folder),
                broker_url=broker.url,
                environ={"DUNNING_BREAKER": "off"},
            )
        )
        house.world.leaves |= {"doubtful"}
        moves_in(house, told.customers, told.days)
        for name in KINDS:
            house.start(name)
        storm = Storm(house, postgres, broker, told.seed, stop_at=(0.3, 0.6))
        storm.rages(told.days, seconds=told.seconds)
        house.rests()
        for name, number in figures(house, storm).items():
            sys.stdout.write(f"{number:8,}  {name}\n")
        try:
            house.audit()
        except AssertionError as breach:
            sys.stdout.write(f"\n{breach}\n")
            return 1
        sys.stdout.write("\n0 lost, 0 doubled: the books agree\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
