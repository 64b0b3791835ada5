"""The sandbox as an object: start it, move its time, make things happen, read its books."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.routing import BaseRoute

from dunning.sandbox import acts, control, delivery
from dunning.sandbox.app import CuttableProtocol, build_app
from dunning.sandbox.clock import Clock
from dunning.sandbox.errors import Obj
from dunning.sandbox.world import Settings, World

_START_LIMIT = 15.0


class Sandbox:
    """A simulated Stripe account. `with sandbox.serve() as url:` puts it on HTTP."""

    def __init__(self, settings: Settings | None = None, **options: Any) -> None:
        self.settings = settings or Settings(**options)
        self.world = World(self.settings)
        self.clock = Clock(self.world)
        self.world.clock = self.clock
        self.extra_routes: list[BaseRoute] = []  # pages others hang in, such as the mailbox
        self.url = ""

    # --- life ------------------------------------------------------------------------------
    @contextmanager
    def serve(self, port: int = 0, host: str = "127.0.0.1") -> Iterator[str]:
        """Serve on a thread of its own; the base URL."""
        listener = socket.create_server((host, port))
        actual = listener.getsockname()[1]
        self.set_url(f"http://{host}:{actual}")
        server = uvicorn.Server(self.uvicorn_config())
        thread = threading.Thread(
            target=server.run, args=([listener],), name="sandbox-http", daemon=True
        )
        self.clock.start()
        thread.start()
        began = time.monotonic()
        while not server.started:
            if time.monotonic() - began > _START_LIMIT or not thread.is_alive():
                raise RuntimeError("the sandbox did not start")
            time.sleep(0.005)
        try:
            yield self.url
        finally:
            self.clock.stop()
            server.should_exit = True
            server.force_exit = True  # long polls of followers need not be waited for
            thread.join(timeout=10)
            listener.close()

    def set_url(self, url: str) -> None:
        """Where the customer's pages are reached."""
        self.url = url
        self.world.base_url = self.settings.public_url or url

    def uvicorn_config(self, **more: Any) -> uvicorn.Config:
        """How the sandbox is served, here and by `dunning sandbox`."""
        app = build_app(self)
        app.router.routes[:0] = self.extra_routes
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
        return uvicorn.Config(
            app,
            http=CuttableProtocol,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=1,
            **more,
        )

    # --- time ------------------------------------------------------------------------------
    @property
    def now(self) -> int:
        """The virtual time."""
        return self.world.now

    def advance(
        self, seconds: int | None = None, *, to: int | None = None, timeout: float | None = 600
    ) -> int:
        """Move time and wait until it has arrived and all is quiet. Never call it from a
        follower: it would wait for itself.
        """
        with self.world.lock:
            goal = to if to is not None else self.world.target + int(seconds or 0)
            self.clock.advance(goal)
        if not self.clock.wait(timeout):
            raise TimeoutError(f"the virtual time is {self.now}, not yet {goal}")
        return self.now

    def settle(self, timeout: float = 30) -> None:
        """Wait, without moving time, until everything due now is done and delivered."""
        end = time.monotonic() + timeout
        while not self.clock.quiet():
            if time.monotonic() > end:
                raise TimeoutError("there is still something to do")
            time.sleep(0.002)

    # --- webhooks --------------------------------------------------------------------------
    def add_webhook(
        self,
        url: str,
        secret: str | None = None,
        *,
        events: list[str] | None = None,
        version: str | None = None,
        payload: str = "snapshot",
    ) -> Obj:
        """An endpoint of the account."""
        with self.world.lock:
            return delivery.new_endpoint(
                self.world, url, secret=secret, events=events, version=version, payload=payload
            )

    def deliver(
        self,
        action: str,
        *,
        types: list[str] | None = None,
        times: int | None = None,
        seconds: int = 3600,
        copies: int = 1,
    ) -> None:
        """A standing order for deliveries: duplicate, reorder, delay, drop or hold."""
        with self.world.lock:
            control.add_rule(self.world, action, types or [], times, seconds=seconds, copies=copies)

    def release(self) -> int:
        """Send what is held."""
        with self.world.lock:
            return delivery.release(self.world)

    # --- failures at will ------------------------------------------------------------------
    def next_charge(self, outcome: Any, *, times: int = 1, **match: str) -> None:
        """How the next matching charges end; see the control API for outcomes."""
        with self.world.lock:
            self.world.faults.order_charge(match, outcome, times)

    def next_request(
        self, outcome: Any, *, path: str = "", method: str | None = None, times: int = 1
    ) -> None:
        """How the next requests whose path contains `path` are answered."""
        with self.world.lock:
            self.world.faults.order_request({"path": path, "method": method}, outcome, times)

    # --- people ----------------------------------------------------------------------------
    def pays(self, customer: str, invoice: str, number: str | None = None) -> str:
        """The customer pays on the hosted page; how it ended."""
        with self.world.lock:
            kind = acts.pays(self.world, customer, invoice, number).kind
            self.world.bump()
            return kind

    def new_card(self, customer: str, card: str = "4242424242424242", **options: bool) -> Obj:
        """A new card through the portal."""
        with self.world.lock:
            method = acts.new_card(self.world, customer, card, **options)
            self.world.bump()
            return method

    def cancels(self, customer: str, *, at_period_end: bool = False) -> list[str]:
        """The customer cancels."""
        with self.world.lock:
            ended = acts.cancels(self.world, customer, at_period_end=at_period_end)
            self.world.bump()
            return ended

    def disputes(self, customer: str, charge: str | None = None) -> Obj:
        """The customer disputes."""
        with self.world.lock:
            made = acts.disputes(self.world, customer, charge)
            self.world.bump()
            return made

    def automatically_updated(self, method: str, number: str | None = None) -> Obj:
        """The card network's updater."""
        with self.world.lock:
            updated = acts.automatically_updated(self.world, method, number)
            self.world.bump()
            return updated

    # --- reading ---------------------------------------------------------------------------
    def books(self) -> Obj:
        """The sandbox's own books."""
        with self.world.lock:
            return self.world.books.report()
