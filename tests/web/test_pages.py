"""What a customer sees who follows the link in a message."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import event as hooks
from sqlalchemy.exc import OperationalError
from sqlmodel import select

from dunning.case_rows import read_facts
from dunning.core.ports import Links, Provider
from dunning.errors import ProviderDownError
from dunning.links import token_for
from dunning.store import CaseRow, transaction
from tests.providers.stripe.bodies import Body, ended_invoice, event, invoice, paid_invoice
from tests.stages.kit import later, named
from tests.web.client import Answer
from tests.web.edge import Edge, served

KEY = "a-key-of-the-tests-that-signs-the-links"
PAY = "https://invoice.stripe.com/i/1"
CARD = "https://invoice.stripe.com/portal/1"


@dataclass
class Pages:
    """A provider that gives links, or does not."""

    name: str = "stripe"
    given: Links | Exception = field(default_factory=lambda: Links(pay=PAY, update_card=CARD))
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def links(self, invoice: str, customer: str | None, *, return_url: str | None) -> Links:
        assert return_url is None
        self.asked.append((invoice, customer))
        if isinstance(self.given, Exception):
            raise self.given
        return self.given

    def close(self) -> None:
        pass


@dataclass
class Desk:
    """A receiver with one case, and its customer."""

    edge: Edge
    pages: Pages

    @property
    def case(self) -> CaseRow:
        with transaction(self.edge.program.engine) as session:
            return session.exec(select(CaseRow)).one()

    def hears(self, body: Body) -> None:
        assert self.edge.hook(named(body)).status == 200
        ids = [row.id for row in self.edge.kept() if row.id is not None]
        self.edge.program.inbox.handle(ids, self.edge.clock.now())

    def follows(self, purpose: str = "pay", *, method: str = "GET") -> Answer:
        return self.edge.request(method, f"/r/{token_for(KEY, self.case.id, purpose)}")


@pytest.fixture
def desk(migrated_url: str, tmp_path: Path) -> Iterator[Desk]:
    """An unpaid invoice whose customer got a link."""
    pages = Pages()
    environ = {"DUNNING_SECRET_KEY": KEY}
    provider = cast("Provider", pages)
    with served(migrated_url, tmp_path, provider=provider, environ=environ) as edge:
        desk = Desk(edge, pages)
        desk.hears(event("invoice.payment_failed", invoice()))
        yield desk


def page(answer: Answer, status: int, title: str) -> None:
    """A page for people, that nobody else keeps and that loads nothing."""
    assert answer.status == status
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert f"<h1>{title}</h1>".encode() in answer.body
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    for leak in (b"case_", b"in_1", b"cus_1", b"ada@example.org", b"Traceback", b"http"):
        assert leak not in answer.body


def test_the_link_leads_to_a_fresh_one_of_the_provider(desk: Desk) -> None:
    answer = desk.follows()
    assert (answer.status, answer.headers["location"]) == (303, PAY)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert desk.pages.asked == [("in_1", "cus_1")]
    desk.pages.given = Links(pay="https://invoice.stripe.com/i/2", update_card=None)
    assert desk.follows().headers["location"] == "https://invoice.stripe.com/i/2"


def test_the_link_for_a_new_card_leads_there_or_to_paying(desk: Desk) -> None:
    assert desk.follows("card").headers["location"] == CARD
    desk.pages.given = Links(pay=PAY, update_card=None)
    assert desk.follows("card").headers["location"] == PAY


def test_a_click_is_known_to_the_case_from_the_first_on(desk: Desk) -> None:
    first = desk.edge.clock.now()
    desk.follows()
    desk.edge.clock.passes(hours=1)
    desk.follows()
    assert read_facts(desk.case).link_opened_at == first


def test_a_program_that_only_looks_has_not_clicked(desk: Desk) -> None:
    answer = desk.follows(method="HEAD")
    assert (answer.status, answer.body) == (303, b"")
    assert read_facts(desk.case).link_opened_at is None


def test_an_invoice_that_is_paid_needs_nothing(desk: Desk) -> None:
    desk.hears(later(event("invoice.paid", paid_invoice()), 600))
    page(desk.follows(), 200, "Already paid")
    page(desk.follows("card"), 200, "Already paid")
    assert desk.pages.asked == []


def test_an_invoice_that_is_void_needs_nothing(desk: Desk) -> None:
    desk.hears(later(event("invoice.voided", ended_invoice("void", "voided_at")), 600))
    page(desk.follows(), 200, "Nothing to pay")
    assert desk.pages.asked == []


@pytest.mark.parametrize(
    "given",
    [
        ProviderDownError("no answer from sk_test_1"),
        Links(pay=None, update_card=None),
        Links(pay="javascript:alert(1)", update_card=None),
        Links(pay="//evil.example.com", update_card=None),
        Links(pay="file:///etc/passwd", update_card=None),
    ],
    ids=["away", "none", "a script", "no scheme", "a file"],
)
def test_without_a_link_to_give_the_customer_is_asked_to_come_again(
    desk: Desk, given: Links | Exception
) -> None:
    desk.pages.given = given
    answer = desk.follows()
    page(answer, 503, "One moment, please")
    assert answer.headers["retry-after"] == "60"


def test_with_the_database_away_as_well(desk: Desk) -> None:
    token = token_for(KEY, desk.case.id, "pay")

    def away(_connection: object) -> None:
        raise OperationalError("BEGIN", {}, Exception("the server is away"))

    hooks.listen(desk.edge.program.engine, "begin", away)
    page(desk.edge.get(f"/r/{token}"), 503, "One moment, please")
    hooks.remove(desk.edge.program.engine, "begin", away)


Spoil = Callable[[str], str]
SPOILT: dict[str, Spoil] = {
    "guessed": lambda _: "rcv_pay_" + "a" * 20 + "_" + "a" * 26,
    "cut": lambda token: token[:-1],
    "changed": lambda token: token[:-1] + ("a" if token[-1] != "a" else "b"),
    "longer": lambda token: token + "a",
    "for another purpose": lambda token: token.replace("_pay_", "_card_"),
    "encoded": lambda token: token.replace("_", "%5F") + "%00",
    "of nobody": lambda _: "x",
    "with markup": lambda _: "%3Cscript%3Ealert(1)%3C/script%3E".replace("/", "%2f"),
    "of an unknown case": lambda _: token_for(KEY, "case_" + "a" * 20, "pay"),
    "of another key": lambda _: token_for("another-key-of-more-than-32-characters", "x", "pay"),
}


@pytest.mark.parametrize("how", SPOILT, ids=list(SPOILT))
def test_any_other_token_says_nothing(desk: Desk, how: str) -> None:
    answer = desk.edge.get(f"/r/{SPOILT[how](token_for(KEY, desk.case.id, 'pay'))}")
    if how == "with markup":
        assert answer.status == 404
        assert b"script>" not in answer.body
    else:
        page(answer, 404, "This link is not complete")
    assert desk.pages.asked == []
    assert read_facts(desk.case).link_opened_at is None


def test_without_a_key_for_links_there_are_none(migrated_url: str, tmp_path: Path) -> None:
    with served(migrated_url, tmp_path) as edge:
        answer = edge.get(f"/r/{token_for(KEY, 'case_' + 'a' * 20, 'pay')}")
        page(answer, 404, "This link is not complete")
