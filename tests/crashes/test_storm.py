"""The demonstration, small: everything is killed again and again; nothing is lost or doubled."""

from __future__ import annotations

from pathlib import Path

import pytest

from dunning import store
from tests.crashes.house import house_on
from tests.crashes.storm import KINDS, Storm, figures, moves_in
from tests.servers import Server

# Processes start, die and start again: on a busy machine that takes its time.
pytestmark = pytest.mark.timeout(400)


def test_days_in_a_storm(tmp_path: Path, private_postgres: Server, private_redis: Server) -> None:
    store.migrate(private_postgres.url)
    with house_on(
        private_postgres.url,
        tmp_path,
        broker_url=private_redis.url,
        environ={"DUNNING_BREAKER": "off"},
    ) as house:
        house.world.leaves |= {"doubtful"}
        moves_in(house, 12, 5)
        for name in KINDS:
            house.start(name)
        storm = Storm(house, private_postgres, private_redis, stop_at=(0.1,))
        storm.rages(5, seconds=20)
        house.rests()
        print(figures(house, storm))  # noqa: T201 - for whoever runs it with -s
        house.audit()
        assert sum(house.deaths.values()) >= 2
