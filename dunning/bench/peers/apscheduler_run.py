"""APScheduler with its jobs in SQLite: so many no-op jobs that are due. Prints JSON."""

import itertools
import json
import logging
import os
import sys
import threading
import time

from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler

COUNT = int(sys.argv[1])
logging.disable(logging.CRITICAL)
done, ended = itertools.count(1), threading.Event()


def nothing() -> None:
    """Do nothing."""
    if next(done) == COUNT:
        ended.set()


def main() -> None:
    """Fill the store, then let it run."""
    store = SQLAlchemyJobStore(url=f"sqlite:///{os.environ['BENCH_FILE']}")
    scheduler = BackgroundScheduler(jobstores={"default": store}, timezone="UTC")
    scheduler.start(paused=True)
    for _ in range(COUNT):
        scheduler.add_job(nothing, "date", run_date="2020-01-01 00:00:00", misfire_grace_time=None)
    began = time.perf_counter()
    scheduler.resume()
    ended.wait(600)
    print(json.dumps({"done": COUNT, "seconds": time.perf_counter() - began}), flush=True)
    os._exit(0)


main()
