"""Shows it: `python -m tests.crashes.demonstration`; weeks of customers while everything is killed.

Three workers, two dispatchers and two receivers on a PostgreSQL and a Redis of their own; at the
end the simulated Stripe's books, the mail server and the product are compared with what we have on
record.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import psycopg
from sqlalchemy.engine import make_url

from dunning import store
from tests.crashes.house import house_on
from tests.crashes.resuming import resumes, yesterday
from tests.crashes.storm import KINDS, Storm, charges, figures, moves_in
from tests.servers import Postgres, Redis, scratch_folder


def main() -> int:
    """Play it and print the figures; 0 when nothing was lost and nothing done twice."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--customers", type=int, default=3_000)
    words.add_argument("--days", type=float, default=360, help="at most so many virtual days")
    words.add_argument("--seconds", type=float, default=600, help="at most so long")
    words.add_argument("--kills", type=int, default=1_000, help="at most so often")
    words.add_argument("--charges", type=int, default=50, help="fail if fewer fall into the storm")
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
        moves_in(house, told.customers, told.days)
        house.start_all(KINDS)
        storm = Storm(house, postgres, broker, told.seed)
        storm.rages(told.days, seconds=told.seconds, kills=told.kills)
        made = charges(house)
        house.rests()
        for name, number in figures(house, storm).items():
            sys.stdout.write(f"{number:8,}  {name}\n")
        try:
            house.audit()
        except AssertionError as breach:
            sys.stdout.write(f"\n{breach}\n")
            return 1
        if made < told.charges:
            sys.stdout.write(f"\nonly {made} charges fell into the storm: it shows too little\n")
            return 1
        sys.stdout.write("\n0 lost, 0 doubled: the books agree\n")
        _says_how_soon(stack, postgres, broker)
    return 0


def _says_how_soon(stack: ExitStack, postgres: Postgres, broker: Redis) -> None:
    """How soon a charge is taken up again, by the machine's clock."""
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    address = make_url(postgres.url)
    with psycopg.connect(
        address.set(drivername="postgresql").render_as_string(), autocommit=True
    ) as line:
        line.execute("CREATE DATABASE resuming")
    url = address.set(database="resuming").render_as_string()
    store.migrate(url)
    with yesterday(url, Path(folder), broker.url) as house:
        took = resumes(house)
    sys.stdout.write(
        f"a charge whose worker was killed was taken up after {took.seconds:.1f} s;"
        f" the lease is {took.lease:.0f} s\n"
    )


if __name__ == "__main__":
    sys.exit(main())
