"""The lines of a timeline, as they are written in the policy file."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from dunning.config import values
from dunning.config.cursor import At, Fields, fields, member, one_or_more, text, word
from dunning.config.problems import expected_one_of, nearest, quoted
from dunning.core.events import StepKind
from dunning.core.policy import Collection as Collecting
from dunning.core.policy import Day, Invoice, Rung, Subscription

MAX_RUNGS = 60

PLACE_KEYS = ("at", "before")
# What every step understands.
COMMON_KEYS = (*PLACE_KEYS, "do", "time", "on")
# What a timeline can ask for, and the keys that only this step understands. The other kinds of
# step happen by themselves.
STEP_KEYS: dict[StepKind, tuple[str, ...]] = {
    StepKind.RETRY: (),
    StepKind.EMAIL: ("template",),
    StepKind.RESTRICT: (),
    StepKind.SUSPEND: ("collection",),
    StepKind.GIVE_UP: ("subscription", "invoice"),
}
# The steps another one can be set before.
ANCHORS = (StepKind.SUSPEND, StepKind.GIVE_UP)

_RUNG = "a step such as {at: 3d, do: retry}"
_BEFORE = "a step and a duration, such as `suspend 1d`"


def read_rung(at: At, templates: Collection[str]) -> Rung | None:
    """One line of a timeline; None when anything about it is wrong."""
    problems = at.report.count
    found = fields(at)
    if found is None:
        return None
    kind = found.need("do", _step, expected_one_of(STEP_KEYS).removeprefix("expected "))
    _check_keys(found, kind)
    place = _place(found)
    time = found.read("time", values.clock, None)
    days = found.get("on")
    on = () if days is None else one_or_more(days, _day, "days", len(Day))
    template = None
    if kind is StepKind.EMAIL:
        template = found.need("template", lambda at: _template(at, templates), "a message's name")
    collection = found.read("collection", _collection, Collecting.KEEP_AS_DRAFT)
    subscription = found.read("subscription", _subscription, Subscription.KEEP)
    invoice = found.read("invoice", _invoice, Invoice.KEEP)
    if at.report.count > problems:
        return None
    # Everything that can be None only after a problem was noted has been turned away above.
    assert kind is not None
    assert place is not None
    assert collection is not None
    assert subscription is not None
    assert invoice is not None
    after, before, anchor = place
    return Rung(
        do=kind,
        after=after,
        before=before,
        anchor=anchor,
        template=template,
        clock=time,
        on=on,
        collection=collection,
        subscription=subscription,
        invoice=invoice,
    )


def _check_keys(found: Fields, kind: StepKind | None) -> None:
    owners = {key: step for step, keys in STEP_KEYS.items() for key in keys}
    allowed = (*COMMON_KEYS, *(owners if kind is None else STEP_KEYS[kind]))
    for key in found.table.entries:
        if key in allowed:
            continue
        if kind is not None and key in owners:
            message = f"`{key}` means nothing for {kind.value}; only {owners[key].value} has it"
        else:
            message = f"{quoted(key)} is not a key here; {expected_one_of(allowed)}"
            meant = nearest(key, (*allowed, *owners))
            message += f". Did you mean '{meant}'?" if meant else ""
        found.fail_key(key, message)


def _place(found: Fields) -> tuple[timedelta | None, timedelta | None, StepKind | None] | None:
    at, before = found.get("at"), found.get("before")
    if at is not None and before is not None:
        found.fail_key("before", "both `at` and `before`; expected one of them")
        return None
    if before is not None:
        anchored = _before(before)
        return None if anchored is None else (None, anchored[1], anchored[0])
    if at is None:
        found.at.fail(f"`at` is missing; expected {_RUNG}, or `before: suspend 1d`")
        return None
    after = values.duration(at)
    return None if after is None else (after, None, None)


def _before(at: At) -> tuple[StepKind, timedelta] | None:
    value = text(at, _BEFORE)
    if value is None:
        return None
    step, _, length = value.partition(" ")
    span = values.parse_duration(length.strip())
    if step not in ANCHORS:
        at.fail(f"{quoted(step)} is no step to be before; {expected_one_of(ANCHORS, step)}")
        return None
    if span is None:
        at.fail(f"{quoted(value)} does not say how long before; expected {_BEFORE}")
        return None
    return StepKind(step), span


def _step(at: At) -> StepKind | None:
    value = word(at, [kind.value for kind in STEP_KEYS], "a step")
    return None if value is None else StepKind(value)


def _template(at: At, known: Collection[str]) -> str | None:
    value = values.name(at)
    if value is None or value in known:
        return value
    at.fail(f"there is no message {quoted(value)}; {expected_one_of(known, value)}")
    return None


def _day(at: At) -> Day | None:
    return member(at, Day, "a kind of day")


def _collection(at: At) -> Collecting | None:
    return member(at, Collecting, "a way to treat later invoices")


def _subscription(at: At) -> Subscription | None:
    return member(at, Subscription, "an end of a subscription")


def _invoice(at: At) -> Invoice | None:
    return member(at, Invoice, "an end of an invoice")
