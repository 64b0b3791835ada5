"""huey on SQLite: so many no-op tasks that are due, through one consumer. Prints JSON."""

import itertools
import json
import logging
import os
import sys
import threading
import time

from huey import SqliteHuey

COUNT = int(sys.argv[1])
logging.disable(logging.CRITICAL)
# Durable at each commit, as ours is.
huey = SqliteHuey(filename=os.environ["BENCH_FILE"], results=False, fsync=True)
done, ended = itertools.count(1), threading.Event()


@huey.task()
def nothing() -> None:
    """Do nothing."""
    if next(done) == COUNT:
        ended.set()


def main() -> None:
    """Fill the schedule, then work it off. Without a moment of its own each is due at once."""
    for _ in range(COUNT):
        huey.add_schedule(nothing.s())
    consumer = huey.create_consumer(workers=4, periodic=False, initial_delay=0.01, max_delay=0.05)
    began = time.perf_counter()
    consumer.start()
    ended.wait(600)
    print(json.dumps({"done": COUNT, "seconds": time.perf_counter() - began}), flush=True)
    os._exit(0)


main()
