"""A simulated company in a process of its own: the sandbox, its customers and their mailboxes.

`python -m dunning.sandbox.company` is told what to do by JSON lines on standard input and answers
each with one on standard output: {"do": "install", "webhook": …, "secret": …, "events": […]},
{"do": "advance", "seconds": …}, {"do": "books"}. It ends when its input does.
"""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
from contextlib import ExitStack
from typing import Any

from dunning.sandbox.mailbox import Mailbox
from dunning.sandbox.population import Population
from dunning.sandbox.sandbox import Sandbox

# Hours are fine enough for timelines of days, and coarse enough to be quick.
TICK_SECONDS = 3_600
# Stripe, too, does not wait for one answer before it sends the next webhook.
DELIVERIES_AT_ONCE = 8


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=200)
    parser.add_argument("--days", type=float, default=45)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--mix", type=json.loads, default=None)
    options = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    # Ctrl-C is for the program that started us; it closes our input when it is done.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with ExitStack() as stack:
        sandbox = Sandbox(
            seed=options.seed, tick=TICK_SECONDS, delivery_concurrency=DELIVERIES_AT_ONCE
        )
        mailbox = Mailbox()
        mailbox.attach(sandbox)
        population = Population(
            sandbox,
            customers=options.customers,
            seed=options.seed,
            days=options.days,
            mix=options.mix,
        )
        mailbox.feed(population.on_email)
        url = stack.enter_context(sandbox.serve())
        _say({"stripe": url, "smtp": stack.enter_context(mailbox.serve())})
        for line in sys.stdin:
            _say(_obey(sandbox, population, json.loads(line)))


def _obey(sandbox: Sandbox, population: Population, order: dict[str, Any]) -> Any:
    match order["do"]:
        case "install":
            population.install()
            sandbox.add_webhook(order["webhook"], order["secret"], events=order["events"])
            return {"customers": len(population.people)}
        case "advance":
            return {"now": sandbox.advance(seconds=order["seconds"])}
        case "books":
            return sandbox.books()
        case other:
            return {"error": f"no such order: {other}"}


def _say(answer: Any) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
