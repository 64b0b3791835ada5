"""Redis and PostgreSQL flushed, slow, paused, cut, stopped and killed while all are at work."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dramatiq
import psutil
import psycopg
import pytest
import redis
import requests
from sqlalchemy.engine import make_url
from sqlmodel import select

from dunning import store
from dunning.broker import build_broker
from dunning.store import InboxRow
from tests.crashes.house import LIMIT, House, house_on
from tests.crashes.lines import Line
from tests.providers.stripe.bodies import event, raw
from tests.servers import Server
from tests.stages.kit import named
from tests.staging import SECRET
from tests.web.client import signed
from tests.world import Customer

# Processes start, die and start again: on a busy machine that takes its time.
pytestmark = pytest.mark.timeout(400)

KINDS = ("web", "worker", "dispatch")
PEOPLE = 3
AWAY_SECONDS = 3.0
# More than a program waits for a broker.
SLOW_SECONDS = 6.0
# The name of an actor, its queue, what it is told.
OLD_MESSAGES = (
    ("run_step", "steps", (["case_1", "token"],)),  # no such actor any more
    ("run_steps", "steps", (["case_1", "case_2"],)),  # other arguments
    ("handle_inbox", "inbox", (1, 2, 3)),
    ("handle_inbox_2", "inbox", ([1], {"version": 2})),
)


@dataclass(slots=True)
class Town:
    """A house whose web, worker and dispatch are at work, and the servers they need."""

    house: House
    postgres: Server
    redis: Server
    to_postgres: Line  # of the worker and the dispatcher
    web_to_postgres: Line
    to_redis: Line
    waves: list[list[Customer]]

    def wave(self) -> list[Customer]:
        """Customers whose renewals fail at one moment, which is about to come."""
        people = self.waves.pop(0)
        for who in people:
            self.house.world.declines(who)
        self.house.goes_to(self.hour(people) - 60)
        with self.house.sandbox.world.lock:
            self.house.sandbox.world.deliveries.clear()
        return people

    def hour(self, people: list[Customer]) -> int:
        """The moment at which their renewals are charged."""
        last = max(int(who.renews_at.timestamp()) for who in people)
        return last + self.house.sandbox.settings.finalize_after

    def begins(self, people: list[Customer]) -> None:
        """Their renewals fail, and the first webhook is kept; all else is under way."""
        self.house.sandbox.clock.advance(self.hour(people))
        self.house.until(lambda: 200 in self.statuses(), "the first webhook is kept")

    def statuses(self) -> list[int | None]:
        """What the webhooks of this wave were answered with."""
        with self.house.sandbox.world.lock:
            return [one["status"] for one in self.house.sandbox.world.deliveries]

    def ends_well(self, people: list[Customer]) -> None:
        """Everybody has paid the next day, once, and nothing is left over."""
        self.house.passes(days=1.1)
        self.house.rests()
        for who in people:
            world = self.house.world
            assert world.state(who) == ("recovered", "full", "paid"), world.record()
            assert world.tries(who) == ["stripe decline", "api succeed"]
        assert not self.house.deaths, "somebody died of it"
        self.house.audit_books()

    def post(self, name: str | None = None) -> requests.Response:
        """A webhook of ours, signed by the sandbox's clock; a new one, unless it has a name."""
        body = raw(named(event("product.updated", {"id": "prod_1"}), *([name] if name else [])))
        url = next(iter(self.house.sandbox.world.all("webhook_endpoint")))["url"]
        headers = dict(signed(body, SECRET, self.house.world.now))
        return requests.post(url, body, headers=headers, timeout=LIMIT)

    def takes_webhooks(self, seconds: float) -> int:
        """For so long every webhook is answered with a 200."""
        began, taken, pause = time.monotonic(), 0, threading.Event()
        while time.monotonic() - began < seconds or not taken:
            assert self.post().status_code == 200
            taken += 1
            pause.wait(0.05)  # as many as there is time for would keep the machine from all else
        return taken


@pytest.fixture
def town(tmp_path: Path, private_postgres: Server, private_redis: Server) -> Iterator[Town]:
    """Web, worker and dispatch reach either server over a line; the test goes straight there."""
    store.migrate(private_postgres.url)
    with (
        Line(private_postgres.port) as to_postgres,
        Line(private_postgres.port) as web_to_postgres,
        Line(private_redis.port) as to_redis,
        house_on(private_postgres.url, tmp_path, broker_url=private_redis.url) as house,
    ):
        for name in KINDS:
            line = web_to_postgres if name == "web" else to_postgres
            over = make_url(private_postgres.url).set(port=line.port)
            house.more[name] = {
                "DUNNING_DATABASE_URL": over.render_as_string(hide_password=False),
                "DUNNING_BROKER_URL": f"redis://127.0.0.1:{to_redis.port}/0",
            }
        waves = []
        for number in range(6):
            waves.append(
                [
                    house.world.customer(
                        email=f"a{number}{n}@example.com", amount=4900 + 100 * number + n
                    )
                    for n in range(PEOPLE)
                ]
            )
            house.passes(days=4)
        house.start_all(KINDS)
        yield Town(
            house, private_postgres, private_redis, to_postgres, web_to_postgres, to_redis, waves
        )


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


def test_a_redis_that_forgets_is_slow_away_or_speaks_of_old(town: Town) -> None:
    for trouble in (forgets, is_slow, stands_still, stops, dies, holds_old_messages):
        people = town.wave()
        trouble(town, people)
        town.ends_well(people)
        assert set(town.statuses()) == {200}, trouble
    town.house.audit()


def forgets(town: Town, people: list[Customer]) -> None:
    """Everything, every second."""
    with (
        redis.Redis.from_url(town.redis.url) as client,
        meanwhile(client.flushall, every=1.0) as times,
    ):
        town.begins(people)
        town.house.passes(days=1.1)
    assert times[0] > 0


def is_slow(town: Town, people: list[Customer]) -> None:
    """Whatever is said to it takes longer than anybody waits."""
    town.to_redis.delay = SLOW_SECONDS
    town.begins(people)
    town.takes_webhooks(2 * SLOW_SECONDS)
    town.to_redis.delay = 0.0
    town.house.passes()


def stands_still(town: Town, people: list[Customer]) -> None:
    """It takes connections, and says nothing."""
    process = psutil.Process(town.redis.pid)
    town.begins(people)
    process.suspend()
    town.takes_webhooks(2 * AWAY_SECONDS)
    process.resume()
    town.house.passes()


def holds_old_messages(town: Town, people: list[Customer]) -> None:
    """In the place of ours, messages of a version that is no more, or is yet to come."""
    worker = town.house.lives["worker"]
    worker.signal(signal.SIGSTOP)
    town.begins(people)
    with redis.Redis.from_url(town.redis.url) as client:
        client.flushall()
    broker = build_broker(town.redis.url)
    for actor, queue, arguments in OLD_MESSAGES:
        broker.declare_queue(queue)
        broker.enqueue(
            dramatiq.Message(
                queue_name=queue, actor_name=actor, args=arguments, kwargs={}, options={}
            )
        )
    broker.close()
    worker.signal(signal.SIGCONT)
    town.house.passes()
    told = [line["said"] for line in worker.logs() if line["event"] == "library.said"]
    for actor, _, _ in OLD_MESSAGES:
        # Of the one there is no such actor, the other cannot be called like this.
        assert any(f"'{actor}'" in one or f"{actor}(" in one for one in told), worker.said()


def stops(town: Town, people: list[Customer]) -> None:
    """In order, and starts again with nothing."""
    _without_redis(town, people, town.redis.stop)


def dies(town: Town, people: list[Customer]) -> None:
    """Kill -9, and starts again with nothing."""
    _without_redis(town, people, town.redis.kill)


def _without_redis(town: Town, people: list[Customer], goes: Callable[[], None]) -> None:
    town.begins(people)
    goes()
    town.takes_webhooks(AWAY_SECONDS)
    town.redis.start()
    town.house.passes()


# --- PostgreSQL --------------------------------------------------------------------------------


def test_a_database_that_goes_away_cuts_its_lines_or_is_read_for_long(town: Town) -> None:
    for trouble in (is_stopped, is_killed, cuts_all, cuts_commits, is_read_for_long):
        people = town.wave()
        trouble(town, people)
        town.ends_well(people)
        assert set(town.statuses()) <= {200, 503, None}, trouble
    town.house.audit()


def is_stopped(town: Town, people: list[Customer]) -> None:
    """In order, and starts again."""
    _away(town, people, town.postgres.stop)


def is_killed(town: Town, people: list[Customer]) -> None:
    """Kill -9, and starts again."""
    _away(town, people, town.postgres.kill)


def _away(town: Town, people: list[Customer], goes: Callable[[], None]) -> None:
    town.begins(people)
    goes()
    answer = town.post()
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    town.postgres.start()
    town.house.passes()
    assert town.post().status_code == 200


def cuts_all(town: Town, people: list[Customer]) -> None:
    """Every line, in the middle of whatever is said, again and again."""
    with _looking(town) as line:

        def cut() -> None:
            line.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )

        with meanwhile(cut, every=0.15) as times:
            town.begins(people)
            town.house.passes(days=1)
    assert times[0] > 0


def cuts_commits(town: Town, people: list[Customer]) -> None:
    """A commit is not heard of, or its answer is not: nobody knows which."""
    town.web_to_postgres.keeps = True
    town.web_to_postgres.cut_share = 1.0
    town.to_postgres.cut_share = 0.2
    assert {town.post("evt_cut").status_code for _ in range(4)} == {503}
    assert town.web_to_postgres.cuts["before"] > 0
    assert town.web_to_postgres.cuts["after"] > 0
    town.web_to_postgres.cut_share = 0.2
    town.house.sandbox.clock.advance(town.hour(people))
    town.house.passes(days=1.1)
    town.web_to_postgres.cut_share = town.to_postgres.cut_share = 0.0
    assert town.to_postgres.cuts["before"] > 0
    assert town.to_postgres.cuts["after"] > 0
    assert town.post("evt_cut").status_code == 200
    with town.house.world.session() as session:
        kept = session.exec(select(InboxRow).where(InboxRow.event_id == "evt_cut")).all()
    assert len(kept) == 1


def is_read_for_long(town: Town, people: list[Customer]) -> None:
    """Somebody holds a snapshot, as a dump does; work goes on beside it."""
    with _looking(town) as line:
        line.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        counted = "SELECT count(*) FROM cases WHERE state = 'recovered'"
        before = line.execute(counted).fetchone()
        town.begins(people)
        town.ends_well(people)
        assert line.execute(counted).fetchone() == before  # it was held all along


@contextmanager
def _looking(town: Town) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    address = make_url(town.postgres.url).set(drivername="postgresql")
    with psycopg.connect(address.render_as_string(), autocommit=True) as line:
        yield line
