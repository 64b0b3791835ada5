"""Calls a provider as fast as the shared pace lets it, on many threads; run as a program.

It says so once all of them have begun, and goes on until the time is over or it is ended.
"""

from __future__ import annotations

import json
import sys
import threading
import time

from dunning import log
from dunning.errors import ProviderBusyError
from dunning.pace import Pacer
from dunning.providers.stripe.rates import limits
from dunning.providers.stripe.sdk import connect
from dunning.store import engine_for

ENDPOINTS = 8
RAMP_SECONDS = 1.5


def main() -> None:
    """As long, at that address, by the pace in that database, on so many threads."""
    log.configure("warning")
    order = json.loads(sys.argv[1])
    engine = engine_for(order["database"], pool_size=order["threads"])
    pace = Pacer(engine, "stripe", limits(live=True, rate=None))
    client, session = connect("sk_live_bench", api_base=order["url"], timeout=(5, 20), pace=pace)
    ends = time.monotonic() + order["seconds"]

    def call(number: int) -> None:
        words = "coupons customers disputes events invoices plans prices refunds".split()
        while time.monotonic() < ends:
            number += 1
            try:
                client.raw_request("get", f"/v1/{words[number % ENDPOINTS]}")
            except ProviderBusyError:
                continue
            except Exception:  # noqa: BLE001, S112 - a 429 is counted by who answers it
                continue

    def tell() -> None:
        # Connections are open by then, and everybody asks.
        threading.Event().wait(RAMP_SECONDS)
        print("calling", flush=True)

    threads = [threading.Thread(target=tell)]
    threads += [threading.Thread(target=call, args=(n,)) for n in range(order["threads"])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    session.close()
    engine.dispose()


if __name__ == "__main__":
    main()
