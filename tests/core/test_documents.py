"""The facts of a case as a document: what is read is what was written, with one kind of UTC."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from typing import Any

from hypothesis import given

from dunning.core.events import BillingEvent
from dunning.documents import parse_facts, write_facts
from tests.builders import case_of
from tests.core.lives import lives, part


def moments(value: Any) -> Iterator[datetime]:
    """Every moment in there, however deep."""
    if isinstance(value, datetime):
        yield value
    elif isinstance(value, tuple):
        for each in value:
            yield from moments(each)
    elif is_dataclass(value):
        for each in fields(value):
            yield from moments(getattr(value, each.name))


@part(0.5)
@given(lives())
def test_what_is_read_is_what_was_written_with_all_moments_in_one_utc(
    told: list[BillingEvent],
) -> None:
    case = case_of(*told)
    read = parse_facts(write_facts(case))
    assert read == case
    assert write_facts(read) == write_facts(case)
    assert all(moment.tzinfo is UTC for moment in moments(read))
