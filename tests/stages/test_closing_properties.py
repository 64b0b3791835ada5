"""Whatever happens and whenever months are closed: each entry is in one of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlmodel import Session, col

from dunning import closing, ledger, statements
from dunning.case_rows import locked
from dunning.closing import Wish
from dunning.core.events import BillingEvent, InvoiceEvent, PolicyChanged
from dunning.proving import prove
from dunning.reports import lost, recovered
from dunning.reports.scope import Scope
from dunning.routing import CustomerNews
from dunning.store import CaseRow, reading, transaction
from tests.builders import SOURCE, T0
from tests.core.lives import lives
from tests.databases import SqliteDatabases
from tests.reports.shop import Shop

MONTHS = ("2026-01", "2026-02", "2026-03")
# What a provider tells; the rest is told by steps and by people.
NEWS = (*get_args(InvoiceEvent), *get_args(CustomerNews))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """As many names of files as there are examples."""
    return iter(tmp_path / f"{number}.db" for number in range(10_000))


@settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(told=lives(), data=st.data())
def test_months_closed_amid_a_life_add_up(
    told: list[BillingEvent],
    data: st.DataObject,
    folder: Iterator[Path],
    sqlite_databases: SqliteDatabases,
) -> None:
    shop = Shop(sqlite_databases.copy_migrated(next(folder)))
    now = T0 + timedelta(days=365)
    # The versions that a case of such a life is moved to are in no database.
    told = [event for event in told if not isinstance(event, PolicyChanged)]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(told)), min_size=3, max_size=3)))
    begin = 0
    for cut, month in zip(cuts, MONTHS, strict=True):
        for event in told[begin:cut]:
            tell(shop, event, now)
        begin = cut
        close(shop, month, now)
        assert prove(shop.engine, now).proof.faults == []
    for event in told[begin:]:
        tell(shop, event, now)
    close(shop, "2026-12", now + timedelta(days=400), earlier=True)
    proof = prove(shop.engine, now, full=True).proof
    assert proof.faults == []
    with reading(shop.engine) as session:
        known = statements.listed(session)
        held = ledger.balances(session)
    assert sum(one.content["entries"] for one in known) == proof.rows
    assert {c: of["closing"] for c, of in known[-1].content["currencies"].items()} == held
    moved: Counter[Any] = Counter()
    for one in known:
        for currency, of in one.content["currencies"].items():
            for line in of["transfers"]:
                moved[currency, line["debit"]] -= line["amount"]
                moved[currency, line["credit"]] += line["amount"]
    assert {c: {a: moved[c, a] for a in held[c]} for c in held} == held
    with reading(shop.engine) as session:
        assert reported(session) == stated(known)
    shop.engine.dispose()


Figures = Counter[tuple[str, str, str]]  # by month, currency and figure


def reported(session: Session) -> Figures:
    """What the reports by the books' own date say of each month."""
    sums: Figures = Counter()
    for ask, figures in (
        (recovered, ("gross", "refunded", "disputed")),
        (lost, ("lost", "withdrawn", "late_recovery")),
    ):
        for row in ask(session, T0, Scope(by=("month",), date="books")).rows:
            for figure in figures:
                sums[row["month"], row["currency"], figure] += row[figure]
    return Counter({key: amount for key, amount in sums.items() if amount})


GONE, BACK = ("lost", "withdrawn"), ("refunded", "disputed")


def stated(known: list[statements.Statement]) -> Figures:
    """The same, from the lines of the statements."""
    sums: Figures = Counter()
    for one in known:
        for currency, of in one.content["currencies"].items():
            for line in of["transfers"]:
                out, into, amount = line["debit"], line["credit"], line["amount"]
                month = (one.period, currency)
                if into == "recovered" and out not in BACK:
                    sums[*month, "gross"] += amount
                if into in (*BACK, *GONE):
                    sums[*month, into] += amount
                if out in BACK or (out == "lost" and into == "withdrawn"):
                    sums[*month, out] -= amount
                if out in GONE and into == "recovered":
                    sums[*month, "late_recovery"] -= amount
    return Counter({key: amount for key, amount in sums.items() if amount})


def tell(shop: Shop, event: BillingEvent, now: datetime) -> None:
    """Through the door of the provider, or that of steps and people once there is a case."""
    if isinstance(event, NEWS):
        shop.tell(SOURCE, event, now=now)
        return
    with transaction(shop.engine) as session:
        for name in session.scalars(select(col(CaseRow.id))).all():
            shop.book.apply_by_hand(session, locked(session, name), [event], now)


def close(shop: Shop, month: str, now: datetime, *, earlier: bool = False) -> None:
    with reading(shop.engine) as session:
        months = closing.to_close(session, Wish(period=month, by="ann"))
    for name in months if earlier or len(months) > 1 else [month]:
        closing.close(shop.engine, Wish(period=name, by="ann"), now)
