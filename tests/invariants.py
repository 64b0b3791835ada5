"""What holds at the end of every story, whatever happened in it."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

from sqlmodel import Session, col, select

from dunning.core.status import ACCESS_ORDER, Access
from dunning.reports.proof import verify_all
from dunning.reports.snapshot import snapshot
from dunning.store import CaseRow, EntryRow, InboxRow, MessageRow, OutboxRow, StepRow
from tests.world import World

_TOLD = {
    "access.restored": Access.FULL,
    "access.restricted": Access.RESTRICTED,
    "access.suspended": Access.SUSPENDED,
}


def check(world: World) -> None:
    """Fail with everything that does not hold. `world.leaves` names what a story leaves behind."""
    unlisted = world.happened()
    assert unlisted == [], f"{unlisted} happened, and the story says nothing of it"
    with snapshot(world.program.engine) as session:
        proof = verify_all(session)
    assert proof.holds, proof.faults
    with world.session() as session:
        books = world.sandbox.books()["invoices"]
        wrong = [
            *_left_over(session, world.leaves),
            *_money(session, books),
            *_mail(session, world, books),
            *([] if world.leaves & {"pending", "dead"} else _access(session, world)),
        ]
    assert not wrong, "\n".join(wrong)


def _left_over(session: Session, leaves: set[str]) -> list[str]:
    """Everything begun has been ended."""
    found: Counter[str] = Counter()
    found.update(session.exec(select(InboxRow.state)).all())
    found.update(session.exec(select(OutboxRow.state)).all())
    found.update(session.exec(select(StepRow.state)).all())
    leased = select(CaseRow.id).where(col(CaseRow.lease_token).is_not(None))
    found["leased"] = len(session.exec(leased).all())
    done = {"handled", "ignored", "sent", "ended", *leaves}
    return [
        f"{count} rows are {state}" for state, count in found.items() if state not in done and count
    ]


def _money(session: Session, books: dict[str, Any]) -> list[str]:
    """Stripe's own books and our ledger agree, and nothing was paid twice."""
    wrong = []
    for line in books.values():
        ours = [one for one in line["payments"] if one["by"] == "api" and one["charge"]]
        if len(ours) > 1 or line["amount_paid"] > line["amount_due"]:
            wrong.append(f"{line['invoice']} was paid too much: {line['payments']}")
    for case in session.exec(select(CaseRow)).all():
        line = books[case.invoice]
        sums: Counter[str] = Counter()
        for row in session.exec(select(EntryRow).where(EntryRow.case_id == case.id)).all():
            sums[row.credit] += row.amount
            sums[row.debit] -= row.amount
        back = {"refunded": line["refunded"], "disputed": line["disputed"]}
        kept = line["amount_paid"] - sum(back.values())
        for account, amount in {"recovered": kept, **back}.items():
            if sums[account] != amount:
                wrong.append(f"{case.id}: {account} is {sums[account]}, Stripe says {amount}")
    return wrong


def _mail(session: Session, world: World, books: dict[str, Any]) -> list[str]:
    """No message about a debt follows its payment; what left is on record, once."""
    wrong = []
    invoices = {case.id: case.invoice for case in session.exec(select(CaseRow)).all()}
    rows = session.exec(select(MessageRow)).all()
    for row in rows:
        paid_at = books[invoices[row.case_id]]["paid_at"]
        after = paid_at is not None and row.at > datetime.fromtimestamp(paid_at, UTC)
        if after and row.state == "sent" and row.template != "recovered":
            wrong.append(f"{row.step_key}: {row.template} was sent after the payment")
    left = Counter(str(message["Message-ID"]) for message in world.mailbox.messages)
    if left and max(left.values()) > 1:
        wrong.append(f"sent twice: {left.most_common(1)}")
    sent = sum(1 for row in rows if row.state == "sent")
    if sent != len(left) and "doubtful" not in world.leaves:
        wrong.append(f"{sent} messages are on record as sent, {len(left)} arrived")
    return wrong


def _access(session: Session, world: World) -> list[str]:
    """What the product was told last of a scope is the worst of its cases."""
    told: dict[str, Access] = {}
    for call in world.product.calls:
        if call["type"] in _TOLD:
            told[call["data"]["scope"]] = _TOLD[call["type"]]
    is_now: dict[str, Access] = {}
    for case in session.exec(select(CaseRow)).all():
        both = (is_now.get(case.scope, Access.FULL), Access(case.access))
        is_now[case.scope] = max(both, key=ACCESS_ORDER.__getitem__)
    return [
        f"{scope}: the product believes {told.get(scope, Access.FULL)}, but it is {access}"
        for scope, access in is_now.items()
        if told.get(scope, Access.FULL) is not access
    ]
