"""Kept connections: shared, bounded, asked before they are used again, replaced without a loss."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest

from dunning.channels.email import EmailChannel
from dunning.channels.email.pool import ASKED_AFTER, IDLE_SECONDS, MOST_LETTERS
from dunning.core.ports import Bounced, Doubtful, Letter, Sent, Unsent
from tests.channels.mail import LETTER, Postbox, serving
from tests.channels.talking import OK, Answers, Talking, talking
from tests.stages.kit import Together, eventually


class Steady:
    """A clock for the pool that a test moves."""

    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


@contextmanager
def channel_to(where: str, **options: object) -> Iterator[EmailChannel]:
    given = {"timeout": 20, "sleep": lambda _: None, **options}
    with closing(EmailChannel(f"smtp://{where}", **given)) as channel:  # type: ignore[arg-type]
        yield channel


def letter(number: int) -> Letter:
    return replace(LETTER, id=f"case_{number}/email:1", to=f"c{number}@customer.example")


def test_letters_share_one_connection_and_leave_nothing_of_each_other() -> None:
    postbox = Postbox()
    with serving(postbox) as where, channel_to(where) as channel:
        for number in range(5):
            assert isinstance(channel.send(letter(number)), Sent)
    assert [each.rcpt_tos for each in postbox.envelopes] == [
        [f"c{number}@customer.example"] for number in range(5)
    ]
    assert len({id(session) for session in postbox.sessions}) == 1


def test_threads_use_at_most_so_many_connections_and_each_letter_arrives_once() -> None:
    postbox = Postbox()
    with serving(postbox) as where, channel_to(where, connections=3) as channel:
        calls = [lambda number=number: channel.send(letter(number)) for number in range(24)]
        ends = Together(*calls).given
    assert all(isinstance(end, Sent) for end in ends)
    assert sorted(each.rcpt_tos[0] for each in postbox.envelopes) == sorted(
        letter(number).to for number in range(24)
    )
    assert len({id(session) for session in postbox.sessions}) <= 3


def test_who_finds_all_connections_busy_for_too_long_is_told_so() -> None:
    with talking({}) as server, channel_to(server.where, connections=1, timeout=1) as channel:
        line = channel._pool.take()
        ended = channel.send(LETTER)
        assert isinstance(ended, Unsent)
        assert "all 1 connections" in ended.why
        channel._pool.drop(line)
        assert isinstance(channel.send(LETTER), Sent)


def test_a_refused_letter_leaves_the_connection_usable_for_the_next() -> None:
    gone = {"RCPT": [b"550 5.1.1 no such user", OK]}
    with talking(gone) as server, channel_to(server.where) as channel:
        refused = channel.send(letter(1))
        assert isinstance(refused, Bounced)
        assert refused.dead
        assert isinstance(channel.send(letter(2)), Sent)
    assert server.connections == 1
    words = server.words
    assert words[words.index("RCPT") + 1] == "RSET", "what was left open is taken back first"


def test_after_a_pause_the_server_is_asked_whether_it_is_still_there() -> None:
    steady = Steady()
    with talking({}) as server, channel_to(server.where, steady=steady) as channel:
        channel.send(letter(1))
        steady.time += ASKED_AFTER / 2
        channel.send(letter(2))
        assert "RSET" not in server.words
        steady.time += ASKED_AFTER
        channel.send(letter(3))
        assert server.words.count("RSET") == 1
        steady.time += IDLE_SECONDS + 1
        channel.send(letter(4))
    assert server.connections == 2
    assert server.taken == 4


@pytest.mark.parametrize("moment", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("answer", [None, b"421 4.3.2 closing"])
def test_a_kept_connection_that_dies_is_replaced_and_the_letter_goes_once(
    moment: str, answer: bytes | None
) -> None:
    second = {moment: [b"354 go" if moment == "DATA" else OK, answer]}
    with talking(second) as server, channel_to(server.where) as channel:
        assert isinstance(channel.send(letter(1)), Sent)
        assert isinstance(channel.send(letter(2)), Sent)
    assert server.connections == 2
    assert server.taken == 2


@pytest.mark.parametrize("moment", ["MAIL", "RCPT", "DATA"])
def test_a_new_connection_that_dies_puts_the_letter_off(moment: str) -> None:
    with talking({moment: [None, None, None]}) as server, channel_to(server.where) as channel:
        assert isinstance(channel.send(LETTER), Unsent)
    assert (server.connections, server.taken) == (1, 0)


def test_what_was_taken_and_not_answered_is_doubtful_and_not_sent_again() -> None:
    with talking({"end": [OK, None]}) as server, channel_to(server.where) as channel:
        assert isinstance(channel.send(letter(1)), Sent)
        assert isinstance(channel.send(letter(2)), Doubtful)
        assert server.taken == 2
        assert isinstance(channel.send(letter(3)), Sent)
    assert (server.connections, server.taken) == (2, 3)


def test_no_connection_carries_letters_for_ever() -> None:
    with talking({}) as server, channel_to(server.where) as channel:
        for number in range(MOST_LETTERS + 1):
            assert isinstance(channel.send(letter(number)), Sent)
    assert server.connections == 2


def test_idle_connections_are_closed_and_all_of_them_at_the_end() -> None:
    steady = Steady()
    with talking({}) as server:
        channel = EmailChannel(f"smtp://{server.where}", steady=steady)
        channel.send(LETTER)
        channel._pool.sweep()
        assert channel._pool.idle == 1
        steady.time += IDLE_SECONDS
        channel._pool.sweep()
        assert channel._pool.idle == 0
        channel.send(LETTER)
        channel.close()
        eventually(lambda: server.words.count("QUIT") == 2)
        channel.send(LETTER)  # one that was under way when it was closed
        eventually(lambda: server.words.count("QUIT") == 3)
        assert channel._pool.idle == 0
    eventually(lambda: not [one for one in threading.enumerate() if type(one) is threading.Timer])


# --- copies for the staff ---------------------------------------------------------------------

COPIED = replace(LETTER, bcc=("archive@acme.example", "Ada@customer.example"))


def test_a_copy_is_an_envelope_recipient_and_never_a_header() -> None:
    postbox = Postbox()
    with serving(postbox) as where, channel_to(where) as channel:
        assert isinstance(channel.send(COPIED), Sent)
    (envelope,) = postbox.envelopes
    assert envelope.rcpt_tos == ["ada@customer.example", "archive@acme.example"]
    assert b"archive" not in (envelope.content or b"")
    assert "Bcc" not in postbox.message()


def rcpt(*answers: bytes | None) -> Answers:
    return {"RCPT": [OK, *answers]}


@pytest.mark.parametrize(
    "answer", [b"550 5.1.1 no archive here", b"451 4.7.1 later", b"421 4.3.2 closing", None]
)
def test_a_refused_copy_does_not_keep_the_letter_from_the_customer(answer: bytes | None) -> None:
    with talking(rcpt(answer)) as server, channel_to(server.where) as channel:
        assert isinstance(channel.send(COPIED), Sent)
    assert server.taken == 1
    assert server.recipients[-1] == ["ada@customer.example"]


def test_a_customer_who_is_refused_has_no_copy_sent_either() -> None:
    with talking({"RCPT": [b"550 5.1.1 no"]}) as server, channel_to(server.where) as channel:
        assert isinstance(channel.send(COPIED), Bounced)
    assert (server.taken, server.words.count("RCPT")) == (0, 1)


def test_an_unusable_copy_address_is_a_fault_of_ours() -> None:
    with talking({}) as server, channel_to(server.where) as channel:
        ended = channel.send(replace(LETTER, bcc=("a@b.example, c@d.example",)))
    assert isinstance(ended, Unsent)
    assert "a copy cannot be sent" in ended.why
    assert isinstance(server, Talking)
    assert server.connections == 0
