"""Starts and stops the kinds of process: everything in one, or web, worker and dispatch apart."""

from __future__ import annotations

import gc
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from dunning import crashpoints, store
from dunning.broker import Broker, build_broker
from dunning.clock import FollowedClock
from dunning.config import Settings
from dunning.crew import Crew
from dunning.errors import ConfigError
from dunning.in_force import Watching
from dunning.upkeep import Upkeep
from dunning.web.app import build_app, build_watch_app
from dunning.web.protocol import BoundedProtocol, make_room
from dunning.wiring import Program, assemble
from dunning.worker import Feeder, Threads, Work

# SQLite has one writer; more threads would only queue up behind it.
EMBEDDED_THREADS = 4
# Acts wait for the network, and not for the database.
EMBEDDED_CALLS = 16
# So many cases are claimed ahead for each act in flight: enough that none waits for a claim, few
# enough that none grows old in the queue.
CLAIMS_PER_CALL = 4
START_SECONDS = 15.0
GRACE_SECONDS = 20
# So many new objects before garbage is looked for: requests under way are none.
GARBAGE = 20_000


class Up:
    """Everything in one process: the receiver, the worker threads and the loop that feeds them."""

    def __init__(
        self, program: Program, *, threads: int = EMBEDDED_THREADS, calls: int = EMBEDDED_CALLS
    ) -> None:
        self.program = program
        self.broker = build_broker(None)
        self.crew = crew_for(program, calls)
        self.work = Work(program, self.broker, self.crew)
        self.crew.on_done = self.work.poke.set
        self.threads = Threads(self.broker, threads)
        self.feeder = Feeder(program, self.work, window=calls * CLAIMS_PER_CALL)
        self._loop = threading.Thread(target=self.feeder.run, name="feeder", daemon=True)
        self._watching = Watching(program.policies)

    def start(self) -> None:
        """Begin to work on what is due."""
        self.program.messages.refuse_if_wrong()
        self.program.policies.begin()
        self._watching.start()
        self.crew.start()
        self.threads.start()
        self._loop.start()

    def stop(self) -> None:
        """Finish the steps that were begun; nothing new is started."""
        self._watching.stop()
        self.feeder.stop()
        self._loop.join(timeout=GRACE_SECONDS)
        stop_working(self.crew, self.threads)
        if isinstance(self.program.clock, FollowedClock):
            self.program.clock.leave()
        self.program.close()

    def server(self, host: str, port: int) -> uvicorn.Server:
        """The web server of this process, not yet running."""
        return web_server(self.program, self.work, host, port)


def crew_for(program: Program, calls: int) -> Crew:
    """Who does the steps of a process: so many acts in flight at once."""
    return Crew(
        lambda: program.executor,
        program.engine,
        program.clock,
        sources=program.acting,
        lease=program.lease,
        calls=calls,
    )


def stop_working(crew: Crew, threads: Threads) -> None:
    """Finish the acts under way; claims that were not begun are given back at once."""
    crashpoints.reach("worker.stopping")
    crew.close()
    threads.drain()
    crew.stop()
    threads.stop()


def web_server(program: Program, work: Work, host: str, port: int) -> uvicorn.Server:
    """A web server; a webhook is worked on at once if the broker takes the hint."""
    make_room()
    return _server(build_app(program, work.hint, work.broker_says), host, port)


def settle() -> None:
    """Say that what there is by now stays: it is not searched for garbage again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE, 20, 20)


def _server(app: ASGIApp, host: str, port: int) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nothing here asks who the sender is
        timeout_graceful_shutdown=GRACE_SECONDS,
        http=BoundedProtocol,
        ws="none",
    )
    return uvicorn.Server(config)


@contextmanager
def _watched(program: Program, broker: Callable[[], str]) -> Iterator[None]:
    """Serve /metrics, /readyz and /healthz beside the work, if an address is configured."""
    if program.settings.metrics_address is None:
        yield
        return
    host, port = program.settings.metrics_address
    with _listening(host, port) as listener:
        server = _server(build_watch_app(program, broker), host, port)
        thread = threading.Thread(target=server.run, args=([listener],), name="watch", daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.should_exit = True
            thread.join(timeout=GRACE_SECONDS)


@contextmanager
def running(up: Up, listener: socket.socket) -> Iterator[str]:
    """Run everything on threads beside the caller's own work; yields the base URL."""
    host, port = listener.getsockname()[:2]
    server = up.server(host, port)
    thread = threading.Thread(target=server.run, args=([listener],), name="web", daemon=True)
    up.start()
    thread.start()
    began = time.monotonic()
    while not server.started:
        if not thread.is_alive() or time.monotonic() - began > START_SECONDS:
            message = "the web server did not start"
            raise ConfigError(message)
        thread.join(0.01)
    try:
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        thread.join(timeout=GRACE_SECONDS)
        up.stop()


def run_up(
    settings: Settings,
    environ: Mapping[str, str],
    *,
    host: str,
    port: int,
    ready: Callable[[Program, str], None],
) -> None:
    """`dunning up`: serve until interrupted."""
    with _listening(host, port) as listener:
        store.migrate(settings.database_url.reveal())
        up = Up(assemble(settings, environ=environ))
        server = up.server(host, port)
        upkeep = Upkeep(up.program)
        up.start()
        upkeep.start()
        try:
            settle()
            ready(up.program, _url(host, listener))
            server.run([listener])
        finally:
            upkeep.stop()
            up.stop()


def run_web(
    settings: Settings,
    environ: Mapping[str, str],
    *,
    host: str,
    port: int,
    ready: Callable[[Program, str], None],
) -> None:
    """`dunning web`: receive webhooks only."""
    with _apart(settings, environ, "web") as (program, broker), _listening(host, port) as listener:
        server = web_server(program, Work(program, broker), host, port)
        settle()
        ready(program, _url(host, listener))
        server.run([listener])


def run_worker(
    settings: Settings,
    environ: Mapping[str, str],
    *,
    threads: int,
    calls: int,
    ready: Callable[[Program, str], None],
) -> None:
    """`dunning worker`: take messages until interrupted."""
    with _apart(settings, environ, "worker") as (program, broker), _told_to_stop() as told:
        crew = crew_for(program, calls)
        work = Work(program, broker, crew)
        pool = Threads(broker, threads)
        crew.start()
        pool.start()
        try:
            with _watched(program, work.broker_says):
                ready(program, f"{threads} threads, {calls} steps at once")
                told.wait()
        finally:
            stop_working(crew, pool)


def run_dispatch(
    settings: Settings,
    environ: Mapping[str, str],
    *,
    window: int,
    ready: Callable[[Program, str], None],
) -> None:
    """`dunning dispatch`: find what is due and hand it to the workers until interrupted."""
    with _apart(settings, environ, "dispatch") as (program, broker), _told_to_stop() as told:
        work = Work(program, broker)
        feeder = Feeder(program, work, window=window)
        loop = threading.Thread(target=feeder.run, name="feeder", daemon=True)
        upkeep = Upkeep(program)
        loop.start()
        upkeep.start()
        try:
            with _watched(program, work.broker_says):
                ready(program, f"at most {window} cases at once")
                told.wait()
        finally:
            feeder.stop()
            upkeep.stop()
            loop.join(timeout=GRACE_SECONDS)
            if isinstance(program.clock, FollowedClock):
                program.clock.leave()


@contextmanager
def _apart(
    settings: Settings, environ: Mapping[str, str], role: str
) -> Iterator[tuple[Program, Broker]]:
    """The parts of a process that meets the others over a broker; let go of at the end."""
    _needs_broker(settings)
    program = assemble(settings, environ=environ, role=role)
    try:
        program.messages.refuse_if_wrong()
        _needs_tables(program)
        broker = build_broker(_broker(settings))
        program.policies.begin()
        watching = Watching(program.policies)
        watching.start()
        try:
            yield program, broker
        finally:
            watching.stop()
            broker.close()
    finally:
        program.close()


@contextmanager
def _told_to_stop() -> Iterator[threading.Event]:
    """An event that is set by SIGINT or SIGTERM."""
    told = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        told.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    listener = _listen(host, port)
    try:
        yield listener
    finally:
        listener.close()


def _url(host: str, listener: socket.socket) -> str:
    return f"http://{_shown(host)}:{listener.getsockname()[1]}"


def _listen(host: str, port: int) -> socket.socket:
    with suppress(ValueError):
        try:
            return socket.create_server((host, port), backlog=2048)
        except OSError as error:
            message = (
                f"cannot listen on {host}:{port}: {_plainly(error)}; "
                "choose another with --port, or stop what is using it"
            )
            raise ConfigError(message) from None
    message = f"{host}:{port} is not an address to listen on"
    raise ConfigError(message)


def _plainly(error: OSError) -> str:
    # asyncio's helper adds the address, which the message names already.
    return (error.strerror or type(error).__name__).partition(" (while")[0]


def _shown(host: str) -> str:
    return "127.0.0.1" if host in ("0.0.0.0", "::", "") else host  # noqa: S104 - shown only


def _broker(settings: Settings) -> str | None:
    return settings.broker_url.reveal() if settings.broker_url else None


def _needs_broker(settings: Settings) -> None:
    if settings.broker_url is None:
        message = (
            "DUNNING_BROKER_URL is not set: web, worker and dispatch meet over Redis or RabbitMQ; "
            "`dunning up` does everything in one process without one"
        )
        raise ConfigError(message)


def _needs_tables(program: Program) -> None:
    if why := store.misfit(program.engine):
        message = f"the database {why}"
        raise ConfigError(message)
