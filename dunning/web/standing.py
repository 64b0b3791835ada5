"""How far behind the program is, and whether what it stands on gives way."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from dunning import begun, breaker, inbox, outbox, pace, schedule, store
from dunning.clock import rfc3339
from dunning.core.breaking import Signal
from dunning.in_force import Refused
from dunning.store import reading

if TYPE_CHECKING:
    from dunning.wiring import Program


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is wrong: a name for programs, what is seen, and what to do."""

    code: str
    what: str
    do: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How things stand at a moment; without a database only that it is away."""

    now: datetime
    away: str | None = None
    kept: inbox.Backlog | None = None
    due: schedule.Backlog | None = None
    calls: outbox.Backlog | None = None
    unknown: begun.Unknown | None = None
    broker: str = "ok"  # or how it shows that it is away
    held: Sequence[breaker.Standing] = ()
    refused: Mapping[str, datetime] = field(default_factory=dict)  # by source: its key, and when
    policy: str = ""  # the hash of the text in force
    wrong: tuple[Refused, ...] = ()  # texts that are not
    version: str | None = None
    free_bytes: int | None = None
    troubles: list[Trouble] = field(default_factory=list)


class Watch:
    """Asks how a program stands, for people and for Prometheus."""

    def __init__(self, program: Program, broker: Callable[[], str]) -> None:
        self._program = program
        self._broker = broker
        self._asking: asyncio.Task[Standing] | None = None

    async def standing(self) -> Standing:
        """How things stand; never raises over a database. Who asks meanwhile hears the same."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(asyncio.to_thread(self._ask))
        return await asyncio.shield(self._asking)

    def _ask(self) -> Standing:
        program = self._program
        now = program.clock.now()
        free, names = self._free_bytes(), list(program.sources)
        try:
            now = program.clock.fresh()
            with reading(program.engine) as session:
                version = store.version_seen(session)
                found = Standing(now=now, version=version, free_bytes=free)
                if not self._is_behind(version):
                    found = replace(
                        found,
                        kept=inbox.backlog(session),
                        due=schedule.backlog(session, now, program.acting),
                        calls=outbox.backlog(session, now),
                        unknown=begun.unknown_steps(session),
                        held=[one for one in breaker.standings(session, names, now) if one.open],
                        refused=pace.refused_keys(session, program.acting),
                    )
        except (SQLAlchemyError, OSError) as error:
            found = Standing(now=now, away=type(error).__name__, free_bytes=free)
        # Asked with no transaction open; a broker that is silent is away within seconds.
        found = replace(found, broker=self._broker())
        policies = program.policies
        found = replace(found, policy=policies.hash, wrong=policies.refused)
        found.troubles.extend(self._troubles(found))
        found.troubles.extend(_around(found))
        return found

    # --- what is wrong -----------------------------------------------------------------------

    def _troubles(self, found: Standing) -> Iterator[Trouble]:
        limits = self._program.settings
        if found.away is not None:
            yield Trouble(
                "database_away",
                f"the database does not answer ({found.away})",
                "start it, or mend DUNNING_DATABASE_URL; webhooks are refused with 503 meanwhile "
                "and come again",
            )
        elif self._is_behind(found.version):
            yield Trouble(
                "migrations_behind",
                f"the database stands at {found.version or 'nothing'}, "
                f"this version needs {self._known_versions[0]}",
                "run `dunning migrate`",
            )
        waited = _seconds(found.kept.oldest_new_at, found.now) if found.kept else 0
        if waited > limits.late_event_seconds:
            yield Trouble(
                "events_late",
                f"the oldest unhandled webhook has waited {_whole(waited)}",
                "see that `dunning worker` runs and reaches broker and database",
            )
        overdue = _seconds(found.due.oldest_due_at, found.now) if found.due else 0
        if overdue > limits.late_step_seconds:
            yield Trouble(
                "steps_late",
                f"the oldest overdue step has waited {_whole(overdue)}",
                "see that `dunning dispatch` and enough of `dunning worker` run",
            )
        if found.free_bytes is not None and found.free_bytes < limits.least_free_bytes:
            yield Trouble(
                "disk_nearly_full",
                f"{found.free_bytes >> 20} MiB are left beside the database",
                "make room on that disk; once it is full webhooks are refused with 503",
            )

    @cached_property
    def _known_versions(self) -> list[str]:
        return store.known_versions()

    def _is_behind(self, version: str | None) -> bool:
        # One that we do not know is of a later program, which migrated first.
        return version is None or version in self._known_versions[1:]

    def _free_bytes(self) -> int | None:
        """Room on the disk of an embedded database; of a server's disk it knows itself."""
        file = self._program.engine.url.database
        if self._program.engine.dialect.name != "sqlite" or not file or file == ":memory:":
            return None
        with suppress(OSError):
            return shutil.disk_usage(Path(file).parent).free
        return None


def _around(found: Standing) -> Iterator[Trouble]:
    """What is wrong with those we depend on: nothing is late yet, and it will be."""
    if found.broker.startswith("away"):
        yield Trouble(
            "broker_away",
            f"the broker does not answer: {found.broker}",
            "start it, or mend DUNNING_BROKER_URL; webhooks are kept, but nobody is told to work",
        )
    for source, at in found.refused.items():
        yield Trouble(
            "key_refused",
            f"the provider does not accept the API key of {source}, last at {rfc3339(at)}",
            "give a valid key and restart; no charge is made meanwhile, and no rung is used up",
        )
    for fuse in found.held:
        # Who holds a source by hand knows of it, and does not want to be woken.
        if fuse.signal != Signal.HAND.value:
            yield Trouble(
                "source_held",
                f"charges and emails of {fuse.source} are held: {fuse.why}",
                "mend what is wrong, and it goes on by itself; if nothing is: "
                f"`dunning breaker release {fuse.source} --why …`",
            )


def told(found: Standing) -> dict[str, Any]:
    """The same for /readyz, in words."""
    ready = not found.troubles
    words: dict[str, Any] = {
        "ready": ready,
        "problems": [{"code": t.code, "what": t.what, "do": t.do} for t in found.troubles],
        "database": "ok" if found.away is None else f"away ({found.away})",
        "broker": found.broker,
    }
    words["policy"] = {
        "in_force": found.policy,
        # Not red either: what was in force stays so.
        "refused": [{"file": r.name, "what": r.why, "do": r.do} for r in found.wrong],
    }
    if found.kept is not None and found.due is not None:
        words |= {
            "oldest_unhandled_event": rfc3339(found.kept.oldest_new_at),
            "oldest_overdue_step": rfc3339(found.due.oldest_due_at),
            "inbox": {
                "new": found.kept.new,
                "fetching": found.kept.new - found.kept.fresh,
                "parked": found.kept.parked,
            },
            "held": {fuse.source: fuse.why for fuse in found.held},
        }
    return words


def _gauge(name: str, what: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, what, value=value)


def _seconds(since: datetime | None, now: datetime) -> float:
    return 0.0 if since is None else max((now - since).total_seconds(), 0.0)


def _whole(seconds: float) -> str:
    return str(timedelta(seconds=int(seconds)))


class _Families(Collector):
    """The gauges of one moment; with the database away its backlogs are left out, not zero."""

    def __init__(self, found: Standing) -> None:
        self._found = found

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Make them."""
        found = self._found
        up = 0 if found.away else 1
        yield _gauge("dunning_database_up", "1 when the database answers", up)
        broker = 0 if found.broker.startswith("away") else 1
        yield _gauge("dunning_broker_up", "1 when the broker answers", broker)
        yield _gauge("dunning_ready", "1 when /readyz says so", 0 if found.troubles else 1)
        if found.free_bytes is not None:
            what = "Room on the disk of the embedded database, in bytes"
            yield _gauge("dunning_disk_free_bytes", what, found.free_bytes)
        if found.kept is None or found.due is None or found.calls is None:
            return
        age = _seconds(found.kept.oldest_new_at, found.now)
        overdue = _seconds(found.due.oldest_due_at, found.now)
        for name, what, value in (
            ("inbox_new", "Webhooks kept and not yet handled", found.kept.new),
            ("inbox_fetching", "Of them, those whose object could not be fetched yet",
             found.kept.new - found.kept.fresh),
            ("inbox_oldest_new_seconds", "Age of the oldest webhook nobody handled", age),
            ("inbox_parked", "Webhooks that wait for a person", found.kept.parked),
            ("cases_due", "Cases whose next step is due and that nobody has taken", found.due.due),
            ("cases_claimed", "Cases a worker holds", found.due.claimed),
            ("steps_overdue_seconds", "How long the oldest due step has been due", overdue),
            ("outbox_pending", "Calls to the product not yet delivered", found.calls.pending),
            ("outbox_dead", "Calls to the product nobody took", found.calls.dead),
        ):  # fmt: skip
            yield _gauge(f"dunning_{name}", what, value)
        if found.unknown is not None:
            what = "Steps that may have happened, and the provider has not said so yet"
            yield _gauge("dunning_steps_in_doubt", what, found.unknown.count)


def gauges(found: Standing) -> bytes:
    """The same for Prometheus."""
    registry = CollectorRegistry()
    registry.register(_Families(found))
    return generate_latest(registry)
