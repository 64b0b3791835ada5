"""Where a webhook may go: not inside unless told, never to where clouds keep credentials."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import pytest

from dunning.channels.webhook import (
    Delivered,
    Failed,
)
from dunning.errors import ConfigError
from tests.channels.application import (
    BODY,
    CERTIFICATE,
    NOW,
    SECRET,
    Application,
    channel,
    server_context,
    serving,
)


def test_https_checks_the_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    application = Application()
    with serving(application, server_context()) as where:
        url = f"https://localhost:{where.partition(':')[2]}/"
        outcome = channel(url, allow_private=True).deliver("msg_1", BODY, NOW)
        assert isinstance(outcome, Failed)
        assert "certificate" in outcome.why.lower()
        assert application.calls == []
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
        outcome = channel(url, allow_private=True).deliver("msg_1", BODY, NOW)
        assert outcome == Delivered(status=200)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "app.example",
        "ftp://app.example/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:25/",
        "https://",
        "https:///path",
        "https://user:s3cret@app.example/",
        "https://s3cret@app.example/",
        "https://app.example/#s3cret",
        "https://app.example:port/",
        "https://app.example:99999/",
        "https://[broken/",
        "https://app.example/a b",
        "https://app.example/\r\nX: y",
        "https://äpp.example/",
    ],
)
def test_what_is_no_webhook_url(url: str) -> None:
    with pytest.raises(ConfigError, match="webhook URL") as caught:
        channel(url)
    assert "s3cret" not in str(caught.value)


INSIDE = [
    "127.0.0.1",
    "127.1.2.3",
    "[::1]",
    "10.0.0.1",
    "192.168.1.1",
    "172.16.0.1",
    "[fd00::1]",
    "100.64.0.1",
    "[64:ff9b::7f00:1]",
    "[::ffff:10.0.0.1]",
]
NEVER = [
    "169.254.169.254",
    "[fe80::1]",
    "[::ffff:169.254.169.254]",
    "[2002:a9fe:a9fe::1]",
    "[64:ff9b::a9fe:a9fe]",
    "0.0.0.0",  # noqa: S104 - that is the point
    "100.100.100.200",
    "168.63.129.16",
    "[fd00:ec2::254]",
    "[::]",
    "224.0.0.1",
    "[ff02::1]",
]
DISGUISED = ["2130706433", "0177.0.0.1", "0x7f.0.0.1", "0x7f000001", "127.1", "127.0.0.1.", "010.1"]


@pytest.mark.parametrize("host", [*INSIDE, *NEVER, *DISGUISED])
def test_https_goes_to_public_addresses_only_unless_told(host: str) -> None:
    with pytest.raises(ConfigError, match=r"webhook"):
        channel(f"https://{host}/")


@pytest.mark.parametrize("host", INSIDE)
def test_our_own_network_is_allowed_on_request(host: str) -> None:
    channel(f"https://{host}/", allow_private=True)
    channel(f"http://{host}/")
    with pytest.raises(ConfigError, match="plain http; use https"):
        channel(f"http://{host}/", allow_http=False)


@pytest.mark.parametrize("host", [*NEVER, *DISGUISED])
def test_some_addresses_are_never_called(host: str) -> None:
    for scheme in ("http", "https"):
        with pytest.raises(ConfigError):
            channel(f"{scheme}://{host}/", allow_private=True)


@pytest.mark.parametrize("host", ["app.example.com", "93.184.215.14", "[2606:2800:220:1::1]"])
def test_plain_http_never_leaves_our_network(host: str) -> None:
    channel(f"https://{host}/")
    with pytest.raises(ConfigError, match="our own network only"):
        channel(f"http://{host}/", allow_private=True)


@pytest.mark.parametrize(
    "host", ["localhost", "app", "app.default.svc.cluster.local", "x.internal"]
)
def test_names_of_our_own_network_may_be_called_over_plain_http(host: str) -> None:
    channel(f"http://{host}:3000/")


@pytest.mark.parametrize(
    ("answers", "called"),
    [
        (["127.0.0.1"], False),
        (["10.0.0.7"], False),
        (["169.254.169.254"], False),
        (["::1"], False),
        (["93.184.215.14", "127.0.0.1"], False),  # one bad apple is enough
        (["93.184.215.14"], True),
    ],
)
def test_a_public_name_that_answers_with_an_inside_address_is_not_called(
    monkeypatch: pytest.MonkeyPatch, answers: list[str], called: bool
) -> None:
    connected: list[str] = []

    def lookup(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in answers]

    def connect(address: tuple[str, int], timeout: float) -> socket.socket:
        connected.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    monkeypatch.setattr(socket, "create_connection", connect)
    outcome = channel("https://app.example.com/").deliver("msg_1", BODY, NOW)
    assert isinstance(outcome, Failed)
    assert connected == (answers if called else [])
    assert ("not one that webhooks may go to" in outcome.why) is not called


def test_the_checked_address_is_the_called_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that changes its answer between check and call (DNS rebinding) is asked once."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def lookup(host: str, *args: Any, **named: Any) -> Any:
        if host == "app.internal":
            asked.append(host)
            return real("127.0.0.1", *args, **named)
        ipaddress.ip_address(host)  # not a name any more
        return real(host, *args, **named)

    application = Application()
    with serving(application) as where:
        monkeypatch.setattr(socket, "getaddrinfo", lookup)
        port = where.partition(":")[2]
        outcome = channel(f"http://app.internal:{port}/").deliver("msg_1", BODY, NOW)
    assert outcome == Delivered(status=200)
    assert asked == ["app.internal"]
    ((_, headers, _),) = application.calls
    assert headers["host"] == f"app.internal:{port}"


def test_nothing_that_is_printed_holds_a_secret() -> None:
    out = channel("https://app.example/hook?token=s3cret", SECRET)
    assert SECRET not in repr(out)
    assert "s3cret" not in repr(out)
    assert out.name == "webhook"
