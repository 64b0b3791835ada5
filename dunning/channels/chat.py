"""Post to an incoming webhook of a chat room: Slack, Mattermost, and whoever takes the same JSON.

The address itself is the secret, so nothing here says more of it than its host.
"""

from __future__ import annotations

import http.client
import json
import re
import ssl
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from dunning import crashpoints
from dunning.errors import ConfigError

_ANSWER = 200
_RETRY_AFTER_LIMIT = 3600.0
# These say that the message itself is wrong; the others may pass, or be mended by somebody.
_FINAL = frozenset((400, 413, 422))


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """The room has it."""

    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NotPosted:
    """It has not, or it is not known; `final`: it never will have this message."""

    why: str
    final: bool = False
    retry_after: float | None = None


class ChatChannel:
    """Posts to one room; safe to use from many threads."""

    name = "chat"

    def __init__(self, url: str, *, timeout: float = 10) -> None:
        wrong = "the address of the chat room is not one; expected https:// and a host"
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise ConfigError(wrong) from None
        if not host or parts.scheme not in ("https", "http"):
            raise ConfigError(wrong)
        self.host = host
        self._secure = parts.scheme == "https"
        self._port = port or (443 if self._secure else 80)
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._timeout = timeout

    def post(self, content: Mapping[str, Any]) -> Posted | NotPosted:
        """Post one message; nothing is raised."""
        body = json.dumps(content, ensure_ascii=False).encode()
        headers = {"content-type": "application/json; charset=utf-8", "user-agent": "dunning"}
        try:
            with closing(self._line()) as line:
                line.request("POST", self._path, body, headers)
                answer = line.getresponse()
                crashpoints.reach("chat.answered")
                said = answer.read(_ANSWER)
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            return NotPosted(why=f"the call to {self.host} failed: {_fault(error)}")
        return self._outcome(answer, said)

    def _line(self) -> http.client.HTTPConnection:
        if not self._secure:
            return http.client.HTTPConnection(self.host, self._port, timeout=self._timeout)
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(
            self.host, self._port, timeout=self._timeout, context=context
        )

    def _outcome(self, answer: http.client.HTTPResponse, said: bytes) -> Posted | NotPosted:
        status = answer.status
        if 200 <= status < 300:
            return Posted(status=status)
        words = " ".join(said.decode("utf-8", "replace").split())
        why = f"{self.host} answered {status}" + (f": {words[:100]}" if words.isprintable() else "")
        wait = answer.getheader("retry-after") or ""
        seconds = float(wait) if re.fullmatch(r"[0-9]{1,6}", wait) else None
        return NotPosted(
            why=why.removesuffix(": "),
            final=status in _FINAL,
            retry_after=min(seconds, _RETRY_AFTER_LIMIT) if seconds is not None else None,
        )


def _fault(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return (" ".join(str(error).split()) or type(error).__name__)[:200]
