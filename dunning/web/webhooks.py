"""POST /webhooks/{source}: verify the raw bytes, keep them once, answer when they are durable.

The one path that has to be fast. It speaks to the server directly (ASGI) and not through a
framework; what it answers is made beforehand; and nothing is parsed, logged at length or handed to
a thread before the signature held.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
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

Headers = Sequence[tuple[bytes, bytes]]
# Sends the answer to one webhook.
Reply = Callable[[Answer], object]
# Takes a webhook that is here whole; the reply comes at once or later, in the same loop.
Prompt = Callable[[Headers, bytes, Reply], None]

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
        self.numbers = metrics.receiving(self.name)
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


class _Once:
    """Answers one webhook, once; what was answered, and after how long, is counted."""

    __slots__ = ("_began", "_numbers", "_reply")

    def __init__(self, door: _Door, reply: Reply) -> None:
        self._numbers = door.numbers
        self._reply: Reply | None = reply
        self._began = time.monotonic()

    def __call__(self, given: Answer) -> None:
        reply, self._reply = self._reply, None
        if reply is not None:
            self._numbers.answered(given.status, time.monotonic() - self._began)
            crashpoints.reach("webhook.answering")
            reply(given)


class Receiver:
    """The ASGI application behind /webhooks/, and the shorter way of what comes whole."""

    def __init__(self, edge: Edge) -> None:
        settings = edge.program.settings
        self._keeper = edge.keeper
        self._clock = edge.program.clock
        self._limit = settings.max_body_bytes
        self._bodies = Bodies(self._limit)
        self._landing = Landing()
        self._log = log.bind()  # knows the level by now: what is not wanted costs nothing
        self._doors = {
            name: _Door(source, settings.webhook_tolerance_seconds)
            for name, source in edge.program.sources.items()
        }

    def prompt(self) -> dict[bytes, Prompt]:
        """By path, who takes a POST that is here whole, without a coroutine of its own."""
        if isinstance(self._clock, FollowedClock):
            return {}  # what time it is has to be waited for
        return {
            f"{PREFIX}{name}".encode(): partial(self._take_whole, door)
            for name, door in self._doors.items()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take in one webhook: 2xx only when it is durable, and nothing else is done here."""
        door = self._doors.get(scope["path"][len(PREFIX) :])
        if door is None:
            return await UNKNOWN_SOURCE.send(send)
        if scope["method"] != "POST":
            return await ONLY_POST.send(send)
        given: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        reply = _Once(door, partial(_resolve, given))
        try:
            body = await self._bodies.read(scope, receive)
            self._take(door, scope["headers"], body, await self._now(), reply)
        except TooLargeError:
            reply(TOO_LARGE)
        except (TimeoutError, GoneError):
            reply(TOO_SLOW)
        except CrowdedError:
            log.warning("webhook.crowded", source=door.name)
            reply(CROWDED)
        except Exception:  # noqa: BLE001 - told, and the provider sends again
            self._at_fault(door, reply)
        await (await given).send(send)
        return None

    def _take_whole(self, door: _Door, headers: Headers, body: bytes, send: Reply) -> None:
        reply = _Once(door, send)
        try:
            if len(body) > self._limit:
                reply(TOO_LARGE)
            else:
                self._take(door, headers, body, self._clock.fresh(), reply)
        except Exception:  # noqa: BLE001 - told, and the provider sends again
            self._at_fault(door, reply)

    def _take(
        self, door: _Door, headers: Headers, body: bytes, now: datetime, reply: Reply
    ) -> None:
        """Check it, hand it over to be written, and reply when it is, or when it is refused."""
        crashpoints.reach("webhook.read")
        try:
            received = door.check(_Named(headers), body, now)
        except BadRequestError as error:
            self._tell_refusal(door, error)
            reply(refusal(400, error.code, str(error)))
            return
        hears = partial(self._settled, door, received.envelope.id, reply)
        try:
            self._landing.hand_over(partial(self._keeper.put, received), hears, KEEP_SECONDS)
        except BusyError as error:
            hears(error)

    def _settled(self, door: _Door, event: str, reply: Reply, error: Exception | None) -> None:
        if error is None:
            self._log.debug("webhook.kept", source=door.name, event_id=event)
            reply(RECEIVED)
        elif isinstance(error, BusyError | SQLAlchemyError | TimeoutError):
            why = type(error).__name__
            log.warning("webhook.not_kept", source=door.name, event_id=event, error=why)
            reply(AWAY)
        else:
            self._at_fault(door, reply, error)

    def _at_fault(self, door: _Door, reply: Reply, error: Exception | None = None) -> None:
        # Never a traceback, never an echo of the body; the provider will send again.
        log.error("webhook.fault", source=door.name, exc_info=error or True)
        reply(FAULT)

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


def _resolve(waiter: asyncio.Future[Answer], given: Answer) -> None:
    if not waiter.done():
        waiter.set_result(given)


class _Named(Mapping[str, str]):
    """Headers by name, in small letters, read as they are asked for.

    Of one given twice the first counts, as with every sender of one.
    """

    def __init__(self, headers: Headers) -> None:
        self._headers = headers

    def __getitem__(self, name: str) -> str:
        wanted = name.encode("latin-1")
        for known, value in self._headers:
            if known == wanted:
                return value.decode("latin-1")
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter({name.decode("latin-1"): None for name, _ in self._headers})

    def __len__(self) -> int:
        return len({name for name, _ in self._headers})
