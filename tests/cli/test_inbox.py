"""`inbox …`: what came, what was parked, and handling it again."""

from __future__ import annotations

import csv
import io
import json

from dunning.store import InboxRow, transaction
from tests.cli.conftest import Books, Shell, columns
from tests.secrets import SIGNING

IGNORED = json.dumps(
    {"id": "evt_1", "object": "event", "type": "nobody.knows", "created": 1}
).encode()
TELLTALE = json.dumps(
    {
        "id": "evt_2",
        "object": "event",
        "type": "payment_intent.created",
        "data": {
            "object": {
                "id": "pi_1",
                "client_secret": "pi_1_secret_abc",
                "metadata": {"note": "whsec_cli and sk_test_cli", "api_key": "sesame"},
                "hosted_invoice_url": "https://invoice.stripe.com/i/acct_1/open-sesame",
                "description": "\x1b[31mred",
                "amount": 4900,
            }
        },
    }
).encode()


def test_the_list_in_every_form(shell: Shell, books: Books) -> None:
    first = books.webhook("evt_1", "nobody.knows", IGNORED, reason="no such source")
    books.webhook("evt_2", "payment_intent.created", TELLTALE, state="handled")
    told = shell("inbox", "list", "--format", "json").json()
    assert [each["event_id"] for each in told] == ["evt_2", "evt_1"]
    assert told[1]["received_at"] == "2026-01-05T12:00:00Z"
    (line,) = csv.DictReader(
        io.StringIO(shell("inbox", "list", "--state", "parked", "--format", "csv").out)
    )
    assert (line["id"], line["reason"]) == (str(first), "no such source")
    out = shell("inbox", "list", "--limit", "1").out
    assert columns(out, "EVENT") == ["evt_2"]
    assert shell("inbox", "list", "--state", "waiting", "--format", "json").json() == []


def test_an_empty_list_says_what_that_means(shell: Shell, books: Books) -> None:
    assert "No webhook has come yet" in shell("inbox", "list").out
    assert "Nothing is parked" in shell("inbox", "list", "--state", "parked").out
    assert "No webhook is new" in shell("inbox", "list", "--state", "new").out


def test_show_has_the_body_without_its_secrets(shell: Shell, books: Books) -> None:
    row = books.webhook("evt_2", "payment_intent.created", TELLTALE, reason="sk_test_cli told")
    for name in (str(row), "evt_2"):
        said = shell("inbox", "show", name, "--format", "json")
        told = said.json()
        assert told["event_id"] == "evt_2"
        kept = told["body"]["data"]["object"]
        assert kept["amount"] == 4900
        assert kept["client_secret"] == "****"
        page = shell("inbox", "show", name).out
        for secret in ("secret_abc", "sesame", "whsec_cli", "sk_test_cli"):
            assert secret not in said.out
            assert secret not in page
        assert "\x1b" not in page
        assert "dunning inbox replay" in page


def test_a_body_that_is_no_json_is_shown_as_it_is(shell: Shell, books: Books) -> None:
    row = books.webhook("evt_3", "x", b"\xff not json: whsec_cli")
    assert "not json" in shell("inbox", "show", str(row)).out


def test_an_unknown_webhook(shell: Shell, books: Books) -> None:
    for name in ("99", "evt_nobody", "99999999999999999999"):
        assert f"no webhook {name};" in shell("inbox", "show", name, code=1).complaint


def test_replay_handles_it_here_and_now(shell: Shell, books: Books) -> None:
    shell.env(STRIPE_WEBHOOK_SECRET=SIGNING)
    row = books.webhook("evt_1", "nobody.knows", IGNORED, reason="no such source")
    (told,) = shell("inbox", "replay", "evt_1", "--format", "json").json()
    assert (told["id"], told["state"]) == (row, "ignored")
    with transaction(books.engine) as session:
        assert session.get_one(InboxRow, row).state == "ignored"
    assert shell("ledger", "export", "--format", "json").json() == []


def test_what_is_parked_again_is_exit_1(shell: Shell, books: Books) -> None:
    shell.env(STRIPE_WEBHOOK_SECRET=SIGNING)
    books.webhook("evt_1", "nobody.knows", IGNORED)
    books.webhook("evt_3", "x", b"not json")
    told = shell("inbox", "replay", "--parked", "--format", "json", code=1).json()
    assert [each["state"] for each in told] == ["ignored", "parked"]
    assert "parked" in shell("inbox", "replay", "--parked", code=1).out
    assert "no webhook evt_9" in shell("inbox", "replay", "evt_9", code=1).complaint


def test_nothing_to_replay(shell: Shell, books: Books) -> None:
    assert "Nothing is parked" in shell("inbox", "replay", "--parked").out
