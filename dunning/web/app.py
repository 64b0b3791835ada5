"""The routes of each kind of process, and the one form every error takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from dunning import metrics
from dunning.keeper import Keeper
from dunning.web.health import healthz, numbers, readyz
from dunning.web.mail_events import mail_events, text_events
from dunning.web.page.routes import CustomerPages
from dunning.web.problems import problem
from dunning.web.standing import Watch
from dunning.web.webhooks import PREFIX, Receiver
from dunning.wiring import Program

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Edge:
    """What the handlers need: the program, and the writer that stores webhooks."""

    program: Program
    keeper: Keeper
    watch: Watch = field(repr=False)


def build_app(
    program: Program, on_kept: Callable[[Sequence[int]], None], broker: Callable[[], str]
) -> ASGIApp:
    """Make the application; `on_kept` hears the ids of webhooks once they are durable.

    `broker` says how the broker is, in words.
    """
    keeper = Keeper(program.engine, program.clock, on_kept)
    edge = Edge(program, keeper, Watch(program, broker))

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        keeper.start()
        yield
        await asyncio.to_thread(keeper.stop)

    told = [
        Route("/mail/{service}", mail_events(program).take, methods=["POST"]),
        Route("/texts/{service}", text_events(program).take, methods=["POST"]),
    ]
    pages = _pages([*CustomerPages(program).routes(), *told, *_watching()], lifespan)
    pages.state.program, pages.state.watch = program, edge.watch
    return _Front(Receiver(edge), pages)


def build_watch_app(program: Program, broker: Callable[[], str]) -> ASGIApp:
    """How a process without webhooks is doing: /healthz, /readyz and /metrics."""
    pages = _pages(_watching(), None)
    pages.state.program, pages.state.watch = program, Watch(program, broker)
    return pages


class _Front:
    """Webhooks take the short way; everything else is a page."""

    def __init__(self, receiver: Receiver, pages: Starlette) -> None:
        self._receiver = receiver
        self._pages = pages
        self.prompt = receiver.prompt()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path: str = scope["path"]
            if path.startswith(PREFIX) and path != PREFIX and "/" not in path[len(PREFIX) :]:
                return await self._receiver(scope, receive, send)
        return await self._pages(scope, receive, send)


def _watching() -> list[Route]:
    return [
        Route("/healthz", healthz, methods=["GET"]),
        Route("/readyz", readyz, methods=["GET"]),
        Route("/metrics", numbers, methods=["GET"]),
    ]


def _pages(routes: Sequence[Route], lifespan: Callable[..., object] | None) -> Starlette:
    metrics.started()
    app = Starlette(
        routes=routes,
        lifespan=lifespan,  # type: ignore[arg-type]
        exception_handlers={HTTPException: _http_error, Exception: _fault},
    )
    # Senders do not follow a redirection: another path is another address.
    app.router.redirect_slashes = False
    return app


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    codes = {404: "not_found", 405: "method_not_allowed"}
    code = codes.get(error.status_code, "refused")
    return problem(error.status_code, code, str(error.detail), headers=error.headers)


async def _fault(request: Request, error: Exception) -> Response:
    # Never a traceback, never an echo of the body; whoever asked will ask again.
    log.error("web.fault", path=request.scope["route"].path, exc_info=error)
    why = "something is wrong here; try again later"
    return problem(503, "unavailable", why, headers={"Retry-After": "30"})
