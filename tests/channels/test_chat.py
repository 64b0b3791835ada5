"""A chat room's webhook as a real HTTP server, with good and bad manners."""

from __future__ import annotations

import json
import socket

import pytest

from dunning.channels.chat import ChatChannel, NotPosted, Posted
from dunning.errors import ConfigError
from tests.channels.application import Application, raw, serving
from tests.secrets import MARK

PATH = f"/services/{MARK}InThePath?x=1"


def posted(**answer: object) -> Posted | NotPosted:
    with serving(Application(**answer)) as where:  # type: ignore[arg-type]
        return ChatChannel(f"http://{where}{PATH}").post({"text": "x"})


def test_it_is_json_at_the_address_given() -> None:
    room = Application()
    with serving(room) as where:
        assert ChatChannel(f"http://{where}{PATH}").post({"text": "Zoë"}) == Posted(status=200)
    ((path, headers, body),) = room.calls
    assert path == PATH
    assert headers["content-type"].startswith("application/json")
    assert json.loads(body) == {"text": "Zoë"}


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_message_that_is_wrong_is_not_tried_again(status: int) -> None:
    outcome = posted(status=status, body=b"invalid_payload")
    assert outcome == NotPosted(
        why=f"127.0.0.1 answered {status}: invalid_payload", final=True, retry_after=None
    )


@pytest.mark.parametrize("status", [301, 403, 404, 410, 429, 500, 503])
def test_what_may_pass_or_be_mended_is_tried_again(status: int) -> None:
    outcome = posted(status=status, body=b"", headers={"retry-after": "7"})
    assert outcome == NotPosted(why=f"127.0.0.1 answered {status}", retry_after=7.0)


def test_a_pause_is_an_hour_at_most_and_no_date() -> None:
    outcome = posted(status=429, headers={"retry-after": "99999"})
    assert isinstance(outcome, NotPosted)
    assert outcome.retry_after == 3600
    outcome = posted(status=429, headers={"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"})
    assert isinstance(outcome, NotPosted)
    assert outcome.retry_after is None


def hangs_up(connection: socket.socket) -> None:
    connection.recv(10)


def babbles(connection: socket.socket) -> None:
    connection.recv(10)
    connection.sendall(b"this is no HTTP\r\n\r\n")


def says_nothing(connection: socket.socket) -> None:
    while connection.recv(1000):
        pass


@pytest.mark.parametrize("manner", [hangs_up, babbles, says_nothing])
def test_a_room_that_does_not_answer(manner: object) -> None:
    with raw(manner) as where:  # type: ignore[arg-type]
        outcome = ChatChannel(f"{where}{MARK}", timeout=0.5).post({"text": "x"})
    assert isinstance(outcome, NotPosted)
    assert outcome.why.startswith("the call to 127.0.0.1 failed: ")
    assert not outcome.final
    assert MARK not in outcome.why


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    outcome = ChatChannel(f"http://127.0.0.1:{port}/{MARK}").post({"text": "x"})
    assert isinstance(outcome, NotPosted)


@pytest.mark.parametrize("url", [f"ftp://{MARK}/", f"https:///{MARK}", f"https://[{MARK}"])
def test_an_address_that_is_none_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ChatChannel(url)
    assert MARK not in str(caught.value)
