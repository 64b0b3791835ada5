"""pgqueuer: so many no-op entries that are due, through one worker. Prints JSON."""

import asyncio
import json
import os
import sys
import time
from datetime import timedelta

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries
from pgqueuer.types import QueueExecutionMode

COUNT = int(sys.argv[1])


async def main() -> None:
    line = await asyncpg.connect(
        host="127.0.0.1", port=int(os.environ["BENCH_PG_PORT"]), user="dunning", database="pgqueuer"
    )
    driver = AsyncpgDriver(line)
    await Queries(driver).install()
    for _ in range(0, COUNT, 1000):
        await Queries(driver).enqueue(["nothing"] * 1000, [None] * 1000, [0] * 1000)
    queue = PgQueuer(driver)

    @queue.entrypoint("nothing")
    async def nothing(job: Job) -> None:
        """Do nothing."""

    began = time.perf_counter()
    await queue.run(
        dequeue_timeout=timedelta(seconds=1), batch_size=100, mode=QueueExecutionMode.drain
    )
    print(json.dumps({"done": COUNT, "seconds": time.perf_counter() - began}))


asyncio.run(main())
