"""Sharing out: nobody waits behind another one, and nothing lies idle for it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dunning.core.shares import share_out

COUNTS = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 5000), min_size=1)


def test_one_source_may_have_everything() -> None:
    assert share_out(100, {}, {"a": 1_000_000}) == {"a": 100}
    assert share_out(100, {"a": 97}, {"a": 1_000_000}) == {"a": 3}
    assert share_out(100, {"a": 100}, {"a": 1_000_000}) == {}


def test_few_are_served_beside_a_million() -> None:
    assert share_out(100, {}, {"a": 1_000_000, "b": 10}) == {"a": 88, "b": 10}


def test_what_is_free_is_dealt_out_evenly() -> None:
    assert share_out(90, {}, {"a": 500, "b": 500, "c": 500}) == {"a": 30, "b": 30, "c": 30}


def test_whoever_comes_late_finds_a_place_that_was_kept() -> None:
    first = share_out(100, {}, {"a": 1000, "b": 0})
    assert first == {"a": 88}
    assert share_out(100, first, {"a": 1000, "b": 10}) == {"b": 10}


def test_nothing_wanted_nothing_given() -> None:
    assert share_out(10, {}, {}) == {}
    assert share_out(10, {"a": 3}, {"a": 0, "b": 0}) == {}


@given(window=st.integers(0, 2000), held=COUNTS, wanted=COUNTS)
def test_the_window_holds(window: int, held: dict[str, int], wanted: dict[str, int]) -> None:
    held = {source: count for source, count in held.items() if source in wanted}
    given_out = share_out(window, held, wanted)
    assert all(0 < count <= wanted[source] for source, count in given_out.items())
    if given_out:
        assert sum(held.values()) + sum(given_out.values()) <= window


@given(window=st.integers(20, 2000), wanted=COUNTS)
def test_hardly_anything_lies_idle(window: int, wanted: dict[str, int]) -> None:
    given_out = share_out(window, {}, wanted)
    assert sum(given_out.values()) >= min(sum(wanted.values()), window * 3 // 4 - len(wanted))
    assert all(given_out.get(source) for source, count in wanted.items() if count)
