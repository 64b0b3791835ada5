"""`staff …` and `message send-test`: a real mail server, a real chat room, and what goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from dunning.staff import Notice
from dunning.staff.sending import claim, settle, write
from dunning.staff.ways import ChatWay, Outcome
from dunning.store import transaction
from tests.channels import application, mail
from tests.cli.conftest import NOW, Books, Shell
from tests.secrets import MARK


@pytest.fixture
def postbox() -> mail.Postbox:
    return mail.Postbox()


@pytest.fixture
def room() -> application.Application:
    return application.Application()


@pytest.fixture
def ways(shell: Shell, postbox: mail.Postbox, room: application.Application) -> Iterator[Shell]:
    """A command line with both ways set."""
    with ExitStack() as stack:
        smtp = stack.enter_context(mail.serving(postbox))
        hook = stack.enter_context(application.serving(room))
        shell.env(
            DUNNING_SMTP_URL=f"smtp://{smtp}",
            DUNNING_MAIL_FROM="Billing <billing@acme.example>",
            DUNNING_STAFF_EMAIL="ops@acme.example",
            DUNNING_STAFF_WEBHOOK_URL=f"http://{hook}/services/{MARK}",
        )
        yield shell


# --- staff -----------------------------------------------------------------------------------


def test_a_test_goes_every_way(
    ways: Shell, postbox: mail.Postbox, room: application.Application
) -> None:
    assert ways("staff", "test").out == "ops@acme.example: sent\nthe chat room: sent\n"
    assert postbox.message()["subject"] == "[dunning] A test: staff notices get through"
    assert len(room.calls) == 1


def test_a_way_that_does_not_work_is_named(ways: Shell, room: application.Application) -> None:
    room.status = 404
    said = ways("staff", "test", code=1)
    assert said.out == "ops@acme.example: sent\n"
    assert said.complaint == "the chat room: 127.0.0.1 answered 404: ok"


def test_without_a_way_it_says_which_variables(shell: Shell) -> None:
    complaint = shell("staff", "test", code=1).complaint
    assert "DUNNING_STAFF_EMAIL" in complaint
    assert "DUNNING_STAFF_WEBHOOK_URL" in complaint


def test_the_digest_can_be_looked_at(shell: Shell, books: Books) -> None:
    books.failing()
    shell.at(NOW.replace(day=6))
    said = shell("staff", "digest").out
    assert said.startswith("Digest of Monday, 5 January 2026")
    assert "1 opened." in said
    shell("staff", "digest", "--html", "digest.html")
    assert "49.00 (1)" in (shell.folder / "digest.html").read_text()


def test_what_was_given_up_is_listed_and_sent_again(shell: Shell, books: Books) -> None:
    with transaction(books.engine) as session:
        way = ChatWay(lambda _content: Outcome(sent=True))
        write(session, "parked-1", "parked", Notice(title="3 webhooks"), [way], NOW)
    with transaction(books.engine) as session:
        claimed = claim(session, NOW)
    assert claimed is not None
    with transaction(books.engine) as session:
        settle(session, claimed, Outcome(sent=False, why="answered 400", final=True), NOW)
    (told,) = shell("staff", "list", "--dead", "--format", "json").json()["messages"]
    assert (told["state"], told["title"], told["error"]) == ("dead", "3 webhooks", "answered 400")
    assert "3 webhooks (answered 400)" in shell("staff", "list").out
    checks = shell("doctor", "--format", "json", code=1).json()["checks"]
    (found,) = [check for check in checks if check["name"] == "staff"]
    assert found["level"] == "warning"
    assert found["what"] == "1 messages to staff were given up"
    assert "no dead message 99" in shell("staff", "retry", "99", code=1).complaint
    assert shell("staff", "retry").out == "1 message to be sent again.\n"
    assert shell("staff", "list", "--dead", "--format", "json").json()["messages"] == []


# --- message send-test -----------------------------------------------------------------------


def test_one_real_email_with_test_in_its_subject(ways: Shell, postbox: mail.Postbox) -> None:
    ways.env(DUNNING_COMPANY="Acme GmbH", DUNNING_SUPPORT_EMAIL="help@acme.example")
    said = ways(
        "message", "send-test", "payment_failed", "--to", "me@acme.example",
        "--amount", "1234.5", "--currency", "EUR", "--locale", "de",
    )  # fmt: skip
    message = postbox.message()
    assert str(message["subject"]).startswith("[Test] ")
    assert message["to"] == "me@acme.example"
    assert message["reply-to"] == "help@acme.example"
    part = message.get_body(("plain",))
    assert part is not None
    text = part.get_content()
    assert "1.234,50" in text
    assert "Acme GmbH" in text
    assert said.out.startswith("me@acme.example: [Test] ")


def test_a_decline_may_call_for_another_message(ways: Shell, postbox: mail.Postbox) -> None:
    said = ways(
        "message", "send-test", "reminder", "--to", "me@acme.example", "--decline", "expired_card"
    )
    assert "new_card_needed is sent instead of reminder" in said.out
    assert len(postbox.envelopes) == 1


@pytest.mark.parametrize("to", ["ann@example.com", "ANN@Example.com"])
def test_a_customer_is_never_written_to(
    ways: Shell, books: Books, postbox: mail.Postbox, to: str
) -> None:
    books.failing()
    complaint = ways("message", "send-test", "reminder", "--to", to, code=1).complaint
    assert f"{to} is a customer's address" in complaint
    assert postbox.envelopes == []


def test_what_goes_wrong_is_one_line(ways: Shell, postbox: mail.Postbox) -> None:
    def complaint(*arguments: str) -> str:
        return ways("message", "send-test", *arguments, code=1).complaint

    assert "--to" in complaint("reminder", "--to", "nobody")
    assert "nope" in complaint("nope", "--to", "me@acme.example")
    postbox.rcpt = "550 5.1.1 nobody here"
    assert "not sent to me@acme.example: " in complaint("reminder", "--to", "me@acme.example")
    ways.env(DUNNING_SMTP_URL="", DUNNING_STAFF_EMAIL="")
    assert "DUNNING_SMTP_URL is not set" in complaint("reminder", "--to", "me@acme.example")
