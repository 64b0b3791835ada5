"""The ledger ties out with the provider's own books, and what differs is named with its cause."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from dunning.core.bookings import Booking
from dunning.errors import ProviderRefusedError
from dunning.reconcile import Account, reconcile
from dunning.reports import Report
from dunning.reports.both_books import Question
from dunning.reports.exports import Exported, to_minimal
from dunning.tieout import Keep, ask_providers, read_export
from tests.scenarios.conftest import Begin
from tests.world import Customer, World

QUIET = """
version: 1
policies:
  standard:
    grace: 25d
    window: 28d
    timeline: [{at: 1d, do: retry}, {at: 20d, do: retry}]
"""


def asked(world: World, keep: Keep = lambda _told: None, **question: Any) -> tuple[Report, bool]:
    live = world.program.sources["stripe"]
    assert live.provider is not None
    providers = {"stripe": live.provider}
    return ask_providers(
        world.program.engine, providers, Question(**question), world.now, keep=keep
    )


def catches_up(world: World) -> None:
    """`dunning reconcile`, as the report says to do."""
    live, program = world.program.sources["stripe"], world.program
    assert live.provider is not None
    reconcile(
        program.engine,
        program.cases,
        program.inbox,
        Account("stripe", live.reader, live.provider),
        since=world.now - timedelta(days=20),
        now=lambda: world.now,
    )
    world.up.work.poke.set()


def charge(world: World, who: Customer) -> str:
    return str(world.books(who)["payments"][-1]["charge"])


def says_the_same_as_a_file(world: World, path: Path) -> None:
    """What the provider said is kept, and compared again when nobody can be asked any more."""
    said: list[Booking] = []
    report, _ = asked(world, keep=said.extend)
    assert report.rows == []
    path.write_text("".join(to_minimal(said)), encoding="utf-8")
    again, is_open = read_export(
        world.program.engine, "stripe", Exported(path), Question(), world.now
    )
    assert (again.rows, is_open, again.note) == ([], False, report.note)


def test_a_month_of_everything_agrees_and_what_was_missed_is_named(
    begin: Begin, tmp_path: Path
) -> None:
    world = begin(policy=QUIET)
    ann, bob, cyd, dee, eli, fay = people = [
        world.customer(currency=currency, amount=amount, email=f"{name}@example.com")
        for name, currency, amount in (
            *(("ann", "usd", 4900), ("bob", "eur", 9900), ("cyd", "usd", 4900)),
            *(("dee", "kwd", 7250), ("eli", "usd", 6000), ("fay", "jpy", 7200)),
        )
    ]
    for who in people:
        world.declines(who, times=9 if who is fay else 1)
    world.renewal(ann)
    world.passes(hours=2)
    invoices = {who.id: world.case(who)["invoice"] for who in people}
    out_of_band: Any = {"paid_out_of_band": True}
    world.stripe.v1.invoices.pay(invoices[dee.id], out_of_band)
    world.pays_part(eli, 1000)
    world.declines(eli, times=9)
    world.passes(days=2)
    world.stripe.v1.refunds.create({"charge": charge(world, bob), "amount": 3001})
    taken = world.sandbox.disputes(cyd.id, charge(world, cyd))
    world.passes(days=3)
    world.control("POST", f"disputes/{taken['id']}/close", {"status": "won"})
    failed = world.stripe.v1.refunds.create({"charge": charge(world, ann), "amount": 1200})
    world.passes(days=1)
    world.control("POST", f"refunds/{failed.id}/fail")
    world.passes(hours=1)

    report, is_open = asked(world)
    assert (report.rows, is_open) == ([], False), report.rows
    assert report.note.startswith("the ledger and the provider agree to the minor unit on 5 inv")
    sums = {(row["currency"], row["kind"]): row["provider"] for row in report.totals}
    assert sums == {
        ("eur", "paid"): 9900,
        ("eur", "refunded"): 3001,
        ("kwd", "paid"): 7250,
        ("usd", "paid"): 4900 + 4900 + 1000,
    }
    # Day by day the dispute counts when it was taken and when it came back.
    days, _ = asked(world, by=("day", "kind"), currency="USD")
    moved = [row["ledger"] for row in days.rows if row["kind"] == "disputed"]
    assert moved == [4900, -4900]
    assert not any(row["difference"] for row in days.rows)

    # Of what follows no webhook comes.
    world.sandbox.deliver("drop")
    back = world.stripe.v1.refunds.create({"charge": charge(world, ann), "amount": 501})
    world.stripe.v1.invoices.pay(invoices[fay.id], out_of_band)
    world.passes(hours=1)
    report, is_open = asked(world)
    assert is_open
    told = [
        (row["invoice"], row["kind"], row["ledger"], row["provider"], row["cause"], row["about"])
        for row in report.rows
    ]
    assert told == [
        (invoices[fay.id], "paid", 0, 7200, "webhook_missing", invoices[fay.id]),
        (invoices[ann.id], "refunded", 0, 501, "webhook_missing", back.id),
    ]
    day = date.fromisoformat(f"{world.now - timedelta(days=1):%Y-%m-%d}")
    assert report.rows[0]["next"] == f"dunning reconcile --source stripe --since {day}"
    catches_up(world)
    world.passes(hours=1)
    says_the_same_as_a_file(world, tmp_path / "said.csv")
    world.sandbox.next_request({"status": 403}, path="/v1/disputes")
    with pytest.raises(ProviderRefusedError, match="lacks a right"):
        asked(world)
