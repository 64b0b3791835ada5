"""A customer with a link, a provider of the test's own, and the page between them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

from sqlmodel import col, select

from dunning.case_rows import read_facts
from dunning.core.facts import Case
from dunning.core.ports import Letter, Links, Provider, SendOutcome, Sent, View
from dunning.errors import ProviderDownError
from dunning.links import token_for
from dunning.store import CaseRow, MessageRow, transaction
from tests.providers.stripe.bodies import Body, event, invoice
from tests.stages.kit import named
from tests.web.client import Answer
from tests.web.edge import Edge, served

KEY = "a-key-of-the-tests-that-signs-the-links"
PUBLIC = "https://billing.example.com"
PAY = "https://invoice.stripe.com/i/1"
CARD = "https://invoice.stripe.com/portal/1"
IRELAND = {"country": "IE"}  # whose people read English
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass
class Pages:
    """A provider that gives links and looks at invoices, or does not."""

    name: str = "stripe"
    given: Links | Exception = field(default_factory=lambda: Links(pay=PAY, update_card=CARD))
    view: View | Exception = field(default_factory=lambda: ProviderDownError("away"))
    asked: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    looked: list[str] = field(default_factory=list)

    def links(self, invoice: str, customer: str | None, *, return_url: str | None) -> Links:
        self.asked.append((invoice, customer, return_url))
        if isinstance(self.given, Exception):
            raise self.given
        return self.given

    def look(self, invoice: str) -> View:
        self.looked.append(invoice)
        if isinstance(self.view, Exception):
            raise self.view
        return self.view

    def close(self) -> None:
        pass


@dataclass
class Post:
    """A way out that keeps what it is given, and answers as it is told."""

    name: str = "email"
    answer: SendOutcome = field(default_factory=lambda: Sent(reference="250"))
    letters: list[Letter] = field(default_factory=list)

    def send(self, letter: Letter) -> SendOutcome:
        self.letters.append(letter)
        return self.answer


@dataclass
class Desk:
    """A receiver with one case, and its customer."""

    edge: Edge
    pages: Pages
    post: Post

    @property
    def case(self) -> CaseRow:
        with transaction(self.edge.program.engine) as session:
            return session.exec(select(CaseRow).where(CaseRow.invoice == "in_1")).one()

    @property
    def facts(self) -> Case:
        return read_facts(self.case)

    @property
    def now(self) -> datetime:
        return self.edge.clock.now()

    def messages(self) -> Sequence[MessageRow]:
        with transaction(self.edge.program.engine) as session:
            return session.exec(select(MessageRow).order_by(col(MessageRow.at))).all()

    def hears(self, body: Body) -> None:
        assert self.edge.hook(named(body)).status == 200
        ids = [row.id for row in self.edge.kept() if row.id is not None]
        self.edge.program.inbox.handle(ids, self.now)

    def token(self, purpose: str = "pay", *, key: str = KEY) -> str:
        return token_for(key, self.case.id, purpose, self.now)

    def sees(self, token: str | None = None, more: str = "", **headers: str) -> Answer:
        path = f"/pay/{token or self.token()}{more}"
        lines = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.edge.request("GET", path, headers=lines)

    def presses(self, button: str, token: str | None = None, **fields: str) -> Answer:
        path = f"/pay/{token or self.token()}/{button}"
        return self.edge.post(path, urlencode(fields).encode(), FORM)

    def pays(self, token: str | None = None) -> Answer:
        return self.presses(f"invoice/{self.case.id[5:15]}", token)


@contextmanager
def desk_on(url: str, folder: Path, **more: Any) -> Iterator[Desk]:
    """An unpaid invoice whose customer got a link."""
    pages, post = Pages(), Post()
    environ = {
        "DUNNING_SECRET_KEY": KEY,
        "DUNNING_PUBLIC_URL": PUBLIC,
        "DUNNING_COMPANY": "Example Ltd",
        "DUNNING_SUPPORT_EMAIL": "help@example.com",
        "DUNNING_MAIL_FROM": "Billing <billing@example.com>",
        **more.pop("environ", {}),
    }
    provider = cast("Provider", pages)
    with served(url, folder, provider=provider, mail=post, environ=environ, **more) as edge:
        desk = Desk(edge, pages, post)
        desk.hears(event("invoice.payment_failed", invoice(customer_address=IRELAND)))
        yield desk


def page(answer: Answer, status: int, title: str) -> str:
    """A page for people, that nobody else keeps and that loads nothing; its text."""
    assert answer.status == status, answer
    headers = answer.headers
    assert headers["content-type"] == "text/html; charset=utf-8"
    text = answer.body.decode()
    found = re.search(r"<h1>(.*?)</h1>", text, re.DOTALL)
    assert found is not None
    assert found[1].strip() == title
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-robots-tag"] == "noindex, nofollow, noarchive"
    assert headers["x-content-type-options"] == "nosniff"
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "frame-ancestors 'none'" in policy
    assert "base-uri 'none'" in policy
    assert "unsafe" not in policy
    assert "set-cookie" not in headers
    for leak in ("case_", "in_1", "cus_1", "ada@example.org", "Traceback", "<script", "http"):
        assert leak not in text.replace("http-equiv", "")
    return text
