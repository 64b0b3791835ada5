"""Errors as `{"error": {"code", "message"}}`."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import JSONResponse


def problem(
    status: int, code: str, message: str, *, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """An error for programs (`code`) and people (`message`); nothing of the request is in it."""
    body = {"error": {"code": code, "message": message}}
    return JSONResponse(body, status_code=status, headers=headers)
