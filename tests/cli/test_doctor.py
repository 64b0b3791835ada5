"""`doctor`, `migrate` and `reconcile`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
import stripe

from dunning.sandbox.sandbox import Sandbox
from tests.cli.conftest import Books, Shell
from tests.neighbours import Mailbox
from tests.secrets import API_KEY, LINKS, MARK, PRODUCT, SIGNING


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    made = Sandbox(seed=1)
    with made.serve():
        yield made


def levels(said: Any) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for check in said.json()["checks"]:
        found.setdefault(check["name"], set()).add(check["level"])
    return found


def test_all_is_well(shell: Shell, books: Books, redis_url: str, sandbox: Sandbox) -> None:
    mailbox = Mailbox()
    with mailbox.serve() as smtp:
        shell.env(
            STRIPE_API_KEY=API_KEY,
            STRIPE_WEBHOOK_SECRET=SIGNING,
            DUNNING_SANDBOX_URL=sandbox.url,
            DUNNING_BROKER_URL=redis_url,
            DUNNING_SMTP_URL=smtp,
            DUNNING_MAIL_FROM="billing@example.com",
            DUNNING_COMPANY="Example Ltd",
            DUNNING_PUBLIC_URL="https://billing.example.com",
            DUNNING_SECRET_KEY=LINKS,
            DUNNING_PRODUCT_WEBHOOK_URL="https://app.example.com/hook",
            DUNNING_PRODUCT_WEBHOOK_SECRET=PRODUCT,
        )
        said = shell("doctor", "--format", "json")
        found = levels(said)
        # The clock of this story was set; PostgreSQL's was not.
        clock = "ok" if books.engine.dialect.name == "sqlite" else "warning"
        assert found.pop("clock") == {clock}
        assert {level for each in found.values() for level in each} == {"ok"}, said.out
        assert said.json()["ok"] is True
        out = shell("doctor").out
        assert ("All is well." if clock == "ok" else "No error, 1 warning.") in out


def test_without_a_key_it_warns(shell: Shell, books: Books) -> None:
    shell.env(STRIPE_WEBHOOK_SECRET=SIGNING)
    said = shell("doctor", "--format", "json")
    assert levels(said)["source stripe"] == {"ok", "warning"}
    assert "decides and shows, does not act" in said.out
    assert "To do: set STRIPE_API_KEY." in shell("doctor").out


def test_what_is_wrong_is_exit_1(shell: Shell) -> None:
    shell.env(
        DUNNING_DATABASE_URL=f"postgresql://u:{MARK}@127.0.0.1:9/x",
        DUNNING_BROKER_URL=f"redis://:{MARK}@127.0.0.1:9/0",
        DUNNING_SMTP_URL=f"smtp://u:{MARK}@127.0.0.1:9",
        DUNNING_MAIL_FROM="billing@example.com",
        DUNNING_SANDBOX_URL="http://127.0.0.1:9",
        STRIPE_API_KEY=API_KEY,
    )
    found = levels(shell("doctor", "--format", "json", code=1))
    for name in ("database", "broker", "email", "sandbox", "source stripe"):
        assert "error" in found[name], name
    assert "errors" in shell("doctor", code=1).out


def test_no_source_and_no_database_yet(shell: Shell) -> None:
    said = shell("doctor", "--format", "json", code=1)
    assert levels(said)["sources"] == {"error"}
    assert levels(said)["database"] == {"warning"}
    assert not (shell.folder / "dunning-data").exists()


def test_a_database_of_another_version(shell: Shell, database_url: str) -> None:
    shell.env(DUNNING_DATABASE_URL=database_url)
    if database_url.startswith("sqlite"):
        open(database_url.removeprefix("sqlite:///"), "w").close()  # noqa: PTH123
    said = shell("doctor", "--format", "json", code=1)
    assert levels(said)["database"] == {"error"}
    assert "dunning migrate" in said.out


def test_wrong_settings_are_told_one_by_one(shell: Shell) -> None:
    shell.env(DUNNING_DATABSE_URL="x", STRIPE_API_KEY=SIGNING)
    said = shell("doctor", "--format", "json", code=1)
    assert len(said.json()["checks"]) == 2
    assert "Did you mean DUNNING_DATABASE_URL?" in said.out


def test_a_wrong_policy_file_and_a_dangerous_one(shell: Shell, books: Books) -> None:
    file = shell.folder / "p.yaml"
    shell.env(DUNNING_POLICY_FILE=str(file), STRIPE_WEBHOOK_SECRET=SIGNING)
    shell.env(DUNNING_XQZZ="of another program")
    file.write_text("version: 2\n")
    found = levels(shell("doctor", "--format", "json", code=1))
    assert (found["policy file"], found["settings"]) == ({"error"}, {"ok", "warning"})
    file.write_text(
        "version: 1\npolicies:\n  p:\n    grace: 2d\n    window: 4d\n    timeline:\n"
        "      - {at: 2d, do: suspend}\nchoose:\n  - {policy: p}\n"
    )
    assert levels(shell("doctor", "--format", "json"))["policy file"] == {"ok", "warning"}


def test_what_is_parked_is_told(shell: Shell, books: Books) -> None:
    shell.env(STRIPE_WEBHOOK_SECRET=SIGNING)
    books.webhook("evt_1", "x", b"not json")
    assert levels(shell("doctor", "--format", "json"))["inbox"] == {"warning"}


def test_what_is_late_is_told_by_the_limits_of_readiness(shell: Shell, books: Books) -> None:
    shell.env(STRIPE_WEBHOOK_SECRET=SIGNING)
    books.webhook("evt_1", "x", b"{}", state="new")
    shell.env(DUNNING_LATE_EVENT_SECONDS="604800")
    assert "backlog" not in levels(shell("doctor", "--format", "json"))
    shell.env(DUNNING_LATE_EVENT_SECONDS="60")
    assert levels(shell("doctor", "--format", "json"))["backlog"] == {"warning"}


# --- migrate ---------------------------------------------------------------------------------


def test_migrate_makes_the_tables_and_may_be_run_again(shell: Shell, database_url: str) -> None:
    shell.env(DUNNING_DATABASE_URL=database_url)
    assert "(from an empty database)" in shell("migrate").out
    assert "(was there already)" in shell("migrate").out
    assert shell("cases", "list", "--format", "json").json() == []


def test_migrate_where_nothing_answers(shell: Shell) -> None:
    shell.env(DUNNING_DATABASE_URL=f"postgresql://u:{MARK}@127.0.0.1:9/x")
    assert "cannot be reached" in shell("migrate", code=1).complaint


# --- reconcile -------------------------------------------------------------------------------


def test_reconcile_finds_what_was_missed(shell: Shell, books: Books, sandbox: Sandbox) -> None:
    with requests.Session() as session:
        bill_id = _unpaid(sandbox, session)
    shell.env(DUNNING_SANDBOX_URL=sandbox.url, STRIPE_WEBHOOK_SECRET=SIGNING)
    (told,) = shell("reconcile", "--since", "2d", "--format", "json").json()
    assert told["source"] == "stripe"
    assert told["events_new"] == told["events"] > 0
    (case,) = shell("cases", "list", "--format", "json").json()
    assert (case["invoice"], case["amount_at_risk"]) == (bill_id, 4900)
    (again,) = shell("reconcile", "--source", "stripe", "--format", "json").json()
    assert (again["events_new"], again["invoices"]) == (0, 1)
    assert "OPEN INVOICES" in shell("reconcile").out
    assert "events_new" in shell("reconcile", "--format", "csv").out


def _unpaid(sandbox: Sandbox, session: requests.Session) -> str:
    """An invoice that was charged in vain before anybody listened."""
    client = stripe.StripeClient(
        API_KEY,
        base_addresses={"api": sandbox.url},
        http_client=stripe.RequestsClient(session=session),
    )
    api = client.v1
    who = api.customers.create({"email": "ann@example.com"})
    card = api.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": who.id})
    api.customers.update(who.id, {"invoice_settings": {"default_payment_method": card.id}})
    api.invoice_items.create({"customer": who.id, "amount": 4900, "currency": "usd"})
    bill = api.invoices.create({"customer": who.id, "pending_invoice_items_behavior": "include"})
    api.invoices.finalize_invoice(bill.id)
    with pytest.raises(stripe.CardError):
        api.invoices.pay(bill.id)
    return bill.id


def test_reconcile_needs_a_key_a_source_and_a_provider(shell: Shell, books: Books) -> None:
    shell.env(STRIPE_WEBHOOK_SECRET=SIGNING)
    assert "set STRIPE_API_KEY" in shell("reconcile", code=1).complaint
    assert (
        "no source 'eu'; there are: stripe"
        in shell("reconcile", "--source", "eu", code=1).complaint
    )
    assert "'soon' is no time" in shell("reconcile", "--since", "soon", code=2).complaint
    shell.env(DUNNING_SANDBOX_URL="http://127.0.0.1:9")
    assert (
        "the sandbox at http://127.0.0.1:9 does not answer" in shell("reconcile", code=1).complaint
    )
