"""What differs between two policy files, in words: lines, keys, choices, and what that means.

Compared are the values that a file is read into, field by field: a key that is added to the
language shows up here without a word of its own.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from datetime import time, timedelta
from difflib import SequenceMatcher
from typing import Any

from dunning.config.policy_file import PolicyFile
from dunning.config.sentences import describe
from dunning.config.timing import in_order, span_words
from dunning.core.choosing import Choice, Terms, When, words
from dunning.core.events import StepKind
from dunning.core.money import Money
from dunning.core.places import ONCE, offsets
from dunning.core.policy import Policy, Rung

# What a key is called in the file, where that is not the name of its field.
_KEYS = {"after": "at", "past": "after", "clock": "time", "patience": "within"}
_FILE_KEYS = {"terms": ""}  # they are the keys of the file themselves
_PLACE = ("after", "before", "past", "anchor")
# What the program adds to a policy, or what is told in another way.
_NOT_SAID = frozenset(("name", "works", "timeline", "terms", "declines", "limits"))
_ELSEWHERE = frozenset(("filename", "policies", "choices", "marks", "lines"))
# Lines that are placed by others may be one, if nothing is nearer.
_FAR = 1e9
_NOUNS = {
    StepKind.RETRY: ("retry", "retries"),
    StepKind.EMAIL: ("email", "emails"),
    StepKind.SMS: ("text", "texts"),
    StepKind.ANNOUNCE: ("announcement", "announcements"),
    StepKind.RESTRICT: ("restriction", "restrictions"),
    StepKind.SUSPEND: ("suspension", "suspensions"),
    StepKind.GIVE_UP: ("giving up", "givings up"),
}


class Kind(enum.StrEnum):
    """How something differs; MEANS is what follows from the others."""

    ADDED = "added"
    REMOVED = "removed"
    MOVED = "moved"
    CHANGED = "changed"
    MEANS = "means"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that is not the same; `policy` None: it is of the whole file."""

    policy: str | None
    kind: Kind
    what: str  # timeline, grace, choose, sources …
    was: str = ""
    now: str = ""
    text: str


def differences(old: PolicyFile, new: PolicyFile) -> list[Difference]:
    """Everything that differs, policy by policy, then what is of the whole file."""
    return [*_of_policies(old, new), *_of_choices(old, new), *_of_the_file(old, new)]


def _of_policies(old: PolicyFile, new: PolicyFile) -> Iterator[Difference]:
    for name in dict.fromkeys((*old.policies, *new.policies)):
        before, after = old.policies.get(name), new.policies.get(name)
        if before is None:
            text = f"policy {name} is new"
            yield Difference(policy=name, kind=Kind.ADDED, what="policy", text=text)
        elif after is None:
            text = f"policy {name} is gone"
            yield Difference(policy=name, kind=Kind.REMOVED, what="policy", text=text)
        elif before != after:
            yield from _of_policy(name, before, after)


def _of_policy(name: str, old: Policy, new: Policy) -> Iterator[Difference]:
    for field in fields(Policy):
        was, now = getattr(old, field.name), getattr(new, field.name)
        if field.name in _NOT_SAID or was == now or _ladders(field.name, was) != {}:
            continue
        if _ladders(field.name, now) == {}:
            yield _changed(name, field.name, was, now)
    before, after = _all_ladders(old), _all_ladders(new)
    for what in dict.fromkeys((*before, *after)):
        yield from _of_ladder(name, what, (old, before.get(what, ())), (new, after.get(what, ())))
    yield from _meaning(name, old, new)


def _changed(policy: str | None, what: str, was: Any, now: Any) -> Difference:
    told = _KEYS.get(what, what)
    text = f"{told}: {_from_to(was, now)}"
    return Difference(
        policy=policy, kind=Kind.CHANGED, what=told, was=said(was), now=said(now), text=text
    )


# --- the lines of a timeline -------------------------------------------------------------------

Ladder = Sequence[Rung]


def _all_ladders(policy: Policy) -> dict[str, Ladder]:
    """Every list of lines a policy has, by what it is called in the file."""
    found: dict[str, Ladder] = {}
    for field in fields(Policy):
        found |= _ladders(field.name, getattr(policy, field.name))
    return found


def _ladders(name: str, value: Any) -> dict[str, Ladder]:
    """The lists of lines behind a field: itself one, or one for each key of it."""
    if isinstance(value, Mapping):
        value = tuple(value.items())
    if not isinstance(value, tuple) or not value:
        return {}
    if all(isinstance(each, Rung) for each in value):
        return {name: value}
    found: dict[str, Ladder] = {}
    for each in value:
        parts = each if isinstance(each, tuple) else _parts(each)
        lines = [part for part in parts if _is_ladder(part)]
        if len(lines) != 1:
            return {}
        label = next((said(part) for part in parts if not _is_ladder(part)), "")
        found[f"{name}.{label}"] = lines[0]
    return found


def _is_ladder(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and all(isinstance(e, Rung) for e in value)


def _parts(value: Any) -> tuple[Any, ...]:
    return tuple(getattr(value, f.name) for f in fields(value)) if is_dataclass(value) else ()


def _of_ladder(
    policy: str, what: str, old: tuple[Policy, Ladder], new: tuple[Policy, Ladder]
) -> Iterator[Difference]:
    pairs, gone, fresh = _paired(old[1], new[1])
    for was, now in pairs:
        yield from _of_line(policy, what, was, now)
    where = _where(what)
    for rung in gone:
        text = f"{where}removed: {_sentence(old[0], rung)}"
        yield Difference(policy=policy, kind=Kind.REMOVED, what=what, was=line(rung), text=text)
    for rung in fresh:
        text = f"{where}added: {_sentence(new[0], rung)}"
        yield Difference(policy=policy, kind=Kind.ADDED, what=what, now=line(rung), text=text)


def _paired(old: Ladder, new: Ladder) -> tuple[list[tuple[Rung, Rung]], list[Rung], list[Rung]]:
    """Which line became which: the nearest that does the same; what is left was removed, added."""
    gone, fresh = list(old), list(new)
    for rung in old:
        if rung in fresh:
            fresh.remove(rung)
            gone.remove(rung)
    close = sorted(
        ((_apart(was, now), i, j) for i, was in enumerate(gone) for j, now in enumerate(fresh)),
        key=lambda each: (each[0] is None, each[0] or 0, each[1], each[2]),
    )
    pairs: dict[int, int] = {}
    for distance, i, j in close:
        if distance is not None and i not in pairs and j not in pairs.values():
            pairs[i] = j
    return (
        [(gone[i], fresh[j]) for i, j in sorted(pairs.items())],
        [rung for i, rung in enumerate(gone) if i not in pairs],
        [rung for j, rung in enumerate(fresh) if j not in pairs.values()],
    )


def _apart(was: Rung, now: Rung) -> float | None:
    """How far apart two lines are that may be one; None: they do not do the same."""
    if was.do is not now.do or (was.template or "") != (now.template or ""):
        return None
    if was.after is None or now.after is None:
        return 0.0 if _place(was) == _place(now) else _FAR
    return abs((was.after - now.after) / timedelta(seconds=1))


def _of_line(policy: str, what: str, was: Rung, now: Rung) -> Iterator[Difference]:
    name = _where(what) + _name(was)
    if _place(was) != _place(now):
        text = f"{name}: moved from {_place(was)} to {_place(now)}"
        yield Difference(
            policy=policy, kind=Kind.MOVED, what=what, was=line(was), now=line(now), text=text
        )
    for field in fields(Rung):
        before, after = getattr(was, field.name), getattr(now, field.name)
        if field.name in _PLACE or before == after:
            continue
        key = _KEYS.get(field.name, field.name)
        text = f"{name} at {_place(now)}: {key} {_from_to(before, after)}"
        yield Difference(
            policy=policy, kind=Kind.CHANGED, what=what, was=line(was), now=line(now), text=text
        )


def _where(what: str) -> str:
    """Which branch lines are of; nothing for those of the timeline."""
    field, _, branch = what.partition(".")
    return f"branch {branch}, " if field == "branches" else ""


def _name(rung: Rung) -> str:
    return f"{rung.do.value} {rung.template}" if rung.template else rung.do.value


def _place(rung: Rung) -> str:
    if rung.anchor is None:
        return said(rung.after)
    gap, side = (rung.before, "before") if rung.past is None else (rung.past, "after")
    return f"{said(gap)} {side} {rung.anchor}"


def line(rung: Rung) -> str:
    """A line as it stands in a file, without what it leaves to the defaults."""
    keys = [f"{_KEYS.get(name, name)}: {value}" for name, value in _given(rung, _PLACE)]
    at = f"at: {_place(rung)}" if rung.anchor is None else _place(rung)
    return "{" + ", ".join((at, *keys)) + "}"


def _sentence(policy: Policy, rung: Rung) -> str:
    """The sentence of a line of the timeline; of others, what stands in the file."""
    for placed, sentence in zip(in_order(policy), describe(policy), strict=False):
        if placed.rung is rung:
            return sentence.rstrip(".")
    return line(rung)


# --- what it means -----------------------------------------------------------------------------


def _meaning(name: str, old: Policy, new: Policy) -> Iterator[Difference]:
    """How often each kind of step comes, and how much sooner or later its first and last."""
    before, after = _places(old), _places(new)
    for kind in dict.fromkeys((*before, *after)):
        was, now = before.get(kind, []), after.get(kind, [])
        one, many = _NOUNS.get(kind, (kind.value, f"{kind.value} steps"))
        count = f"{len(now)} {one if len(now) == 1 else many} instead of {len(was)}"
        told = [count] if len(was) != len(now) else []
        if was and now:
            ends = [(one, -1)] if kind in ONCE else [(f"first {one}", 0), (f"last {one}", -1)]
            told += [
                f"the {which} comes {_shift(was[at], now[at])}"
                for which, at in ends
                if was[at] != now[at]
            ]
        for text in told:
            yield Difference(policy=name, kind=Kind.MEANS, what=kind.value, text=text)


def _places(policy: Policy) -> dict[StepKind, list[timedelta]]:
    found: dict[StepKind, list[timedelta]] = {}
    for rung, offset in sorted(offsets(policy), key=lambda each: each[1]):
        found.setdefault(rung.do, []).append(offset)
    return found


def _shift(was: timedelta, now: timedelta) -> str:
    number, unit = span_words(abs(now - was))[:-1], span_words(abs(now - was))[-1]
    word = {"d": "day", "h": "hour", "m": "minute"}[unit] + ("" if number == "1" else "s")
    return f"{number} {word} {'earlier' if now < was else 'later'}"


# --- the rest of the file ----------------------------------------------------------------------


def _of_choices(old: PolicyFile, new: PolicyFile) -> Iterator[Difference]:
    matcher = SequenceMatcher(None, old.choices, new.choices, autojunk=False)
    for tag, i, upto, j, end in matcher.get_opcodes():
        if tag == "equal":
            continue
        for number, choice in enumerate(old.choices[i:upto], i + 1):
            text = f"choose: line {number} is gone: {_choice(choice)}"
            yield Difference(
                policy=None, kind=Kind.REMOVED, what="choose", was=_choice(choice), text=text
            )
        for number, choice in enumerate(new.choices[j:end], j + 1):
            text = f"choose: line {number} is new: {_choice(choice)}"
            yield Difference(
                policy=None, kind=Kind.ADDED, what="choose", now=_choice(choice), text=text
            )


def _choice(choice: Choice) -> str:
    return f"{words(choice.when) or 'everything'}: {choice.policy}"


def _of_the_file(old: PolicyFile, new: PolicyFile) -> Iterator[Difference]:
    for field in fields(PolicyFile):
        if field.name in _ELSEWHERE:
            continue
        was, now = _keyed(getattr(old, field.name)), _keyed(getattr(new, field.name))
        for key in dict.fromkeys((*was, *now)):
            if was.get(key) == now.get(key):
                continue
            what = ".".join(part for part in (_FILE_KEYS.get(field.name, field.name), key) if part)
            if key not in was or was[key] is None:
                kind, text = Kind.ADDED, f"{what} is new: {said(now[key])}"
            elif key not in now or now[key] is None:
                kind, text = Kind.REMOVED, f"{what} is gone: {said(was[key])}"
            else:
                kind, text = Kind.CHANGED, f"{what}: {_from_to(was[key], now[key])}"
            yield Difference(
                policy=None,
                kind=kind,
                what=what,
                was=said(was.get(key)),
                now=said(now.get(key)),
                text=text,
            )
    if old.sources != new.sources:
        text = "sources are read when a process starts: restart the processes once it is in force"
        yield Difference(policy=None, kind=Kind.MEANS, what="sources", text=text)


def _keyed(value: Any) -> dict[str, Any]:
    """The named parts of a value; a single one has no name."""
    if isinstance(value, Mapping):
        return {str(key): each for key, each in value.items()}
    if isinstance(value, Terms):
        return {"value": value.value, **{f"segment {name}": when for name, when in value.segments}}
    if isinstance(value, tuple):
        return {str(getattr(each, "name", i + 1)): each for i, each in enumerate(value)}
    return {"": value}


# --- in words ----------------------------------------------------------------------------------


def _given(record: Any, without: Sequence[str] = ()) -> Iterator[tuple[str, str]]:
    """The fields of a record that say something other than the default."""
    for field in fields(record):
        value = getattr(record, field.name)
        default = field.default
        if default is MISSING and field.default_factory is not MISSING:
            default = field.default_factory()
        if field.name in without or value == default:
            continue
        if is_dataclass(value) and not isinstance(value, Money | type):
            yield from _given(value)
        else:
            yield field.name, said(value)


def _from_to(was: Any, now: Any) -> str:
    """`from 2d to 3d`; of a record only the fields that differ."""
    if isinstance(was, When) or isinstance(now, When):
        return f"from '{said(was)}' to '{said(now)}'"
    if is_dataclass(was) and type(was) is type(now) and not isinstance(was, Money):
        pairs = [(f.name, getattr(was, f.name), getattr(now, f.name)) for f in fields(was)]
        return ", ".join(f"{name} {_from_to(a, b)}" for name, a, b in pairs if a != b)
    return f"from {said(was)} to {said(now)}"


def said(value: Any) -> str:
    """Any value of a policy in words, as it would stand in the file."""
    match value:
        case None | () | "":
            return "nothing"
        case When():
            return words(value) or "always"
        case bool():
            return "yes" if value else "no"
        case enum.Enum():
            return str(value.value)
        case timedelta():
            return span_words(value)
        case time():
            return f"{value:%H:%M}"
        case (time(), time()):
            return f"{value[0]:%H:%M}-{value[1]:%H:%M}"
        case Mapping():
            return ", ".join(f"{key} {said(each)}" for key, each in value.items())
        case tuple() | list() | frozenset() | set():
            return ", ".join(said(each) for each in value)
        case _ if is_dataclass(value) and not isinstance(value, Money):
            return ", ".join(f"{name} {each}" for name, each in _given(value))
        case _:
            return str(value)
