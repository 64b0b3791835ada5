"""`customers show`, `stop-notices` and `resume-notices`: how one customer stands."""

from __future__ import annotations

import pytest
from sqlmodel import col, select

from dunning import addresses, unsubscribed
from dunning.store import ActRow, transaction
from tests.builders import CUSTOMER, SOURCE, hours
from tests.cli.conftest import Books, Shell
from tests.secrets import SIGNING


@pytest.fixture
def ready(shell: Shell) -> Shell:
    """A shell of a program that knows its one account."""
    shell.env(STRIPE_WEBHOOK_SECRET=SIGNING)
    return shell


def acts(books: Books) -> list[tuple[str, str, str, str]]:
    with transaction(books.engine) as session:
        rows = session.exec(select(ActRow).order_by(col(ActRow.id))).all()
        return [(row.case_id, row.act, row.by, row.why) for row in rows]


def pressed(books: Books, case: str) -> None:
    """The customer pressed the link in a notice."""
    with transaction(books.engine) as session:
        assert unsubscribed.stop(session, books.facts(case), hours(1))


def test_notices_that_were_stopped_by_mistake_go_on(ready: Shell, books: Books) -> None:
    case = books.failing()
    pressed(books, case)
    out = ready("customers", "show", CUSTOMER).out
    assert (
        f"stopped since 2026-01-05 13:00 UTC (1 h ago), by the link in the notice of {case}" in out
    )
    told = ready("customers", "show", CUSTOMER, "--format", "json").json()["notices_stopped"]
    assert told == {"since": "2026-01-05T13:00:00Z", "case": case, "by": "customer", "why": None}
    again = ("customers", "resume-notices", CUSTOMER, "--why", "by mistake", "--by", "eve")
    said = ready(*again).out
    assert "they were stopped since 2026-01-05 13:00 UTC, by the link" in said
    assert (
        ready("customers", "show", CUSTOMER, "--format", "json").json()["notices_stopped"] is None
    )
    assert acts(books) == [(case, "resume-notices", "eve", "by mistake")]
    assert "resume-notices" in ready("cases", "show", case).out
    assert "are not stopped" in ready(*again, code=1).complaint
    # They may think again.
    pressed(books, case)


def test_who_asks_on_the_phone_is_sent_no_notices(ready: Shell, books: Books) -> None:
    case = books.failing()
    stop = ("customers", "stop-notices", CUSTOMER, "--why", "asked on the phone", "--by", "eve")
    ready(*stop)
    with transaction(books.engine) as session:
        assert unsubscribed.since(session, SOURCE, CUSTOMER) is not None
    assert "by eve: asked on the phone" in ready("customers", "show", CUSTOMER).out
    assert "nothing changed" in ready(*stop, code=1).complaint
    ready("customers", "resume-notices", CUSTOMER, "--why", "called again", "--by", "bob")
    assert [act[1:] for act in acts(books)] == [
        ("stop-notices", "eve", "asked on the phone"),
        ("resume-notices", "bob", "called again"),
    ]
    assert acts(books)[0][0] == case


def test_the_page_of_a_customer(ready: Shell, books: Books) -> None:
    case = books.failing()
    ready("customers", "exempt", CUSTOMER, "--why", "a partner", "--by", "eve")
    with transaction(books.engine) as session:
        addresses.mark(session, "ann@example.com", kind="hand", why="gone", now=hours(1), by="eve")
    out = ready("customers", "show", CUSTOMER).out
    for words in (case, "until it is lifted, by eve: a partner", "ann@example.com", "wanted"):
        assert words in out
    assert "marked bad since 2026-01-05 13:00 UTC (1 h ago): gone" in out
    told = ready("customers", "show", CUSTOMER, "--format", "json").json()
    assert (told["exempt"]["by"], told["bad_address"]["why"]) == ("eve", "gone")
    assert [one["id"] for one in told["cases"]] == [case]
    # Nobody is shown, or spoken for, who is not known.
    for act in ("show", "stop-notices --why x", "resume-notices --why x"):
        name, *why = act.split()
        assert "cus_nobody" in ready("customers", name, "cus_nobody", *why, code=1).complaint
