"""Each alert is told once, by mail and in chat, and nothing of the past is."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text

from dunning.addresses import mark
from dunning.case_rows import locked
from dunning.core.events import StepKind, StepResult
from dunning.store import (
    ActRow,
    BreakerChangeRow,
    InboxRow,
    OutboxRow,
    transaction,
)
from tests.builders import paid
from tests.happenings import promised
from tests.staff.conftest import Opens
from tests.staff.office import ANN, BEN, Office, html_of, text_of

DEAR = "staff: {high_value: [500 USD, 50000 JPY]}\n"


def test_a_case_of_high_value_is_told_by_mail_and_in_chat(opens: Opens) -> None:
    here = opens(DEAR, emails=f"{ANN}, {BEN}")
    here.fails(1, 120_000)
    here.fails(2, 49_999)
    here.told()
    assert (
        here.subjects(ANN) == here.subjects(BEN) == ["[dunning] A payment of 1,200.00 USD failed"]
    )
    (told,) = here.chats()
    assert "A payment of 1,200.00 USD failed" in told["text"]
    assert told["blocks"][0]["type"] == "header"
    assert "cus_1_1" in text_of(here.mails()[0])
    assert "cus_1_1" in html_of(here.mails()[0])
    everything = f"{told}{text_of(here.mails()[0])}{html_of(here.mails()[0])}"
    assert "ann@example.com" not in everything
    for _ in range(3):
        here.tick(minutes=20)
    assert len(here.mails(ANN)) == len(here.chats()) == 1


def test_each_currency_has_its_own_amount_and_others_none(opens: Opens) -> None:
    here = opens(DEAR)
    here.fails(1, 50_000, "jpy")
    here.fails(2, 49_999, "jpy")
    here.fails(3, 900_000, "eur")
    here.told()
    assert here.subjects() == ["[dunning] A payment of 50,000 JPY failed"]


def test_a_segment_says_who_is_of_high_value(opens: Opens) -> None:
    said = "segments: {vip: {tag: vip}}\nstaff: {segment: vip}\n"
    here = opens(said)
    here.fails(1, 100)
    vip = here.fails(2, 200, metadata=(("tags", "vip"),))
    here.told()
    (message,) = here.mails()
    assert vip in text_of(message)
    assert message["subject"] == "[dunning] A payment of 2.00 USD failed"


def test_what_is_paid_before_it_is_told_is_not_told(opens: Opens) -> None:
    here = opens(DEAR)
    here.fails(1, 120_000)
    here.tell(paid(here.clock.now()))  # of another invoice
    with transaction(here.program.engine) as session:
        session.execute(text("UPDATE cases SET amount_at_risk = 0"))
    here.told()
    assert here.mails() == []


def test_a_suspension_is_told(opens: Opens) -> None:
    here = opens()
    case = here.fails()
    here.step(case, StepKind.SUSPEND)
    here.step(here.fails(2), StepKind.SUSPEND, StepResult.SKIPPED)
    here.told()
    assert here.subjects() == ["[dunning] Service of cus_1_1 suspended: 49.00 USD is owed"]


def test_an_outcome_in_doubt_and_a_dead_call_need_a_person(opens: Opens) -> None:
    here = opens()
    case = here.fails()
    here.step(case, StepKind.RETRY, StepResult.DOUBTFUL, "ann@example.com was asked <twice>")
    here.add(call(here, "dead", "answered 410"), call(here, "pending", ""))
    here.told()
    assert here.subjects() == ["[dunning] 2 things need a person"]
    said = text_of(here.mails()[0])
    assert "call case.opened given up" in said
    assert "answered 410" in said
    assert "a…@example.com was asked <twice>" in said
    assert "&lt;twice&gt;" in html_of(here.mails()[0])
    assert "&lt;twice&gt;" in here.chats()[0]["text"]


def call(here: Office, state: str, error: str) -> OutboxRow:
    return OutboxRow(
        key=f"case_{state}/case.opened",
        case_id=f"case_{state}",
        source="stripe",
        type="case.opened",
        state=state,
        error=error,
        created_at=here.clock.now() - timedelta(days=3),
        wake_at=here.clock.now(),
    )


def test_a_parked_webhook_is_told(opens: Opens) -> None:
    here = opens()
    here.add(*(parked(here, number) for number in (1, 2)))
    here.told()
    assert here.subjects() == ["[dunning] 2 webhooks not understood"]
    assert "no invoice in it" in text_of(here.mails()[0])


def parked(here: Office, number: int) -> InboxRow:
    now = here.clock.now()
    return InboxRow(
        id=260105000000000 + number,
        source="stripe",
        event_id=f"evt_parked_{number}",
        type="invoice.payment_failed",
        created_at=now,
        received_at=now,
        wake_at=now,
        handled_at=now,
        body=b"{}",
        state="parked",
        reason="no invoice in it",
    )


def test_a_hold_and_a_release_are_told_each(opens: Opens) -> None:
    here = opens("staff: {every: 1m}\n")
    here.add(change(here, "held", "all of 8 calls failed"))
    here.told()
    here.add(change(here, "released", "well again"))
    here.told()
    assert here.subjects() == [
        "[dunning] Charges and emails of stripe are held",
        "[dunning] Charges and emails of stripe go on",
    ]
    assert "all of 8 calls failed" in text_of(here.mails()[0])
    assert [each["blocks"][0]["text"]["text"][0] for each in here.chats()] == ["🔴", "🟢"]


def change(here: Office, what: str, why: str) -> BreakerChangeRow:
    return BreakerChangeRow(
        source="stripe", change=what, by="dunning", why=why, at=here.clock.now()
    )


def test_a_broken_promise_is_told_and_a_kept_one_is_not(opens: Opens) -> None:
    here = opens()
    until = here.clock.now() + timedelta(days=2)
    for number in (1, 2):
        case = here.fails(number)
        said = promised(here.clock.now(), until)
        with transaction(here.program.engine) as session:
            row = locked(session, case)
            here.program.cases.apply_by_hand(session, row, [said], here.clock.now())
            act = ActRow(case_id=case, act="promise", by="ops", until=until, at=said.at)
            session.add(act)
    with transaction(here.program.engine) as session:
        session.execute(text("UPDATE cases SET amount_at_risk = 0 WHERE invoice = 'in_2'"))
    here.told()
    assert here.mails() == []
    here.tick(days=2)
    here.tick(minutes=2)
    (subject,) = [each for each in here.subjects() if "Digest" not in each]
    assert subject == "[dunning] cus_1_1 promised to pay and did not: 49.00 USD is owed"


def test_an_address_marked_bad_is_told_with_most_of_it_left_out(opens: Opens) -> None:
    here = opens()
    with transaction(here.program.engine) as session:
        why = "550 5.1.1 <ann@example.com>: user unknown"
        mark(session, "ann@example.com", kind="bounce", why=why, now=here.clock.now())
    here.told()
    assert here.subjects() == ["[dunning] Address marked bad: a…@example.com"]
    assert "ann@example.com" not in text_of(here.mails()[0])
    assert "550 5.1.1 <a…@example.com>: user unknown" in text_of(here.mails()[0])


# --- the past --------------------------------------------------------------------------------


def test_the_first_look_at_a_full_database_tells_nothing(opens: Opens) -> None:
    here = opens(DEAR, looked=False)
    case = here.fails(1, 120_000)
    here.step(case, StepKind.SUSPEND)
    here.step(case, StepKind.RETRY, StepResult.DOUBTFUL)
    here.add(parked(here, 1), change(here, "held", "x"), call(here, "dead", "answered 410"))
    here.clock.passes(minutes=1)
    for _ in range(4):
        here.tick(minutes=5)
    assert here.rows() == []
    here.fails(2, 60_000)
    here.told()
    assert here.subjects() == ["[dunning] A payment of 600.00 USD failed"]


def test_an_alert_that_was_off_begins_anew(opens: Opens) -> None:
    here = opens("staff: {alerts: [parked]}\n")
    here.add(change(here, "held", "x"))
    here.told()
    assert here.rows() == []


def test_after_a_long_stop_only_what_is_recent_is_told(opens: Opens) -> None:
    here = opens("staff: {alerts: suspended, digest: none}\n")
    old = here.fails(1)
    here.step(old, StepKind.SUSPEND)
    here.clock.passes(days=5)
    new = here.fails(2)
    here.step(new, StepKind.SUSPEND)
    here.clock.passes(hours=20)
    here.told()
    (message,) = here.mails()
    assert new in text_of(message)
    assert old not in text_of(message)


@pytest.mark.parametrize("minutes", [1, 10])
def test_a_row_that_is_committed_late_is_found_all_the_same(opens: Opens, minutes: int) -> None:
    """Its own time says that it was there before the last look."""
    here = opens("staff: {alerts: suspended}\n")
    here.tick(minutes=30)
    case = here.fails()
    here.clock.passes(minutes=-minutes)
    here.step(case, StepKind.SUSPEND)
    here.clock.passes(minutes=minutes)
    here.told()
    assert len(here.mails()) == 1
    here.told()
    assert len(here.mails()) == 1
