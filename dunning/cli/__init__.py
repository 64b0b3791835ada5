"""The `dunning` command. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """Run the command line and leave with its exit code: 0 fine, 1 wrong, 2 usage."""
    # What a start brings in stays. To search it for garbage again and again, as it grows, would
    # take a quarter of the start.
    gc.set_threshold(50_000, 20, 20)
    from dunning.cli.entry import run

    sys.exit(run(sys.argv[1:]))
