"""Errors as `{"error": {"code", "message"}}`, made beforehand where they are sent often."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
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

    async def send(self, send: Send) -> None:
        """Answer with it."""
        await send(self.start)
        await send(self.end)


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
    )


def refusal(status: int, code: str, message: str, **headers: str) -> Answer:
    """Make an answer that says no, in the one form that has."""
    return answer(status, {"error": {"code": code, "message": message}}, **headers)
