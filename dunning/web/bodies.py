"""Reads the body of a request: never more than the limit, never for longer than is polite."""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.types import Receive, Scope

# Under this name a request's scope says that all of its body is here: nobody need wait for it.
WHOLE: Final = "dunning.whole"
# A sender that has not finished its body by then is cut off.
BODY_SECONDS = 10.0
# What all unfinished bodies together may take of the memory; a webhook has some kilobytes.
ROOM_BYTES: Final = 128 * 1024 * 1024


class TooLargeError(Exception):
    """More than this server accepts."""


class CrowdedError(Exception):
    """Too many large bodies are on their way at once."""


class GoneError(Exception):
    """The sender hung up before it was done."""


class Bodies:
    """The bodies that are on their way to one server."""

    def __init__(self, limit: int, room: int = ROOM_BYTES) -> None:
        self._limit = limit
        self._room = room
        self._held = 0

    async def read(self, scope: Scope, receive: Receive) -> bytes:
        """The raw bytes, whatever the headers say of them; TimeoutError when they are too slow."""
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value) > self._limit:
                raise TooLargeError
        if WHOLE in scope:
            return await self._all(receive)
        async with asyncio.timeout(BODY_SECONDS):
            return await self._all(receive)

    async def _all(self, receive: Receive) -> bytes:
        message = await receive()
        first: bytes = message.get("body", b"")
        if len(first) > self._limit:
            raise TooLargeError
        if message["type"] == "http.request" and not message.get("more_body", False):
            return first  # nearly all are here at once
        return await self._rest(message["type"], first, receive)

    async def _rest(self, kind: str, first: bytes, receive: Receive) -> bytes:
        chunks, size, more = [first], len(first), True
        self._held += size
        try:
            while more:
                if kind == "http.disconnect":
                    raise GoneError
                message = await receive()
                kind, more = message["type"], message.get("more_body", False)
                if kind == "http.disconnect":
                    raise GoneError
                chunk = message.get("body", b"")
                size += len(chunk)
                self._held += len(chunk)
                if size > self._limit:
                    raise TooLargeError
                if self._held > self._room:
                    raise CrowdedError
                chunks.append(chunk)
        finally:
            self._held -= size
        return b"".join(chunks)
