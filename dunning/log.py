"""Structured logs: one line per transition, `noun.verb` with ids bound; secrets are taken out."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

# Whatever looks like a key, a signature or a password never reaches a line of the log.
_SECRET = re.compile(
    r"\b(?:sk|rk|whsec|pi_[A-Za-z0-9]+_secret)_[A-Za-z0-9_+/=-]+|(?<=://)[^/\s:@]*:[^/\s@]*(?=@)"
)


def _redact(_logger: object, _name: str, line: MutableMapping[str, Any]) -> Any:
    return {key: _clean(value) for key, value in line.items()}


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return _SECRET.sub("****", value)
    if isinstance(value, dict):
        return {key: _clean(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(inner) for inner in value]
    return value


class _Libraries(logging.Handler):
    """What libraries log, as lines like ours: one form to read, and nothing secret in it."""

    def emit(self, record: logging.LogRecord) -> None:
        line = structlog.get_logger(record.name).bind(library=record.name.partition(".")[0])
        line.log(record.levelno, "library.said", said=record.getMessage(), exc_info=record.exc_info)


def configure(level: str = "info", style: str = "console") -> None:
    """Set up logging for a process; `style` is console for people or json for programs."""
    renderer: Any = structlog.processors.JSONRenderer()
    if style == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _redact,
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
