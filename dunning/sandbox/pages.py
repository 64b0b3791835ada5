"""The two pages a customer sees: the hosted invoice and the billing portal. Plain HTML."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from dunning.sandbox import acts, collecting
from dunning.sandbox.currencies import THREE_DECIMAL, ZERO_DECIMAL
from dunning.sandbox.errors import ApiError, Obj
from dunning.sandbox.outcomes import error_message
from dunning.sandbox.render import invoice_link_expires, read_page_token
from dunning.sandbox.world import HOUR, World

if TYPE_CHECKING:
    from dunning.sandbox.sandbox import Sandbox

_PORTAL_LIVES = HOUR
_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;margin:0;background:#f6f8fa;color:#1a1f36}
main{max-width:26rem;margin:3rem auto;padding:2rem;background:#fff;border-radius:12px;
box-shadow:0 2px 12px rgba(26,31,54,.08)}
.simulated{display:inline-block;background:#fff3cd;color:#7a5b00;border-radius:4px;
padding:0 .5rem;font-size:.75rem;font-weight:700;letter-spacing:.06em}
h1{font-size:2rem;margin:.75rem 0 0}p{margin:.25rem 0 1rem;color:#4f566b}
label{display:block;margin-top:1rem;font-size:.875rem}
input{width:100%;box-sizing:border-box;padding:.6rem;font:inherit;border:1px solid #c1c9d2;
border-radius:6px}
button{width:100%;margin-top:1rem;padding:.7rem;font:inherit;font-weight:600;color:#fff;
background:#3f4bd1;border:0;border-radius:6px;cursor:pointer}
.good{color:#0a6b3d}.bad{color:#a41c3c}hr{border:0;border-top:1px solid #e3e8ee;margin:1.5rem 0}
"""


def money(amount: int, currency: str) -> str:
    """An amount for people, by Stripe's own exponents."""
    digits = 0 if currency in ZERO_DECIMAL else 3 if currency in THREE_DECIMAL else 2
    return f"{amount / 10**digits:,.{digits}f} {currency.upper()}"


def _page(title: str, content: str, status: int = 200) -> HTMLResponse:
    return HTMLResponse(
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width,initial-scale=1'>"
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>"
        f"<span class='simulated'>SIMULATED</span>{content}</main></body></html>",
        status,
    )


def _gone(message: str, status: int = 404) -> HTMLResponse:
    return _page("Not available", f"<h1>Not available</h1><p>{escape(message)}</p>", status)


def _card_form(label: str) -> str:
    return (
        "<form method='post'><input type='hidden' name='action' value='new_card'>"
        "<label>Card number<input name='number' inputmode='numeric' autocomplete='cc-number'"
        " placeholder='4242 4242 4242 4242' required></label>"
        f"<button type='submit'>{escape(label)}</button></form>"
    )


# --- hosted invoice ----------------------------------------------------------------------------
def _invoice_page(world: World, invoice: Obj, notice: str = "", good: bool = True) -> HTMLResponse:
    paid = invoice["status"] == "paid"
    amount = invoice["amount_paid"] if paid else invoice["amount_remaining"]
    title = f"Invoice {invoice['number']}"
    parts = [f"<h1>{escape(money(amount, invoice['currency']))}</h1><p>{escape(title)}</p>"]
    if notice:
        parts.append(f"<p role='status' class='{'good' if good else 'bad'}'>{escape(notice)}</p>")
    method = collecting.choose_method(world, invoice)
    if paid:
        parts.append("<p class='good'>Paid. Thank you.</p>")
    elif invoice["status"] == "void":
        parts.append("<p>This invoice is void. Nothing is owed.</p>")
    else:
        if method is not None and "card" in method:
            last4 = escape(method["card"]["last4"])
            parts.append(
                "<form method='post'><input type='hidden' name='action' value='saved'>"
                f"<button type='submit'>Pay with saved card •••• {last4}</button></form><hr>"
            )
        parts.append(_card_form("Pay with a new card"))
    return _page(title, "".join(parts))


def _find_invoice(world: World, token: str) -> Obj | None:
    read = read_page_token(world, "invoice", token)
    if read is None:
        return None
    invoice = world.find("invoice", read[0])
    if invoice is None or world.now > invoice_link_expires(invoice, read[1]):
        return None
    return invoice


async def _invoice(sandbox: Sandbox, request: Request) -> Response:
    world = sandbox.world
    form = await request.form() if request.method == "POST" else None
    with world.lock:
        invoice = _find_invoice(world, request.path_params["token"])
        if invoice is None:
            return _gone("This link has expired or never existed. Ask for a new one.")
        if form is None:
            return _invoice_page(world, invoice)
        number = str(form.get("number") or "") if form.get("action") == "new_card" else None
        notice, good = _try_payment(world, invoice, number)
        world.bump()
        return _invoice_page(world, invoice, notice, good)


def _try_payment(world: World, invoice: Obj, number: str | None) -> tuple[str, bool]:
    try:
        outcome = acts.pays(world, invoice["customer"], invoice["id"], number)
    except ApiError as error:
        return error.message, False
    if outcome.kind == "decline":
        return error_message(outcome), False
    if outcome.kind == "processing":
        return "Your bank is processing the payment.", True
    if outcome.kind == "requires_action":
        return "Your bank wants to ask you something first.", False
    return "Payment received.", True


# --- billing portal ----------------------------------------------------------------------------
def _portal_page(customer: Obj, session: Obj, notice: str = "", good: bool = True) -> HTMLResponse:
    name = escape(customer["name"] or customer["email"] or "")
    parts = [f"<h1>Update your card</h1><p>{name}</p>"]
    if notice:
        parts.append(f"<p role='status' class='{'good' if good else 'bad'}'>{escape(notice)}</p>")
    parts.append(_card_form("Save card"))
    if session["return_url"]:
        parts.append(f"<p><a href='{escape(session['return_url'])}'>Back</a></p>")
    return _page("Billing", "".join(parts))


async def _portal(sandbox: Sandbox, request: Request) -> Response:
    world = sandbox.world
    form = await request.form() if request.method == "POST" else None
    with world.lock:
        read = read_page_token(world, "portal", request.path_params["token"])
        session = world.find("billing_portal.session", read[0]) if read else None
        if session is None or world.now > session["created"] + _PORTAL_LIVES:
            return _gone("This session has expired.")
        customer = world.need("customer", session["customer"])
        if form is None:
            return _portal_page(customer, session)
        try:
            number = str(form.get("number") or "")
            acts.new_card(world, customer["id"], number, for_subscriptions=True)
        except ApiError as error:
            return _portal_page(customer, session, error.message, good=False)
        world.bump()
        return _portal_page(customer, session, "Your card is saved.")


def page_routes(sandbox: Sandbox) -> list[Route]:
    """The customer's pages."""

    async def invoice(request: Request) -> Response:
        return await _invoice(sandbox, request)

    async def portal(request: Request) -> Response:
        return await _portal(sandbox, request)

    return [
        Route("/i/{token}", invoice, methods=["GET", "POST"]),
        Route("/p/session/{token}", portal, methods=["GET", "POST"]),
    ]
