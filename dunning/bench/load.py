"""A load of webhooks over many connections; run as a program, so that it has a core of its own.

It reads its order as JSON from the command line and prints what came of it as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import count
from typing import cast

import uvloop

from dunning.bench.bodies import SECRET, bodies, signature
from dunning.clock import SystemClock


@dataclass(frozen=True, slots=True)
class Order:
    """What to send where. One request in `forged_every` (0: none) has a wrong signature."""

    host: str
    port: int
    path: str
    connections: int
    seconds: float
    warmup: float = 1.0
    first: int = 0
    forged_every: int = 0


@dataclass(slots=True)
class Outcome:
    """What came back while it counted: answers by status, and how long they took, in ms."""

    seconds: float = 0.0
    answers: dict[str, int] = field(default_factory=dict)
    good: int = 0  # 200s per second
    refused: int = 0  # 400s per second
    p50_ms: float = 0.0
    p99_ms: float = 0.0


class _Load:
    def __init__(self, order: Order) -> None:
        self.order = order
        self.bodies: Iterator[bytes] = bodies(order.first)
        self.numbers = count(1)
        self.clock = SystemClock()
        self.counts = False
        self.stopped = False
        self.lines: set[asyncio.Task[None]] = set()
        self.answers: Counter[str] = Counter()
        self.waits: list[float] = []
        self.head = (
            f"POST {order.path} HTTP/1.1\r\nHost: {order.host}:{order.port}\r\n"
            "Content-Type: application/json; charset=utf-8\r\n"
        )

    def request(self) -> bytes:
        """The next request, whole."""
        body = next(self.bodies)
        every = self.order.forged_every
        forged = bool(every) and next(self.numbers) % every == 0
        secret = "whsec_wrong" if forged else SECRET
        signed = signature(body, int(self.clock.now().timestamp()), secret)
        lines = f"Content-Length: {len(body)}\r\nStripe-Signature: {signed}\r\n\r\n"
        return (self.head + lines).encode() + body


class _Line(asyncio.Protocol):
    """One connection: the next request goes when the answer to the last has come."""

    def __init__(self, load: _Load) -> None:
        self._load = load
        self._transport: asyncio.Transport | None = None
        self._heard = b""
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._heard += data
        end = self._heard.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._heard[:end].lower()
        if not self._is_whole(head, end + 4):
            return
        if self._load.counts:
            self._load.answers[head[9:12].decode()] += 1
            self._load.waits.append(time.perf_counter() - self._began)
        self._heard = b""
        assert self._transport is not None
        if b"connection: close" in head:
            self._transport.close()
        else:
            self._send()

    def _is_whole(self, head: bytes, start: int) -> bool:
        _, chunked, _ = head.partition(b"transfer-encoding: chunked")
        if chunked:
            return self._heard.endswith(b"0\r\n\r\n")
        _, _, rest = head.partition(b"content-length:")
        return len(self._heard) >= start + int(rest.split(b"\r\n", 1)[0] or 0)

    def connection_lost(self, _error: Exception | None) -> None:
        if not self._load.stopped:
            again = asyncio.get_running_loop().create_task(_connect(self._load))
            self._load.lines.add(again)
            again.add_done_callback(self._load.lines.discard)

    def _send(self) -> None:
        assert self._transport is not None
        if self._load.stopped:
            self._transport.close()
            return
        self._began = time.perf_counter()
        self._transport.write(self._load.request())


async def _connect(load: _Load) -> None:
    loop = asyncio.get_running_loop()
    while not load.stopped:
        try:
            await loop.create_connection(lambda: _Line(load), load.order.host, load.order.port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            return


async def _run(order: Order) -> Outcome:
    load = _Load(order)
    await asyncio.gather(*(_connect(load) for _ in range(order.connections)))
    await asyncio.sleep(order.warmup)
    load.counts, began = True, time.perf_counter()
    print("counting", flush=True)
    await asyncio.sleep(order.seconds)
    load.counts, load.stopped = False, True
    seconds = time.perf_counter() - began
    waits = sorted(load.waits) or [0.0]
    return Outcome(
        seconds=seconds,
        answers=dict(load.answers),
        good=round(load.answers["200"] / seconds),
        refused=round(load.answers["400"] / seconds),
        p50_ms=round(waits[len(waits) // 2] * 1000, 2),
        p99_ms=round(waits[int(len(waits) * 0.99)] * 1000, 2),
    )


if __name__ == "__main__":
    outcome = uvloop.run(_run(Order(**json.loads(sys.argv[1]))))
    print(json.dumps(asdict(outcome)))
