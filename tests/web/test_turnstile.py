"""How often one may come, who it is that comes, and that nobody fills the memory."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from starlette.types import Scope

from dunning.config.readers import PRIVATE_NETWORKS
from dunning.web.turnstile import Buckets, Turnstile, client_of


class Hand:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def test_a_bucket_is_emptied_and_fills_up_again() -> None:
    clock = Hand()
    buckets = Buckets(3, 60, clock=clock)
    assert [buckets.take("ann") for _ in range(3)] == [0, 0, 0]
    assert buckets.take("ann") == pytest.approx(1)
    assert buckets.take("ben") == 0
    clock.seconds += 0.5
    assert buckets.take("ann") == pytest.approx(0.5)
    clock.seconds += 0.5
    assert buckets.take("ann") == 0
    clock.seconds += 3600
    assert [bool(buckets.take("ann")) for _ in range(4)] == [False, False, False, True]


def test_who_is_refused_does_not_wait_longer_for_asking() -> None:
    clock = Hand()
    buckets = Buckets(1, 60, clock=clock)
    assert buckets.take("ann") == 0
    assert [buckets.take("ann") for _ in range(5)] == [pytest.approx(1)] * 5


def test_only_so_many_names_are_remembered_the_last_ones() -> None:
    buckets = Buckets(1, 0.001, most=100, clock=Hand())
    for number in range(1000):
        buckets.take(str(number))
    assert len(buckets) == 100
    assert buckets.take("999")
    assert not buckets.take("0")


def test_a_guess_costs_more_than_a_page() -> None:
    def pages(guesses: int) -> int:
        turnstile = Turnstile(Hand())
        for _ in range(guesses):
            turnstile.guessed("ann")
        return next(number for number in range(1000) if turnstile.client("ann"))

    assert pages(0) - pages(1) == Turnstile.GUESS - 1
    assert pages(0) >= 100


def scope(peer: str | None, *forwarded: str) -> Scope:
    headers = [(b"x-forwarded-for", line.encode("latin-1")) for line in forwarded]
    return {"type": "http", "client": (peer, 1) if peer is not None else None, "headers": headers}


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        # Nobody asks a stranger on whose behalf they come.
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("127.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        (None, ["198.51.100.1"], "198.51.100.1"),
        # What a client made up stands to the left of what our proxies added.
        ("10.0.0.1", ["1.2.3.4, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["1.2.3.4", "198.51.100.1", "10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1, rubbish"], "10.0.0.1"),
        ("10.0.0.1", ["rubbish, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.1", ["[2001:db8:1:2:3::4]:4711"], "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", [], "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.9", [], "203.0.113.9"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("", [], ""),
    ],
)
def test_who_comes(peer: str | None, forwarded: list[str], client: str) -> None:
    assert client_of(scope(peer, *forwarded), PRIVATE_NETWORKS) == client


def test_trusted_are_those_that_were_named() -> None:
    named = (ip_network("203.0.113.0/24"),)
    assert client_of(scope("203.0.113.9", "198.51.100.1"), named) == "198.51.100.1"
    assert client_of(scope("10.0.0.1", "198.51.100.1"), named) == "10.0.0.1"
    assert client_of(scope("10.0.0.1", "198.51.100.1"), ()) == "10.0.0.1"
