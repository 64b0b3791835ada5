"""The `dunning` command. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and leave with its exit code: 0 fine, 1 wrong, 2 usage."""
    from dunning.cli.entry import run

    sys.exit(run(sys.argv[1:]))
