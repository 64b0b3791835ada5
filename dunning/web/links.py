"""GET /r/{token}: the link in our messages. It makes a fresh one of the provider on each click."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from dunning import links
from dunning.case_rows import locked
from dunning.core.events import LinkOpened
from dunning.core.status import State
from dunning.errors import NotFoundError, ProviderError
from dunning.store import transaction

if TYPE_CHECKING:
    from dunning.wiring import Program

log = structlog.get_logger(__name__)

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex"><title>{title}</title>
<style>
body {{ font: 17px/1.5 system-ui, sans-serif; margin: 0; padding: 15vh 1rem 1rem;
        color: #1c2733; background: #f4f6f8 }}
main {{ max-width: 30rem; margin: 0 auto; padding: 2rem; background: #fff;
        border-radius: 12px; box-shadow: 0 1px 4px rgb(0 0 0 / 12%) }}
h1 {{ font-size: 1.35rem; margin: 0 0 .5rem }} p {{ margin: 0 }}
@media (prefers-color-scheme: dark) {{
  body {{ color: #e6edf3; background: #0d1117 }} main {{ background: #161b22 }} }}
</style></head><body><main><h1>{title}</h1><p>{text}</p></main></body></html>"""
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
}


async def follow(request: Request) -> Response:
    """Send the customer to where they can pay or give a card, or say that nothing is owed."""
    program, token = request.app.state.program, request.path_params["token"]
    try:
        # Whoever asks for the headers alone looks whether the link is there: nobody clicked.
        clicked = request.method != "HEAD"
        return await asyncio.to_thread(_follow, program, token, clicked=clicked)
    except SQLAlchemyError as error:
        log.warning("link.unavailable", error=type(error).__name__)
        return _unavailable()


def _follow(program: Program, token: str, *, clicked: bool) -> Response:
    secret = program.settings.secret_key
    found = links.case_of(secret.reveal(), token) if secret else None
    if found is None:
        return _page(404, "This link is not complete", "Please open it again from the message.")
    case_id, purpose = found
    now = program.clock.now()
    try:
        with transaction(program.engine) as session:
            row = locked(session, case_id)
            opened = LinkOpened(id=f"{case_id}/link", at=now, invoice=row.invoice)
            heard = [opened] if clicked else []
            case = program.cases.apply_by_hand(session, row, heard, now)
            state, customer, source = State(row.state), row.customer, row.source
    except NotFoundError:
        return _page(404, "This link is not complete", "Please open it again from the message.")
    if state is State.RECOVERED:
        return _page(200, "Already paid", "Thank you. There is nothing left to do.")
    if state is State.CLOSED:
        return _page(200, "Nothing to pay", "This invoice is no longer open.")
    provider = program.providers.get(source)
    try:
        # A notice tells of no invoice; there is a card to be given all the same.
        invoice = case.invoice if case.notice is None else None
        fresh = provider.links(invoice, customer, return_url=None) if provider else None
    except ProviderError as error:
        log.warning("link.unavailable", case=case_id, why=str(error))
        fresh = None
    target = None
    if fresh is not None:
        target = (fresh.update_card if purpose == "card" else None) or fresh.pay
    if target is not None and not program.sources[source].pages.allow(target):
        why = "not a page of the provider; see DUNNING_PAGE_HOSTS"
        log.warning("link.refused", source=source, case=case_id, why=why)
        target = None
    if target is None:
        return _unavailable()
    return RedirectResponse(target, status_code=303, headers=_HEADERS)


def _unavailable() -> Response:
    text = "The payment page cannot be reached right now. Please try again in a few minutes."
    page = _page(503, "One moment, please", text)
    page.headers["Retry-After"] = "60"
    return page


def _page(status: int, title: str, text: str) -> Response:
    return HTMLResponse(_PAGE.format(title=title, text=text), status, headers=_HEADERS)
