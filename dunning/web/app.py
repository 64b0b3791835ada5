"""The routes, and the one form every error takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dunning.keeper import Keeper
from dunning.web.health import healthz, metrics, readyz
from dunning.web.links import follow
from dunning.web.problems import problem
from dunning.web.webhooks import receive
from dunning.wiring import Program

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Edge:
    """What the handlers need: the program, and the writer that stores webhooks."""

    program: Program
    keeper: Keeper
    broker: Callable[[], str]


def build_app(
    program: Program, on_kept: Callable[[Sequence[int]], None], broker: Callable[[], str]
) -> Starlette:
    """Make the application; `on_kept` hears the ids of webhooks once they are durable.

    `broker` says how the broker is, in words.
    """
    edge = Edge(program, Keeper(program.engine, program.clock, on_kept), broker)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        edge.keeper.start()
        yield
        await asyncio.to_thread(edge.keeper.stop)

    app = Starlette(
        routes=[
            Route("/webhooks/{source}", receive, methods=["POST"]),
            Route("/r/{token}", follow, methods=["GET"]),
            Route("/healthz", healthz, methods=["GET"]),
            Route("/readyz", readyz, methods=["GET"]),
            Route("/metrics", metrics, methods=["GET"]),
        ],
        lifespan=lifespan,
        exception_handlers={HTTPException: _http_error, Exception: _fault},
    )
    # Senders do not follow a redirection: another path is another address.
    app.router.redirect_slashes = False
    app.state.edge = edge
    return app


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    codes = {404: "not_found", 405: "method_not_allowed"}
    code = codes.get(error.status_code, "refused")
    return problem(error.status_code, code, str(error.detail), headers=error.headers)


async def _fault(request: Request, error: Exception) -> Response:
    # Never a traceback, never an echo of the body; the provider will send again.
    log.error("web.fault", path=request.url.path, exc_info=error)
    why = "something is wrong here; try again later"
    return problem(503, "unavailable", why, headers={"Retry-After": "30"})
