"""House: real processes of the program beside a simulated Stripe; they are killed and come back.

The sandbox, the mail server and the product live in the test's own process. Time is the sandbox's
and waits for the program; while a process that keeps step with it is dead, the house holds it.
"""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sqlmodel import col, func, select

from dunning import crashpoints
from dunning.config import load_settings
from dunning.sandbox.sandbox import Sandbox
from dunning.store import CaseRow, InboxRow, OutboxRow, ScheduleRow, StepRow
from dunning.wiring import assemble
from tests import secrets
from tests.invariants import check
from tests.neighbours import Mailbox, Product
from tests.servers import clean_environment
from tests.sharing import ROOT
from tests.stages.running import Process
from tests.staging import PRODUCT_SECRET, SECRET, START
from tests.world import Customer, World

LEASE_SECONDS = 2
# Much more than anything takes, on a machine that is slow and has other work.
LIMIT = 100.0
KILLED = {crashpoints.EXIT_CODE, -signal.SIGKILL}
FOLLOWERS = ("up", "dispatch")
OPTIONS: Mapping[str, tuple[str, ...]] = {
    "up": ("--port", "0"),
    "web": ("--port", "0"),
    "worker": ("--threads", "2"),
    "dispatch": (),
}
MINUTE, HOUR, DAY = 60, 3_600, 86_400
# Time that passes until what was refused is sent again; the later tries are hours apart.
RESTING = (0, *[MINUTE] * 6, *[10 * MINUTE] * 6, *[HOUR] * 10, *[6 * HOUR] * 10)


class Life(Process):
    """A process from its start to its end."""

    patience = LIMIT
    order: str | None = None  # the crash point at which it is to die, and which time

    @property
    def pid(self) -> int:
        return self._process.pid

    def code(self) -> int | None:
        """Its exit code once it has ended."""
        return self._process.poll()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it is there."""
        if self._process.poll() is None:
            self._process.send_signal(number)

    def dies(self) -> None:
        """Kill -9."""
        self.signal(signal.SIGKILL)
        self._process.wait(LIMIT)


class House:
    """Everything that is needed for one story with deaths in it."""

    def __init__(
        self, stack: ExitStack, folder: Path, environ: dict[str, str], world: World
    ) -> None:
        self.folder = folder
        self.environ = environ
        self.world = world
        self.sandbox = world.sandbox
        self.engine = world.program.engine
        self.lives: dict[str, Life] = {}
        self.deaths: Counter[str] = Counter()
        self.past: list[Life] = []
        self.orders: dict[str, deque[str]] = defaultdict(deque)
        self.died: list[str] = []  # the orders that were carried out, in this order
        self.more: dict[str, dict[str, str]] = defaultdict(dict)  # settings of one process
        self._endpoints: dict[str, Any] = {}
        self._stack = stack

    # --- processes -------------------------------------------------------------------------

    def start(self, name: str, *, crash: str | None = None, **more: str) -> Life:
        """Start a process, such as `up` or `worker-2`; ready when this returns.

        `crash`: the point at which it dies, and at which time it comes by: `act.done:1`.
        """
        life = self._launch(name, crash, more)
        self._arrive_at_work(name)
        return life

    def start_all(self, names: Iterable[str]) -> None:
        """Start several side by side."""
        began = list(names)
        for name in began:
            self._launch(name, None, {})
        for name in began:
            self._arrive_at_work(name)

    def is_to_die(self, name: str, *orders: str) -> None:
        """Each life of this process to come dies at the next of these points."""
        self.orders[name].extend(orders)

    def _launch(self, name: str, crash: str | None, more: Mapping[str, str]) -> Life:
        kind = name.partition("-")[0]
        environ = self.environ | self.more[name] | dict(more)
        if crash is None and self.orders[name]:
            crash = self.orders[name].popleft()
        if crash is not None:
            environ |= {crashpoints.VARIABLE: crash}
        life = Life(kind, environ, self.folder, *OPTIONS[kind])
        life.order = crash
        self._stack.callback(life.stop, signal.SIGKILL)
        self.lives[name] = life
        return life

    def _arrive_at_work(self, name: str) -> None:
        life = self.lives[name]
        told = life.ready() if life.order is None else self._ready_or_dead(life)
        if life.kind in ("up", "web") and told is not None:
            self._listens(name, told["webhooks_stripe"])
        if life.kind in FOLLOWERS:
            follower = f"dunning-{life.pid}"
            self.until(
                lambda: follower in self.sandbox.clock.followers or life.code() is not None,
                f"{name} follows the clock",
            )

    def _ready_or_dead(self, life: Life) -> dict[str, Any] | None:
        try:
            return life.ready()
        except AssertionError:
            if life.stop(signal.SIGCONT) in KILLED:
                return None  # it came by its point before it was ready
            raise

    def _listens(self, name: str, url: str) -> None:
        """Whatever port it got, Stripe is told."""
        with self.sandbox.world.lock:
            if name in self._endpoints:
                self._endpoints[name]["url"] = url
                return
        self._endpoints[name] = self.sandbox.add_webhook(url, SECRET)

    def kill(self, name: str) -> None:
        """Kill -9 and start again at once."""
        self.lives[name].dies()
        self.revive()

    def swap(self, name: str, crash: str) -> None:
        """Another process in the place of this one, which is to die at that point."""
        self.lives[name].dies()
        self.orders[name].appendleft(crash)
        self._again([name])

    def revive(self) -> None:
        """Start again what was killed; whatever ended otherwise fails the test."""
        dead = [name for name, life in list(self.lives.items()) if life.code() is not None]
        for name in dead:
            life = self.lives[name]
            code = life.code()
            assert code in KILLED, f"{name} ended with {code}:\n{life.said()}"
            self.deaths[name] += 1
            if code == crashpoints.EXIT_CODE:
                self.died.append(str(life.order))
        if dead:
            self._again(dead)

    def _again(self, names: list[str]) -> None:
        # Nobody keeps step for them meanwhile, and time must not run away.
        self.sandbox.clock.hold()
        try:
            for name in names:
                life = self.lives[name]
                self.past.append(life)
                self.sandbox.clock.leave(f"dunning-{life.pid}")
            self.start_all(names)
        finally:
            self.sandbox.clock.unhold()

    def comes_back(self, name: str) -> bool:
        """Start again one that is dead, while time goes on; whether it stands."""
        life = self.lives[name]
        self.past.append(life)
        self.sandbox.clock.leave(f"dunning-{life.pid}")
        self._launch(name, None, {})
        try:
            self._arrive_at_work(name)
        except AssertionError:
            self.lives[name].stop(signal.SIGCONT)  # until it has ended, as it could not start
            return False
        return True

    def stop(self) -> None:
        """Stop every process in order; each must end well."""
        for name, life in self.lives.items():
            code = life.stop()
            assert code == 0, f"{name} ended with {code}:\n{life.said()}"
        self.lives.clear()

    def command(self, *words: str, crash: str | None = None) -> tuple[int, str]:
        """Run a command to its end: its exit code, and all it said."""
        environ = self.environ | ({} if crash is None else {crashpoints.VARIABLE: crash})
        return run(self.folder, environ, *words)

    def said(self) -> str:
        """Every line of every process there was."""
        return "\n".join(life.said() for life in (*self.past, *self.lives.values()))

    def logs(self) -> list[dict[str, Any]]:
        return [line for life in (*self.past, *self.lives.values()) for line in life.logs()]

    # --- time ------------------------------------------------------------------------------

    def until(self, so: Any, what: str, limit: float = LIMIT) -> None:
        """Wait until it is so."""
        pause, began = threading.Event(), time.monotonic()
        while not so():
            if time.monotonic() - began > limit:
                raise AssertionError(f"it never came true: {what}\n{self.said()[-6000:]}")
            pause.wait(0.01)

    def goes_to(self, moment: int, *, reviving: bool = True) -> None:
        """Move time there; whatever dies meanwhile is started again."""
        self.sandbox.clock.advance(max(moment, self.sandbox.now))
        self._arrives(reviving)

    def passes(
        self, *, days: float = 0, minutes: float = 0, seconds: float = 0, reviving: bool = True
    ) -> None:
        """Let so much time pass."""
        span = int(days * DAY + minutes * MINUTE + seconds)
        self.goes_to(self.sandbox.world.target + span, reviving=reviving)

    def _arrives(self, reviving: bool) -> None:
        began, moved_to = time.monotonic(), self.sandbox.now
        while not self.sandbox.clock.wait(0.02):
            if self.sandbox.now != moved_to:
                began, moved_to = time.monotonic(), self.sandbox.now
            if reviving:
                self.revive()
            elif any(life.code() is not None for life in self.lives.values()):
                return
            if time.monotonic() - began > LIMIT:
                raise AssertionError(f"time stands still\n{self.said()[-6000:]}")

    def renewal(self, who: Customer) -> None:
        """Move to the moment at which the customer's renewal is charged, and fails."""
        hour = self.sandbox.settings.finalize_after
        self.goes_to(int(who.renews_at.timestamp()) + hour)

    # --- the end ---------------------------------------------------------------------------

    def rests(self) -> None:
        """Let time pass until nothing that was begun is left over."""
        for span in RESTING:
            self.passes(seconds=span)
            if not self.left():
                return
        raise AssertionError(f"it does not come to rest: {self.left()}\n{self.said()[-6000:]}")

    def left(self) -> dict[str, int]:
        """What was begun and is not done."""
        done = {"handled", "ignored", "sent", "ended", "recovered", *self.world.leaves}
        found: Counter[str] = Counter()
        with self.world.session() as session:
            for state in (InboxRow.state, OutboxRow.state, StepRow.state):
                query = select(state, func.count()).group_by(state)
                found.update({f"{state}": 0})
                found.update(dict(session.exec(query).all()))
            leased = select(func.count()).where(col(ScheduleRow.lease_token).is_not(None))
            found["leased"] = session.exec(leased).one()
        with self.sandbox.world.lock:
            found["deliveries"] = len(self.sandbox.world.outbound)
        return {name: count for name, count in found.items() if count and name not in done}

    def audit(self) -> None:
        """Fail with whatever does not hold."""
        self.audit_books()
        wrong = list(self._lost())
        assert not wrong, "\n".join(wrong)

    def audit_books(self) -> None:
        """The same where webhooks were let go of in the meantime."""
        self.world.happened()
        check(self.world)
        wrong = list(self._doubled())
        assert not wrong, "\n".join(wrong)

    def _doubled(self) -> Iterator[str]:
        """No key was charged twice, and no invoice paid twice."""
        for line in self.sandbox.books()["invoices"].values():
            keys = Counter(one["key"] for one in line["attempts"] if one["key"])
            yield from (f"{key} was charged {n} times" for key, n in keys.items() if n > 1)
            if line["successful_charges"] > 1:
                yield f"{line['invoice']} was paid {line['successful_charges']} times"

    def _lost(self) -> Iterator[str]:
        """What was answered with a 200 is kept, once, and nothing failed without a case."""
        with self.world.session() as session:
            kept = Counter(session.exec(select(InboxRow.event_id)).all())
            invoices = set(session.exec(select(CaseRow.invoice)).all())
        told = {one["event"] for one in self.sandbox.world.deliveries if one["delivered"]}
        yield from (f"{name} was answered with a 200 and is lost" for name in told - set(kept))
        yield from (f"{name} was kept {n} times" for name, n in kept.items() if n > 1)
        for name, line in self.sandbox.books()["invoices"].items():
            if line["first_failed_at"] is not None and name not in invoices:
                yield f"{name} failed, and there is no case of it"


def _no_goodbyes(line: logging.LogRecord) -> bool:
    return line.exc_info is None


def run(folder: Path, environ: Mapping[str, str], *words: str) -> tuple[int, str]:
    """Run a command of the program to its end: its exit code, and all it said."""
    done = subprocess.run(
        [sys.executable, "-m", "dunning", *words],
        cwd=folder,
        env={**clean_environment(), "PYTHONPATH": str(ROOT), **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    said = done.stdout + done.stderr
    secrets.WATCH.look(f"dunning {words[0]}", said)
    return done.returncode, said


@contextmanager
def house_on(
    database_url: str,
    folder: Path,
    *,
    broker_url: str | None = None,
    environ: Mapping[str, str] | None = None,
    **sandbox_options: Any,
) -> Iterator[House]:
    """A house on a migrated, empty database; no process runs yet."""
    with ExitStack() as stack:
        options = {"tick": 60, "start": int(START.timestamp()), "follower_timeout": LIMIT}
        # Whoever dies while the sandbox waits with an answer for it would fill the log.
        logging.getLogger("uvicorn.error").addFilter(_no_goodbyes)
        sandbox = Sandbox(seed=1, **options | sandbox_options)
        url = stack.enter_context(sandbox.serve())
        mailbox, product = Mailbox(), Product()
        env = {
            "DUNNING_DATA": str(folder),
            "DUNNING_DATABASE_URL": database_url,
            "DUNNING_MAIL_FROM": "billing@example.com",
            "DUNNING_COMPANY": "Example Ltd",
            "DUNNING_SECRET_KEY": secrets.LINKS,
            "DUNNING_PUBLIC_URL": "http://127.0.0.1:9",
            "DUNNING_PRODUCT_WEBHOOK_SECRET": PRODUCT_SECRET,
            "DUNNING_PRODUCT_WEBHOOK_URL": stack.enter_context(product.serve()),
            "DUNNING_SMTP_URL": stack.enter_context(mailbox.serve()),
            "DUNNING_SANDBOX_URL": url,
            "DUNNING_LEASE_SECONDS": str(LEASE_SECONDS),
            "STRIPE_API_KEY": secrets.API_KEY,
            "STRIPE_WEBHOOK_SECRET": SECRET,
            **({} if broker_url is None else {"DUNNING_BROKER_URL": broker_url}),
            **(environ or {}),
        }
        # Only to look at the database; this one works on nothing.
        program = assemble(load_settings(env, folder), environ=env, role="command")
        stack.callback(program.close)
        seen: Any = SimpleNamespace(program=program)
        world = World(seen, sandbox, url, mailbox, product)
        stack.callback(world.http.close)
        yield House(stack, folder, env, world)
