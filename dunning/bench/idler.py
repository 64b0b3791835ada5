"""A worker whose steps do nothing; run as a program.

Everything around the step is the product's: the message, the claim, and what the last step of a
case does to the schedule, for all cases of a message at once and only while their claim holds.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Engine, text

from dunning import log
from dunning.broker import build_broker
from dunning.config import load_settings
from dunning.schedule import Claim
from dunning.store import transaction
from dunning.wiring import assemble
from dunning.worker import Threads, Work

_DONE = text(
    """
    DELETE FROM schedule
    WHERE case_id = ANY(CAST(:ids AS text[])) AND lease_token = :token
    """
)


class Idler:
    """Ends the steps of claims as soon as it hears of them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def run_many(self, claims: Sequence[Claim]) -> None:
        """Nothing to do: all of them are done."""
        done = {"ids": [claim.case_id for claim in claims], "token": claims[0].token}
        with transaction(self._engine) as session:
            session.execute(_DONE, done)


def main() -> None:
    """Work until told to stop."""
    log.configure("warning")
    settings = load_settings(os.environ, Path.cwd())
    program = assemble(settings, environ=os.environ)
    assert settings.broker_url is not None
    broker = build_broker(settings.broker_url.reveal())
    Work(program, broker, Idler(program.engine))
    threads = Threads(broker, 4)
    threads.start()
    told = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: told.set())
    print("ready", flush=True)
    told.wait()
    threads.stop()
    program.close()


if __name__ == "__main__":
    main()
