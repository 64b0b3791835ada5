"""Policies of notices: what is told of an expiring card, or of a renewal, ahead of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta

from dunning.config import conditions, values
from dunning.config.conditions import Known
from dunning.config.cursor import At, Fields, fields, listing, member, text
from dunning.config.problems import expected_one_of, quoted
from dunning.config.rungs import COMMON_KEYS, MAX_RUNGS, PLACE_KEYS, STEP_KEYS, read_rung
from dunning.config.timing import span_words
from dunning.config.yaml_tree import Scalar, Table
from dunning.core.events import StepKind
from dunning.core.policy import Rung
from dunning.core.words import Kind

# What a notice may do: it only tells.
TELLS = (StepKind.EMAIL, StepKind.ANNOUNCE)
OWN_KEYS = ("kind", "timeline")
WHEN_KEYS = (*conditions.CHOICE_KEYS, "clicked")
LONGEST = timedelta(days=365)
# What the lines stand before.
MOMENTS: Mapping[Kind, str] = {
    Kind.CARD_EXPIRY: "the card expires",
    Kind.RENEWAL: "the renewal",
}

_LINE = "a step such as {before: 30d, do: email, template: renewal_notice}"
_NO_MONEY = "no money is at risk in it"


def kinds_of(table: Fields) -> dict[str, Kind]:
    """Of each policy what it is for, whether or not the rest of it reads well."""
    found = {}
    for name, entry in table.table.entries.items():
        node = entry.value
        told = node.entries.get("kind") if isinstance(node, Table) else None
        word = told.value.text.strip() if told and isinstance(told.value, Scalar) else ""
        found[name] = Kind(word) if word in list(Kind) else Kind.RECOVERY
    return found


def read_kind(at: At) -> Kind | None:
    """What the policy is for."""
    return member(at, Kind, "a kind of case")


def check_keys(found: Fields, kind: Kind, allowed: Collection[str]) -> None:
    """Refuse what only a recovery has, and say why."""
    for key in found.table.entries:
        if key not in allowed:
            found.fail_key(
                key,
                f"`{key}` means nothing for a {kind.value} policy: {_NO_MONEY};"
                f" {expected_one_of(allowed)}",
            )


def read_timeline(
    found: Fields, kind: Kind, templates: Collection[str], known: Known
) -> tuple[Rung, ...]:
    """The lines of a notice; what is wrong is in the report."""
    at = found.get("timeline")
    if at is None:
        found.at.fail("`timeline` is missing; expected a list of steps")
        return ()
    read: dict[tuple[object, ...], int] = {}
    rungs = []
    for line in listing(at, "steps", MAX_RUNGS):
        rung = _rung(line, kind, templates, known)
        if rung is None:
            continue
        rungs.append(rung)
        same = (rung.before, rung.do, rung.template, rung.name if not rung.template else None)
        first = read.setdefault(same, line.node.mark.line)
        if first != line.node.mark.line:
            span = span_words(rung.before or timedelta(0))
            what = rung.template or rung.name
            line.fail(f"{quoted(what or '')} {span} before twice; the first is in line {first}")
    return tuple(rungs)


def _rung(at: At, kind: Kind, templates: Collection[str], known: Known) -> Rung | None:
    problems = at.report.count
    found = fields(at)
    if found is None:
        return None
    _check_step(found, kind)
    before = _before(found, kind)
    if at.report.count > problems or before is None:
        return None
    return read_rung(at, templates, known, place={"before": before}, when_keys=WHEN_KEYS)


def _check_step(found: Fields, kind: Kind) -> None:
    """Only words: what charges, or takes access, has no place ahead of a failure."""
    do = found.get("do")
    word = None if do is None else text(do, "a step")
    steps = {step.value: step for step in STEP_KEYS}
    if do is None or word not in steps or steps[word] in TELLS:
        return  # what is wrong with it is said where every line is read
    verb = "charges" if word == StepKind.RETRY else "takes anything away"
    do.fail(
        f"{word} is no step of a {kind.value} policy: nothing has failed yet, so nothing {verb};"
        f" {expected_one_of([step.value for step in TELLS])}"
    )


def _before(found: Fields, kind: Kind) -> timedelta | None:
    """How long before what is told of the line stands."""
    moment = MOMENTS[kind]
    for key in PLACE_KEYS:
        if key in found and key != "before":
            found.fail_key(
                key,
                f"`{key}` counts from a failure, and nothing has failed;"
                f" expected `before`, so long before {moment}, such as `before: 30d`",
            )
            return None
    at = found.get("before")
    if at is None:
        found.at.fail(f"`before` is missing; expected {_LINE}")
        return None
    span = values.duration(at)
    if span is None or timedelta(hours=1) <= span <= LONGEST:
        return span
    at.fail(f"expected from 1h to {span_words(LONGEST)} before {moment}")
    return None


def line_keys(step: StepKind) -> tuple[str, ...]:
    """The keys of a line of a notice."""
    common = tuple(key for key in COMMON_KEYS if key not in PLACE_KEYS)
    return ("before", *common, *STEP_KEYS[step])
