"""Bodies without end and senders without haste: memory stays flat, and honest ones are answered."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from dunning.clock import SystemClock
from dunning.web.protocol import HEAD_SECONDS
from tests.adversarial import corpus
from tests.adversarial.server import HOOK, Server, tells_nothing, up
from tests.providers.stripe.bodies import raw
from tests.stages.kit import eventually
from tests.web.client import head, read_answer, signed

# What happens before the database is the same on both.
pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)

MEGABYTE = 1_000_000
SLOW = 800
HONEST = 60


@pytest.fixture
def server(migrated_url: str, tmp_path: Path) -> Iterator[Server]:
    with up(migrated_url, tmp_path, DUNNING_LOG_LEVEL="warning") as server:
        for number in range(20):  # so that it has grown to its usual size
            assert server.hook(raw(corpus.failed(f"warm{number}"))).status == 200
        yield server
        assert server.hook(raw(corpus.failed("after"))).status == 200


def lines(**headers: str) -> bytes:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return head("POST", corpus.PATH, {"Host": "x", **named})


def chunks(count: int) -> Iterator[bytes]:
    part = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    for _ in range(count):
        yield part


HUGE: dict[str, Callable[[], tuple[bytes, ...]]] = {
    "10 MB, as announced": lambda: (lines(Content_Length="10000000"), b"x" * 10_000_000),
    "100 MB, as announced": lambda: (lines(Content_Length="100000000"), *[b"x" * MEGABYTE] * 100),
    "100 MB announced and nothing sent": lambda: (lines(Content_Length="100000000"),),
    "100 MB in chunks, unannounced": lambda: (lines(Transfer_Encoding="chunked"), *chunks(1_600)),
    "100 MB to a page": lambda: (
        head("POST", "/metrics", {"Host": "x", "Content-Length": "100000000"}),
        *[b"x" * MEGABYTE] * 100,
    ),
    "100 MB to nobody": lambda: (
        head("POST", "/webhooks/nobody", {"Host": "x", "Content-Length": "100000000"}),
        *[b"x" * MEGABYTE] * 100,
    ),
}


def test_a_huge_body_is_refused_and_not_held(server: Server) -> None:
    before = server.memory()
    for why, sent in HUGE.items():
        answer = server.send(*sent())
        assert answer.status in (413, 404, 405, 0), why
        assert tells_nothing(answer), why
    bomb = gzip.compress(b"[" * 80 * MEGABYTE)
    assert len(bomb) < corpus.LIMIT
    refused = server.hook(bomb, **{"Content-Encoding": "gzip"})
    assert refused.status == 400
    assert server.memory() - before < 20 * MEGABYTE
    assert {name[:4] for name in server.rows()} == {"warm"}


def test_many_half_sent_bodies_take_less_than_two_megabytes_each(server: Server) -> None:
    before = server.memory()
    half = b"x" * 900_000
    with ExitStack() as stack:
        held = [stack.enter_context(server.connect()) for _ in range(60)]
        for line in held:
            line.sendall(lines(Content_Length="1000000"))
        for line in held:
            line.sendall(half)
        assert server.hook(raw(corpus.failed("amid"))).status == 200
        assert (server.memory() - before) / len(held) < 2 * MEGABYTE
        assert {read_answer(line).status for line in held} == {408}
    assert "amid" in server.rows()


async def dribble(port: int, began: float) -> float:
    """Send one byte a second; the seconds until the other side hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(lines(Content_Length="5000", Stripe_Signature="t=1,v1=00"))
        while not reader.at_eof():
            writer.write(b"x")
            await writer.drain()
            try:
                if not await asyncio.wait_for(reader.read(4096), 1):
                    break
            except TimeoutError:
                continue
    except ConnectionError:
        pass
    finally:
        writer.close()
    return time.monotonic() - began


async def honest(port: int, number: int) -> int:
    body = raw(corpus.failed(f"honest{number}"))
    given = signed(body, HOOK, SystemClock().now())
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    size = str(len(body))
    writer.write(head("POST", corpus.PATH, {"Host": "x", "Content-Length": size, **given}) + body)
    status = int((await reader.readuntil(b"\r\n")).split()[1])
    writer.close()
    return status


async def storm(port: int) -> tuple[list[int], list[float]]:
    began = time.monotonic()
    slow = [asyncio.create_task(dribble(port, began)) for _ in range(SLOW)]
    statuses = []
    for number in range(HONEST):
        statuses.append(await asyncio.wait_for(honest(port, number), 30))
        await asyncio.sleep(0)
    return statuses, list(await asyncio.gather(*slow))


def test_slow_senders_are_cut_off_and_keep_nobody_waiting(server: Server) -> None:
    statuses, lasted = asyncio.run(storm(server.port))
    assert statuses == [200] * HONEST
    # Not for ever: the deadline of a body, and as much again for a machine with much to do.
    assert max(lasted) < 6 * HEAD_SECONDS
    eventually(lambda: len(server.rows()) == 20 + HONEST)
