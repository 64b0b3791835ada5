"""`report schedule`: how it stands, what it looks like, and a month sent by hand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from email import policy as email_policy
from email.message import EmailMessage
from email.parser import BytesParser

import pytest

from tests.channels import mail
from tests.cli.conftest import Books, Shell


@pytest.fixture
def postbox() -> mail.Postbox:
    return mail.Postbox()


@pytest.fixture
def finance(shell: Shell, books: Books, postbox: mail.Postbox) -> Iterator[Shell]:
    """A failed payment in January, and it is February; finance has two addresses."""
    books.failing()
    shell.at(datetime(2026, 2, 3, 12, 0, tzinfo=UTC))
    with mail.serving(postbox) as smtp:
        shell.env(
            DUNNING_SMTP_URL=f"smtp://{smtp}",
            DUNNING_MAIL_FROM="Billing <billing@acme.example>",
            DUNNING_FINANCE_EMAIL="ann@acme.example, ben@acme.example",
        )
        yield shell


def test_without_an_address_it_says_how_to_turn_it_on(shell: Shell, books: Books) -> None:
    books.failing()
    out = shell("report", "schedule").out
    assert "Nobody gets it: set DUNNING_FINANCE_EMAIL" in out
    said = shell("report", "schedule", "--send-now", code=1).complaint
    assert said == "nobody gets it: DUNNING_FINANCE_EMAIL is not set"
    assert shell("report", "schedule", "--format", "json").json()["next"] is None


def test_how_it_stands(finance: Shell) -> None:
    out = finance("report", "schedule").out
    assert "ann@acme.example, ben@acme.example" in out
    assert "January 2026, on 2026-02-05 08:00 UTC" in out
    assert "on day 5 of the next one" in out
    assert "Nothing was sent yet" in out
    told = finance("report", "schedule", "--format", "json").json()
    assert told["next"] == {"month": "2026-01", "at": "2026-02-05T08:00:00Z"}


def test_a_month_is_sent_by_hand_and_listed(finance: Shell, postbox: mail.Postbox) -> None:
    out = finance("report", "schedule", "--send-now", "--by", "ann").out
    assert out == "January 2026 to ann@acme.example: sent\nJanuary 2026 to ben@acme.example: sent\n"
    assert len(postbox.envelopes) == 2
    [told] = finance("report", "schedule", "--format", "json").json()["reports"]
    assert (told["month"], told["made_by"], told["statement_digest"]) == ("2026-01", "ann", None)
    assert [one["state"] for one in told["messages"]] == ["sent", "sent"]
    assert "ann asked" in finance("report", "schedule").out
    said = finance("report", "schedule", "--send-now", "--month", "2026-02", code=1).complaint
    assert said == "February 2026 is not over before 2026-03-01 00:00 UTC"


def test_what_does_not_get_through_waits(finance: Shell, postbox: mail.Postbox) -> None:
    postbox.rcpt = "450 later"
    out = finance("report", "schedule", "--send-now", code=1).out
    assert "January 2026 to ann@acme.example: waiting: " in out
    assert "Whoever runs `up` or `dispatch` tries again." in out


def test_it_can_be_looked_at(finance: Shell, postbox: mail.Postbox) -> None:
    out = finance("report", "schedule", "--preview", "month.eml").out
    assert out == "month.eml: Payment recovery in January 2026; nothing was sent\n"
    content = (finance.folder / "month.eml").read_bytes()
    message = BytesParser(policy=email_policy.default).parsebytes(content)
    assert isinstance(message, EmailMessage)
    assert message["to"] == "ann@acme.example"
    names = [part.get_filename() for part in message.iter_attachments()]
    assert names == ["payment-recovery-2026-01.html", "payment-recovery-2026-01.xlsx"]
    finance("report", "schedule", "--preview", "month.html", "--month", "2026-01")
    assert "49.00" in (finance.folder / "month.html").read_text()
    assert postbox.envelopes == []


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--month", "2026-01"], "goes with --send-now or --preview"),
        (["--send-now", "--preview", "a.html"], "either --send-now or --preview"),
        (["--preview", "a.pdf"], "is to end in .eml or .html"),
    ],
)
def test_what_cannot_be_meant_is_refused(shell: Shell, options: list[str], complaint: str) -> None:
    assert complaint in shell("report", "schedule", *options, code=2).complaint
