"""/pay/{token}: looked at, pressed, asked for anew; and /r/{token} of older messages leads on."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from dunning.core.facts import Case
from dunning.core.status import State
from dunning.core.visits import CARD, PAY
from dunning.web.bodies import Bodies, CrowdedError, GoneError, TooLargeError
from dunning.web.page import pressing
from dunning.web.page.asking import ask
from dunning.web.page.reading import Link, Read, Seen, read
from dunning.web.page.renewing import renew
from dunning.web.page.showing import WAITS, Showing, redirect_headers
from dunning.web.page.telling import Told
from dunning.web.turnstile import Turnstile, client_of

if TYPE_CHECKING:
    from dunning.wiring import Program

log = structlog.get_logger(__name__)

MOST_BODY_BYTES = 1024
# A press of a button so long ago may have led to a payment that nobody told us of yet.
LATELY = timedelta(minutes=30)
# How far the provider's clock may be behind ours.
CLOCKS_APART = timedelta(minutes=2)
# So often the page looks for a new card that nobody has heard of.
LOOKS_FOR_A_CARD = 2


@dataclass(slots=True)
class Visit:
    """One request of a page, with what it needs."""

    program: Program
    told: Told
    token: str
    base: str  # this page, as its own links and forms name it
    query: dict[str, str] = field(default_factory=dict)


class CustomerPages:
    """The page's handlers. One of these serves one process."""

    def __init__(self, program: Program, turnstile: Turnstile | None = None) -> None:
        self._program = program
        self._turnstile = turnstile or Turnstile()
        self._showing = Showing(program.messages.catalogues)
        self._bodies = Bodies(MOST_BODY_BYTES)

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/r/{token}", self.lead_here, methods=["GET"]),
            Route("/pay/{token}", self.look, methods=["GET"]),
            Route("/pay/{token}/card", self.card, methods=["POST"]),
            Route("/pay/{token}/invoice/{name}", self.invoice, methods=["POST"]),
            Route("/pay/{token}/promise", self.promise, methods=["POST"]),
            Route("/pay/{token}/link", self.link, methods=["POST"]),
            Route("/pay/{token}/stop", self.about_notices, methods=["GET"]),
            Route("/pay/{token}/stop", self.stop, methods=["POST"]),
            Route("/pay/{token}/subscription", self.about_subscription, methods=["GET"]),
            Route("/pay/{token}/subscription", self.subscription, methods=["POST"]),
        ]

    async def lead_here(self, request: Request) -> Response:
        """The link of a message from before there was a page."""
        if refused := self._too_often(request, pressed=False):
            return refused
        return _see_other(f"../pay/{_token(request)}")

    async def look(self, request: Request) -> Response:
        """The page itself. Whoever asks for the headers alone has not opened it."""
        if refused := self._too_often(request, pressed=False):
            return refused
        opened = request.method != "HEAD"
        return await self._answered(request, lambda visit: self._looked(visit, opened=opened))

    async def card(self, request: Request) -> Response:
        """Lead on to where a new card can be given."""
        return await self._pressed(request, self._to_card)

    async def invoice(self, request: Request) -> Response:
        """Lead on to where this invoice can be paid."""
        name = request.path_params["name"]
        return await self._pressed(request, lambda visit, _: self._to_invoice(visit, name))

    async def promise(self, request: Request) -> Response:
        """Take the customer at their word."""
        return await self._pressed(request, self._promised)

    async def link(self, request: Request) -> Response:
        """Send a fresh link in place of one that has grown old."""
        return await self._pressed(request, self._renewed)

    async def about_notices(self, request: Request) -> Response:
        """Ask before stopping them: scanners of mail open every link."""
        return await self._asked_for(request, "stop")

    async def stop(self, request: Request) -> Response:
        """No more notices of what lies ahead: pressed here, or in a mail program (RFC 8058)."""
        return await self._pressed(request, self._stopped)

    async def about_subscription(self, request: Request) -> Response:
        """Where a notice's link to cancel leads; the provider's page is made on the next press."""
        return await self._asked_for(request, "subscription")

    async def subscription(self, request: Request) -> Response:
        """Lead on to where the subscription can be seen and ended."""
        return await self._pressed(request, self._to_subscription)

    async def _asked_for(self, request: Request, notice: str) -> Response:
        if refused := self._too_often(request, pressed=False):
            return refused
        return await self._answered(request, lambda visit: self._notice(visit, notice))

    # --- what all of them have in common ---------------------------------------------------

    async def _pressed(
        self, request: Request, act: Callable[[Visit, dict[str, str]], Response]
    ) -> Response:
        if refused := self._too_often(request, pressed=True):
            return refused
        try:
            body = await self._bodies.read(request.scope, request.receive)
        except TooLargeError:
            raise HTTPException(413, "too much for a form") from None
        except (CrowdedError, TimeoutError):
            raise HTTPException(408, "the form did not come") from None
        except GoneError:
            return Response(status_code=400)
        form = _fields(body)
        return await self._answered(request, lambda visit: act(visit, form))

    async def _answered(self, request: Request, act: Callable[[Visit], Response]) -> Response:
        visit = self._visit(request)
        try:
            answer = await asyncio.to_thread(act, visit)
        except SQLAlchemyError as error:
            log.warning("page.unavailable", error=type(error).__name__)
            return visit.told.notice("away", 503, headers={"Retry-After": "60"})
        if answer.status_code == 404:
            self._turnstile.guessed(self._client(request))
        return answer

    def _visit(self, request: Request) -> Visit:
        token = _token(request)
        # Whoever stands in front of us may have put more before the path: names are relative.
        up = "../" * (str(request.scope["path"]).count("/") - 2)
        base = f"{up}{token}"
        told = Told(self._program, self._showing, base, request.headers.get("accept-language", ""))
        query = {name: request.query_params[name] for name in request.query_params}
        return Visit(self._program, told, token, base, query)

    def _client(self, request: Request) -> str:
        return client_of(request.scope, self._program.settings.trusted_proxies)

    def _too_often(self, request: Request, *, pressed: bool) -> Response | None:
        token = _token(request)
        wait = self._turnstile.client(self._client(request)) or self._turnstile.link(token)
        if not wait and pressed:
            wait = self._turnstile.press(token)
        if not wait:
            return None
        headers = {"Retry-After": str(math.ceil(wait))}
        return self._visit(request).told.notice("too_many", 429, headers=headers, again=pressed)

    # --- the acts, each in a thread --------------------------------------------------------

    def _found(self, visit: Visit) -> tuple[Read, Response | None]:
        """What the link leads to, and the answer where that is not a page with buttons."""
        found = read(self._program, visit.token, self._program.clock.now())
        visit.told.about(found)
        match found.link:
            case Link.UNKNOWN:
                return found, visit.told.notice("unknown", 404)
            case Link.REVOKED:
                return found, visit.told.notice("revoked", 410)
            case Link.EXPIRED:
                assert found.row is not None
                over = not State(found.row.state).is_open
                return found, visit.told.notice("nothing" if over else "expired", 410)
            case Link.GOOD:
                return found, None

    def _looked(self, visit: Visit, *, opened: bool) -> Response:
        found, answer = self._found(visit)
        if answer is not None or found.seen is None:
            return answer or visit.told.notice("unknown", 404)
        now = self._program.clock.now()
        if opened:
            pressing.opened(self._program, found.seen.case, now)
        seen = self._asked(visit, found.seen)
        return self._shown(visit, seen)

    def _asked(self, visit: Visit, seen: Seen) -> Seen:
        """Ask the provider about whatever the customer just came back from."""
        now = self._program.clock.now()
        came_back = visit.query.get("back") == CARD
        about = [
            one.case
            for one in seen.invoices
            if one.in_process
            or any(press.at > now - LATELY for press in one.case.presses)
            or (came_back and one.case.id == seen.case.id)
        ]
        asked = [case for case in about[:3] if self._turnstile.may_ask(case.id)]
        for case in asked:
            ask(self._program, case)
        if not asked:
            return seen
        again = read(self._program, visit.token, now)
        visit.told.about(again)
        return again.seen or seen

    def _shown(self, visit: Visit, seen: Seen) -> Response:
        told = visit.told
        if not seen.invoices and _tells_of_what_is_ahead(seen):
            return told.notice("card")
        if not seen.invoices:
            paid = seen.state is State.RECOVERED
            return told.notice("paid" if paid else "nothing")
        look = _number(visit.query.get("n"))
        returned = visit.query.get("back") == CARD
        if seen.waiting:
            return told.waiting("processing", look)
        if returned and look < len(WAITS) and _to_be_charged(seen):
            return told.waiting("charging", look)
        if returned and look < LOOKS_FOR_A_CARD and not _heard_of_card(seen):
            return told.waiting("asking", look)
        notice = "no_promise" if visit.query.get("said") == "no_promise" else None
        if notice is None and (returned or _pressed_lately(seen, self._program.clock.now())):
            notice = "no_news"
        return told.overview(seen, notice)

    def _to_card(self, visit: Visit, _: dict[str, str]) -> Response:
        found, answer = self._found(visit)
        if answer is not None or found.seen is None:
            return answer or _see_other(visit.base)
        if found.seen.invoices:
            return self._lead_on(visit, found.seen.invoices[0].case, CARD)
        if _tells_of_what_is_ahead(found.seen):
            return self._lead_on(visit, found.seen.case, CARD)
        return _see_other(visit.base)

    def _to_invoice(self, visit: Visit, name: str) -> Response:
        found, answer = self._found(visit)
        if answer is not None or found.seen is None:
            return answer or _see_other(visit.base)
        one = pressing.chosen(found.seen.invoices, name)
        if one is None or one.in_process:
            return _see_other(visit.base)  # it is paid, or about to be: the page says so
        return self._lead_on(visit, one.case, PAY)

    def _lead_on(self, visit: Visit, case: Case, button: str) -> Response:
        public = self._program.settings.public_url
        back = f"{public}/pay/{visit.token}?back={button}" if public else None
        led = pressing.lead_on(self._program, case, button, self._program.clock.now(), back)
        if led.url is None:
            return visit.told.notice("away", 503, headers={"Retry-After": "60"}, again=True)
        return _see_other(led.url)

    def _notice(self, visit: Visit, notice: str) -> Response:
        _, answer = self._of_notice(visit)
        return answer or visit.told.notice(notice)

    def _of_notice(self, visit: Visit) -> tuple[Case | None, Response | None]:
        """The notice that the link came with, however old it is; else where the visitor goes."""
        found, answer = self._found(visit)
        if found.link not in (Link.GOOD, Link.EXPIRED) or found.case is None:
            return None, answer or _see_other(visit.base)
        if found.case.notice is None:
            return None, _see_other(visit.base)
        return found.case, None

    def _stopped(self, visit: Visit, _: dict[str, str]) -> Response:
        case, answer = self._of_notice(visit)
        if case is None:
            return answer or _see_other(visit.base)
        pressing.stop(self._program, case, self._program.clock.now())
        return visit.told.notice("stopped")

    def _to_subscription(self, visit: Visit, _: dict[str, str]) -> Response:
        case, answer = self._of_notice(visit)
        if case is None:
            return answer or _see_other(visit.base)
        public = self._program.settings.public_url
        back = f"{public}/pay/{visit.token}" if public else None
        url = pressing.portal(self._program, case, back)
        if url is None:
            return visit.told.notice("away", 503, headers={"Retry-After": "60"}, again=True)
        return _see_other(url)

    def _promised(self, visit: Visit, form: dict[str, str]) -> Response:
        found, answer = self._found(visit)
        if answer is not None or found.seen is None:
            return answer or _see_other(visit.base)
        try:
            until = date.fromisoformat(form.get("until", ""))
        except ValueError:
            return _see_other(f"{visit.base}?said=no_promise")
        now = self._program.clock.now()
        kept = pressing.promise(self._program, found.seen, until, now)
        # Pressed twice: it was kept the first time.
        if kept or visit.told.promised(found.seen):
            return _see_other(visit.base)
        return _see_other(f"{visit.base}?said=no_promise")

    def _renewed(self, visit: Visit, _: dict[str, str]) -> Response:
        found, answer = self._found(visit)
        if found.link is not Link.EXPIRED or found.case is None or found.row is None:
            return answer or _see_other(visit.base)
        assert found.named is not None
        if not State(found.row.state).is_open:
            return visit.told.notice("nothing", 410)
        sent = renew(self._program, found.row, found.case, found.named.purpose)
        return visit.told.notice(sent.value, 503 if sent.value == "not_sent" else 200)


def _token(request: Request) -> str:
    """The token, if it looks like one; what does not is neither kept in mind nor shown again."""
    token = str(request.path_params["token"])
    return token if re.fullmatch(r"[a-z0-9_]{1,80}", token) else "unknown"


def _tells_of_what_is_ahead(seen: Seen) -> bool:
    """Whether the link came with a notice: nothing is owed, and a card can be given."""
    return seen.case.notice is not None and seen.state.is_open


def _to_be_charged(seen: Seen) -> bool:
    """Whether a new way to pay has arrived that nobody has tried yet."""
    return any(
        (news := _news_of_card(one.case)) is not None
        and all(attempt.at < news for attempt in one.case.attempts)
        for one in seen.invoices
        if one.pursued
    )


def _heard_of_card(seen: Seen) -> bool:
    """Whether anything was heard of a card since the customer went to give one."""
    presses = [press.at for one in seen.invoices for press in one.case.presses]
    news = [at for one in seen.invoices if (at := _news_of_card(one.case)) is not None]
    return bool(news) and (not presses or max(news) >= max(presses) - CLOCKS_APART)


def _news_of_card(case: Case) -> datetime | None:
    told = [at for at in (case.method_at, case.method_fixed_at) if at is not None]
    return max(told, default=None)


def _pressed_lately(seen: Seen, now: datetime) -> bool:
    """Whether the customer was led on a moment ago, and nothing has been heard since."""
    for one in seen.invoices:
        last = max((press.at for press in one.case.presses), default=None)
        if last is None or now - last > LATELY:
            continue
        if all(attempt.at < last - CLOCKS_APART for attempt in one.case.attempts):
            return True
    return False


def _fields(body: bytes) -> dict[str, str]:
    """The fields of a form; of one that comes twice the first."""
    try:
        found = parse_qs(body.decode("ascii"), max_num_fields=8)
    except ValueError:
        return {}
    return {name: values[0] for name, values in found.items()}


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isascii() and text.isdecimal() else 0


def _see_other(url: str) -> Response:
    return RedirectResponse(url, status_code=303, headers=redirect_headers())
