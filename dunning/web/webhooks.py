"""POST /webhooks/{source}: verify the raw bytes, keep them once, answer when they are durable.

The one path that has to be fast. It speaks to the server directly (ASGI) and not through a
framework; what it answers is made beforehand; and nothing is parsed, logged at length or handed to
a thread before the signature held.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import Receive, Scope, Send

from dunning import crashpoints, metrics
from dunning.clock import FollowedClock
from dunning.errors import BadRequestError, SignatureError
from dunning.inbox import Received
from dunning.keeper import BusyError
from dunning.web.bodies import Bodies, CrowdedError, GoneError, TooLargeError
from dunning.web.landing import Landing
from dunning.web.problems import Answer, answer, refusal

if TYPE_CHECKING:
    from dunning.web.app import Edge
    from dunning.wiring import LiveSource

log = structlog.get_logger(__name__)

PREFIX: Final = "/webhooks/"
# A database that has not taken a webhook by then is away: the sender is told before it gives up.
KEEP_SECONDS = 8.0
# So many refusals of a source are told one by one within a second; a flood is told as a number.
TOLD_A_SECOND: Final = 10

RECEIVED: Final = answer(200, {"received": True})
# What is left of a body that nobody wants is not waited for.
TOO_LARGE: Final = refusal(
    413, "too_large", "the body is larger than this server accepts", connection="close"
)
TOO_SLOW: Final = refusal(408, "too_slow", "the body did not arrive in time", connection="close")
CROWDED: Final = refusal(
    503, "unavailable", "too much is on its way at once; send it again",
    retry_after="5", connection="close",
)  # fmt: skip
AWAY: Final = refusal(
    503, "unavailable", "the database is not available; send it again", retry_after="5"
)
FAULT: Final = refusal(
    503, "unavailable", "something is wrong here; try again later", retry_after="30"
)
UNKNOWN_SOURCE: Final = refusal(404, "unknown_source", "no such source is configured")
ONLY_POST: Final = refusal(405, "method_not_allowed", "Method Not Allowed", allow="POST")


class WrongModeError(BadRequestError):
    """A test event at a live source, or the other way round."""

    code = "wrong_mode"

    def __init__(self, mode: str) -> None:
        super().__init__(f"this source takes {mode} events only")


@dataclass(slots=True)
class _Told:
    """How many refusals of a source were told in this second, and how many were only counted."""

    second: int = 0
    told: int = 0
    left_out: int = 0

    def is_flood(self) -> int | None:
        """None: do not tell this one. Else how many were left out before it."""
        second = int(time.monotonic())
        if second != self.second:
            self.second, self.told = second, 0
        self.told += 1
        if self.told > TOLD_A_SECOND:
            self.left_out += 1
            return None
        before, self.left_out = self.left_out, 0
        return before


class _Door:
    """One source, with everything about it looked up beforehand."""

    def __init__(self, source: LiveSource, tolerance_seconds: int) -> None:
        self.name = source.config.name
        self.numbers = metrics.Receiving(self.name)
        self.told = _Told()
        self._reader = source.reader
        self._secrets = [secret.reveal() for secret in source.config.webhook_secrets]
        self._live = source.config.live
        self._tolerance = tolerance_seconds

    def check(self, headers: Mapping[str, str], body: bytes, now: datetime) -> Received:
        """The webhook, if it is one of this source; `BadRequestError` if not."""
        if not self._secrets:
            why = "this source has no webhook secret, so nothing it sends can be trusted"
            raise SignatureError(why)
        self._reader.verify(body, headers, self._secrets, now, self._tolerance)
        crashpoints.reach("webhook.verified")
        envelope = self._reader.open(body)
        live = self._live
        if live is not None and envelope.livemode is not None and envelope.livemode != live:
            raise WrongModeError("live" if live else "test")
        return Received(source=self.name, envelope=envelope, body=body)


class Receiver:
    """The ASGI application behind /webhooks/."""

    def __init__(self, edge: Edge) -> None:
        settings = edge.program.settings
        self._keeper = edge.keeper
        self._clock = edge.program.clock
        self._bodies = Bodies(settings.max_body_bytes)
        self._landing = Landing()
        self._log = log.bind()  # knows the level by now: what is not wanted costs nothing
        self._doors = {
            name: _Door(source, settings.webhook_tolerance_seconds)
            for name, source in edge.program.sources.items()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take in one webhook: 2xx only when it is durable, and nothing else is done here."""
        door = self._doors.get(scope["path"][len(PREFIX) :])
        if door is None:
            return await UNKNOWN_SOURCE.send(send)
        if scope["method"] != "POST":
            return await ONLY_POST.send(send)
        began = time.monotonic()
        try:
            given = await self._take(door, scope, receive)
        except Exception:
            # Never a traceback, never an echo of the body; the provider will send again.
            log.exception("webhook.fault", source=door.name)
            given = FAULT
        door.numbers.answered(given.status, time.monotonic() - began)
        crashpoints.reach("webhook.answering")
        await given.send(send)
        return None

    async def _take(self, door: _Door, scope: Scope, receive: Receive) -> Answer:
        try:
            body = await self._bodies.read(scope, receive)
        except TooLargeError:
            return TOO_LARGE
        except (TimeoutError, GoneError):
            return TOO_SLOW
        except CrowdedError:
            log.warning("webhook.crowded", source=door.name)
            return CROWDED
        crashpoints.reach("webhook.read")
        try:
            received = door.check(_named(scope["headers"]), body, await self._now())
        except BadRequestError as error:
            self._tell_refusal(door, error)
            return refusal(400, error.code, str(error))
        return await self._keep(door, received)

    async def _keep(self, door: _Door, received: Received) -> Answer:
        event = received.envelope.id
        try:
            await self._landing.wait(partial(self._keeper.put, received), KEEP_SECONDS)
        except (BusyError, SQLAlchemyError, TimeoutError) as error:
            why = type(error).__name__
            log.warning("webhook.not_kept", source=door.name, event_id=event, error=why)
            return AWAY
        self._log.debug("webhook.kept", source=door.name, event_id=event)
        return RECEIVED

    async def _now(self) -> datetime:
        # A sandbox's clock is asked over the network; any other costs nothing.
        if isinstance(self._clock, FollowedClock):
            return await asyncio.to_thread(self._clock.fresh)
        return self._clock.fresh()

    def _tell_refusal(self, door: _Door, error: BadRequestError) -> None:
        left_out = door.told.is_flood()
        if left_out is None:
            return
        more = {"left_out_before": left_out} if left_out else {}
        log.warning("webhook.refused", source=door.name, code=error.code, why=str(error), **more)


def _named(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """The headers by name; of one given twice the first counts, as with every sender of one."""
    named: dict[str, str] = {}
    for name, value in headers:
        named.setdefault(name.decode("latin-1"), value.decode("latin-1"))
    return named
