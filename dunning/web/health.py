"""Alive, ready, and the numbers: /healthz, /readyz, /metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from dunning.web.standing import Watch, gauges, told

if TYPE_CHECKING:
    from dunning.wiring import Program


async def healthz(_request: Request) -> Response:
    """The process is alive."""
    return PlainTextResponse("ok\n")


async def readyz(request: Request) -> Response:
    """Whether all it depends on answers and nothing is late; 503 when it is not so."""
    watch: Watch = request.app.state.watch
    found = await watch.standing()
    words = told(found)
    words["acting"] = acting(request.app.state.program)
    return JSONResponse(words, status_code=200 if words["ready"] else 503)


def acting(program: Program) -> dict[str, str]:
    """For each source whether we act on it, in words."""
    return {
        name: "yes" if live.provider else "no: without an API key it decides and shows only"
        for name, live in program.sources.items()
    }


async def numbers(request: Request) -> Response:
    """Prometheus' text format; backlogs are counted when they are asked for."""
    watch: Watch = request.app.state.watch
    page = generate_latest(REGISTRY) + gauges(await watch.standing())
    return Response(page, media_type=CONTENT_TYPE_LATEST)
