"""Runs one command line: exit codes, and errors as one line that says what to do next."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Sequence

import typer

from dunning.errors import DunningError

FINE, WRONG, USAGE = 0, 1, 2
INTERRUPTED = 130
PIPE_CLOSED = 141  # as the shell reports a program that wrote to nobody

DEBUG = "--debug"
_KEY = re.compile(r"\b((?:sk|rk|whsec)_|pi_[A-Za-z0-9]+_secret_)[A-Za-z0-9_+/=-]+")
_LOGIN = re.compile(r"(?<=://)([^/\s:@]*):[^/\s@]*(?=@)")


def run(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code; nothing is raised."""
    given, debug = _without_debug(arguments)
    try:
        from dunning.cli.app import command

        code = command().main(given, prog_name="dunning", standalone_mode=False)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return pipe_closed()
    except typer.Abort:
        return INTERRUPTED
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else WRONG
    except DunningError as error:
        return _fail(str(error), debug=debug)
    except Exception as error:  # noqa: BLE001 - the last line of defence before a traceback
        if usage := _usage(error):
            _say(usage)
            return USAGE
        name = type(error).__name__
        hint = "" if debug else "; this is a bug: run it again with --debug to see where"
        return _fail(f"{name}: {_one_line(str(error))}{hint}", debug=debug)
    return code if isinstance(code, int) else FINE


def pipe_closed() -> int:
    """Whoever read our output (`head`) has enough: leave without a word."""
    # What is still buffered must not be written when Python ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return PIPE_CLOSED


def redacted(text: str) -> str:
    """The text without keys, webhook secrets and passwords of addresses."""
    return _LOGIN.sub(r"\1:****", _KEY.sub(r"\1****", text))


def _without_debug(arguments: Sequence[str]) -> tuple[list[str], bool]:
    """`--debug` is understood wherever it stands, as it is added when something went wrong."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    given = [*(each for each in arguments[:end] if each != DEBUG), *arguments[end:]]
    asked = os.environ.get("DUNNING_LOG_LEVEL", "").strip().lower() == "debug"
    return given, asked or DEBUG in arguments[:end]


def _usage(error: Exception) -> str | None:
    """What is wrong with the command line, if this is about the command line."""
    explain = getattr(error, "format_message", None)
    if explain is None:
        return None
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "dunning"
    told = _one_line(str(explain())).removeprefix("Invalid value: ").rstrip(".")
    return f"{path}: {told} (see `{path} --help`)"


def _fail(message: str, *, debug: bool) -> int:
    if debug:
        sys.stderr.write(redacted(traceback.format_exc()))
    _say(message)
    return WRONG


def _say(message: str) -> None:
    sys.stderr.write(redacted(message.rstrip()) + "\n")
    sys.stderr.flush()


def _one_line(text: str, limit: int = 400) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
