"""POST /webhooks/{source}: verify the raw bytes, keep them once, answer when they are durable."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING

import structlog
from prometheus_client import Counter
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from dunning.errors import BadRequestError, SignatureError
from dunning.inbox import Received
from dunning.keeper import BusyError
from dunning.web.problems import problem

if TYPE_CHECKING:
    from dunning.web.app import Edge
    from dunning.wiring import LiveSource

log = structlog.get_logger(__name__)

# A sender that has not finished its body by then is cut off.
BODY_SECONDS = 10.0
# A database that has not taken a webhook by then is away: the sender is told before it gives up.
KEEP_SECONDS = 8.0
RETRY_AFTER_SECONDS = 5
# What is left of a body that nobody wants is not waited for.
CLOSE = {"Connection": "close"}
RECEIVED = Counter("dunning_webhooks_total", "Webhooks by source and answer", ["source", "answer"])


class _TooLargeError(Exception):
    pass


async def receive(request: Request) -> Response:
    """Take in one webhook: 2xx only when it is durable, and nothing else is done here."""
    edge: Edge = request.app.state.edge
    name = request.path_params["source"]
    source = edge.program.sources.get(name)
    if source is None:
        return problem(404, "unknown_source", "no such source is configured")
    answer = await _take(request, edge, source)
    RECEIVED.labels(name, str(answer.status_code)).inc()
    return answer


async def _take(request: Request, edge: Edge, source: LiveSource) -> Response:
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await _body(request, edge.program.settings.max_body_bytes)
    except _TooLargeError:
        why = "the body is larger than this server accepts"
        return problem(413, "too_large", why, headers=CLOSE)
    except (TimeoutError, ClientDisconnect):
        return problem(408, "too_slow", "the body did not arrive in time", headers=CLOSE)
    now = await asyncio.to_thread(edge.program.clock.fresh)
    try:
        received = _checked(source, request, body, edge, now)
    except BadRequestError as error:
        log.warning("webhook.refused", source=source.config.name, code=error.code, why=str(error))
        return problem(400, error.code, str(error))
    try:
        async with asyncio.timeout(KEEP_SECONDS):
            await asyncio.wrap_future(edge.keeper.put(received))
    except (BusyError, SQLAlchemyError, TimeoutError) as error:
        log.warning("webhook.not_kept", source=source.config.name, error=type(error).__name__)
        why = "the database is not available; send it again"
        return problem(503, "unavailable", why, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
    return JSONResponse({"received": True})


def _checked(
    source: LiveSource, request: Request, body: bytes, edge: Edge, now: datetime
) -> Received:
    if not source.config.webhook_secrets:
        message = "this source has no webhook secret, so nothing it sends can be trusted"
        raise SignatureError(message)
    source.reader.verify(
        body,
        request.headers,
        [secret.reveal() for secret in source.config.webhook_secrets],
        now,
        edge.program.settings.webhook_tolerance_seconds,
    )
    envelope = source.reader.open(body)
    live = source.config.live
    if live is not None and envelope.livemode is not None and envelope.livemode != live:
        raise WrongModeError("live" if live else "test")
    return Received(source=source.config.name, envelope=envelope, body=body)


class WrongModeError(BadRequestError):
    """A test event at a live source, or the other way round."""

    code = "wrong_mode"

    def __init__(self, mode: str) -> None:
        super().__init__(f"this source takes {mode} events only")


async def _body(request: Request, limit: int) -> bytes:
    """The raw bytes, never more than the limit, whatever the headers say."""
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        raise _TooLargeError
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise _TooLargeError
        chunks.append(chunk)
    return b"".join(chunks)
