"""Alive, ready, and the numbers: /healthz, /readyz, /metrics."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, Gauge, generate_latest
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from dunning import breaker, inbox, outbox, schedule
from dunning.clock import rfc3339
from dunning.store import reading

if TYPE_CHECKING:
    from dunning.web.app import Edge
    from dunning.wiring import Program

# Behind by more than this, ready turns red, before customers notice.
LATE = timedelta(minutes=15)

INBOX_NEW = Gauge("dunning_inbox_new", "Webhooks kept and not yet handled")
INBOX_PARKED = Gauge("dunning_inbox_parked", "Webhooks that wait for a person")
CASES_DUE = Gauge("dunning_cases_due", "Cases whose next step is due")
OUTBOX_PENDING = Gauge("dunning_outbox_pending", "Calls to the product not yet delivered")
OUTBOX_DEAD = Gauge("dunning_outbox_dead", "Calls to the product nobody took")


async def healthz(_request: Request) -> Response:
    """The process is alive."""
    return PlainTextResponse("ok\n")


async def readyz(request: Request) -> Response:
    """Whether the database answers and nothing is late; 503 when it is not so."""
    edge: Edge = request.app.state.edge
    ready, told = await asyncio.to_thread(_readiness, edge.program)
    # Without a broker webhooks are kept all the same, and the work is late at most.
    told["broker"] = await asyncio.to_thread(edge.broker)
    return JSONResponse(told, status_code=200 if ready else 503)


def _readiness(program: Program) -> tuple[bool, dict[str, Any]]:
    try:
        now = program.clock.fresh()
        with reading(program.engine) as session:
            kept = inbox.backlog(session)
            due = schedule.backlog(session, now, program.acting)
            calls = outbox.backlog(session, now)
            fuses = breaker.standings(session, list(program.sources), now)
    except (SQLAlchemyError, OSError) as error:
        return False, {"ready": False, "database": f"away ({type(error).__name__})"}
    INBOX_NEW.set(kept.new)
    INBOX_PARKED.set(kept.parked)
    CASES_DUE.set(due.due)
    OUTBOX_PENDING.set(calls.pending)
    OUTBOX_DEAD.set(calls.dead)
    late = [
        name
        for name, since in (
            ("the oldest unhandled webhook", kept.oldest_new_at),
            ("the oldest overdue step", due.oldest_due_at),
        )
        if since is not None and now - since > LATE
    ]
    told: dict[str, Any] = {
        "ready": not late,
        "database": "ok",
        "late": late,
        "oldest_unhandled_event": rfc3339(kept.oldest_new_at),
        "oldest_overdue_step": rfc3339(due.oldest_due_at),
        "inbox": {"new": kept.new, "fetching": kept.new - kept.fresh, "parked": kept.parked},
        # Not red by itself: what is held is held on purpose, and is released by itself.
        "held": {fuse.source: fuse.why for fuse in fuses if fuse.open},
        "acting": acting(program),
    }
    return not late, told


def acting(program: Program) -> dict[str, str]:
    """For each source whether we act on it, in words."""
    return {
        name: "yes" if live.provider else "no: without an API key it decides and shows only"
        for name, live in program.sources.items()
    }


async def metrics(request: Request) -> Response:
    """Prometheus' text format; the backlog is counted when it is asked for."""
    await asyncio.to_thread(_readiness, request.app.state.edge.program)
    return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)
