"""How long it takes to see what a policy change would do to many open cases."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from dunning import store
from dunning.bench.goals import Findings, Goal
from dunning.bench.servers import DurablePostgres
from dunning.clock import SystemClock
from dunning.columns import columns_of, next_columns
from dunning.config import PolicyFile, load_policies, read_policy_text
from dunning.core.case import advance, new_case
from dunning.core.events import (
    Actor,
    Attempt,
    AttemptReported,
    AttemptStatus,
    Bill,
    CustomerReported,
    Decline,
    InvoiceNews,
    InvoiceReported,
    InvoiceStatus,
    StepEnded,
    StepKind,
    StepResult,
)
from dunning.core.facts import Case
from dunning.core.plan import plan
from dunning.core.policy import Policy
from dunning.core.status import status
from dunning.documents import write_facts
from dunning.foreseen import Asked, target_of
from dunning.messages import Messages
from dunning.pinned import row_of
from dunning.planning import look
from dunning.reports.snapshot import snapshot
from dunning.store import CaseRow, PolicyRow, add_rows, engine_for, put_rows, table_of, transaction

SECONDS = 10.0
CODES = ("insufficient_funds", "generic_decline", "processing_error", "expired_card")
COUNTRIES = ("US", "DE", "GB", "FR", "JP")
DAYS = 27
BATCH = 2_000
GOAL = Goal("planning", "seconds to plan 100,000 open cases / 10", 1.0, most=True)


def measure(postgres: DurablePostgres, folder: Path, *, cases: int) -> Findings:
    """On both databases; every case would change its version."""
    found = Findings("planning", {}, [])
    for name, url in (
        ("postgresql", postgres.fresh("planning")),
        ("sqlite", f"sqlite:///{folder}/planning.db"),
    ):
        store.migrate(url)
        engine = engine_for(url, role="command", patient=True)
        try:
            told = _measured(engine, cases)
        finally:
            engine.dispose()
        found.figures[name] = told
        found.judge(GOAL, told["seconds_per_100k"], SECONDS)
    return found


def _measured(engine: Engine, cases: int) -> dict[str, Any]:
    now = SystemClock().now()
    text, name = read_policy_text(None)
    old, new = _file(text, name), _file(text.replace("14d", "12d").replace("7d", "6d"), "new.yaml")
    fill(engine, old.policies["standard"], cases, now)
    began, spent = time.perf_counter(), _processor()
    with snapshot(engine) as session:
        found = look(session, target_of(new.policies, new.choices), Asked(now=now))
    seconds = time.perf_counter() - began
    assert found.changed == cases
    return {
        "cases": cases,
        "seconds": round(seconds, 2),
        "processor_seconds": round(_processor() - spent, 2),
        "seconds_per_100k": round(seconds * 100_000 / cases, 2),
        "processes": os.cpu_count() or 1,
    }


def _processor() -> float:
    """Seconds of the processor, those of processes that have ended included."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def _file(text: str, name: str) -> PolicyFile:
    return load_policies(text, filename=name, environ=None, known_templates=Messages().names())


# --- open cases, written as the program stores them ----------------------------------------------


def fill(engine: Engine, policy: Policy, cases: int, now: datetime) -> None:
    """So many open cases, of any age, with the facts that their days have brought."""
    shapes = [
        _shape(policy, age * 24 + number * 5, code, COUNTRIES[number], now)
        for age in range(DAYS)
        for number, code in enumerate(CODES)
    ]
    with transaction(engine) as session:
        put_rows(session, PolicyRow, [row_of(policy, policy.version, now)])
    for start in range(0, cases, BATCH):
        numbers = range(start, min(start + BATCH, cases))
        with transaction(engine) as session:
            add_rows(session, CaseRow, [_row(shapes, number) for number in numbers])


def _row(shapes: list[dict[str, Any]], number: int) -> dict[str, Any]:
    """A copy of a shape under names of its own."""
    row = shapes[number % len(shapes)]
    name, invoice = f"case_{number:020}", f"in_{number:020}"
    facts = row["facts"].replace(row["id"], name).replace(row["invoice"], invoice)
    return {**row, "id": name, "invoice": invoice, "facts": facts}


def _shape(policy: Policy, hours: int, code: str, country: str, now: datetime) -> dict[str, Any]:
    """A case that failed so long ago, and what was done since."""
    failed_at = (now - timedelta(hours=hours + 1)).replace(microsecond=0)
    case = new_case("stripe", "stripe", f"in_shape_{hours}_{code}")
    for event in _first_failure(case.invoice, failed_at, code, country):
        case = advance(case, event)
    case = _lived(case, policy, failed_at, now, code)
    present = status(case)
    ahead = plan(case, policy, now, present)
    row = dict.fromkeys(column.name for column in table_of(CaseRow).c) | {
        "id": case.id,
        "source": "stripe",
        "provider": "stripe",
        "invoice": case.invoice,
        "policy": policy.name,
        "policy_version": policy.version,
        "recorded_at": now,
        "version": 1,
        "facts": write_facts(case),
    }
    return row | columns_of(case, present, policy) | next_columns(case, ahead)


def _first_failure(
    invoice: str, at: datetime, code: str, country: str
) -> Iterator[InvoiceReported | AttemptReported | CustomerReported]:
    bill = Bill(
        invoice=invoice,
        status=InvoiceStatus.OPEN,
        currency="usd",
        remaining=4900,
        paid=0,
        credited=0,
        customer="cus_shape",
        subscription="sub_shape",
        number="R-0001",
        email="ann@example.com",
        country=country,
    )
    news = InvoiceNews.PAYMENT_FAILED
    yield InvoiceReported(id="evt_1", at=at, news=news, bill=bill)
    yield AttemptReported(id="evt_2", at=at, invoice=invoice, attempt=_attempt("ch_0", at, code))
    yield CustomerReported(id="evt_3", at=at, customer="cus_shape", email="ann@example.com")


def _attempt(name: str, at: datetime, code: str, key: str | None = None) -> Attempt:
    return Attempt(
        id=name,
        at=at,
        status=AttemptStatus.DECLINED,
        amount=4900,
        currency="usd",
        by=Actor.OURS if key else Actor.PROVIDER,
        key=key,
        charge=name,
        method="pm_shape",
        method_type="card",
        network="visa",
        fingerprint="fp_shape",
        decline=Decline(code=code),
    )


def _lived(case: Case, policy: Policy, start: datetime, now: datetime, code: str) -> Case:
    """Every step that came due, each charge declined."""
    moment: datetime | None = start
    while moment is not None and moment <= now:
        for step in plan(case, policy, moment).due(moment)[:1]:
            result = StepResult.SKIPPED if step.skip else StepResult.DONE
            if step.kind is StepKind.RETRY and not step.skip:
                result = StepResult.DECLINED
                tried = _attempt(f"ch_{len(case.attempts)}", moment, code, step.key)
                told = AttemptReported(
                    id=f"evt_{step.key}", at=moment, invoice=case.invoice, attempt=tried
                )
                case = advance(case, told)
            ended = StepEnded(
                id=step.key, at=moment, kind=step.kind, result=result, template=step.template
            )
            case = advance(case, ended)
        ahead = plan(case, policy, moment)
        if not ahead.due(moment):
            moment = ahead.next_at
    return replace(case)
