"""World: the whole program beside a simulated Stripe, on a clock that a story moves.

Everything is real: the adapter speaks to the sandbox over HTTP, webhooks are signed and posted to
the real receiver, mail goes over SMTP, product calls over HTTP, rows into the test's database.
`passes(days=…, expect=[…])` moves time and fails on anything that happened and was not listed.
"""

from __future__ import annotations

import asyncio
import email
import http.server
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import default as email_policy
from pathlib import Path
from typing import Any

import requests
import stripe
from aiosmtpd.smtp import SMTP
from sqlmodel import col, select

from dunning.cases import summary
from dunning.config import load_settings
from dunning.processes import Up, running
from dunning.sandbox.sandbox import Sandbox
from dunning.store import CaseRow, EntryRow, MessageRow, OutboxRow, StepRow, transaction
from dunning.wiring import Program, assemble

SECRET = "whsec_story"
PRODUCT_SECRET = "whsec_c3Rvcnktc2VjcmV0LXN0b3J5LXNlY3JldA=="
START = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)  # a Monday


class Mailbox:
    """A real SMTP server that keeps what it is sent; `refuse` is the answer it gives instead."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.refuse: str | None = None

    async def handle_DATA(  # noqa: N802 - the name aiosmtpd calls
        self, _server: object, _session: object, envelope: Any
    ) -> str:
        if self.refuse:
            return self.refuse
        message = email.message_from_bytes(envelope.content, policy=email_policy)
        assert isinstance(message, EmailMessage)
        self.messages.append(message)
        return "250 OK"

    @contextmanager
    def serve(self) -> Iterator[str]:
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()

        async def begin() -> asyncio.Server:
            return await loop.create_server(
                lambda: SMTP(self, enable_SMTPUTF8=True), "127.0.0.1", 0
            )

        server = asyncio.run_coroutine_threadsafe(begin(), loop).result(10)
        try:
            yield f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            loop.call_soon_threadsafe(server.close)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(timeout=5)
            loop.close()


class Product:
    """The merchant's application: keeps the calls it gets; `answer` is the status it gives."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        self.answer = 200

    @contextmanager
    def serve(self) -> Iterator[str]:
        product = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if product.answer < 300:
                    product.bodies.append(body)
                    product.headers.append({k.lower(): v for k, v in self.headers.items()})
                    product.calls.append(json.loads(body))
                self.send_response(product.answer)
                self.end_headers()

            def log_message(self, *_args: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/hooks"
        finally:
            server.shutdown()
            server.server_close()
            thread.join(timeout=5)


@dataclass(slots=True)
class Customer:
    """A subscribed customer of the simulated Stripe."""

    id: str
    subscription: str


class World:
    """One story's world. Times are the sandbox's."""

    def __init__(
        self, program: Program, sandbox: Sandbox, url: str, mailbox: Mailbox, product: Product
    ) -> None:
        self.program = program
        self.sandbox = sandbox
        self.stripe_url = url
        self.mailbox = mailbox
        self.product = product
        self._http = requests.Session()
        self.stripe = stripe.StripeClient(
            "sk_test_story",
            base_addresses={"api": url},
            http_client=stripe.RequestsClient(session=self._http),
        )
        self._told: set[str] = set()

    # --- people ----------------------------------------------------------------------------

    def customer(
        self,
        *,
        amount: int = 4900,
        currency: str = "usd",
        card: str = "pm_card_visa",
        email_address: str = "ann@example.com",
        **more: Any,
    ) -> Customer:
        """Subscribe a customer monthly; the first payment goes through."""
        v1 = self.stripe.v1
        price = v1.prices.create(
            {
                "currency": currency,
                "unit_amount": amount,
                "recurring": {"interval": "month"},
                "product_data": {"name": "Pro"},
            }
        )
        known = v1.customers.create({"email": email_address, "name": "Ann Lee", **more})
        method = v1.payment_methods.attach(card, {"customer": known.id})
        v1.customers.update(
            known.id, {"invoice_settings": {"default_payment_method": method.id}}
        )
        subscription = v1.subscriptions.create(
            {"customer": known.id, "items": [{"price": price.id}]}
        )
        return Customer(id=known.id, subscription=subscription.id)

    def next_charges(self, who: Customer, outcome: Any, times: int = 1) -> None:
        """Say how the customer's next charges end, e.g. {"decline_code": "insufficient_funds"}."""
        self.control(
            "POST", "charges/next", {"customer": who.id, "times": times, "outcome": outcome}
        )

    def failing(self, outcome: Any = None, *, times: int = 1, **more: Any) -> Customer:
        """A customer whose renewal has just failed; time stands at the failure."""
        who = self.customer(**more)
        self.next_charges(who, outcome or {"decline_code": "insufficient_funds"}, times)
        for _ in range(40):
            if self.cases(customer=who.id):
                break
            self.sandbox.advance(seconds=86_400)
        assert self.cases(customer=who.id), "the renewal did not fail"
        self._forget()
        return who

    # --- time ------------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.sandbox.world.now, UTC)

    def passes(
        self, *, days: float = 0, hours: float = 0, expect: list[str] | None = None
    ) -> list[str]:
        """Move time; what happened meanwhile must be exactly what was expected, in this order."""
        span = timedelta(days=days, hours=hours)
        self.sandbox.advance(seconds=int(span.total_seconds()))
        happened = self.happened()
        if expect is not None:
            assert happened == expect, f"expected {expect}, but {happened} happened"
        return happened

    def settle(self) -> list[str]:
        """Let everything that is due now be done, without moving time by more than a second."""
        return self.passes(hours=1 / 3600)

    def happened(self) -> list[str]:
        """Steps that ended and product calls that arrived since last asked, in order of time."""
        with transaction(self.program.engine) as session:
            steps = session.exec(
                select(StepRow).where(col(StepRow.state) == "ended", StepRow.kind != "reconcile")
            ).all()
            calls = session.exec(select(OutboxRow).where(col(OutboxRow.state) == "sent")).all()
        news = [(row.ended_at, row.key, _story_of(row)) for row in steps]
        news += [(row.created_at, row.key + "@", f"product {row.type}") for row in calls]
        fresh = sorted((at, key, text) for at, key, text in news if at and key not in self._told)
        self._told.update(key for _, key, _ in fresh)
        return [text for _, _, text in fresh]

    def _forget(self) -> None:
        self.happened()

    # --- looking ---------------------------------------------------------------------------

    def session(self) -> Any:
        """A transaction on the program's database."""
        return transaction(self.program.engine)

    def cases(self, **filters: str) -> list[dict[str, Any]]:
        """The cases as `cases list --format json` shows them."""
        with transaction(self.program.engine) as session:
            rows = session.exec(select(CaseRow).order_by(col(CaseRow.opened_at))).all()
            return [
                told
                for told in (summary(row) for row in rows)
                if all(told[name] == value for name, value in filters.items())
            ]

    def case(self, who: Customer) -> dict[str, Any]:
        """The customer's only case."""
        (one,) = self.cases(customer=who.id)
        return one

    def invoice(self, who: Customer) -> Any:
        """The invoice of the customer's only case, as the provider has it."""
        return self.stripe.v1.invoices.retrieve(self.case(who)["invoice"])

    def entries(self, who: Customer) -> list[tuple[str, str, int]]:
        """What the ledger says of the customer: debit, credit, amount."""
        with transaction(self.program.engine) as session:
            rows = session.exec(
                select(EntryRow)
                .where(EntryRow.case_id == self.case(who)["id"])
                .order_by(col(EntryRow.id))
            ).all()
        return [(row.debit, row.credit, row.amount) for row in rows]

    def balances(self, who: Customer) -> dict[str, int]:
        """The accounts of the customer's case that are not empty; `owed` left out."""
        sums: dict[str, int] = {}
        for debit, credit, amount in self.entries(who):
            sums[credit] = sums.get(credit, 0) + amount
            sums[debit] = sums.get(debit, 0) - amount
        sums.pop("owed", None)
        return {account: amount for account, amount in sums.items() if amount}

    def emails(self) -> list[str]:
        """The templates of the messages sent, in order."""
        with transaction(self.program.engine) as session:
            rows = session.exec(select(MessageRow).order_by(col(MessageRow.at))).all()
        return [row.template for row in rows if row.state == "sent"]

    def charges_paid(self, who: Customer) -> int:
        """How many charges of this customer's failed invoice went through, by Stripe's own books."""
        books = self.control("GET", "books")
        invoice = self.case(who)["invoice"]
        return int(books["invoices"][invoice]["successful_charges"])

    def close(self) -> None:
        """Let go of the story's own connections."""
        self._http.close()

    def control(self, method: str, path: str, body: Any = None) -> Any:
        """Call the sandbox's control API."""
        answer = self._http.request(
            method, f"{self.stripe_url}/_sandbox/{path}", json=body, timeout=30
        )
        assert answer.ok, answer.text
        return answer.json()


def _story_of(row: StepRow) -> str:
    name = row.key.partition("/")[2]
    if row.kind == "email" and row.result == "done":
        return f"email {row.template}"
    if row.result in ("done", None):
        done = {"retry": "paid"}.get(row.kind)
        return f"{name} {done}" if done else name
    return f"{name} {row.result}"


@contextmanager
def world_on(
    database_url: str,
    folder: Path,
    *,
    policy: str | None = None,
    environ: dict[str, str] | None = None,
    start: datetime = START,
    **sandbox_options: Any,
) -> Iterator[World]:
    """Start a world on a migrated, empty database."""
    with ExitStack() as stack:
        sandbox = Sandbox(
            seed=1, start=int(start.timestamp()), **{"tick": 60, **sandbox_options}
        )
        url = stack.enter_context(sandbox.serve())
        mailbox, product = Mailbox(), Product()
        env = {
            "DUNNING_DATA": str(folder),
            "DUNNING_DATABASE_URL": database_url,
            "DUNNING_SANDBOX_URL": url,
            "DUNNING_SMTP_URL": stack.enter_context(mailbox.serve()),
            "DUNNING_MAIL_FROM": "billing@example.com",
            "DUNNING_COMPANY": "Example Ltd",
            "DUNNING_PRODUCT_WEBHOOK_URL": stack.enter_context(product.serve()),
            "DUNNING_PRODUCT_WEBHOOK_SECRET": PRODUCT_SECRET,
            "STRIPE_API_KEY": "sk_test_story",
            "STRIPE_WEBHOOK_SECRET": SECRET,
            **(environ or {}),
        }
        settings = load_settings(env, folder)
        program = assemble(settings, environ=env, policy_text=policy)
        listener = socket.create_server(("127.0.0.1", 0))
        address = stack.enter_context(running(Up(program), listener))
        sandbox.add_webhook(f"{address}/webhooks/stripe", SECRET)
        world = World(program, sandbox, url, mailbox, product)
        stack.callback(world.close)
        yield world
