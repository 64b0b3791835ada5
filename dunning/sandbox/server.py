"""`dunning sandbox`: the simulated Stripe as a process of its own."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress

import uvicorn

from dunning.sandbox.sandbox import Sandbox
from dunning.sandbox.world import START


def run(
    port: int = 12111,
    host: str = "127.0.0.1",
    webhook: str | None = None,
    secret: str | None = None,
    seed: int = 1,
    speed: float = 0.0,
    start: int | None = None,
    tick: int = 1,
    ready_callback: Callable[[Sandbox], None] | None = None,
) -> None:
    """Serve until interrupted. `speed` is virtual seconds per real second; 0 stands still.

    `ready_callback` is called when connections are accepted; port 0 lets the system choose, and
    `sandbox.url` then tells.
    """
    first = START if start is None else start
    sandbox = Sandbox(seed=seed, speed=speed, start=first, tick=tick)
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family)
    sandbox.set_url(f"http://{shown}:{listener.getsockname()[1]}")
    if webhook is not None:
        sandbox.add_webhook(webhook, secret)
    server = uvicorn.Server(sandbox.uvicorn_config())
    sandbox.clock.start()
    if ready_callback is not None:
        ready_callback(sandbox)
    try:
        with suppress(KeyboardInterrupt):  # the usual end
            server.run(sockets=[listener])
    finally:
        sandbox.clock.stop()
        listener.close()
