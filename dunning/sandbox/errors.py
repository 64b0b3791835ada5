"""Errors as Stripe answers them: one exception that knows its status and its JSON body."""

from __future__ import annotations

from typing import Any

Obj = dict[str, Any]


class ApiError(Exception):
    """A refusal with a status and a body in Stripe's form.

    `stored` says whether an idempotency key remembers it: Stripe keeps the answer once execution
    began, but forgets refusals of the parameters themselves and clashes with other requests.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        stored: bool = True,
        headers: dict[str, str] | None = None,
        fields: Obj | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.code = code
        self.param = param
        self.stored = stored
        self.headers = headers or {}
        self.fields = fields or {}

    def body(self, request_id: str, at: int) -> Obj:
        """The JSON body; objects among its fields are canonical still, for the caller to render."""
        error: Obj = {}
        if self.code:
            error["code"] = self.code
            slug = self.code.replace("_", "-")
            error["doc_url"] = f"https://stripe.com/docs/error-codes/{slug}"
        error.update({name: value for name, value in self.fields.items() if value is not None})
        error["message"] = self.message
        if self.param:
            error["param"] = self.param
        error["request_log_url"] = f"https://dashboard.stripe.com/test/logs/{request_id}?t={at}"
        error["type"] = self.kind
        return {"error": error}


class DropConnection(Exception):
    """Close the connection without a word, before anything was done."""


def missing(noun: str, key: str, param: str = "id") -> ApiError:
    """The named object does not exist."""
    return ApiError(404, f"No such {noun}: '{key}'", code="resource_missing", param=param)


def missing_param(name: str) -> ApiError:
    """A parameter that must be there is not."""
    return ApiError(
        400,
        f"Missing required param: {name}.",
        code="parameter_missing",
        param=name,
        stored=False,
    )


def unknown_param(name: str) -> ApiError:
    """A parameter nobody asked for."""
    return ApiError(
        400,
        f"Received unknown parameter: {name}",
        code="parameter_unknown",
        param=name,
        stored=False,
    )


def invalid(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """The parameters can be read but cannot be meant; nothing was begun."""
    return ApiError(400, message, code=code, param=param, stored=False)


def refused(message: str, code: str | None = None, param: str | None = None) -> ApiError:
    """The state of the objects forbids it."""
    return ApiError(400, message, code=code, param=param)
