"""`mail bounces`, `messages list` and `addresses …`: what came back, and who is not written to."""

from __future__ import annotations

import csv
import io
import mailbox
from pathlib import Path

import pytest
from sqlalchemy import select

from dunning.cli.mail import LATER
from dunning.store import BadAddressRow, MessageRow, transaction
from tests.builders import SOURCE, hours
from tests.channels.bounces import ANSWER, EXIM, TO, complaint, postfix
from tests.cli.conftest import Books, Shell, columns

REASON = "550 5.1.1 <ann@customer.example>: Recipient address rejected: User unknown"


def sent(books: Books, number: int = 2, to: str = TO, state: str = "sent", why: str = "") -> str:
    key = f"case_abc/email:{number}"
    with transaction(books.engine) as session:
        session.add(
            MessageRow(
                step_key=key, case_id="case_abc", source=SOURCE, customer="cus_1",
                template="reminder", recipient=to, locale="en", subject="Your payment",
                state=state, at=hours(1 + number / 10), reference="250 ok", why=why,
            )
        )  # fmt: skip
    return key


@pytest.fixture
def mbox(tmp_path: Path) -> Path:
    box = mailbox.mbox(tmp_path / "bounces")
    for message in (postfix(), ANSWER, postfix(ours="newsletter@acme.example", name="2@x")):
        box.add(message.replace(b"\r\n", b"\n"))
    box.close()
    return tmp_path / "bounces"


def test_a_mailbox_is_read_as_often_as_one_likes(shell: Shell, books: Books, mbox: Path) -> None:
    key = sent(books)
    first = shell("mail", "bounces", "--mbox", str(mbox)).out
    assert "3 messages read, 2 new reports (1 permanent, 1 temporary)." in first
    assert "1 report of emails that are not ours" in first
    assert "1 address marked bad" in first
    again = shell("mail", "bounces", "--mbox", str(mbox), "--format", "json").json()
    assert again["read"] == 3
    assert [one["known"] for one in again["reports"]] == [True, True]
    assert again["reports"][0] == {
        "kind": "permanent",
        "address": TO,
        "message": key,
        "proven": True,
        "marked": False,
        "known": True,
    }
    (bad,) = shell("addresses", "list", "--format", "json").json()
    assert (bad["address"], bad["kind"], bad["by"]) == (TO, "bounce", "dunning")
    assert (bad["message"], bad["why"]) == (key, REASON)


def test_a_maildir(shell: Shell, books: Books, tmp_path: Path) -> None:
    sent(books)
    box = mailbox.Maildir(tmp_path / "Maildir")
    box.add(complaint())
    assert (
        "1 new report (1 complaint)"
        in shell("mail", "bounces", "--maildir", str(tmp_path / "Maildir")).out
    )
    assert columns(shell("messages", "list").out, "STATE") == ["complained"]


def pipe(shell: Shell, message: bytes) -> None:
    shell._patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(message)))


def test_a_pipe_takes_one_message_and_says_nothing(shell: Shell, books: Books) -> None:
    sent(books)
    pipe(shell, b"From MAILER-DAEMON Mon Mar  2 10:00:00 2026\n" + EXIM)
    assert shell("mail", "bounces", "-").out == ""
    assert columns(shell("messages", "list", "--state", "bounced").out, "TO") == [TO]


def test_without_a_database_the_mail_server_is_asked_to_come_again(shell: Shell) -> None:
    pipe(shell, postfix())
    said = shell("mail", "bounces", "-", code=LATER)
    assert "not taken in, try again later" in said.complaint


@pytest.mark.parametrize(
    "arguments",
    [(), ("x",), ("-", "--mbox", "f"), ("--mbox", "none"), ("--maildir", "none")],
)
def test_what_to_read_has_to_be_said(
    shell: Shell, books: Books, arguments: tuple[str, ...]
) -> None:
    assert shell("mail", "bounces", *arguments, code=2).err


def test_messages_in_every_form(shell: Shell, books: Books) -> None:
    bounced = sent(books, 1, state="bounced", why=REASON)
    sent(books, 2)
    sent(books, 3, to="bob@customer.example", state="doubtful", why="the connection broke")
    out = shell("messages", "list").out
    assert columns(out, "STATE") == ["doubtful", "sent", "bounced"]
    (one,) = shell("messages", "list", "--state", "bounced", "--format", "json").json()
    assert (one["message"], one["why"], one["recipient"]) == (bounced, REASON, TO)
    lines = list(csv.DictReader(io.StringIO(shell("messages", "list", "--format", "csv").out)))
    assert [line["state"] for line in lines] == ["doubtful", "sent", "bounced"]
    assert columns(shell("messages", "list", "--limit", "1").out, "STATE") == ["doubtful"]
    for option, good in (("--customer", "cus_1"), ("--case", "case_abc"), ("--source", SOURCE)):
        assert len(shell("messages", "list", option, good, "--format", "json").json()) == 3
        assert shell("messages", "list", option, "none", "--format", "json").json() == []
    assert "No message is complained." in shell("messages", "list", "--state", "complained").out


def test_messages_of_a_case_by_its_invoice(shell: Shell, books: Books) -> None:
    case = books.failing()
    with transaction(books.engine) as session:
        session.add(
            MessageRow(
                step_key=f"{case}/email:1", case_id=case, source=SOURCE, template="t",
                recipient=TO, locale="en", subject="s", state="sent", at=hours(1),
            )
        )  # fmt: skip
    (one,) = shell("messages", "list", "--case", "in_1", "--format", "json").json()
    assert one["case"] == case


def test_an_address_is_marked_and_cleared_by_a_person_on_record(shell: Shell, books: Books) -> None:
    assert "No address is marked bad." in shell("addresses", "list").out
    mark = ("addresses", "mark", "Ann@customer.example", "--why", "asked us", "--by", "eve")
    assert "is marked bad" in shell(*mark).out
    assert "nothing changed" in shell(*mark).out
    assert columns(shell("addresses", "list").out, "ADDRESS") == [TO]
    cleared = shell("addresses", "clear", TO, "--why", "asked us again", "--by", "bob").out
    assert "is good again" in cleared
    assert "No address is marked bad." in shell("addresses", "list").out
    (line,) = csv.DictReader(
        io.StringIO(shell("addresses", "list", "--cleared", "--format", "csv").out)
    )
    assert (line["kind"], line["by"], line["why"]) == ("hand", "eve", "asked us")
    assert (line["cleared_by"], line["cleared_why"]) == ("bob", "asked us again")
    assert "asked us again" in shell("addresses", "list", "--cleared").out


@pytest.mark.parametrize(
    "arguments",
    [
        ("clear", TO, "--why", "x"),
        ("mark", TO, "--why", " "),
        ("mark", "ann", "--why", "x"),
        ("mark", "@", "--why", "x"),
    ],
)
def test_what_makes_no_sense_is_refused(
    shell: Shell, books: Books, arguments: tuple[str, ...]
) -> None:
    said = shell("addresses", *arguments, code=2 if "ann" in arguments or "@" in arguments else 1)
    assert said.err
    with transaction(books.engine) as session:
        assert session.scalars(select(BadAddressRow)).all() == []
