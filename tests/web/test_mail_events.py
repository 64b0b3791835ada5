"""Webhooks of mail services: believed only when they prove who they are, bounded, kept once."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from dunning.store import BadAddressRow, MessageRow, ReturnRow, transaction
from tests.web.client import Answer
from tests.web.edge import Edge, served

KEY = "key-0123456789abcdef"
LOGIN = "postmark:0123456789abcdef"
TO = "ann@customer.example"


@pytest.fixture
def edge(migrated_url: str, tmp_path: Path) -> Iterator[Edge]:
    more = {"DUNNING_MAILGUN_SIGNING_KEY": KEY, "DUNNING_POSTMARK_LOGIN": LOGIN}
    with served(migrated_url, tmp_path, environ=more) as edge:
        with transaction(edge.program.engine) as session:
            now = edge.program.clock.fresh()
            session.add(
                MessageRow(
                    step_key="case_a/email:1", case_id="case_a", source="stripe", template="t",
                    recipient=TO, locale="en", subject="s", state="sent", at=now,
                )
            )  # fmt: skip
        yield edge


def mailgun(key: str = KEY, status: Any = None, **event: Any) -> bytes:
    signed = hmac.new(key.encode(), b"1772445601tok", hashlib.sha256).hexdigest()
    told = {
        "id": "ev-1",
        "event": "failed",
        "severity": "permanent",
        "reason": "bounce",
        "recipient": TO,
        "message": {"headers": {"message-id": "case_a.email.1@acme.example"}},
        "delivery-status": status or {"code": 550, "message": "5.1.1 no such user"},
        **event,
    }
    signature = {"timestamp": "1772445601", "token": "tok", "signature": signed}
    return json.dumps({"signature": signature, "event-data": told}).encode()


def postmark(**told: Any) -> bytes:
    usual = {
        "RecordType": "Bounce",
        "Type": "HardBounce",
        "ID": 42,
        "MessageID": "883953f4",
        "Email": TO,
        "Details": "smtp;550 5.1.1 The email account does not exist",
    }
    return json.dumps({**usual, **told}).encode()


def login(text: str = LOGIN) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}


def post(edge: Edge, service: str, body: bytes, headers: dict[str, str] | None = None) -> Answer:
    return edge.post(f"/mail/{service}", body, headers or {})


def state(edge: Edge) -> str:
    with transaction(edge.program.engine) as session:
        return session.get_one(MessageRow, "case_a/email:1").state


def kept(edge: Edge) -> tuple[list[str], list[str]]:
    with transaction(edge.program.engine) as session:
        returns = [row.kind for row in session.exec(select(ReturnRow)).all()]
        return returns, [row.kind for row in session.exec(select(BadAddressRow)).all()]


@pytest.mark.parametrize(
    ("service", "body", "headers", "became", "found"),
    [
        ("mailgun", mailgun(), {}, "bounced", (["permanent"], ["bounce"])),
        ("mailgun", mailgun(event="complained"), {}, "complained", (["complaint"], ["complaint"])),
        ("mailgun", mailgun(severity="temporary"), {}, "sent", (["delayed"], [])),
        ("mailgun", mailgun(event="delivered"), {}, "sent", ([], [])),
        ("mailgun", mailgun(reason="suppress-bounce", status={"code": 605}), {}, "bounced",
         (["permanent"], ["bounce"])),
        ("postmark", postmark(), login(), "bounced", (["permanent"], ["bounce"])),
        ("postmark", postmark(Details="smtp;554 5.7.1 spam"), login(), "bounced",
         (["temporary"], [])),
        ("postmark", postmark(Type="SpamComplaint"), login(), "complained",
         (["complaint"], ["complaint"])),
        ("postmark", postmark(Type="SoftBounce"), login(), "bounced", (["temporary"], [])),
        ("postmark", postmark(Type="AutoResponder"), login(), "sent", ([], [])),
    ],
)  # fmt: skip
def test_what_a_service_tells(
    edge: Edge,
    service: str,
    body: bytes,
    headers: dict[str, str],
    became: str,
    found: tuple[list[str], list[str]],
) -> None:
    for _ in range(2):
        answer = post(edge, service, body, headers)
        assert (answer.status, json.loads(answer.body)) == (200, {"received": True})
    assert state(edge) == became
    assert kept(edge) == found


@pytest.mark.parametrize(
    ("service", "body", "headers", "status"),
    [
        ("mailgun", mailgun("another-key-0123456789"), {}, 401),
        ("mailgun", b"{}", {}, 401),
        ("mailgun", b"nonsense", {}, 400),
        ("mailgun", b"[" * 50_000, {}, 400),
        ("mailgun", b"[]", {}, 400),
        ("mailgun", b'{"signature": [], "event-data": 7}', {}, 401),
        ("mailgun", b'{"signature": {"signature": "\\u00e9\\ud800"}}', {}, 401),
        ("mailgun", b"x" * 600_000, {}, 413),
        ("postmark", postmark(), {}, 401),
        ("postmark", postmark(), login("postmark:wrong-0123456789"), 401),
        ("postmark", postmark(), {"Authorization": "Bearer x"}, 401),
        ("postmark", b"\xff", login(), 400),
        ("sendgrid", b"{}", {}, 404),
    ],
)
def test_what_is_not_proven_or_not_readable_changes_nothing(
    edge: Edge, service: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    answer = post(edge, service, body, headers)
    assert answer.status == status
    assert b"Traceback" not in answer.body
    assert state(edge) == "sent"
    assert kept(edge) == ([], [])


def test_a_service_that_is_not_set_up_is_not_there(migrated_url: str, tmp_path: Path) -> None:
    with served(migrated_url, tmp_path) as edge:
        assert post(edge, "mailgun", mailgun()).status == 404
        assert post(edge, "postmark", postmark(), login(":")).status == 404
