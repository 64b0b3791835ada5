"""World: the whole program beside a simulated Stripe, on a clock that a story moves.

Everything is real: the adapter speaks to the sandbox over HTTP, webhooks are signed and posted to
the real receiver, mail goes over SMTP, product calls over HTTP, rows into the test's database.
`passes(days=…, expect=[…])` moves time and fails on anything that happened and was not listed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any

import requests
import stripe
from requests.adapters import HTTPAdapter
from sqlmodel import Session, col, select

from dunning.acts import ByHand, Person
from dunning.case_rows import summary
from dunning.exempting import Exemptions
from dunning.processes import Up
from dunning.providers.stripe.acting import StripeProvider
from dunning.sandbox.sandbox import Sandbox
from dunning.store import ActRow, CaseRow, EntryRow, MessageRow, OutboxRow, StepRow, transaction
from dunning.wiring import Program
from tests import secrets
from tests.neighbours import Mailbox, Product

AT_ONCE = ["product case.opened", "email payment_failed"]  # what the default policy does first
GOOD_CARD = "4242424242424242"

# What ends in one second is told in this order.
_RANK = (
    "product case.opened",
    *("retry", "signal", "announce", "restrict", "suspend", "restore", "give_up", "void"),
    *("product", "email", "sms"),
)


@dataclass(slots=True)
class Customer:
    """A subscribed customer of the simulated Stripe."""

    id: str
    subscription: str
    method: str
    renews_at: datetime


class World:
    """One story's world. Times are the sandbox's."""

    def __init__(
        self, up: Up, sandbox: Sandbox, url: str, mailbox: Mailbox, product: Product
    ) -> None:
        self.up = up
        self.program: Program = up.program
        self.sandbox = sandbox
        self.mailbox = mailbox
        self.product = product
        self.leaves: set[str] = set()  # what the story leaves behind on purpose, see invariants
        self.http = requests.Session()
        self.stripe = stripe.StripeClient(
            secrets.API_KEY,
            base_addresses={"api": url},
            http_client=stripe.RequestsClient(session=self.http),
        )
        self._told: set[str] = set()

    # --- people ----------------------------------------------------------------------------

    def customer(
        self,
        *,
        amount: int = 4900,
        currency: str = "usd",
        interval: str = "month",
        product: str | None = None,
        card: str = "pm_card_visa",
        email: str | None = "ann@example.com",
        subscription: dict[str, Any] | None = None,
        **more: Any,
    ) -> Customer:
        """Subscribe a customer; the first payment goes through."""
        v1 = self.stripe.v1
        person: Any = {"name": "Ann Lee", **({"email": email} if email else {}), **more}
        known = v1.customers.create(person)
        method = v1.payment_methods.attach(card, {"customer": known.id})
        v1.customers.update(known.id, {"invoice_settings": {"default_payment_method": method.id}})
        return self.subscribe(
            known.id, method.id, amount, currency, interval, product, subscription
        )

    def subscribe(
        self,
        customer: str,
        method: str,
        amount: int = 4900,
        currency: str = "usd",
        interval: str = "month",
        product: str | None = None,
        more: dict[str, Any] | None = None,
    ) -> Customer:
        """Subscribe a known customer, once more perhaps."""
        terms: Any = {
            "currency": currency,
            "unit_amount": amount,
            "recurring": {"interval": interval},
            **({"product": product} if product else {"product_data": {"name": "Pro"}}),
        }
        price = self.stripe.v1.prices.create(terms)
        wish: Any = {"customer": customer, "items": [{"price": price.id}], **(more or {})}
        made: Any = self.stripe.v1.subscriptions.create(wish)
        end = made["items"]["data"][0]["current_period_end"]
        return Customer(customer, made.id, method, datetime.fromtimestamp(end, UTC))

    def declines(self, who: Customer, outcome: Any = None, *, times: int = 1) -> None:
        """Say how the customer's next charges end: a decline code, or an outcome of the sandbox."""
        outcome = outcome or "insufficient_funds"
        if isinstance(outcome, str) and outcome not in ("succeed", "requires_action", "processing"):
            outcome = {"decline_code": outcome}
        self.sandbox.next_charge(outcome, times=times, customer=who.id)

    def failing(
        self, outcome: Any = None, *, times: int = 1, at_once: list[str] | None = None, **more: Any
    ) -> Customer:
        """A customer whose renewal fails now; `times` of their charges will, this one included."""
        who = self.customer(**more)
        self.declines(who, outcome, times=times)
        self.renewal(who)
        happened = self.happened()
        expected = AT_ONCE if at_once is None else at_once
        assert happened == expected, f"expected {expected} at once, but {happened} happened"
        return who

    def renewal(self, who: Customer) -> None:
        """Move to the moment at which the customer's renewal is charged."""
        hour = self.sandbox.settings.finalize_after
        self.sandbox.advance(to=int(who.renews_at.timestamp()) + hour, timeout=60)

    # --- time ------------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.sandbox.now, UTC)

    def passes(
        self,
        *,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        expect: list[str] | None = None,
    ) -> list[str]:
        """Move time; what happened meanwhile must be exactly what was expected, in this order."""
        span = timedelta(days=days, hours=hours, minutes=minutes)
        # A second more for each day: a year takes its time on a busy machine.
        limit = 60 + span.days
        self.sandbox.advance(seconds=int(span.total_seconds()), timeout=limit)
        happened = self.happened()
        if expect is not None:
            assert happened == expect, f"not {expect}, but {happened} happened:\n{self.record()}"
        return happened

    def settles(self, *, expect: list[str]) -> None:
        """Without moving time, everything that is due is done, and it is this."""
        self.passes(expect=expect)

    def happened(self) -> list[str]:
        """Steps that ended and product calls that arrived since last asked, in order of time."""
        with self.session() as session:
            steps = session.exec(
                select(StepRow).where(col(StepRow.state) == "ended", StepRow.kind != "reconcile")
            ).all()
            calls = session.exec(select(OutboxRow).where(col(OutboxRow.state) == "sent")).all()
        news = [(row.ended_at, _RANK.index(row.kind), row.key, _story_of(row)) for row in steps]
        for call in calls:
            text = f"product {call.type}"
            rank = _RANK.index(text if text in _RANK else "product")
            news.append((call.created_at, rank, f"{call.id:09} {call.key}", text))
        fresh = sorted(one for one in news if one[0] and one[2] not in self._told)
        self._told.update(key for _, _, key, _ in fresh)
        return [text for _, _, _, text in fresh]

    def record(self) -> str:
        """Everything any case did or began, for the reader of a failure."""
        with self.session() as session:
            rows = session.exec(select(StepRow).order_by(col(StepRow.started_at))).all()
            return "\n".join(
                f"{row.started_at:%a %d %b %H:%M} {row.key} {row.state} {row.result} {row.why}"
                for row in rows
            )

    # --- looking ---------------------------------------------------------------------------

    def session(self) -> AbstractContextManager[Session]:
        """A transaction on the program's database."""
        return transaction(self.program.engine)

    def cases(self, **filters: str) -> list[dict[str, Any]]:
        """The cases as `cases list --format json` shows them."""
        with self.session() as session:
            rows = session.exec(select(CaseRow).order_by(col(CaseRow.opened_at))).all()
            return [
                told
                for told in (summary(row) for row in rows)
                if all(told[name] == value for name, value in filters.items())
            ]

    def case(self, who: Customer) -> dict[str, Any]:
        """The only case of the customer's subscription."""
        (one,) = self.cases(customer=who.id, subscription=who.subscription)
        return one

    def state(self, who: Customer) -> tuple[str, str, str | None]:
        """How the case stands: state, access, and why it ended."""
        case = self.case(who)
        return case["state"], case["access"], case["closed_reason"]

    def invoice(self, who: Customer) -> Any:
        """The invoice of the customer's only case, as the provider has it."""
        return self.stripe.v1.invoices.retrieve(self.case(who)["invoice"])

    def step(self, who: Customer, name: str) -> StepRow:
        """A step of the case by its name, such as `retry:1`."""
        with self.session() as session:
            return session.get_one(StepRow, f"{self.case(who)['id']}/{name}")

    def entries(self, who: Customer) -> list[tuple[str, str, int]]:
        """What the ledger says of the customer: debit, credit, amount."""
        with self.session() as session:
            rows = session.exec(
                select(EntryRow)
                .where(EntryRow.case_id == self.case(who)["id"])
                .order_by(col(EntryRow.id))
            ).all()
        return [(row.debit, row.credit, row.amount) for row in rows]

    def entries_of_all(self) -> list[tuple[str, str, int]]:
        """What the ledger says of everybody."""
        with self.session() as session:
            rows = session.exec(select(EntryRow).order_by(col(EntryRow.id))).all()
        return [(row.debit, row.credit, row.amount) for row in rows]

    def exempts(self, customer: str) -> None:
        """Ops take a customer out of dunning."""
        Exemptions(self.program.engine, self.program.cases).exempt("stripe", customer, self.ops)

    def balances(self, who: Customer) -> dict[str, int]:
        """The accounts of the customer's case that are not empty; `owed` left out."""
        sums: dict[str, int] = {}
        for debit, credit, amount in self.entries(who):
            sums[credit] = sums.get(credit, 0) + amount
            sums[debit] = sums.get(debit, 0) - amount
        sums.pop("owed", None)
        return {account: amount for account, amount in sums.items() if amount}

    def how(self, who: Customer) -> list[str]:
        """What brought the money in, by the ledger; what was corrected later left out."""
        with self.session() as session:
            query = select(EntryRow).where(EntryRow.case_id == self.case(who)["id"])
            rows = session.exec(query.order_by(col(EntryRow.id))).all()
        undone = {row.reverses for row in rows}
        came = [row for row in rows if row.credit == "recovered" and not row.reverses]
        return [row.how for row in came if row.debit != "disputed" and row.key not in undone]

    def messages(self) -> list[MessageRow]:
        """What was said to whom, in order."""
        with self.session() as session:
            query = select(MessageRow).order_by(col(MessageRow.at), col(MessageRow.step_key))
            return list(session.exec(query).all())

    def books(self, who: Customer) -> Any:
        """Stripe's own books of the case's invoice."""
        return self.sandbox.books()["invoices"][self.case(who)["invoice"]]

    def tries(self, who: Customer) -> list[str]:
        """Every charge try of the case's invoice by Stripe's books: who made it, how it ended."""
        return [f"{one['by']} {one['outcome']}" for one in self.books(who)["attempts"]]

    # --- acting ----------------------------------------------------------------------------

    @property
    def hands(self) -> ByHand:
        """What ops do by hand."""
        return ByHand(self.program.engine, self.program.cases)

    def hands_on_record(self, who: Customer) -> list[ActRow]:
        """What was done by hand with the customer's case, by whomever."""
        with self.session() as session:
            query = select(ActRow).where(ActRow.case_id == self.case(who)["id"])
            return list(session.exec(query.order_by(col(ActRow.id))).all())

    @property
    def ops(self) -> Person:
        """A person of ops, now."""
        return Person(by="ops", why="a story", now=self.now)

    def control(self, method: str, path: str, body: Any = None) -> Any:
        """Call the sandbox's control API."""
        url = f"{self.sandbox.url}/_sandbox/{path}"
        answer = self.http.request(method, url, json=body, timeout=30)
        assert answer.ok, answer.text
        return answer.json()

    def pays(self, who: Customer, number: str | None = None) -> str:
        """The customer pays on the hosted page; how it ended."""
        return self.sandbox.pays(who.id, self.case(who)["invoice"], number)

    def pays_part(self, who: Customer, amount: int) -> None:
        """The customer pays a part of the invoice."""
        invoice = self.case(who)["invoice"]
        self.control("POST", f"invoices/{invoice}/partial_payment", {"amount": amount})

    @contextmanager
    def stripe_away(self) -> Iterator[None]:
        """Nobody answers at Stripe's address: every connection of the program is refused."""
        provider = self.program.providers["stripe"]
        assert isinstance(provider, StripeProvider)
        session = provider._session
        known = session.get_adapter("http://")
        session.mount("http://", _NobodyThere())
        try:
            yield
        finally:
            session.mount("http://", known)

    def leads_to(self, link: str, who: Customer) -> str:
        """Where the page's button to pay leads: the provider's own page of the invoice."""
        name = str(self.case(who)["id"]).removeprefix("case_")[:10]
        answer = self.http.post(f"{link}/invoice/{name}", allow_redirects=False, timeout=30)
        assert answer.status_code == 303, answer.text
        return str(answer.headers["Location"])

    def link(self, message: EmailMessage) -> str:
        """The first link of ours in a message's text."""
        part = message.get_body(("plain",))
        assert part is not None
        found = re.search(r"https?://\S+/pay/\S+", part.get_content())
        assert found is not None, part.get_content()
        return found[0]


class _NobodyThere(HTTPAdapter):
    """Leads every request to a port on which nobody listens."""

    def send(self, request: requests.PreparedRequest, *args: Any, **more: Any) -> requests.Response:
        request.url = re.sub(r"//[^/]+", "//127.0.0.1:1", request.url or "")
        return super().send(request, *args, **more)


def _story_of(row: StepRow) -> str:
    name = row.key.partition("/")[2]
    if row.kind == "email" and row.result == "done":
        return f"email {row.template}"
    if row.result in ("done", None):
        done = {"retry": "paid"}.get(row.kind)
        return f"{name} {done}" if done else name
    return f"{name} {row.result}"
