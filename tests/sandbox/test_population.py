"""The simulated customers: the stated mix, curves that mean something, the same in every run."""

from __future__ import annotations

import json
import smtplib
from collections import Counter
from email.message import EmailMessage
from typing import Any
from urllib.parse import urlsplit

import pytest
import stripe

from dunning.sandbox import Sandbox, curves
from dunning.sandbox.mailbox import Mailbox
from dunning.sandbox.people import BEHAVIOURS, PLANS, make_people
from dunning.sandbox.population import Population
from tests.sandbox.helpers import DAY, HOUR, Follower, Receiver, call, sdk

NEW_YORK = "America/New_York"


def test_every_class_appears_among_two_hundred() -> None:
    people = make_people(200, 7, 28, 0.5)
    failing = [person for person in people if person.fails]
    assert len(failing) == 100
    declines = Counter(person.decline for person in failing)
    assert declines == {code: round(share * 100) for code, share in curves.MIX.items()}
    behaviours = Counter(person.behaviour for person in failing)
    assert behaviours == {name: round(share * 100) for name, share in BEHAVIOURS.items()}
    updated = [person for person in failing if person.behaviour == "updater"]
    assert all(curves.kind_of(person.decline) == "dead" for person in updated)
    assert len({person.currency for person in people}) == 4
    assert len({person.email for person in people}) == 200
    assert people == make_people(200, 7, 28, 0.5)
    assert people != make_people(200, 8, 28, 0.5)


def test_the_shares_are_whole() -> None:
    assert sum(curves.MIX.values()) == pytest.approx(1)
    assert sum(BEHAVIOURS.values()) == pytest.approx(1)


def test_a_dead_card_never_heals() -> None:
    for code in curves.MIX:
        dead = curves.kind_of(code) == "dead"
        best = max(
            curves.chance(code, failed_at=0, at=at, zone=NEW_YORK, payday=15)
            for at in range(0, 40 * DAY, HOUR)
        )
        assert (best == 0) is dead


def test_payday_is_when_the_money_is_there() -> None:
    failed = 1_767_225_600  # 1 January 2026
    chances = [
        curves.chance(
            "insufficient_funds", failed_at=failed, at=failed + day * DAY, zone="UTC", payday=15
        )
        for day in range(30)
    ]
    assert sorted(chances, reverse=True)[:3] == sorted(chances[14:17], reverse=True)
    assert min(chances[14:17]) > 2 * max(chances[:14])


def test_hammering_a_card_gains_nothing() -> None:
    def once(at: int) -> bool:
        return curves.succeeds(
            1, "c", "i", "do_not_honor", failed_at=0, at=at, zone="UTC", payday=1
        )

    for day in range(3, 20):
        morning = {once(day * DAY + 6 * HOUR + minute * 60) for minute in range(0, 270, 10)}
        assert len(morning) == 1


class Merchant:
    """A very small program that retries and writes, enough to bring a population to life."""

    def __init__(self, url: str, smtp: str, receiver: Receiver) -> None:
        http_client = stripe.RequestsClient(timeout=(3, 20))
        self._client = sdk(url, http_client=http_client)
        self._smtp = urlsplit(smtp)
        self.follower = Follower(url, [], self._work)
        self._plan: dict[int, list[tuple[str, str]]] = {}
        self._seen: set[str] = set()
        # The SDK keeps a connection per thread and closes only that of the thread that asks.
        self.follower.on_end = http_client.close
        receiver.on_event = self._hear

    def _hear(self, event: Any) -> None:
        invoice = event["data"]["object"]
        if event["type"] != "invoice.payment_failed" or invoice["id"] in self._seen:
            return
        self._seen.add(invoice["id"])
        for day in (1, 3, 7, 14, 21):
            self._later(event["created"] + day * DAY, "retry", invoice["id"])
        for day in (0, 3, 7):
            self._later(event["created"] + day * DAY + HOUR, "email", invoice["id"])
        self._later(event["created"] + 25 * DAY, "give_up", invoice["id"])

    def _later(self, at: int, what: str, invoice: str) -> None:
        self._plan.setdefault(at, []).append((what, invoice))
        self.follower.due = sorted({*self.follower.due, at})

    def _work(self, at: int) -> None:
        for what, name in self._plan.pop(at):
            invoice = self._client.v1.invoices.retrieve(name)
            if invoice.status != "open":
                continue
            if what == "retry":
                try:
                    self._client.v1.invoices.pay(name, options={"idempotency_key": f"{name}/{at}"})
                except stripe.CardError:
                    continue
            elif what == "email":
                self._email(str(invoice.customer_email), str(invoice.hosted_invoice_url))
            else:
                assert invoice.parent is not None
                assert invoice.parent.subscription_details is not None
                try:
                    self._client.v1.subscriptions.cancel(
                        str(invoice.parent.subscription_details.subscription)
                    )
                except stripe.InvalidRequestError:
                    continue

    def _email(self, to: str, link: str) -> None:
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = "a@example.com", to, "Please pay"
        message.set_content(f"Your payment failed.\n{link}\n")
        message.add_alternative(f"<a href='{link}'>Pay</a>", subtype="html")
        host, port = str(self._smtp.hostname), self._smtp.port or 0
        with smtplib.SMTP(host, port, local_hostname="localhost") as connection:
            connection.send_message(message)


def _month(receiver: Receiver, customers: int) -> tuple[Any, Population]:
    """A population, a small program and some weeks together."""
    sandbox = Sandbox(seed=7, tick=900)
    sandbox.settings.upcoming_seconds = 0
    mailbox = Mailbox()
    mailbox.attach(sandbox)
    population = Population(sandbox, customers=customers, seed=7, days=20)
    mailbox.feed(population.on_email)
    receiver.got.clear()
    with mailbox.serve() as smtp, sandbox.serve() as url:
        merchant = Merchant(url, smtp, receiver)
        population.install()
        sandbox.add_webhook(receiver.url, "whsec_x", events=["invoice.payment_failed"])
        with merchant.follower:
            sandbox.advance(56 * DAY, timeout=100)
        mails = call(url, "GET", "/_sandbox/mail?format=json").body["data"]
        assert len(mails) == len(mailbox.mails) > 0
        assert mails[0]["links"][0].startswith(url)
        assert "Please pay" in call(url, "GET", "/_sandbox/mail").body
        return sandbox.books(), population


def test_a_population_lives_the_same_life_twice(receiver: Receiver) -> None:
    books, population = _month(receiver, 60)
    again, _ = _month(receiver, 60)
    assert json.dumps(books, sort_keys=True) == json.dumps(again, sort_keys=True)
    failed = [person for person in population.people if person.failed_at is not None]
    assert len(failed) == 30
    paid: Counter[str | None] = Counter()
    for person in failed:
        book = books["invoices"][person.invoice]
        assert book["successful_charges"] <= 1
        paid[book["paid_by"]] += 1
    # Some by our retries, some by the customer, some not at all.
    assert paid["api"] >= 6
    assert paid["customer"] >= 6
    assert paid[None] >= 2
    said = Counter(note.partition(",")[0] for person in failed for _, note in person.notes)
    assert said["followed the link"] >= 5
    assert said["the network updated the card"] >= 1
    assert said["cancelled"] >= 1
    assert said["disputed"] >= 1
    assert said["paid on the hosted page"] >= 1
    for person in failed:
        book = books["invoices"][person.invoice]
        dead = curves.kind_of(person.decline) == "dead"
        if dead and person.behaviour == "passive":
            assert book["paid_by"] is None


def test_some_of_those_who_pay_have_something_ahead() -> None:
    people = make_people(20, 7, 30, 0.5)
    soon = [person for person in people if person.expires_soon]
    assert len(soon) == 2
    assert not any(person.fails for person in soon)
    yearly = [person for person in people if not person.fails and person.plan == len(PLANS) - 1]
    assert yearly
    assert not set(map(id, yearly)) & set(map(id, soon))
