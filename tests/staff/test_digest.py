"""The digest: one a day, by the clock of the file's zone, with the figures of the reports."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from dunning.core.events import Bill, InvoiceStatus, StepKind, StepResult
from dunning.reports import recovered
from dunning.reports.scope import Scope
from dunning.store import transaction
from tests.builders import bill, paid
from tests.staff.conftest import Opens
from tests.staff.office import Office, html_of, text_of
from tests.staff.test_alerts import call, change, parked

QUIET = "alerts: none, "
EVENING = datetime(2026, 1, 5, 20, 0, tzinfo=UTC)


def digests(here: Office) -> list[str]:
    return [each for each in here.subjects() if "Digest" in each]


def test_it_comes_every_morning_once(opens: Opens) -> None:
    here = opens("staff: {alerts: none}\n", start=EVENING)
    here.tick(hours=11)  # 07:01
    assert here.rows() == []
    for _ in range(4):
        here.colleague().tick(here.clock.passes(minutes=30))
        here.tick()
    assert digests(here) == ["[dunning] Digest of Monday, 5 January 2026"]
    here.tick(days=1)
    assert digests(here)[1:] == ["[dunning] Digest of Tuesday, 6 January 2026"]
    assert [row.name for row in here.rows() if row.way == "chat"] == [
        "digest-2026-01-05",
        "digest-2026-01-06",
    ]


def test_its_hour_is_that_of_the_zone(opens: Opens) -> None:
    staff = f'staff: {{{QUIET}digest: "07:30", timezone: America/New_York}}\n'
    here = opens(staff, start=EVENING)
    here.tick(hours=16)  # 12:01 UTC, 07:01 there
    assert here.rows() == []
    here.tick(minutes=30)
    assert digests(here) == ["[dunning] Digest of Monday, 5 January 2026"]


def test_after_a_stop_of_days_only_the_last_one_is_sent(opens: Opens) -> None:
    here = opens("staff: {alerts: none}\n", start=EVENING)
    here.tick(days=4)
    assert digests(here) == ["[dunning] Digest of Thursday, 8 January 2026"]


def test_who_starts_after_its_hour_waits_for_the_next(opens: Opens) -> None:
    here = opens("staff: {alerts: none}\n", start=EVENING.replace(hour=9))
    here.fails()
    for _ in range(3):
        here.tick(hours=1)
    assert here.rows() == []


@pytest.mark.parametrize(("empty", "count"), [("send", 1), ("leave_out", 0)])
def test_an_empty_day_says_so_or_is_left_out(opens: Opens, empty: str, count: int) -> None:
    here = opens(f"staff: {{{QUIET}empty_digest: {empty}}}\n", start=EVENING)
    here.tick(hours=13)
    assert len(digests(here)) == count
    for message in here.mails():
        assert "Nothing was opened, recovered or lost." in text_of(message)
        assert "Needs a person" not in text_of(message)


def test_none_is_sent_where_none_is_wanted(opens: Opens) -> None:
    here = opens(f"staff: {{{QUIET}digest: none}}\n", start=EVENING)
    here.tick(hours=13)
    assert here.rows() == []


def test_it_says_what_the_day_brought_in_each_currency(opens: Opens) -> None:
    here = opens("staff: {alerts: none}\n", start=EVENING)
    here.fails(1, 120_000)
    here.fails(2, 50_000, "eur")
    here.fails(3, 7_000, "jpy")
    back = here.fails(4, 30_000)
    here.tell(paid(here.clock.now(), bill_of(4, 30_000), id="evt_paid"))
    here.clock.passes(hours=6)  # the next day, in UTC
    here.fails(5, 9_900)
    here.tick(hours=8)
    said = text_of(here.mails()[0])
    assert "4 opened, 1 recovered." in said
    rows = {line.split()[0]: line.split()[1:] for line in said.splitlines() if line[:2] == "  "}
    assert rows["USD"] == ["1,500.00", "(2)", "300.00", "(1)", "0.00", "–", "1,299.00", "(2)"]
    assert rows["EUR"] == ["500.00", "(1)", "–", "–", "–", "500.00", "(1)"]
    assert rows["JPY"] == ["7,000", "(1)", "–", "–", "–", "7,000", "(1)"]
    assert back not in said
    with transaction(here.program.engine) as session:
        day = EVENING.date()
        told = recovered(session, here.clock.now(), Scope(since=day, until=day, by=("currency",)))
    assert [(row["currency"], row["recovered"]) for row in told.rows] == [("usd", 30_000)]


def bill_of(number: int, amount: int) -> Bill:
    made = bill(amount, status=InvoiceStatus.PAID)
    return replace(made, invoice=f"in_{number}", customer=f"cus_1_{number}")


def test_it_names_who_was_suspended_and_who_will_be(opens: Opens) -> None:
    here = opens("staff: {alerts: none}\n", start=EVENING)
    soon, later = here.fails(1), here.fails(2, 8_000)
    here.clock.passes(hours=5)
    tomorrow = here.fails(3)
    here.clock.passes(days=5)
    afterwards = here.fails(4)
    here.clock.time = datetime(2026, 1, 18, 21, 0, tzinfo=UTC)
    gone = here.fails(5)
    here.step(gone, StepKind.SUSPEND)
    here.clock.time = datetime(2026, 1, 19, 8, 1, tzinfo=UTC)
    here.tick()
    said = text_of(here.mails()[-1])
    assert "Suspended on Sunday 18 January" in said
    after = said.partition("Suspended on Sunday")[2]
    first, _, second = after.partition("To be suspended today, Monday 19 January")
    today, _, next_day = second.partition("To be suspended tomorrow, Tuesday 20 January")
    assert gone in first
    assert soon in today
    assert later in today
    assert today.index(later) < today.index(soon), "the largest first"
    assert tomorrow in next_day
    assert afterwards not in after


def test_it_names_what_waits_for_a_person(opens: Opens) -> None:
    here = opens("staff: {alerts: none}\n", start=EVENING)
    case = here.fails()
    here.step(case, StepKind.RETRY, StepResult.DOUBTFUL, "nobody knows")
    here.add(parked(here, 1), parked(here, 2), call(here, "dead", "answered 410"))
    here.program.breaker.hold("stripe", by="eve", why="an audit", now=here.clock.now())
    here.tick(hours=13)
    message = here.mails()[0]
    waiting = text_of(message).partition("Needs a person")[2]
    for line in (
        r"Sources held                        1         dunning breaker list",
        r"Steps that ended in doubt that day  1         dunning cases list",
        r"Webhooks not understood             2         dunning inbox list --state parked",
        r"Calls to your product given up      1         dunning doctor",
    ):
        assert line in waiting
    assert "Webhooks not understood" in html_of(message)
    assert "Webhooks not understood" in here.chats()[0]["text"]


def test_alerts_and_the_digest_do_not_wait_for_each_other(opens: Opens) -> None:
    here = opens("", start=EVENING)
    here.clock.passes(hours=11, minutes=58)
    here.add(change(here, "held", "all of 8 calls failed"))
    here.tick()
    here.tick(minutes=2)
    assert len(here.subjects()) == 2
