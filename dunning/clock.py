"""The only module that asks what time it is."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import urlsplit


class Clock(Protocol):
    """Tells the time; everything else is handed `now` as an argument."""

    def now(self) -> datetime:
        """Return the present moment, aware, in UTC."""

    def fresh(self) -> datetime:
        """Return the present moment even where `now` may lag behind (a sandbox's clock)."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Return the machine's time, aware, in UTC."""
        return datetime.now(UTC)

    def fresh(self) -> datetime:
        """Return the machine's time, which never lags."""
        return self.now()


def utc(moment: datetime) -> datetime:
    """Return the same instant in UTC; a naive time is refused, as its zone would be a guess."""
    if moment.tzinfo is None:
        message = f"naive time {moment.isoformat()}: say which time zone it is in"
        raise ValueError(message)
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)


def from_unix(seconds: int) -> datetime:
    """Turn the seconds since 1970 of a provider's JSON into an aware UTC time."""
    return datetime.fromtimestamp(seconds, UTC)


def rfc3339(moment: datetime | None) -> str | None:
    """Write a time for programs: `2026-03-01T09:00:00Z`."""
    return None if moment is None else utc(moment).isoformat().replace("+00:00", "Z")


class FollowedClock:
    """The virtual clock of a sandbox, which waits for us before it moves on.

    `now` is what we were last told and stays so while we work; `fresh` asks. `report` says whether
    anything is left to do and when something will be, and returns when time has moved.
    """

    def __init__(self, url: str, name: str) -> None:
        parts = urlsplit(url)
        self._address = parts.netloc
        self._path = parts.path.rstrip("/") + "/_sandbox/clock"
        self._lines = threading.local()
        self._all: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()
        self._name = name
        self._now: datetime | None = None
        self.version = 0

    def now(self) -> datetime:
        """Return the virtual time last told."""
        return self._now or self.fresh()

    def fresh(self) -> datetime:
        """Ask what time it is."""
        return self._take(self._call("", None))

    def report(self, *, version: int, idle: bool, next_at: datetime | None, wait: float) -> None:
        """Say how far we are, as of that version; wait up to `wait` real seconds for news."""
        word = {
            "name": self._name,
            "version": version,
            "idle": idle,
            # Rounded up: time must have arrived when we look again.
            "next_at": None if next_at is None else -int(-next_at.timestamp() // 1),
            "wait": wait,
        }
        told = self._call("/followers", word)
        self._take(told)
        self.version = int(told["version"])

    def leave(self) -> None:
        """Stop following; time no longer waits for us."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            self._call(f"/followers/{self._name}", None, method="DELETE")
        self.close()

    def _take(self, told: dict[str, Any]) -> datetime:
        self._now = from_unix(int(told["now"]))
        return self._now

    def _call(
        self, path: str, word: dict[str, object] | None, *, method: str | None = None
    ) -> dict[str, Any]:
        body = None if word is None else json.dumps(word)
        verb = method or ("GET" if body is None else "POST")
        headers = {"Content-Type": "application/json"}
        # A kept connection may have been closed by the other side: asked once more on a new one.
        for last in (False, True):
            line = self._line()
            try:
                line.request(verb, self._path + path, body, headers)
                answer = line.getresponse()
                told = json.loads(answer.read())
            except (OSError, http.client.HTTPException):
                line.close()
                if last:
                    raise
                continue
            if answer.status != http.HTTPStatus.OK:
                message = f"the sandbox's clock answered {answer.status}"
                raise ConnectionError(message)
            return dict(told)
        raise AssertionError

    def _line(self) -> http.client.HTTPConnection:
        """This thread's own connection."""
        line: http.client.HTTPConnection | None = getattr(self._lines, "own", None)
        if line is None:
            line = self._lines.own = http.client.HTTPConnection(self._address, timeout=30)
            with self._lock:
                self._all.append(line)
        return line

    def close(self) -> None:
        """Let go of the connections."""
        with self._lock:
            for line in self._all:
                line.close()
