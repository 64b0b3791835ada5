"""The product's receiver by itself on the embedded database; run as a program.

Its webhooks are kept and not worked on: what is measured is the receiving. `BENCH_BATCH=1` makes
every request a commit of its own, to compare with.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from dunning import keeper, log
from dunning.broker import build_broker
from dunning.config import load_settings
from dunning.processes import web_server
from dunning.wiring import assemble
from dunning.worker import Work


class _Idle(Work):
    """Nobody is told of what was kept."""

    def hint(self, ids: Sequence[int]) -> None:
        """Let it lie."""


def main() -> None:
    """Serve until told to stop."""
    if batch := int(os.environ.pop("BENCH_BATCH", "0")):
        setattr(keeper, "BATCH", batch)  # noqa: B010 - a constant of the product
    log.configure("info", "json")  # as `dunning web` does
    program = assemble(load_settings(os.environ, Path.cwd()), environ=os.environ)
    work = _Idle(program, build_broker(None))
    web_server(program, work, "127.0.0.1", int(sys.argv[1])).run()


if __name__ == "__main__":
    main()
