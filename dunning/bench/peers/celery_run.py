"""Celery: so many no-op tasks with an ETA, through one worker. Prints JSON.

The tasks are all due at one moment, by when the worker has taken them all in, as it does with an
ETA; the time is from the first that runs to the last.
"""

import itertools
import json
import os
import resource
import sys
import threading
import time

from celery import Celery

COUNT = int(sys.argv[1])
app = Celery("bench", broker=os.environ["BENCH_REDIS_URL"])
app.conf.update(
    worker_redirect_stdouts=False,
    task_ignore_result=True,
    worker_prefetch_multiplier=0,
    broker_pool_limit=4,
)
done, ended = itertools.count(1), threading.Event()
first: list[float] = []


@app.task
def nothing() -> None:
    """Do nothing."""
    number = next(done)
    if number == 1:
        first.append(time.perf_counter())
    if number == COUNT:
        ended.set()


def report() -> None:
    """Wait for the last task; say how long it took; end the process."""
    ended.wait(600)
    seconds = time.perf_counter() - first[0]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"done": COUNT, "seconds": seconds, "memory": memory}), flush=True)
    os._exit(0)


def main() -> None:
    """Fill the queue, then work it off. The worker wants the main thread."""
    due = time.perf_counter() + 10 + COUNT / 500
    with app.producer_pool.acquire() as producer:
        for _ in range(COUNT):
            nothing.apply_async(countdown=due - time.perf_counter(), producer=producer)
    threading.Thread(target=report, daemon=True).start()
    app.worker_main(["worker", "--pool=threads", "--concurrency=8", "--loglevel=ERROR"])


main()
