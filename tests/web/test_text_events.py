"""What the provider of texts tells of them: believed when it is signed, and counted once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlencode

import pytest
from sqlmodel import select

from dunning import returns
from dunning.channels.texting.receipts import signature
from dunning.store import BadAddressRow, MessageRow, ReturnRow, transaction
from tests.phones import ACCOUNT, TOKEN
from tests.web.client import Answer
from tests.web.edge import Edge, served

TO = "+4512345678"
SID = "SM0123456789abcdef0123456789abcdef"
PUBLIC = "https://pay.example.com/billing"


@pytest.fixture
def edge(migrated_url: str, tmp_path: Path) -> Iterator[Edge]:
    more = {
        "DUNNING_SMS_URL": f"twilio://{ACCOUNT}:{TOKEN}@api.twilio.com",
        "DUNNING_SMS_FROM": "+15005550006",
        "DUNNING_PUBLIC_URL": PUBLIC,
    }
    with served(migrated_url, tmp_path, environ=more) as edge:
        yield edge


def sent(edge: Edge) -> None:
    """A text is on record."""
    with transaction(edge.program.engine) as session:
        now = edge.program.clock.fresh()
        row = MessageRow(
            step_key="case_a/sms:1", case_id="case_a", source="stripe", template="sms_reminder",
            recipient=TO, locale="en", subject="", state="sent", at=now, channel="sms",
            reference=SID,
        )  # fmt: skip
        returns.keep(session, row, now)


def tells(edge: Edge, token: str = TOKEN, **more: str) -> Answer:
    told = {"MessageSid": SID, "MessageStatus": "undelivered", "To": TO, "ErrorCode": "", **more}
    given = signature(f"{PUBLIC}/texts/twilio", list(told.items()), token)
    headers: Mapping[str, str] = {"X-Twilio-Signature": given.decode()}
    return edge.post("/texts/twilio", urlencode(told).encode(), dict(headers))


def found(edge: Edge) -> tuple[str, list[str], list[str]]:
    with transaction(edge.program.engine) as session:
        row = session.get_one(MessageRow, "case_a/sms:1")
        kept = [one.kind for one in session.exec(select(ReturnRow)).all()]
        return row.state, kept, [one.why for one in session.exec(select(BadAddressRow)).all()]


@pytest.mark.parametrize("before", [False, True], ids=["after", "before"])
def test_a_text_that_failed_is_marked_and_so_is_a_dead_number(edge: Edge, before: bool) -> None:
    """Also where it is told before the text is on record."""
    if not before:
        sent(edge)
        assert tells(edge, MessageStatus="delivered").status == 200
        assert found(edge) == ("sent", [], [])
    for _ in range(2):
        assert tells(edge, ErrorCode="21610").status == 200
    if before:
        sent(edge)
    assert found(edge) == ("bounced", ["permanent"], ["the customer has texted STOP (21610)"])


def test_a_text_that_did_not_arrive_says_little_of_its_number(edge: Edge) -> None:
    sent(edge)
    assert tells(edge, MessageSid=f"SM{'9' * 32}").status == 200  # another program's
    assert found(edge)[::2] == ("sent", [])
    assert tells(edge, ErrorCode="30003").status == 200
    assert found(edge) == ("bounced", ["temporary", "temporary"], [])


def test_what_is_not_signed_is_refused(edge: Edge) -> None:
    sent(edge)
    assert tells(edge, token="another").status == 401
    assert edge.post("/texts/twilio", b"MessageSid=x", {}).status == 401
    assert edge.post("/texts/twilio", b"\xff", {}).status == 400
    assert edge.post("/texts/others", b"", {}).status == 404
    assert found(edge) == ("sent", [], [])
