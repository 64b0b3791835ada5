"""The lines of a timeline, as they are written in the policy file."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Any

from dunning.config import days, values
from dunning.config.conditions import LINE_KEYS, NOTHING, Known, read_when
from dunning.config.cursor import At, Fields, fields, member, pairs, text, word
from dunning.config.problems import expected_one_of, nearest, quoted
from dunning.core.choosing import ALWAYS, When
from dunning.core.days import PATIENCE
from dunning.core.events import StepKind
from dunning.core.places import ONCE
from dunning.core.policy import Collection as Collecting
from dunning.core.policy import Invoice, Rung, Subscription
from dunning.core.steps import is_text
from dunning.core.words import MESSAGES

MAX_RUNGS = 60
MAX_TELL = 20

PLACE_KEYS = ("at", "before", "after")
# What every step understands.
COMMON_KEYS = (*PLACE_KEYS, "do", "name", "time", "on", "within", "jitter", "between", "when")
# What a timeline can ask for, and the keys that only this step understands. The other kinds of
# step happen by themselves.
STEP_KEYS: dict[StepKind, tuple[str, ...]] = {
    StepKind.RETRY: (),
    StepKind.EMAIL: ("template",),
    StepKind.SMS: ("template",),
    StepKind.ANNOUNCE: ("tell",),
    StepKind.RESTRICT: ("tell",),
    StepKind.SUSPEND: ("collection", "tell"),
    StepKind.GIVE_UP: ("subscription", "invoice"),
}
# The steps that another one can be placed by without their having a name.
ANCHORS = tuple(kind.value for kind in ONCE)
MAX_JITTER = timedelta(days=1)
MAX_PATIENCE = timedelta(days=14)

_RUNG = "a step such as {at: 3d, do: retry}"
_BY = "a step and a duration, such as `suspend 1d`"
_AHEAD = "; `before` alone is for policies with a `kind` of card_expiry or renewal"


def read_rung(
    at: At,
    templates: Collection[str],
    known: Known = NOTHING,
    *,
    place: dict[str, Any] | None = None,
    when_keys: Collection[str] = LINE_KEYS,
) -> Rung | None:
    """One line of a timeline; None when anything about it is wrong.

    `place`: where it stands, if that was read already.
    """
    problems = at.report.count
    found = fields(at)
    if found is None:
        return None
    kind = found.need("do", _step, expected_one_of(STEP_KEYS).removeprefix("expected "))
    _check_keys(found, kind)
    place = place or _place(found)
    moved = _moved(found)
    if kind is StepKind.ANNOUNCE:
        name = found.need("name", _name, "what the product knows the announcement by")
    else:
        name = found.read("name", _name, None)
    when = _when(found, kind, known, when_keys)
    template = None
    if kind in MESSAGES:
        own = [name for name in templates if is_text(name) is (kind is StepKind.SMS)]
        template = found.need("template", lambda at: _template(at, own), "a message's name")
    ends: dict[str, Any] = {
        "collection": found.read("collection", _collection, Collecting.KEEP_AS_DRAFT),
        "subscription": found.read("subscription", _subscription, Subscription.KEEP),
        "invoice": found.read("invoice", _invoice, Invoice.KEEP),
        "tell": found.read("tell", _tell, ()),
    }
    if at.report.count > problems or kind is None or place is None:
        return None
    return Rung(do=kind, name=name, template=template, when=when, **place, **moved, **ends)


def _when(found: Fields, kind: StepKind | None, known: Known, keys: Collection[str]) -> When:
    """The conditions of the line. Giving up has none, since every case has an end."""
    if kind is StepKind.GIVE_UP and "when" in found:
        found.fail_key("when", "giving up has no `when`: every case comes to an end")
        return ALWAYS
    at = found.get("when")
    when = ALWAYS if at is None else read_when(at, keys, known)
    if at is not None and when == ALWAYS:
        at.fail("no condition; expected one such as {decline: funds}")
    return when or ALWAYS


def _moved(found: Fields) -> dict[str, Any]:
    """What moves a step from its place: a time of day, days, chance, hours."""
    wanted = found.get("on")
    moved = {
        "clock": found.read("time", values.clock, None),
        "on": () if wanted is None else days.wishes(wanted),
        "patience": found.read("within", _patience, PATIENCE),
        "jitter": found.read("jitter", _jitter, timedelta(0)),
        "between": found.read("between", values.span, None),
    }
    if "within" in found and wanted is None:
        found.fail_key(
            "within", "`within` is how long to wait for the days of `on`; there are none"
        )
    if "between" in found and "time" in found:
        found.fail_key("between", "both `time` and `between`; expected one of them")
    return moved


def _patience(at: At) -> timedelta | None:
    span = values.duration(at)
    if span is None or (timedelta(days=1) <= span <= MAX_PATIENCE and not span.seconds):
        return span
    at.fail(
        f"expected whole days from 1d to {MAX_PATIENCE.days}d, within which a day is waited for"
    )
    return None


def _jitter(at: At) -> timedelta | None:
    span = values.duration(at)
    if span is None or timedelta(0) < span <= MAX_JITTER:
        return span
    at.fail("expected more than 0m and at most 24h, by which the step may come later")
    return None


def _name(at: At) -> str | None:
    value = values.name(at)
    if value in ANCHORS:
        at.fail(f"{quoted(value)} is what a step does; expected a name of its own")
        return None
    return value


def _check_keys(found: Fields, kind: StepKind | None) -> None:
    owners = _owners()
    allowed = (*COMMON_KEYS, *(owners if kind is None else STEP_KEYS[kind]))
    for key in found.table.entries:
        if key in allowed:
            continue
        if kind is not None and key in owners:
            have = " and ".join(step.value for step in owners[key])
            has = "has" if len(owners[key]) == 1 else "have"
            message = f"`{key}` means nothing for {kind.value}; only {have} {has} it"
        else:
            message = f"{quoted(key)} is not a key here; {expected_one_of(allowed)}"
            meant = nearest(key, (*allowed, *owners))
            message += f". Did you mean '{meant}'?" if meant else ""
        found.fail_key(key, message)


def _owners() -> dict[str, list[StepKind]]:
    """The steps that understand each key that not all understand."""
    owners: dict[str, list[StepKind]] = {}
    for step, keys in STEP_KEYS.items():
        for key in keys:
            owners.setdefault(key, []).append(step)
    return owners


def _place(found: Fields) -> dict[str, Any] | None:
    given = [key for key in PLACE_KEYS if key in found]
    if len(given) > 1:
        found.fail_key(given[1], f"both `{given[0]}` and `{given[1]}`; expected one of them")
        return None
    if not given:
        found.at.fail(f"`at` is missing; expected {_RUNG}, or `before: suspend 1d`")
        return None
    if at := found.get("at"):
        after = values.duration(at)
        return None if after is None else {"after": after}
    field = {"before": "before", "after": "past"}[given[0]]
    by = found.read(given[0], _by, None)
    return None if by is None else {"anchor": by[0], field: by[1]}


def _by(at: At) -> tuple[str, timedelta] | None:
    """The other line, whose name is checked when all are read, and how far from it."""
    value = text(at, _BY)
    if value is None:
        return None
    step, _, length = value.partition(" ")
    span = values.parse_duration(length.strip())
    if span is None:
        alone = _AHEAD if values.parse_duration(value) is not None else ""
        at.fail(f"{quoted(value)} does not say how far from it; expected {_BY}{alone}")
        return None
    return step, span


def _step(at: At) -> StepKind | None:
    value = word(at, [kind.value for kind in STEP_KEYS], "a step")
    return None if value is None else StepKind(value)


def _template(at: At, known: Collection[str]) -> str | None:
    value = values.name(at)
    if value is None or value in known:
        return value
    at.fail(f"there is no message {quoted(value)}; {expected_one_of(known, value)}")
    return None


def _tell(at: At) -> tuple[tuple[str, str], ...] | None:
    """A few words by name; what is written is passed on as it is written."""
    return pairs(at, MAX_TELL, "{banner: red}", expected="a value, which is passed on as text")


def _collection(at: At) -> Collecting | None:
    return member(at, Collecting, "a way to treat later invoices")


def _subscription(at: At) -> Subscription | None:
    return member(at, Subscription, "an end of a subscription")


def _invoice(at: At) -> Invoice | None:
    return member(at, Invoice, "an end of an invoice")
