"""`adopt`: the plan and the real thing, for people and for programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import requests
import stripe
from sqlmodel import select

from dunning.catching_up import EVERY
from dunning.sandbox.sandbox import Sandbox
from dunning.store import CaseRow, CatchUpRow, transaction
from tests.cli.conftest import NOW, Books, Shell, columns
from tests.secrets import API_KEY, SIGNING

DAY = 86_400


@pytest.fixture
def sandbox(shell: Shell) -> Iterator[Sandbox]:
    made = Sandbox(seed=1)
    with made.serve():
        shell.env(DUNNING_SANDBOX_URL=made.url, STRIPE_WEBHOOK_SECRET=SIGNING)
        yield made


def estate(sandbox: Sandbox, number: int = 2, *, days: int = 20) -> list[str]:
    """So many invoices that were charged in vain so many days ago, before anybody listened."""
    with requests.Session() as session:
        client = stripe.StripeClient(
            API_KEY,
            base_addresses={"api": sandbox.url},
            http_client=stripe.RequestsClient(session=session),
        )
        made = [_unpaid(client.v1, one) for one in range(number)]
    sandbox.advance(seconds=days * DAY)
    return made


def _unpaid(api: stripe.V1Services, number: int) -> str:
    who = api.customers.create({"email": f"ann{number}@example.com"})
    card = api.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": who.id})
    api.customers.update(who.id, {"invoice_settings": {"default_payment_method": card.id}})
    api.invoice_items.create({"customer": who.id, "amount": 4900, "currency": "usd"})
    bill = api.invoices.create({"customer": who.id, "pending_invoice_items_behavior": "include"})
    api.invoices.finalize_invoice(bill.id)
    with pytest.raises(stripe.CardError):
        api.invoices.pay(bill.id)
    return bill.id


def cases(books: Books) -> list[str]:
    with transaction(books.engine) as session:
        return sorted(row.invoice for row in session.exec(select(CaseRow)).all())


def test_the_plan_writes_nothing_and_the_real_run_does_it_once(
    shell: Shell, books: Books, sandbox: Sandbox
) -> None:
    bills = estate(sandbox)
    plan = shell("adopt", "--dry-run", "--format", "json").json()
    assert cases(books) == []
    assert plan["dry_run"] is True
    assert plan["totals"]["adopted"] == 2
    assert plan["totals"]["amounts"] == {"usd": 9800}
    assert sorted(line["invoice"] for line in plan["invoices"]) == sorted(bills)
    (first, _) = plan["invoices"]
    assert (first["day"], first["last_day"], first["next_step"]) == (7.0, 28.0, "retry:3")
    assert {each["step"] for each in first["skipped"]} == {
        "email:1",
        "email:2",
        "retry:1",
        "retry:2",
        # It belongs to no subscription, so there is no access of one to take.
        "restrict:1",
        "suspend:1",
    }
    assert first["suspends_at"] is None
    assert first["failed_at"] < first["next_at"] < first["gives_up_at"]
    done = shell("adopt", "--format", "json").json()
    assert done["totals"]["adopted"] == 2
    assert cases(books) == sorted(bills)
    again = shell("adopt", "--format", "json").json()
    assert (again["totals"]["adopted"], again["totals"]["known"]) == (0, 2)
    assert again["invoices"] == []


def test_the_plan_for_people(shell: Shell, books: Books, sandbox: Sandbox) -> None:
    bills = estate(sandbox)
    out = shell("adopt", "--dry-run").out
    assert sorted(columns(out, "INVOICE")[:2]) == sorted(bills)
    assert out.count("7 of 28") == 2
    assert "2 invoices would be taken over (98.00 USD), 0 with a case already, 0 left out." in out
    assert "2 × it belongs to no subscription" in out
    assert "Nothing was written." in out
    assert "2 invoices taken over (98.00 USD)" in shell("adopt").out
    assert "0 invoices taken over, 2 with a case already, 0 left out." in shell("adopt").out


def test_a_part_of_it_as_csv(shell: Shell, books: Books, sandbox: Sandbox) -> None:
    estate(sandbox, 3)
    told = shell("adopt", "--limit", "2", "--format", "csv").out
    assert [line["outcome"] for line in csv.DictReader(io.StringIO(told))] == ["adopted"] * 2
    assert len(cases(books)) == 2
    late = shell("adopt", "--since", "5d", "--format", "json").json()
    assert late["totals"]["left_out_why"] == {"it failed before --since": 1}
    assert len(cases(books)) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--source", "eu"], 1, "no source 'eu'; there are: stripe"),
        (["--since", "soon"], 2, "'soon' is no time"),
        (["--since", "2999-01-01"], 2, "2999-01-01 lies in the future"),
        (["--spread", "long"], 2, "'long' is no span"),
        (["--spread", "31d"], 2, "at most 30 days"),
        (["--limit", "0"], 2, "--limit"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    shell: Shell, books: Books, sandbox: Sandbox, arguments: list[str], code: int, words: str
) -> None:
    assert words in shell("adopt", *arguments, code=code).complaint
    assert cases(books) == []


def test_without_a_key_nobody_can_be_asked(shell: Shell, books: Books) -> None:
    shell.env(STRIPE_WEBHOOK_SECRET=SIGNING)
    assert "set STRIPE_API_KEY" in shell("adopt", code=1).complaint
    assert "set STRIPE_API_KEY" in shell("adopt", "--source", "stripe", code=1).complaint


# --- what the sweeps tell the doctor -----------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "level", "words"),
    [
        ({"ended_at": NOW}, "ok", "webhooks arrive"),
        ({"ended_at": NOW, "in_a_row": 1}, "ok", "webhooks arrive"),
        (
            {"ended_at": NOW, "in_a_row": 2, "missed_types": "invoice.paid (3)"},
            "warning",
            "webhooks do not arrive",
        ),
        ({"ended_at": NOW, "error": "no answer"}, "warning", "failed: no answer"),
        (
            {"ended_at": NOW - 5 * EVERY},
            "warning",
            "last asked for missed events on 2026-01-05 12:45",
        ),
        ({}, "warning", "never asked for missed events"),
    ],
)
def test_the_doctor_knows_whether_webhooks_arrive(
    shell: Shell, books: Books, values: dict[str, Any], level: str, words: str
) -> None:
    shell.env(STRIPE_WEBHOOK_SECRET=SIGNING)
    with transaction(books.engine) as session:
        since = NOW - timedelta(hours=1)
        session.add(CatchUpRow(source="stripe", kind="sweep", since=since, seen_to=since, **values))
    checks = shell("doctor", "--format", "json", code=0).json()["checks"]
    (told,) = [check for check in checks if check["name"] == "webhooks"]
    assert told["level"] == level
    assert words in told["what"]
