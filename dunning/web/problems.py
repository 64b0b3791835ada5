"""Errors as `{"error": {"code", "message"}}`, made beforehand where they are sent often."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import Send


def problem(
    status: int, code: str, message: str, *, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """An error for programs (`code`) and people (`message`); nothing of the request is in it."""
    body = {"error": {"code": code, "message": message}}
    return JSONResponse(body, status_code=status, headers=headers)


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer as the server takes it; it may be sent any number of times."""

    status: int
    start: dict[str, Any]
    end: dict[str, Any]
    # The same as bytes: the first line, and everything that follows what the server says itself.
    line: bytes
    rest: bytes
    closes: bool  # it says that it is the last of its connection

    async def send(self, send: Send) -> None:
        """Answer with it."""
        await send(self.start)
        await send(self.end)

    def written(self, usual: Iterable[tuple[bytes, bytes]], *, close: bool) -> bytes:
        """All of it as HTTP/1.1, with the headers that every answer has."""
        told = [self.line, *(b"%b: %b\r\n" % header for header in usual)]
        if close and not self.closes:
            told.append(b"connection: close\r\n")
        return b"".join([*told, self.rest])


def answer(status: int, told: Mapping[str, Any], **headers: str) -> Answer:
    """Make an answer of JSON."""
    body = json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()
    lines = [
        (b"content-length", str(len(body)).encode()),
        (b"content-type", b"application/json"),
        *((name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()),
    ]
    return Answer(
        status,
        {"type": "http.response.start", "status": status, "headers": lines},
        {"type": "http.response.body", "body": body},
        line=f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode(),
        rest=b"".join([*(b"%b: %b\r\n" % line for line in lines), b"\r\n", body]),
        closes=(b"connection", b"close") in lines,
    )


def refusal(status: int, code: str, message: str, **headers: str) -> Answer:
    """Make an answer that says no, in the one form that has."""
    return answer(status, {"error": {"code": code, "message": message}}, **headers)
