"""`bench`: what it can be asked for."""

from __future__ import annotations

from dunning.bench.run import PARTS, SIZES
from dunning.cli.bench import Size
from tests.cli.conftest import Shell


def test_a_part_it_does_not_have(shell: Shell) -> None:
    said = shell("bench", "--part", "flying", code=2)
    for name in PARTS:
        assert name in said.err


def test_every_size_that_can_be_asked_for_is_there() -> None:
    assert {size.value for size in Size} == set(SIZES)
