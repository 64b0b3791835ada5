"""Every type and shape of webhook we use, signed and posted to the whole program without a key.

Nothing is refused, nothing parked that we should understand; and whatever the order, and however
often each comes, the cases and their money are the same.
"""

from __future__ import annotations

import re
import socket
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlmodel import select

from dunning.case_rows import summary
from dunning.config import load_settings
from dunning.core.status import State
from dunning.processes import Up, running
from dunning.providers.stripe.normalise import RULES, THIN_PREFIX
from dunning.store import CaseRow, EntryRow, InboxRow, transaction
from dunning.wiring import Program, assemble
from tests import secrets
from tests.databases import PostgresDatabases, SqliteDatabases
from tests.providers.stripe.bodies import AT, Body, event, raw, thin
from tests.providers.stripe.bodies_people import method, subscription
from tests.providers.stripe.bodies_samples import samples
from tests.stages.kit import ManualClock, eventually, later, renamed
from tests.web.client import Client, signed

SECRET = secrets.SIGNING
# Types that come as thin events only, or did once: with the object they would come with.
SUBSCRIBED = [
    f"customer.subscription.{verb}"
    for verb in (
        "active",
        "default_payment_method_changed",
        "incomplete",
        "incomplete_expired",
        "past_due",
        "trialing",
        "unpaid",
    )
]
REFRESHED = ["payment_method.card_automatically_updated"]


def told() -> dict[str, Body]:
    """Each sample, under an id of its own and in a second of its own."""
    found = {}
    every = samples() | {name: event(name, subscription()) for name in SUBSCRIBED}
    every |= {name: event(name, method()) for name in REFRESHED}
    for number, (name, body) in enumerate(every.items()):
        seconds = number - len(every)
        found[name] = later(body, seconds) | {"id": "evt_" + re.sub(r"\W+", "_", name)}
    return found


class Result:
    """What became of a run."""

    def __init__(self, program: Program) -> None:
        with transaction(program.engine) as session:
            self.inbox = {
                row.event_id: (row.state, row.reason) for row in session.exec(select(InboxRow))
            }
            # A case that turned out to be none is not listed, and its entries are taken back.
            self.cases = {
                row.invoice: summary(row)
                for row in session.exec(select(CaseRow))
                if row.state != State.NONE
            }
            sums: Counter[tuple[str, str]] = Counter()
            for row in session.exec(select(EntryRow)):
                sums[row.case_id, row.credit] += row.amount
                sums[row.case_id, row.debit] -= row.amount
        self.balances = {account: amount for account, amount in sums.items() if amount}


def run(url: str, folder: Path, bodies: Sequence[Body]) -> Result:
    """Post these to a program that runs everything in one process, and let it come to rest."""
    folder.mkdir(exist_ok=True)
    env = {
        "DUNNING_DATA": str(folder),
        "DUNNING_DATABASE_URL": url,
        "STRIPE_WEBHOOK_SECRET": SECRET,
    }
    clock = ManualClock(AT)
    program = assemble(load_settings(env, folder), environ=env, clock=clock)
    up = Up(program)
    up.threads._worker.worker_timeout = 50
    listener = socket.create_server(("127.0.0.1", 0))
    with running(up, listener):
        client = Client(listener.getsockname()[1])
        for body in bodies:
            whole = raw(body)
            answer = client.post("/webhooks/stripe", whole, signed(whole, SECRET, AT))
            assert (answer.status, answer.json()) == (200, {"received": True}), body["type"]

        def at_rest() -> bool:
            with transaction(program.engine) as session:
                rows = session.exec(select(InboxRow.state)).all()
            return "new" not in rows and len(rows) == len({body["id"] for body in bodies})

        eventually(at_rest)
        return Result(program)


class Databases:
    """Migrated databases, as many as a test wants."""

    def __init__(self, make: Any) -> None:
        self._make = make
        self.count = 0

    def new(self) -> str:
        self.count += 1
        url: str = self._make(self.count)
        return url


@pytest.fixture
def databases(
    backend: str,
    tmp_path: Path,
    sqlite_databases: SqliteDatabases,
    postgres_databases: PostgresDatabases,
) -> Databases:
    if backend == "sqlite":
        return Databases(lambda n: sqlite_databases.copy_migrated(tmp_path / f"{n}.db"))
    return Databases(lambda _n: postgres_databases.create(migrated=True))


def test_every_type_we_use_has_a_sample() -> None:
    assert {body["type"] for body in told().values()} == set(RULES)


def test_every_sample_is_taken_and_understood(databases: Databases, tmp_path: Path) -> None:
    result = run(databases.new(), tmp_path, list(told().values()))
    assert len(result.inbox) == len(told())
    parked = {name: why for name, (state, why) in result.inbox.items() if state == "parked"}
    assert parked == {}
    states = {state for state, _ in result.inbox.values()}
    assert states <= {"handled", "ignored"}
    assert set(result.cases) == {"in_1"}


def test_every_thin_event_is_kept_for_the_day_there_is_a_key(
    databases: Databases, tmp_path: Path
) -> None:
    bodies = [
        thin(THIN_PREFIX + name, rule.kinds[0]) | {"id": f"evt_{name}"}
        for name, rule in RULES.items()
    ]
    result = run(databases.new(), tmp_path, bodies)
    assert {state for state, _ in result.inbox.values()} == {"parked"}
    assert all("without an API key" in why for _, why in result.inbox.values())
    assert result.cases == {}


def one_customer_each() -> list[Body]:
    """The samples again, some of them in the life of each of a few customers."""
    events = told()
    names = sorted(events)
    lives = {
        "all": names,
        "old": [name for name in names if "new" not in name and "mixed" not in name],
        "new": [name for name in names if "old" not in name and "2018" not in name],
        "unpaid": [name for name in names if not re.search("paid|void|written|ended|gone", name)],
        "paid": [name for name in names if not re.search("void|written|ended|dispute", name)],
        "charges": [name for name in names if re.match("charge|intent|failed|part", name)],
    }
    return [
        renamed(events[name], life) | {"id": f"{events[name]['id']}_{life}"}
        for life, chosen in lives.items()
        for name in chosen
    ]


def test_the_order_and_the_number_do_not_matter(databases: Databases, tmp_path: Path) -> None:
    bodies = one_customer_each()
    straight = run(databases.new(), tmp_path / "1", bodies)
    assert len(straight.cases) == 6
    assert len({case["state"] for case in straight.cases.values()}) > 1
    mixed = list(bodies)
    Random(1).shuffle(mixed)
    for number, order in enumerate([bodies[::-1], [*bodies, *bodies], mixed], 2):
        other = run(databases.new(), tmp_path / str(number), order)
        assert other.cases == straight.cases
        assert other.balances == straight.balances
