"""Bursts, many processes, deaths in between, and mail servers and chat rooms that are away."""

from __future__ import annotations

from functools import partial

import pytest

from dunning import crashpoints
from dunning.core.events import StepKind
from dunning.crashpoints import Killed
from dunning.outbox import BACKOFF
from dunning.staff import Notice
from dunning.staff.sending import LEASE, revive
from dunning.staff.ways import Outcome
from dunning.staff.written import AGAIN
from dunning.store import transaction
from tests.staff.conftest import Opens
from tests.staff.office import text_of
from tests.stages.kit import Together

DEAR = "staff: {high_value: [5 USD, 5 EUR], digest: none}\n"


# --- bursts ----------------------------------------------------------------------------------


def test_a_mass_failure_is_one_message(opens: Opens) -> None:
    here = opens(DEAR)
    for number in range(1, 24):
        here.fails(number, 1000 + number)
    for number in range(24, 27):
        here.fails(number, 100_000 + number, "eur")
    here.told()
    assert here.subjects() == ["[dunning] 26 payments of high value failed"]
    said = text_of(here.mails()[0])
    assert "3,000.75 EUR in 3, the largest 1,000.26 EUR; 232.76 USD in 23" in said
    assert "The largest 13 of 26 are shown. See: dunning cases show CASE" in said
    assert "10.23 USD" in said
    assert "10.13 USD" not in said
    assert len(here.chats()) == 1
    assert "26 payments of high value failed" in here.chats()[0]["text"]


def test_the_first_of_a_burst_waits_for_the_others(opens: Opens) -> None:
    here = opens(DEAR)
    here.fails(1, 1000)
    here.tick()
    for number in range(2, 6):
        here.fails(number, 1000)
        here.tick(seconds=10)
    assert here.mails() == []
    here.tick(seconds=21)
    assert here.subjects() == ["[dunning] 5 payments of high value failed"]


def test_of_a_kind_there_is_one_message_in_so_many_minutes(opens: Opens) -> None:
    here = opens("staff: {high_value: 5 USD, every: 30m, digest: none}\n")
    here.fails(1, 1000)
    here.told()
    for number in range(2, 12):
        here.fails(number, 1000)
        here.tick(minutes=2)
    assert len(here.mails()) == 1
    here.tick(minutes=15)
    assert here.subjects()[1:] == ["[dunning] 10 payments of high value failed"]


def test_another_kind_does_not_wait_for_it(opens: Opens) -> None:
    here = opens("staff: {high_value: 5 USD, every: 1h, digest: none}\n")
    case = here.fails(1, 1000)
    here.told()
    here.step(case, StepKind.SUSPEND)
    here.told()
    assert len(here.mails()) == 2


# --- once ------------------------------------------------------------------------------------


def test_many_processes_tell_once(opens: Opens) -> None:
    here = opens(DEAR)
    for number in range(1, 6):
        here.fails(number, 1000)
    others = [here.colleague() for _ in range(4)]
    for _ in range(3):
        now = here.clock.passes(minutes=1)
        done = Together(*(partial(one.tick, now) for one in others))
        assert not done.errors
    assert len(here.mails()) == len(here.chats()) == 1
    assert {row.state for row in here.rows()} == {"sent"}


@pytest.mark.parametrize(
    "point", ["staff.found", "staff.written", "staff.claimed", "staff.sent", "chat.answered"]
)
def test_whoever_dies_anywhere_it_is_told(opens: Opens, point: str) -> None:
    """Before it was sent: once. After that and before it was noted: again, and it says so."""
    here = opens(DEAR)
    here.fails(1, 1000)
    if point != "staff.found":
        here.tick()
    with crashpoints.listening(dies(point)), pytest.raises(Killed):
        here.tick(minutes=2)
    survivor = here.colleague()
    for _ in range(3):
        survivor.tick(here.clock.passes(minutes=2))
    survivor.tick(here.clock.passes(seconds=LEASE.total_seconds()))
    assert {row.state for row in here.rows()} == {"sent"}
    told = (len(here.mails()), len(here.chats()))
    assert told == {"staff.sent": (2, 1), "chat.answered": (1, 2)}.get(point, (1, 1))
    if point == "staff.sent":
        first, second = here.mails()
        assert first["message-id"] == second["message-id"]
        assert AGAIN not in text_of(first)
        assert AGAIN in text_of(second)
    if point == "chat.answered":
        assert [AGAIN in str(each) for each in here.chats()] == [False, True]


def dies(point: str) -> crashpoints.Listener:
    def listen(name: str) -> None:
        if name == point:
            raise Killed

    return listen


# --- away ------------------------------------------------------------------------------------


def test_while_the_room_is_away_mail_goes_and_the_room_hears_later(opens: Opens) -> None:
    here = opens(DEAR)
    here.room.status = 503
    here.fails(1, 1000)
    here.told()
    assert len(here.mails()) == 1
    (waiting,) = [row for row in here.rows() if row.state == "pending"]
    assert (waiting.way, waiting.tries, waiting.error) == ("chat", 1, "127.0.0.1 answered 503: ok")
    here.room.status = 200
    here.tick(seconds=9)
    assert len(here.room.calls) == 1
    here.tick(seconds=2)
    assert len(here.room.calls) == 2
    assert [row.state for row in here.rows()] == ["sent", "sent"]


def test_what_never_gets_through_is_dead_after_days_and_may_be_revived(opens: Opens) -> None:
    here = opens(DEAR, emails="")
    here.room.status = 500
    here.fails(1, 1000)
    here.told()
    for wait in BACKOFF:
        (row,) = here.rows()
        assert row.state == "pending"
        here.tick(seconds=wait.total_seconds() + 1)
    (row,) = here.rows()
    assert (row.state, row.tries) == ("dead", len(BACKOFF) + 1)
    here.room.status = 200
    here.tick(days=1)
    assert here.rows()[0].state == "dead"
    with transaction(here.program.engine) as session:
        assert revive(session, row.id, here.clock.now()) == 1
    here.tick()
    assert here.rows()[0].state == "sent"


def test_a_pause_that_the_room_asks_for_is_kept(opens: Opens) -> None:
    here = opens(DEAR, emails="")
    here.room.status, here.room.headers = 429, {"retry-after": "120"}
    here.fails(1, 1000)
    here.told()
    here.tick(seconds=110)
    assert len(here.room.calls) == 1
    here.tick(seconds=11)
    assert len(here.room.calls) == 2


def test_an_address_that_is_refused_for_good_is_not_tried_again(opens: Opens) -> None:
    here = opens(DEAR, chat=False)
    here.postbox.rcpt = "550 5.1.1 nobody here"
    here.fails(1, 1000)
    here.told()
    (row,) = here.rows()
    assert row.state == "dead"
    assert "550" in row.error


def test_who_is_not_told_any_more_gets_no_old_message(opens: Opens) -> None:
    here = opens(DEAR, chat=False)
    here.postbox.rcpt = "450 later"
    here.fails(1, 1000)
    here.told()
    here.staff.ways = ()
    other = here.colleague()
    other.ways = (Room(),)
    other.tick(here.clock.passes(hours=1))
    (row,) = here.rows()
    assert (row.state, row.error) == ("dead", "nobody is told this way any more")


class Room:
    """Somebody else."""

    name, recipient = "chat", ""

    def send(self, name: str, notice: Notice, *, again: bool) -> Outcome:
        raise AssertionError


def test_nobody_to_tell_and_nothing_is_kept(opens: Opens) -> None:
    here = opens(DEAR, emails="", chat=False)
    here.fails(1, 1000)
    here.told()
    assert here.rows() == []


def test_what_was_told_long_ago_is_let_go_of(opens: Opens) -> None:
    here = opens(DEAR)
    here.fails(1, 1000)
    here.told()
    assert len(here.rows()) == 2
    here.tick(days=91)
    assert here.rows() == []
    here.told()
    assert here.rows() == []


def test_a_database_that_is_away_is_survived(opens: Opens) -> None:
    here = opens(DEAR)
    gone = here.colleague()
    gone._engine = Gone()  # type: ignore[assignment]
    gone.tick(here.clock.now())
    here.fails(1, 1000)
    here.told()
    assert len(here.mails()) == 1


class Gone:
    """A database whose line is cut."""

    def __getattr__(self, name: str) -> object:
        raise OSError(name)
