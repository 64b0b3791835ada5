"""Addresses marked bad: one mark at a time, on record, cleared by people only."""

from __future__ import annotations

import pytest

from dunning import addresses
from dunning.core.addresses import is_dead, normalised, status_in
from dunning.errors import NotFoundError
from dunning.store import BadAddressRow, transaction
from tests.builders import days
from tests.stages.kit import Stage, Together

WHY = "550 5.1.1 no such user"


def marked(stage: Stage, address: str, day: float = 0, kind: str = "bounce") -> bool:
    with transaction(stage.engine) as session:
        return addresses.mark(session, address, kind=kind, why=WHY, now=days(day))


def bad(stage: Stage, address: str) -> BadAddressRow | None:
    with transaction(stage.engine) as session:
        row = addresses.is_bad(session, address)
        if row is not None:
            session.expunge(row)
        return row


def test_a_mark_stands_until_a_person_clears_it(stage: Stage) -> None:
    assert bad(stage, "ann@example.com") is None
    assert marked(stage, "Ann@Example.com ")
    row = bad(stage, "ann@EXAMPLE.com")
    assert row is not None
    assert (row.kind, row.why, row.since, row.by) == ("bounce", WHY, days(0), "dunning")
    assert bad(stage, "bob@example.com") is None
    with transaction(stage.engine) as session:
        why = addresses.why_bad(session, "ann@example.com")
        assert why == f"ann@example.com is marked bad since {days(0):%Y-%m-%d}: {WHY}"
        assert addresses.why_bad(session, "bob@example.com") is None
    with transaction(stage.engine) as session:
        addresses.clear(session, "ANN@example.com", by="eve", why="it works again", now=days(2))
    assert bad(stage, "ann@example.com") is None
    (kept,) = stage.all(BadAddressRow)
    assert (kept.cleared_at, kept.cleared_by, kept.cleared_why) == (
        days(2),
        "eve",
        "it works again",
    )
    with transaction(stage.engine) as session:
        assert addresses.last_cleared(session, "ann@example.com") == days(2)
    assert marked(stage, "ann@example.com", 3), "what bounces again is marked again"
    assert len(stage.all(BadAddressRow)) == 2


def test_marking_twice_is_marking_once_and_the_first_reason_stays(stage: Stage) -> None:
    assert marked(stage, "ann@example.com")
    assert not marked(stage, "ann@example.com", 1, "complaint")
    (row,) = stage.all(BadAddressRow)
    assert (row.since, row.kind) == (days(0), "bounce")


def test_of_many_who_mark_at_once_one_does(stage: Stage) -> None:
    calls = [lambda: marked(stage, "ann@example.com")] * 4
    assert sorted(Together(*calls).given) == [False, False, False, True]


def test_clearing_what_is_not_marked_is_refused(stage: Stage) -> None:
    with transaction(stage.engine) as session, pytest.raises(NotFoundError, match="not marked"):
        addresses.clear(session, "ann@example.com", by="eve", why="x", now=days(0))


def test_lists_have_the_newest_first_and_the_cleared_on_demand(stage: Stage) -> None:
    for name in ("a", "b", "c"):
        marked(stage, f"{name}@example.com")
    with transaction(stage.engine) as session:
        addresses.clear(session, "b@example.com", by="eve", why="x", now=days(1))
        now = [row.address for row in addresses.marks(session)]
        ever = [row.address for row in addresses.marks(session, cleared=True)]
    assert now == ["c@example.com", "a@example.com"]
    assert ever == ["c@example.com", "b@example.com", "a@example.com"]


@pytest.mark.parametrize(
    ("written", "compared"),
    [
        (" <Ann@Example.COM> ", "ann@example.com"),
        ("ann@example.com.", "ann@example.com"),
        ("ann@straße.example", "ann@xn--strae-oqa.example"),
        ("zoe\u0308@example.com", "zoë@example.com"),
        ("nonsense", "nonsense"),
        ("", ""),
    ],
)
def test_addresses_are_compared_in_one_form(written: str, compared: str) -> None:
    assert normalised(written) == compared
    assert normalised(compared) == compared


@pytest.mark.parametrize(
    ("answer", "status", "dead"),
    [
        ("550 5.1.1 no such user", "5.1.1", True),
        ("5.1.10", "5.1.10", True),
        ("550-5.2.1 disabled", "5.2.1", True),
        ("552 5.2.2 mailbox full", "5.2.2", False),
        ("554 5.7.1 spam", "5.7.1", False),
        ("553 5.1.8 bad sender", "5.1.8", False),
        ("450 4.1.1 later", "4.1.1", False),
        ("550 blocked, see http://1.5.1.1.example", None, False),
        ("550 nobody", None, False),
    ],
)
def test_only_some_answers_say_that_nobody_is_there(
    answer: str, status: str | None, dead: bool
) -> None:
    assert (status_in(answer), is_dead(status_in(answer))) == (status, dead)
