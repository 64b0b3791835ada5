"""Break any field of any good event: the reader never raises, and never makes anything up."""

from __future__ import annotations

import copy
import dataclasses
import enum
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dunning.core.ports import Ignored, Reading, Understood, Unreadable
from dunning.providers.stripe.reader import StripeReader
from tests.providers.stripe.bodies import Body, raw
from tests.providers.stripe.bodies_samples import samples

SAMPLES = samples()
Path = tuple[str | int, ...]

# What a field may be turned into. None of these is the true value of anything in the samples.
GARBAGE: list[Any] = [
    None,
    True,
    False,
    -1,
    10**15 + 1,
    10**30,
    0.5,
    "",
    "77",
    "\x00",
    "\ud800",
    "x" * 300,
    [],
    [None],
    ["77"],
    {},
    {"id": 77},
    {"data": [None]},
    {"id": "\x00"},
]
MISSING = object()

# Facts about money and about what happened. They stay as they are or the event is not used; all
# other facts may also become unknown, or come from another field of the same event.
FIRM = frozenset(
    ("invoice", "currency", "remaining", "paid", "amount", "status", "live", "news", "refund")
)
# These fields decide about firm facts, each by its mere presence or in a way of its own.
DECIDES: dict[str, frozenset[str]] = {
    "remaining": frozenset(("paid_out_of_band",)),
    "paid": frozenset(("paid_out_of_band",)),
    "news": frozenset(("request", "id")),  # whether anybody asked for a card to be changed
    "invoice": frozenset(("invoice", "charge", "payment_intent")),
    "status": frozenset(("last_payment_error",)),
    "currency": frozenset(("currency", "price", "plan", "items", "data")),
}


def paths(value: object, here: Path = ()) -> Iterator[Path]:
    """Every place inside, the outermost left out."""
    inside: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        inside = list(value.items())
    elif isinstance(value, list):
        inside = list(enumerate(value))
    for name, inner in inside:
        yield (*here, name)
        yield from paths(inner, (*here, name))


PATHS = {name: list(paths(body)) for name, body in SAMPLES.items()}


def broken(body: Body, path: Path, value: object) -> Body:
    changed = copy.deepcopy(body)
    place = at(changed, path[:-1])
    if value is MISSING:
        del place[path[-1]]
    else:
        place[path[-1]] = copy.deepcopy(value)
    return changed


def at(body: Body, path: Path) -> Any:
    place: Any = body
    for step in path:
        place = place[step]
    return place


def read(body: Body) -> Reading:
    return StripeReader().normalise(raw(body))


def leaves(value: object) -> Iterator[object]:
    """Every plain value in an event of ours."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from leaves(getattr(value, field.name))
    elif isinstance(value, tuple):
        for inner in value:
            yield from leaves(inner)
    else:
        yield value


def invented(answer: Understood, body: Body, truth: Understood) -> list[object]:
    """Values that neither the event nor the reading of the unbroken event has."""
    known = set(leaves(truth.events)) | {None, True, False}
    for path in paths(body):
        place = at(body, path)
        if isinstance(place, str | int):
            known.add(place)
    found = []
    for value in leaves(answer.events):
        plain = int(value.timestamp()) if isinstance(value, datetime) else value
        named = isinstance(value, str) and value.startswith(f"{body['id']}/")
        derived = named or isinstance(value, enum.Enum)
        if not derived and value not in known and plain not in known:
            found.append(value)
    return found


def firm_changes(answer: Understood, truth: Understood, path: Path) -> list[str]:
    """Firm facts that the breaking of this path changed, though it had no business to."""
    before = {(type(event), event.id): event for event in truth.events}
    found = []
    for event in answer.events:
        twin = before.get((type(event), event.id))
        for name, was, now in _pairs(twin, event):
            excused = DECIDES.get(name, frozenset()) & set(path)
            if name in FIRM and was != now and not excused:
                found.append(f"{name}: {was!r} became {now!r}")
    return found


def _pairs(before: object, after: object) -> Iterator[tuple[str, object, object]]:
    if before is None or after is None or not dataclasses.is_dataclass(before):
        return
    for field in dataclasses.fields(before):
        was, now = getattr(before, field.name), getattr(after, field.name)
        yield field.name, was, now
        yield from _pairs(was, now)


def check(name: str, path: Path, value: object) -> None:
    body = broken(SAMPLES[name], path, value)
    answer = read(body)
    truth = read(SAMPLES[name])
    assert isinstance(truth, Understood)
    if isinstance(answer, Understood):
        assert invented(answer, body, truth) == []
        # Another id, word or flag is another truth, and no garbage.
        if type(value) is not type(at(SAMPLES[name], path)):
            assert firm_changes(answer, truth, path) == []
    else:
        assert isinstance(answer, Ignored | Unreadable)
        assert len(answer.why) > 10
        assert answer.why.isprintable()
        answer.why.encode()


@pytest.mark.parametrize("name", SAMPLES)
def test_every_sample_is_understood(name: str) -> None:
    answer = read(SAMPLES[name])
    assert isinstance(answer, Understood), answer
    assert len({event.id for event in answer.events}) == len(answer.events)


@pytest.mark.parametrize("name", SAMPLES)
def test_every_field_may_be_missing_or_null(name: str) -> None:
    for path in PATHS[name]:
        check(name, path, MISSING)
        check(name, path, None)


@st.composite
def breaks(draw: st.DrawFn) -> tuple[str, Path, object]:
    name = draw(st.sampled_from(sorted(SAMPLES)))
    return name, draw(st.sampled_from(PATHS[name])), draw(st.sampled_from(GARBAGE))


@given(breaks())
@settings(max_examples=1500)
@example(("paid old", ("data", "object", "payment_intent"), None))
def test_any_field_may_be_garbage(broke: tuple[str, Path, object]) -> None:
    check(*broke)


@given(breaks(), st.integers(min_value=0), st.sampled_from(GARBAGE))
def test_two_fields_may_be_garbage(
    broke: tuple[str, Path, object], where: int, value: object
) -> None:
    name, path, first = broke
    body = broken(SAMPLES[name], path, first)
    left = list(paths(body))
    answer = read(broken(body, left[where % len(left)], value))
    assert isinstance(answer, Understood | Ignored | Unreadable)


# Ids that Stripe may give as whole objects when the caller asks for it.
EXPANDABLE = frozenset(
    (
        "customer",
        "default_payment_method",
        "default_source",
        "invoice",
        "payment_method",
        "price",
        "product",
        "subscription",
    )
)


@pytest.mark.parametrize("name", SAMPLES)
def test_an_expanded_object_is_as_good_as_its_id(name: str) -> None:
    truth = read(SAMPLES[name])
    for path in PATHS[name]:
        place = at(SAMPLES[name], path)
        if path[-1] in EXPANDABLE and isinstance(place, str):
            whole = {"id": place, "metadata": {"x": "y"}, "deleted": False}
            assert read(broken(SAMPLES[name], path, whole)) == truth, path


@pytest.mark.parametrize("name", SAMPLES)
def test_fields_nobody_has_heard_of_change_nothing(name: str) -> None:
    truth = read(SAMPLES[name])
    for path in [(), *PATHS[name]]:
        body = copy.deepcopy(SAMPLES[name])
        place = at(body, path)
        if isinstance(place, dict) and "metadata" not in path:
            place["news_of_2027"] = {"id": None, "deep": [{}]}
            assert read(body) == truth, path
