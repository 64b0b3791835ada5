"""Two deaths in a row, at pairs of points: whoever comes after them puts everything right."""

from __future__ import annotations

import os

import pytest

from dunning.simulation.pairs import STORIES, parse_pair, play_pair, play_pairs
from dunning.simulation.weather import OUTSIDE, points_in_source
from tests.simulation.test_seeds import ELSEWHERE

# `dunning simulate --pairs` plays them all.
PAIRS = int(os.environ.get("TEST_SIMULATION_PAIRS", "132"))


@pytest.mark.timeout(0)  # as long as they take; a world that never rests ends by its turns
def test_no_pair_of_deaths_breaks_a_promise() -> None:
    pairs = play_pairs(PAIRS, workers=2)
    print(
        f"{pairs.played} of {pairs.known} pairs played, {len(pairs.distinct)} different ones, of "
        f"{len(pairs.points)} points; no story comes by {', '.join(pairs.never_reached)}"
    )
    assert pairs.failing == {}, "dunning simulate --pair STORY/POINT/POINT shows one"
    assert pairs.played >= PAIRS * 3 // 4
    assert pairs.in_no_pair == []
    expected = {name for name in points_in_source() if not name.startswith(ELSEWHERE)}
    assert expected | set(OUTSIDE) <= set(pairs.points)


def test_both_deaths_come_where_they_were_ordered() -> None:
    outcome = play_pair("recovered", "outside.charged", "outcome.before_commit")
    assert dict(outcome.killed) == {"outside.charged": 1, "outcome.before_commit": 1}
    assert outcome.breaches == []


def test_stories_end_as_they_are_named() -> None:
    endings = {story: play_pair(story, "sql.commit").endings for story in STORIES}
    assert endings["recovered"]["case recovered"] == endings["restored"]["restore done"] == 1
    assert endings["suspended"]["suspend done"] == endings["lost"]["case lost"] == 1


def test_a_pair_has_a_name() -> None:
    assert parse_pair("lost/sql.commit/act.done") == ("lost", "sql.commit", "act.done")
    assert parse_pair("lost/sql.commit") == ("lost", "sql.commit", None)
    assert parse_pair("lost") is parse_pair("x/act.done") is parse_pair("lost/act") is None
