"""The ASGI application: Stripe's API, the customer's pages, the control API."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from dunning.sandbox.control import control_routes
from dunning.sandbox.gateway import Answer, Asked, Begun, Gateway
from dunning.sandbox.pages import page_routes

if TYPE_CHECKING:
    from dunning.sandbox.sandbox import Sandbox

_METHODS = ["GET", "POST", "DELETE"]
# Open connections by the client's address, so that one can be cut without an answer.
_OPEN: dict[tuple[str, int], asyncio.Transport] = {}


class CuttableProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """uvicorn's own protocol; it only remembers its transport."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Remember who is connected."""
        self._peer = transport.get_extra_info("peername")
        if self._peer:
            _OPEN[tuple(self._peer[:2])] = transport
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget them."""
        if self._peer:
            _OPEN.pop(tuple(self._peer[:2]), None)
        super().connection_lost(exc)


class Cut(Response):
    """No answer at all: the connection is closed under the client's hands."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Abort instead of answering."""
        transport = _OPEN.get(tuple(scope.get("client") or ()))
        if transport is not None:
            transport.abort()
            await asyncio.sleep(0.01)  # until the server has noticed; it then sends nothing
            return
        await super().__call__(scope, receive, send)


def _respond(answer: Answer) -> Response:
    if answer.drop:
        return Cut(status_code=500)
    return Response(answer.body, answer.status, answer.headers)


def build_app(sandbox: Sandbox) -> Starlette:
    """Everything one sandbox serves."""
    gateway = Gateway(sandbox.world)

    async def api(request: Request) -> Response:
        asked = Asked(
            request.method,
            request.url.path,
            request.url.query,
            {name.lower(): value for name, value in request.headers.items()},
            await request.body(),
        )
        begun = gateway.begin(asked)
        if not isinstance(begun, Begun):
            return _respond(begun)
        if begun.hang:
            await asyncio.sleep(begun.hang)
        answer = gateway.execute(begun)
        if answer.hang:
            await asyncio.sleep(answer.hang)
        gateway.finish(answer)
        return _respond(answer)

    return Starlette(
        routes=[
            Route("/v1/{rest:path}", api, methods=_METHODS),
            Route("/v2/{rest:path}", api, methods=_METHODS),
            *control_routes(sandbox),
            *page_routes(sandbox),
        ]
    )
