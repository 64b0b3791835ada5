"""Worker and dispatcher by the machine's clock, beside a simulated Stripe: a program of tests.

With `DUNNING_SANDBOX_URL` a program keeps step with the sandbox's clock. How long something takes
can only be measured by a clock that nobody stops, so here only the provider is the sandbox's.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import structlog

from dunning import log
from dunning.broker import build_broker
from dunning.clock import SystemClock
from dunning.config import load_settings
from dunning.processes import crew_for
from dunning.providers.stripe.acting import StripeProvider
from dunning.wiring import assemble
from dunning.worker import Feeder, Threads, Work

SANDBOX = "STRIPE_IS_AT"


def main(kind: str) -> None:
    """Work until killed."""
    log.configure("info", "json")
    settings = load_settings(os.environ, Path.cwd())
    key = os.environ["STRIPE_API_KEY"]
    provider = StripeProvider(key, api_base=os.environ[SANDBOX], clock=SystemClock())
    program = assemble(settings, environ=os.environ, providers={"stripe": provider}, role=kind)
    assert settings.broker_url is not None
    broker = build_broker(settings.broker_url.reveal())
    crew = crew_for(program, 4)
    work = Work(program, broker, crew)
    if kind == "worker":
        crew.start()
        Threads(broker, 2).start()
    else:
        threading.Thread(target=Feeder(program, work, window=16).run, daemon=True).start()
    structlog.get_logger().info(f"{kind}.started")
    threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1])
