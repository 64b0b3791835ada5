"""POST /mail/{service} and /texts/{service}: what came back, as the service tells of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session
from starlette.requests import Request
from starlette.responses import Response

from dunning import returns
from dunning.channels.returned.services import SERVICES, Checked
from dunning.channels.texting import read_receipt, token_of, told_to
from dunning.config import Settings
from dunning.config.secret import Secret, Url
from dunning.core.returned import Returned
from dunning.errors import BadRequestError, SignatureError
from dunning.store import transaction
from dunning.web.bodies import Bodies, CrowdedError, GoneError, TooLargeError
from dunning.web.problems import problem
from dunning.wiring import Program

log = structlog.get_logger(__name__)

# With the whole letter in it; what is larger tells nothing more.
MOST_BYTES = 512 * 1024
_RETRY = {"Retry-After": "30"}


Read = Callable[[Mapping[str, str], bytes], list[Returned]]
Take = Callable[[Session, Returned, str, datetime], object]


class Events:
    """The webhooks of the services that are configured; others are not there."""

    def __init__(self, program: Program, services: Mapping[str, Read], take: Take) -> None:
        self._program = program
        self._services = services
        self._take_in = take
        self._bodies = Bodies(MOST_BYTES, room=8 * MOST_BYTES)

    async def take(self, request: Request) -> Response:
        """Take one event in: 2xx only when what it says is durable."""
        service = request.path_params["service"]
        read = self._services.get(service)
        if read is None:
            return problem(404, "not_found", "Not Found")
        try:
            body = await self._bodies.read(request.scope, request.receive)
            told = read(request.headers, body)
            await asyncio.to_thread(self._keep, told, service)
        except (TooLargeError, TimeoutError, GoneError, CrowdedError) as error:
            return _unread(error)
        except BadRequestError as error:
            log.warning("mail.event_refused", service=service, code=error.code, why=str(error))
            status = 401 if isinstance(error, SignatureError) else 400
            return problem(status, error.code, str(error))
        except SQLAlchemyError as error:
            log.warning("mail.event_not_kept", service=service, error=type(error).__name__)
            why = "the database is not available; send it again"
            return problem(503, "unavailable", why, headers=_RETRY)
        return Response('{"received": true}', media_type="application/json")

    def _keep(self, told: list[Returned], service: str) -> None:
        now: datetime = self._program.clock.fresh()
        with transaction(self._program.engine) as session:
            for each in told:
                self._take_in(session, each, service, now)


def mail_events(program: Program) -> Events:
    """What mail services tell of emails."""
    services = {
        name: partial(_checked, SERVICES[name], secret)
        for name, secret in secrets_of(program.settings).items()
    }
    return Events(program, services, returns.take)


def _checked(
    read: Checked, secret: Secret, headers: Mapping[str, str], body: bytes
) -> list[Returned]:
    return read(headers, body, secret.reveal())


def text_events(program: Program) -> Events:
    """What the provider of texts tells of them, where it can prove who it is."""
    url, at = program.settings.sms_url, program.settings.public_url
    services: dict[str, Read] = {}
    if url is not None and at is not None and token_of(url.reveal()) is not None:
        services["twilio"] = partial(_of_twilio, url, told_to(at))
    return Events(program, services, returns.take_receipt)


def _of_twilio(url: Url, at: str, headers: Mapping[str, str], body: bytes) -> list[Returned]:
    return read_receipt(headers, body, at, token_of(url.reveal()) or "")


def secrets_of(settings: Settings) -> Mapping[str, Secret]:
    """By service, what it proves itself with; one without is not served."""
    found = {"mailgun": settings.mailgun_signing_key, "postmark": settings.postmark_login}
    return {name: secret for name, secret in found.items() if secret is not None}


def _unread(error: Exception) -> Response:
    if isinstance(error, TooLargeError):
        return problem(413, "too_large", "the body is larger than this server accepts")
    if isinstance(error, CrowdedError):
        why = "too much is on its way at once; send it again"
        return problem(503, "unavailable", why, headers=_RETRY)
    return problem(408, "too_slow", "the body did not arrive in time")
