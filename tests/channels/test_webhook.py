"""Signed calls: the published vector, and a real HTTP server with good and bad manners."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from dunning.channels.webhook import (
    Delivered,
    Delivery,
    Failed,
    Refused,
    WebhookChannel,
    sign,
    verify,
)
from dunning.errors import ConfigError, SignatureError
from tests.channels.application import (
    BODY,
    NOW,
    OLD_SECRET,
    SECRET,
    Application,
    answered,
    channel,
    raw,
    serving,
)

# --- signatures -------------------------------------------------------------------------------

VECTOR = (
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "msg_p5jXN8AQM9LWM0D4loKWxJek",
    1614265330,
    b'{"test": 2432232314}',
)
VECTOR_SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_vector_of_the_reference_libraries() -> None:
    assert sign(*VECTOR) == VECTOR_SIGNATURE
    secret, message_id, timestamp, body = VECTOR
    assert sign(secret.removeprefix("whsec_"), message_id, timestamp, body) == VECTOR_SIGNATURE


def test_a_secret_may_lack_its_padding() -> None:
    assert sign(SECRET.rstrip("="), "m", 1, b"") == sign(SECRET, "m", 1, b"")


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_short", "whsec_!!!!" * 9, "s3cret" * 40])
def test_what_is_no_secret_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(ConfigError, match="whsec_ and the base64") as caught:
        channel("https://app.example/", secret)
    assert "s3cret" not in str(caught.value)


def test_no_secret_at_all() -> None:
    with pytest.raises(ConfigError, match="at least one"):
        WebhookChannel("https://app.example/", [])


def signed(**changes: str) -> dict[str, str]:
    timestamp = int(NOW.timestamp())
    return {
        "Webhook-Id": "msg_1",
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(SECRET, "msg_1", timestamp, BODY),
    } | changes


def test_verify() -> None:
    verify([SECRET], signed(), BODY, NOW)
    verify([OLD_SECRET, SECRET], signed(), BODY, NOW)
    verify([SECRET], signed(), BODY, NOW + timedelta(seconds=300))
    verify([SECRET], signed(), BODY, NOW - timedelta(seconds=300))
    good = signed()["webhook-signature"]
    others = signed(**{"webhook-signature": f"v1a,xx v1 junk,, v1,AAAA {good}"})
    verify([SECRET], others, BODY, NOW)


@pytest.mark.parametrize(
    ("headers", "body", "seconds", "why"),
    [
        (signed(), BODY + b" ", 0, "no signature matches"),
        (signed(**{"Webhook-Id": "msg_2"}), BODY, 0, "no signature matches"),
        (signed(**{"webhook-timestamp": "1772355601"}), BODY, 0, "no signature matches"),
        (signed(**{"webhook-signature": ""}), BODY, 0, "no signature matches"),
        (signed(**{"webhook-signature": "v1,é"}), BODY, 0, "no signature matches"),
        (signed(), BODY, 301, "300 seconds"),
        (signed(), BODY, -301, "300 seconds"),
        (signed(**{"webhook-timestamp": "soon"}), BODY, 0, "unreadable"),
        ({}, BODY, 0, "missing"),
    ],
)
def test_verify_refuses(headers: dict[str, str], body: bytes, seconds: int, why: str) -> None:
    with pytest.raises(SignatureError, match=why):
        verify([SECRET], headers, body, NOW + timedelta(seconds=seconds))


def test_verify_refuses_another_secret() -> None:
    with pytest.raises(SignatureError, match="no signature matches"):
        verify([OLD_SECRET], signed(), BODY, NOW)


# --- deliveries -------------------------------------------------------------------------------


def test_a_call_is_one_the_application_can_verify() -> None:
    application = Application(status=204)
    with serving(application) as where:
        outcome = channel(f"http://{where}/hook?a=1&b=%20").deliver("case_1/access:1", BODY, NOW)
    assert outcome == Delivered(status=204)
    ((path, headers, body),) = application.calls
    assert path == "/hook?a=1&b=%20"
    assert body == BODY
    assert headers["content-type"] == "application/json"
    assert headers["content-length"] == str(len(BODY))
    assert headers["webhook-id"] == "case_1/access:1"
    assert headers["webhook-timestamp"] == str(int(NOW.timestamp()))
    verify([SECRET], headers, body, NOW)


def test_while_a_secret_is_replaced_either_one_verifies() -> None:
    application = Application()
    with serving(application) as where:
        channel(f"http://{where}/", SECRET, OLD_SECRET).deliver("msg_1", BODY, NOW)
    ((_, headers, body),) = application.calls
    assert len(headers["webhook-signature"].split(" ")) == 2
    verify([SECRET], headers, body, NOW)
    verify([OLD_SECRET], headers, body, NOW)


def test_a_repeated_call_keeps_its_id_and_gets_a_fresh_timestamp() -> None:
    application = Application()
    with serving(application) as where:
        out = channel(f"http://{where}/")
        for minutes in (0, 10):
            out.deliver("msg_1", BODY, NOW + timedelta(minutes=minutes))
    first, second = (headers for _, headers, _ in application.calls)
    assert first["webhook-id"] == second["webhook-id"]
    assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) == 600


@pytest.mark.parametrize(
    ("status", "headers", "outcome"),
    [
        (200, {}, Delivered(status=200)),
        (202, {}, Delivered(status=202)),
        (299, {}, Delivered(status=299)),
        (410, {}, Refused(status=410)),
        (400, {}, Failed(why="the application answered 400")),
        (404, {"retry-after": "9"}, Failed(why="the application answered 404")),
        (500, {}, Failed(why="the application answered 500")),
        (429, {"retry-after": "30"}, Failed(why="the application answered 429", retry_after=30)),
        (503, {"Retry-After": "0"}, Failed(why="the application answered 503", retry_after=0)),
        (503, {"retry-after": "x"}, Failed(why="the application answered 503")),
        (503, {"retry-after": "-1"}, Failed(why="the application answered 503")),
        (503, {"retry-after": "1" * 30}, Failed(why="the application answered 503")),
        (
            503,
            {"retry-after": "999999"},
            Failed(why="the application answered 503", retry_after=86400),
        ),
        (
            503,
            {"retry-after": "Sun, 01 Mar 2026 09:02:00 GMT"},
            Failed(why="the application answered 503", retry_after=120),
        ),
        (
            429,
            {"retry-after": "Sun, 01 Mar 2026 08:00:00"},
            Failed(why="the application answered 429", retry_after=0),
        ),
    ],
)
def test_answers(status: int, headers: dict[str, str], outcome: Delivery) -> None:
    assert answered(status=status, headers=headers) == outcome


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 304])
def test_redirects_are_not_followed(status: int) -> None:
    elsewhere = Application()
    with serving(elsewhere) as other:
        outcome = answered(status=status, headers={"location": f"http://{other}/"})
    assert isinstance(outcome, Failed)
    assert "redirects are not followed" in outcome.why
    assert elsewhere.calls == []


def test_a_huge_answer_is_not_read() -> None:
    began = time.monotonic()
    assert answered(body=b"x" * 50_000_000) == Delivered(status=200)
    assert time.monotonic() - began < 5


def test_what_the_application_says_is_not_repeated() -> None:
    outcome = answered(status=500, body=b"password=hunter2")
    assert "hunter2" not in repr(outcome)


def trickle(head: bytes) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        connection.sendall(head)
        connection.settimeout(0.05)
        for _ in range(100):
            with contextlib.suppress(TimeoutError):
                while connection.recv(1000):
                    pass  # the call itself
                return  # hung up
            connection.sendall(b"x")

    return answer


@pytest.mark.parametrize(
    ("head", "outcome"),
    [
        (b"", Failed),
        (b"HTTP/1.1 20", Failed),
        (b"HTTP/1.1 200 OK\r\nx-slow: ", Delivered),  # the status is what counts
        (b"HTTP/1.1 200 OK\r\n\r\n", Delivered),
    ],
)
def test_an_answer_that_trickles_is_cut_off(head: bytes, outcome: type[Delivery]) -> None:
    began = time.monotonic()
    with raw(trickle(head)) as url:
        result = channel(url, timeout=0.3).deliver("msg_1", BODY, NOW)
        took = time.monotonic() - began
    assert type(result) is outcome
    assert took < 2


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000,
    ],
)
def test_what_is_no_answer_is_a_failure(answer: bytes) -> None:
    with raw(lambda connection: connection.sendall(answer)) as url:
        outcome = channel(url, timeout=2).deliver("msg_1", BODY, NOW)
    assert isinstance(outcome, Failed)
    assert "the call to 127.0.0.1 failed" in outcome.why
    assert outcome.why.isprintable()
    assert len(outcome.why) < 300


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    outcome = channel(f"http://127.0.0.1:{port}/").deliver("msg_1", BODY, NOW)
    assert isinstance(outcome, Failed)
    assert "refused" in outcome.why
    outcome = channel("https://app.nowhere.invalid/").deliver("msg_1", BODY, NOW)
    assert isinstance(outcome, Failed)


def test_the_proxy_variables_of_the_machine_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    assert isinstance(answered(), Delivered)
