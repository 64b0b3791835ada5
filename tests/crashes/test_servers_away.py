"""Redis and PostgreSQL flushed, paused, stopped and killed while there is work for everybody."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import redis
import requests
from sqlalchemy.engine import make_url

from dunning import store
from tests.crashes.house import LIMIT, House, house_on
from tests.providers.stripe.bodies import event, raw
from tests.servers import Server
from tests.stages.kit import named
from tests.staging import SECRET
from tests.web.client import signed
from tests.world import Customer

# Processes start, die and start again: on a busy machine that takes its time.
pytestmark = pytest.mark.timeout(400)

KINDS = ("web", "worker", "dispatch")
PEOPLE = 4
AWAY_SECONDS = 5.0


@pytest.fixture
def town(tmp_path: Path, private_postgres: Server, private_redis: Server) -> Iterator[House]:
    """On servers that the test stops; web, worker and dispatch are at work."""
    store.migrate(private_postgres.url)
    with house_on(private_postgres.url, tmp_path, broker_url=private_redis.url) as house:
        yield house


def wave(house: House) -> list[Customer]:
    """Customers whose renewals fail at one moment; processes that wait for it."""
    people = [
        house.world.customer(email=f"a{n}@example.com", amount=4900 + n) for n in range(PEOPLE)
    ]
    for who in people:
        house.world.declines(who)
    for name in KINDS:
        house.start(name)
    return people


def hour_of_renewal(house: House, people: list[Customer]) -> int:
    last = max(int(who.renews_at.timestamp()) for who in people)
    return last + house.sandbox.settings.finalize_after


def statuses(house: House) -> list[int | None]:
    with house.sandbox.world.lock:
        return [one["status"] for one in house.sandbox.world.deliveries]


def ends_well(house: House, people: list[Customer]) -> None:
    house.passes(days=1.1)
    house.rests()
    for who in people:
        assert house.world.state(who) == ("recovered", "full", "paid"), house.world.record()
    assert not house.deaths, "somebody died of it"
    house.audit()


def post(house: House) -> requests.Response:
    """A webhook of ours, signed by the sandbox's clock."""
    body = raw(named(event("product.updated", {"id": "prod_1"})))
    url = next(iter(house.sandbox.world.all("webhook_endpoint")))["url"]
    headers = dict(signed(body, SECRET, house.world.now))
    return requests.post(url, body, headers=headers, timeout=LIMIT)


@contextmanager
def meanwhile(what: Callable[[], object], every: float) -> Iterator[list[int]]:
    """Do it again and again beside the block; how often, so far."""
    over, times = threading.Event(), [0]

    def again() -> None:
        while not over.wait(every):
            what()
            times[0] += 1

    thread = threading.Thread(target=again, daemon=True)
    thread.start()
    try:
        yield times
    finally:
        over.set()
        thread.join(LIMIT)


# --- Redis -------------------------------------------------------------------------------------


def test_a_redis_that_forgets_everything_again_and_again(town: House) -> None:
    people = wave(town)
    with (
        redis.Redis.from_url(town.environ["DUNNING_BROKER_URL"]) as client,
        meanwhile(client.flushall, every=1.0) as times,
    ):
        town.goes_to(hour_of_renewal(town, people))
        ends_well(town, people)
    assert set(statuses(town)) == {200}
    print(f"\n{times[0]} times FLUSHALL")  # noqa: T201 - for -s


@pytest.mark.parametrize("how", ["stopped", "killed", "paused"])
def test_a_redis_that_is_away(town: House, private_redis: Server, how: str) -> None:
    people = wave(town)
    process = private_redis._process
    assert process is not None
    town.sandbox.clock.advance(hour_of_renewal(town, people))
    town.until(lambda: 200 in statuses(town), "the first webhook is kept")
    if how == "paused":
        process.send_signal(signal.SIGSTOP)
    else:
        {"stopped": private_redis.stop, "killed": private_redis.kill}[how]()
    began, taken = time.monotonic(), 0
    while time.monotonic() - began < AWAY_SECONDS:
        assert post(town).status_code == 200
        taken += 1
    if how == "paused":
        process.send_signal(signal.SIGCONT)
    else:
        private_redis.start()
    told = f"{taken} webhooks were taken in {AWAY_SECONDS:.0f} s without Redis"
    print(f"\n{told}")  # noqa: T201 - for -s
    town.passes()
    ends_well(town, people)
    assert set(statuses(town)) == {200}


# --- PostgreSQL --------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_a_database_that_is_away(town: House, private_postgres: Server, how: str) -> None:
    people = wave(town)
    town.sandbox.clock.advance(hour_of_renewal(town, people))
    town.until(lambda: 200 in statuses(town), "the first webhook is kept")
    {"stopped": private_postgres.stop, "killed": private_postgres.kill}[how]()
    answer = post(town)
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    private_postgres.start()
    town.passes()
    assert post(town).status_code == 200
    ends_well(town, people)


def test_connections_cut_in_the_middle_of_everything(town: House) -> None:
    people = wave(town)
    address = make_url(town.environ["DUNNING_DATABASE_URL"]).set(drivername="postgresql")
    with psycopg.connect(address.render_as_string(), autocommit=True) as line:

        def cut() -> None:
            line.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
                " AND application_name <> 'looking'"
            )

        with meanwhile(cut, every=0.15) as times:
            town.goes_to(hour_of_renewal(town, people))
            town.passes(days=1)
    print(f"\nall connections cut {times[0]} times")  # noqa: T201 - for -s
    assert set(statuses(town)) <= {200, 503}
    ends_well(town, people)
