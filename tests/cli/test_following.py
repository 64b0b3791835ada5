"""One payment through the logs of real processes, from hop to hop by the ids they share.

docs/operations.md tells people to follow a payment in just this way.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import col, select

from dunning.store import EntryRow
from tests.crashes.house import house_on

Lines = list[dict[str, Any]]


def having(lines: Lines, **ids: str) -> Lines:
    return [line for line in lines if ids.items() <= line.items()]


def only(lines: Lines, event: str) -> dict[str, Any]:
    (line,) = [line for line in lines if line["event"] == event]
    return line


@pytest.mark.parametrize("backend", ["postgresql"])
def test_from_a_webhook_to_the_entries_in_the_ledger(
    migrated_url: str, redis_url: str, tmp_path: Path
) -> None:
    told = {"DUNNING_LOG_LEVEL": "debug"}
    with house_on(migrated_url, tmp_path, broker_url=redis_url, environ=told) as house:
        kinds = ("web", "worker", "dispatch")
        for kind in kinds:
            house.start(kind)
        ann = house.world.customer()
        house.world.declines(ann)
        house.renewal(ann)
        house.passes(days=2)
        house.rests()
        said = {kind: house.lives[kind].logs() for kind in kinds}
        with house.world.session() as session:
            entries = session.exec(select(EntryRow).order_by(col(EntryRow.id))).all()
            kept = {entry.key: (entry.debit, entry.credit) for entry in entries}
        sent = house.sandbox.world.deliveries
        event_id = next(one["event"] for one in sent if one["type"] == "invoice.payment_failed")

    # The event's id leads from the web process, which keeps it, to the worker, which has a case.
    assert only(having(said["web"], event_id=event_id), "webhook.kept")["source"] == "stripe"
    handled = only(having(said["worker"], event_id=event_id), "inbox.handled")
    case = handled["about"]
    assert case.startswith("case_")

    # The case's id leads to its steps and to what the ledger got of it.
    of_case = having(said["worker"], case=case)
    opened, recovered = [line for line in of_case if line["event"] == "ledger.recorded"]
    assert event_id in opened["because"]
    step = f"{case}/retry:1"
    assert only(having(of_case, step=step), "step.done")["why"] == "paid"

    # The step's key leads to each call to the provider, by the id under which it knows the call.
    of_step = having(said["worker"], step=step)
    calls = [line for line in of_step if line["event"] == "provider.answered"]
    (paying,) = [line for line in calls if line["endpoint"] == "POST /v1/invoices/:id/pay"]
    assert paying["request"].startswith("req_")
    assert only(of_step, "charge.paid")["attempt"].startswith("ch_")

    # What the step brought stands in the ledger under the keys that the line names.
    assert step in recovered["because"]
    assert [kept[key] for key in opened["entries"]] == [("owed", "at_risk")]
    assert [kept[key] for key in recovered["entries"]] == [("at_risk", "recovered")]
    # One search for the case finds all of it, in every process.
    assert all(case in json.dumps(line) for line in (*of_case, handled))
