"""A charge was begun, and its case ends before anybody knows what became of it."""

from __future__ import annotations

import pytest

from dunning.core.events import BillingEvent
from dunning.core.ports import Asked, Doing, Ended, PutOff
from tests import builders as b
from tests.builders import days
from tests.stages.doing import RETRIES, Begin, Bench, dies

AT = days(1.1)
VOIDED = (b.voided(AT),)
PAID_BY_OTHERS = (b.succeeded(AT, charge="ch_2"), b.paid(AT))
PARTLY_BY_OTHERS = (b.succeeded(AT, charge="ch_2", amount=100), b.voided(AT))


def asks_and_dies(doing: Doing) -> Ended:
    """The process ends while the provider is asked to charge."""
    doing.asking(Asked(method="pm_old"))
    raise KeyboardInterrupt


def asks_in_vain(doing: Doing) -> PutOff:
    """The answer got lost."""
    doing.asking(Asked(method="pm_old"))
    return PutOff(until=days(1.5), why="the answer was lost", unknown=True)


@pytest.fixture
def charging(begin: Begin) -> Bench:
    """A retry is due."""
    return begin(RETRIES, day=1)


def _ends(bench: Bench, *news: BillingEvent) -> str | None:
    bench.stage.tell(*news, now=AT)
    row = bench.step("retry:1")
    assert row.state == "ended"
    return row.result


@pytest.mark.parametrize("news", [VOIDED, PARTLY_BY_OTHERS], ids=["voided", "partly paid"])
def test_what_was_asked_for_and_is_not_known_is_in_doubt(
    charging: Bench, news: tuple[BillingEvent, ...]
) -> None:
    assert charging.runs(asks_in_vain) == "retry:1"
    assert _ends(charging, *news) == "doubtful"


def test_so_is_what_a_dead_worker_asked_for(charging: Bench) -> None:
    with pytest.raises(KeyboardInterrupt):
        charging.runs(asks_and_dies)
    assert _ends(charging, *VOIDED) == "doubtful"


def test_what_nobody_asked_for_was_not_owed(charging: Bench) -> None:
    with pytest.raises(KeyboardInterrupt):
        charging.runs(dies)
    assert _ends(charging, *VOIDED) == "not_owed"


def test_what_known_charges_paid_whole_was_not_paid_by_ours(charging: Bench) -> None:
    assert charging.runs(asks_in_vain) == "retry:1"
    assert _ends(charging, *PAID_BY_OTHERS) == "not_owed"
