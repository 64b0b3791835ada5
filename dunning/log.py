"""Structured logs: one line per transition, `noun.verb` with ids bound; secrets are taken out."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import MutableMapping
from contextlib import AbstractContextManager
from typing import Any

import structlog

from dunning.redaction import clean

# The order in which the ids of a line stand in front of everything else.
_FIRST = ("timestamp", "level", "event", "source", "event_id", "inbox", "case", "step")
# Not said by anybody: there is no secret to look for.
_OURS = frozenset(("timestamp", "level"))
# One encoder for all: making one for each line costs as much as the line.
_JSON = json.JSONEncoder(default=repr)


def about(**ids: str | int | None) -> AbstractContextManager[None]:
    """Every line said inside, by whatever module, carries these ids; those that are None do not.

    The names are `source`, `event_id`, `inbox`, `case` and `step`: one search for any of them
    finds what became of it, from the webhook to the entry in the ledger.
    """
    known = {name: value for name, value in ids.items() if value is not None}
    return structlog.contextvars.bound_contextvars(**known)


def _redact(_logger: object, _name: str, line: MutableMapping[str, Any]) -> Any:
    return {key: value if key in _OURS else clean(value) for key, value in line.items()}


def _ids_first(_logger: object, _name: str, line: MutableMapping[str, Any]) -> Any:
    first = {name: line[name] for name in _FIRST if name in line}
    return {**first, **line}


def _as_json(_logger: object, _name: str, line: MutableMapping[str, Any]) -> str:
    return _JSON.encode(line)


class _Libraries(logging.Handler):
    """What libraries log, as lines like ours: one form to read, and nothing secret in it."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            said = record.getMessage()
        except (TypeError, ValueError):  # their own words and their own arguments do not fit
            said = str(record.msg)
        line = structlog.get_logger(record.name).bind(library=record.name.partition(".")[0])
        line.log(record.levelno, "library.said", said=said, exc_info=record.exc_info)


def configure(level: str = "info", style: str = "auto") -> None:
    """Set up logging for a process, to stderr: the output of a command is its answer.

    `style` is console for people, json for programs, or auto: console where a person looks on.
    """
    for_people = style == "console" or (style == "auto" and sys.stderr.isatty())
    renderer: Any = _as_json
    if for_people:
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), sort_keys=False)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _redact,
            _ids_first,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    for handler in [known for known in root.handlers if isinstance(known, _Libraries)]:
        root.removeHandler(handler)
    root.addHandler(_Libraries())
