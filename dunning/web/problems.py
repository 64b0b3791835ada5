"""Errors as `{"error": {"code", "message"}}`."""

from __future__ import annotations

from starlette.responses import JSONResponse


def problem(
    status: int, code: str, message: str, *, retry_after: int | None = None
) -> JSONResponse:
    """An error for programs (`code`) and people (`message`); nothing of the request is in it."""
    headers = {"Retry-After": str(retry_after)} if retry_after is not None else None
    body = {"error": {"code": code, "message": message}}
    return JSONResponse(body, status_code=status, headers=headers)
