"""A webhook that comes in one piece goes the short way; nobody can tell it from the long one."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uvicorn
from sqlalchemy import event as hooks

from dunning.broker import build_broker
from dunning.processes import web_server
from dunning.web.landing import Landing, Settled
from dunning.worker import Work
from tests.providers.stripe.bodies import AT, event, invoice, raw
from tests.stages.kit import ManualClock, eventually, named
from tests.stages.parts import SECRET, program_on
from tests.web.client import Answer, head, read_answer, signed
from tests.web.edge import Edge, listening

PATH = "/webhooks/stripe"
# Nothing but the path is looked at; this one is unusual enough for the long way.
LONG = f"{PATH}?of=no&meaning"
TOLD = b'{"received":true}'


@dataclass
class Held:
    """A receiver of which a test says when it may write."""

    edge: Edge
    server: uvicorn.Server
    gate: threading.Event = field(default_factory=threading.Event)
    reached: threading.Event = field(default_factory=threading.Event)

    def writes(self, _connection: object) -> None:
        if threading.current_thread().name == "inbox-keeper":
            self.reached.set()
            assert self.gate.wait(60)

    def sent(self, *requests: bytes) -> socket.socket:
        """These bytes at once, on a line of their own; the first is about to be written."""
        line = self.edge.connect()
        line.sendall(b"".join(requests))
        assert self.reached.wait(30)
        return line

    @property
    def coroutines(self) -> int:
        return len(self.server.server_state.tasks)


@pytest.fixture
def held(migrated_url: str, tmp_path: Path) -> Iterator[Held]:
    """Nothing is written before its gate is open."""
    with program_on(migrated_url, tmp_path, clock=ManualClock(AT)) as program:
        broker = build_broker(None)
        server = web_server(program, Work(program, broker), "127.0.0.1", 0)
        server.config.timeout_keep_alive = 600  # whoever hangs up does it on purpose
        with listening(server) as port:
            held = Held(Edge(port, program), server)
            hooks.listen(program.engine, "begin", held.writes)
            yield held
            held.gate.set()
        broker.close()


def request(
    name: str, *, path: str = PATH, secret: str = SECRET, headers: dict[str, str] | None = None
) -> bytes:
    body = raw(named(event("invoice.payment_failed", invoice()), name))
    length = {"Content-Length": str(len(body))}
    lines = {"Host": "x", **length, **signed(body, secret, AT), **(headers or {})}
    return head("POST", path, lines) + body


def kept(held: Held) -> list[str]:
    return [row.event_id for row in held.edge.kept()]


def all_of(line: socket.socket) -> bytes:
    told = b""
    while part := line.recv(65_536):
        told += part
    return told


@contextmanager
def answered(held: Held, *requests: bytes) -> Iterator[socket.socket]:
    with held.sent(*requests) as line:
        held.gate.set()
        yield line


def test_it_waits_for_its_commit_and_needs_no_coroutine(held: Held) -> None:
    with held.sent(request("evt_1")) as line:
        assert held.coroutines == 0
        line.settimeout(0.2)
        with pytest.raises(TimeoutError):
            line.recv(1)
        line.settimeout(30)
        held.gate.set()
        assert read_answer(line).status == 200
    assert kept(held) == ["evt_1"]


def test_the_long_way_is_there_for_the_unusual(held: Held) -> None:
    with held.sent(request("evt_1", path=LONG)) as line:
        assert held.coroutines == 1
        held.gate.set()
        assert read_answer(line).status == 200
    assert kept(held) == ["evt_1"]


def told(answer: Answer) -> tuple[int, list[tuple[str, str]], bytes]:
    lines = [(name, value) for name, value in answer.headers.items() if name != "date"]
    return answer.status, sorted(lines), answer.body


@pytest.mark.parametrize(
    ("secret", "headers", "status"),
    [
        (SECRET, {}, 200),
        (SECRET, {"Connection": "close"}, 200),
        ("whsec_wrong", {}, 400),
        ("whsec_wrong", {"Connection": "close"}, 400),
    ],
)
def test_both_ways_answer_the_same(
    held: Held, secret: str, headers: dict[str, str], status: int
) -> None:
    held.gate.set()
    answers = []
    for path in (PATH, LONG):
        with held.edge.connect() as line:
            line.sendall(request("evt_1", path=path, secret=secret, headers=headers))
            answers.append(read_answer(line))
            assert "date" in answers[-1].headers
            if headers:
                assert line.recv(1) == b""
    short, long = map(told, answers)
    assert short == long
    assert short[0] == status


def test_one_that_comes_byte_by_byte_is_kept_as_well(held: Held) -> None:
    held.gate.set()
    with held.edge.connect() as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in request("evt_1"):
            line.sendall(bytes([byte]))
        assert read_answer(line).status == 200
        line.sendall(request("evt_2"))
        assert read_answer(line).status == 200
    assert kept(held) == ["evt_1", "evt_2"]


def test_requests_in_one_piece_are_answered_in_their_order(held: Held) -> None:
    """The second and third could be answered long before the first is written."""
    forged, page = request("evt_2", secret="whsec_wrong"), head("GET", "/healthz", {"Host": "x"})
    last = request("evt_3", headers={"Connection": "close"})
    with answered(held, request("evt_1"), forged, page, last) as line:
        heard = all_of(line)
    statuses = [int(one[:3]) for one in heard.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [200, 400, 200, 200]
    assert kept(held) == ["evt_1", "evt_3"]


def test_nothing_after_a_last_request_is_one(held: Held) -> None:
    last = request("evt_1", headers={"Connection": "close"})
    with answered(held, last, request("evt_2")) as line:
        heard = all_of(line)
    assert heard.count(b"HTTP/1.1 ") == 1
    assert kept(held) == ["evt_1"]


def test_what_follows_a_refusal_that_hangs_up_is_not_taken(held: Held) -> None:
    held.gate.set()
    forged = request("evt_1", secret="whsec_wrong", headers={"Connection": "close"})
    with held.edge.connect() as line:
        line.sendall(forged + request("evt_2"))
        heard = all_of(line)
    assert heard.count(b"HTTP/1.1 ") == 1
    assert held.edge.get("/healthz").status == 200
    assert kept(held) == []


def test_a_sender_that_hangs_up_is_kept_and_missed_by_nobody(held: Held) -> None:
    held.sent(request("evt_1")).close()
    eventually(lambda: len(held.server.server_state.connections) == 0)
    held.gate.set()
    assert held.edge.hook(named(event("invoice.payment_failed", invoice()), "evt_2")).status == 200
    assert kept(held) == ["evt_1", "evt_2"]


def test_a_sender_that_has_said_all_still_gets_its_answer(held: Held) -> None:
    with held.sent(request("evt_1")) as line:
        line.shutdown(socket.SHUT_WR)
        held.gate.set()
        heard = all_of(line)
    assert heard.endswith(TOLD)
    assert kept(held) == ["evt_1"]


def test_a_server_that_stops_answers_what_it_has_taken(held: Held) -> None:
    with held.sent(request("evt_1")) as line:
        held.server.should_exit = True
        eventually(lambda: not _listens(held.edge.port))
        held.gate.set()
        heard = all_of(line)
    assert b"connection: close" in heard
    assert heard.endswith(TOLD)
    assert kept(held) == ["evt_1"]


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_its_numbers_are_counted(held: Held) -> None:
    with answered(held, request("evt_1")) as line:
        assert read_answer(line).status == 200
    numbers = held.edge.get("/metrics").body.decode()
    assert 'dunning_webhooks_total{answer="200",source="stripe"}' in numbers
    assert 'dunning_webhook_seconds_count{source="stripe"}' in numbers


# --- the line of those who wait ----------------------------------------------------------------


@dataclass(eq=False)
class Handed:
    settled: Settled
    given_up: bool = False


def test_who_fails_over_what_it_hears_keeps_nobody_from_hearing() -> None:
    async def waits() -> tuple[list[str], int]:
        loop, landing = asyncio.get_running_loop(), Landing()
        faults: list[object] = []
        loop.set_exception_handler(lambda _loop, told: faults.append(told["exception"]))
        heard: list[str] = []
        handed: list[Handed] = []
        done = loop.create_future()

        def put(settled: Settled) -> Handed:
            handed.append(Handed(settled))
            return handed[-1]

        def hears(name: str) -> Callable[[Exception | None], None]:
            def hear(error: Exception | None) -> None:
                heard.append(f"{name} {type(error).__name__}")
                if name == "b":
                    raise RuntimeError("b fails")
                if name == "c":
                    done.set_result(None)

            return hear

        for name in "abc":
            landing.hand_over(put, hears(name), 30)
        for one, error in zip(handed, (None, None, OSError()), strict=True):
            threading.Thread(target=one.settled, args=(error,)).start()
            await asyncio.sleep(0)
        await asyncio.wait_for(done, 30)
        await asyncio.sleep(0)
        return sorted(heard), len(faults)

    assert asyncio.run(waits()) == (["a NoneType", "b NoneType", "c OSError"], 1)


def test_who_waits_for_too_long_hears_so_once_and_is_given_up() -> None:
    async def waits() -> tuple[list[str], list[bool]]:
        loop, landing = asyncio.get_running_loop(), Landing()
        heard: list[str] = []
        handed: list[Handed] = []
        over = loop.create_future()

        def put(settled: Settled) -> Handed:
            handed.append(Handed(settled))
            return handed[-1]

        def hear(error: Exception | None) -> None:
            heard.append(type(error).__name__)
            if len(heard) == 3:
                over.set_result(None)

        for _ in range(3):
            landing.hand_over(put, hear, 0.05)
        handed[0].settled(None)
        await asyncio.wait_for(over, 30)
        for one in handed:
            one.settled(None)  # too late
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return heard, [one.given_up for one in handed]

    assert asyncio.run(waits()) == (["NoneType"] + ["TimeoutError"] * 2, [False, True, True])
