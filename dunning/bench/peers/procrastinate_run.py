"""procrastinate: so many no-op tasks that are due, through one worker. Prints JSON."""

import asyncio
import json
import os
import sys
import time

from procrastinate import App, PsycopgConnector

COUNT = int(sys.argv[1])
app = App(
    connector=PsycopgConnector(
        host="127.0.0.1",
        port=int(os.environ["BENCH_PG_PORT"]),
        user="dunning",
        dbname="procrastinate",
        min_size=4,
        max_size=24,
    )
)


@app.task(queue="bench")
async def nothing(number: int) -> None:
    """Do nothing."""


async def main() -> None:
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        for start in range(0, COUNT, 1000):
            await nothing.batch_defer_async(*({"number": start + n} for n in range(1000)))
        began = time.perf_counter()
        await app.run_worker_async(
            concurrency=20, wait=False, delete_jobs="always", install_signal_handlers=False
        )
        print(json.dumps({"done": COUNT, "seconds": time.perf_counter() - began}))


asyncio.run(main())
