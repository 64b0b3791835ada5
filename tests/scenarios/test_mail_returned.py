"""Emails that come back, addresses that nobody is at, and copies for the staff."""

from __future__ import annotations

import pytest
from sqlmodel import select

from dunning import addresses
from dunning.channels.returned.reports import read
from dunning.returns import take
from dunning.store import BadAddressRow, ReturnRow, transaction
from tests.channels.bounces import postfix
from tests.scenarios.conftest import Begin
from tests.world import World

GONE = "550 5.1.1 no such user"


def marks(world: World) -> list[tuple[str, str, str | None]]:
    with transaction(world.program.engine) as session:
        rows = session.scalars(select(BadAddressRow)).all()
        return [(row.address, row.kind, row.reference) for row in rows]


def test_an_address_that_the_mail_server_says_is_dead_is_marked_bad(world: World) -> None:
    ann = world.customer(email="Gone@example.com")
    world.declines(ann, times=2)
    world.mailbox.refuse_to = {"Gone@example.com": GONE}
    world.renewal(ann)
    assert world.happened() == ["product case.opened", "email:1 skipped"]
    (row,) = world.messages()
    assert (row.state, row.why) == ("bounced", f"the recipient was refused: {GONE}")
    assert marks(world) == [("gone@example.com", "refused", row.step_key)]
    world.passes(days=1, expect=["retry:1 declined"])


@pytest.mark.parametrize(
    "answer", ["550 5.7.1 we do not like you", "552 5.2.2 mailbox full", "550 what?"]
)
def test_an_answer_that_is_not_about_the_address_marks_nothing(world: World, answer: str) -> None:
    ann = world.customer()
    world.declines(ann, times=2)
    world.mailbox.refuse_to = {"ann@example.com": answer}
    world.renewal(ann)
    assert world.happened() == ["product case.opened", "email:1 skipped"]
    assert marks(world) == []


def test_a_bounce_of_the_message_that_was_sent_finds_it_again(world: World) -> None:
    world.failing(times=2)
    (message,) = world.mailbox.messages
    (row,) = world.messages()
    assert row.state == "sent"
    bounce = postfix(to="ann@example.com", ours=str(message["Message-ID"]).strip("<>"))
    with transaction(world.program.engine) as session:
        (told,) = read(bounce)
        taken = take(session, told, "mailbox", world.now)
    assert (taken.step_key, taken.proven, taken.marked) == (row.step_key, True, True)
    assert [one.state for one in world.messages()] == ["bounced"]
    assert marks(world) == [("ann@example.com", "bounce", row.step_key)]
    with transaction(world.program.engine) as session:
        assert session.scalars(select(ReturnRow)).one().via == "mailbox"
        addresses.clear(session, "ann@example.com", by="eve", why="mended", now=world.now)
    world.passes(days=1, expect=["retry:1 declined"])


def test_staff_get_a_copy_that_the_customer_does_not_see(begin: Begin) -> None:
    settings = {
        "DUNNING_MAIL_BCC": "archive@example.com, boss@example.com",
        "DUNNING_MAIL_REPLY_TO": "Accounts <accounts@example.com>",
    }
    world = begin(environ=settings)
    world.mailbox.refuse_to = {"boss@example.com": GONE}
    world.failing()
    (message,) = world.mailbox.messages
    assert world.mailbox.copies == [["archive@example.com"]]
    assert message["Reply-To"] == "Accounts <accounts@example.com>"
    assert "archive" not in message.as_string()
    assert [row.state for row in world.messages()] == ["sent"]
    assert marks(world) == []
    world.passes(days=1, expect=["retry:1 paid", "product case.recovered", "email recovered"])
