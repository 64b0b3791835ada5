"""`breaker`: list, hold, release; and that doctor tells of a source that is held."""

from __future__ import annotations

from sqlmodel import col, select

from dunning.store import BreakerChangeRow, transaction
from tests.cli.conftest import Books, Shell


def test_hold_list_release(shell: Shell, books: Books) -> None:
    books.failing()
    assert "goes on" in shell("breaker", "list").out
    out = shell("breaker", "hold", "stripe", "--why", "an outage is announced").out
    assert out.startswith("stripe: its charges and emails are held")
    listed = shell("breaker", "list").out
    assert "held" in listed
    assert "an outage is announced" in listed
    (told,) = shell("breaker", "list", "--format", "json").json()["sources"]
    assert (told["source"], told["open"], told["signal"]) == ("stripe", True, "hand")
    assert told["since"] == "2026-01-05T11:00:00Z" or told["since"].endswith("Z")
    doctor = shell("doctor", "--format", "json", code=1).json()["checks"]
    (found,) = [check for check in doctor if check["name"] == "breaker"]
    assert found["level"] == "warning"
    assert "an outage is announced" in found["what"]
    assert "goes on" in shell("breaker", "release", "stripe", "--why", "over", "--by", "eve").out
    with transaction(books.engine) as session:
        rows = session.exec(select(BreakerChangeRow).order_by(col(BreakerChangeRow.id))).all()
    assert [(row.change, row.why) for row in rows] == [
        ("held", "an outage is announced"),
        ("released", "over"),
    ]
    assert rows[1].by == "eve"


def test_what_makes_no_sense_is_refused(shell: Shell, books: Books) -> None:
    books.failing()
    assert "no source nope" in shell("breaker", "hold", "nope", "--why", "x", code=1).complaint
    assert "--why is empty" in shell("breaker", "hold", "stripe", "--why", " ", code=1).complaint
    nothing = shell("breaker", "release", "stripe", "--why", "x", code=1).complaint
    assert "nothing to release" in nothing
