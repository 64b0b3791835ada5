"""Policy and its timeline; `core.choosing` says which one a case gets.

A policy is plain data. Its content hash is its version: a case keeps the hash it began under.
"""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import time, timedelta
from typing import Any

from dunning.core.choosing import ALWAYS, NO_TERMS, Terms, When
from dunning.core.days import PATIENCE, PAYDAYS, Day, Quiet, Wish, Works, monday_to_friday
from dunning.core.decline_table import Advice, Override
from dunning.core.events import OnCancel, StepKind
from dunning.core.holdout import Holdout
from dunning.core.limits import Limit
from dunning.core.words import Kind
from dunning.core.written import terms_from, terms_to, when_from, when_to

# In `backup_methods`: whatever its type.
ANY_METHOD = "any"


class Retries(enum.StrEnum):
    """Who owns the charges of an invoice; exactly one does."""

    OURS = "ours"
    PROVIDER = "provider"
    PROVIDER_FIRST = "provider_first"
    SIGNAL = "signal"


class Subscription(enum.StrEnum):
    """What giving up does to the subscription."""

    CANCEL = "cancel"
    PAUSE = "pause"  # later invoices are voided until somebody lets it go on
    UNPAID = "unpaid"  # later invoices wait as drafts
    KEEP = "keep"


class Invoice(enum.StrEnum):
    """What giving up does to the invoice."""

    UNCOLLECTIBLE = "uncollectible"
    VOID = "void"
    KEEP = "keep"


class Reach(enum.StrEnum):
    """What restricting and suspending act on."""

    SUBSCRIPTION = "subscription"
    CUSTOMER = "customer"  # everything the customer has


# How far ahead customers may promise on their page where the policy does not say.
PROMISE_WITHIN = timedelta(days=7)


class Collection(enum.StrEnum):
    """What suspension does to the subscription's future invoices at the provider."""

    KEEP_AS_DRAFT = "keep_as_draft"
    MARK_UNCOLLECTIBLE = "mark_uncollectible"
    VOID = "void"
    GO_ON = "go_on"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One line of a timeline: so long `after` the first failure, or `before` or `past` another.

    Of a notice: so long `before` what lies ahead, without an `anchor`.
    `anchor` is that other line: its name, or the step of a kind that there is once. `clock` is the
    customer's local time of day; `on` are preferred days, most wanted first, waited for no longer
    than `patience`. `jitter` is how much later it may come, by chance. `between`: only in these
    hours of the customer's day. `when`: only if these conditions hold at its moment.
    """

    do: StepKind
    name: str | None = None
    after: timedelta | None = None
    before: timedelta | None = None
    past: timedelta | None = None
    anchor: str | None = None
    template: str | None = None
    clock: time | None = None
    on: tuple[Wish, ...] = ()
    patience: timedelta = PATIENCE
    jitter: timedelta = timedelta(0)
    between: tuple[time, time] | None = None
    collection: Collection = Collection.KEEP_AS_DRAFT
    subscription: Subscription = Subscription.KEEP
    invoice: Invoice = Invoice.KEEP
    tell: tuple[tuple[str, str], ...] = ()  # what the product hears with this step
    when: When = ALWAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How a case is walked: no suspension before `grace`, given up at `window`.

    `branches` are the lines that are walked instead while the last decline means this; see
    `core.branches`. `terms` are the words of the file that its conditions use. `limits` are its own
    house ceiling and limits beside those of the networks; `declines` what it says of decline codes
    in place of our table. `promise_within` and `promise_most` bound what customers themselves may
    promise on their page. `works` is what the program knows of working days; it is no part of what
    the policy says.
    """

    name: str
    grace: timedelta
    window: timedelta
    timeline: tuple[Rung, ...]
    timezone: str = "UTC"
    retries: Retries = Retries.OURS
    send_between: tuple[time, time] | None = None
    quiet_days: tuple[Quiet, ...] = ()  # on which no email is written
    paydays: tuple[Wish, ...] = PAYDAYS
    locale: str = "en"  # for customers of whom neither language nor country is known
    holdout: Holdout | None = None
    access: Reach = Reach.SUBSCRIPTION
    on_cancel: OnCancel = OnCancel.CLOSE
    backup_methods: tuple[str, ...] = ()  # types of saved methods in their order; or ANY_METHOD
    backup_after_last_retry: bool = False  # and not only once the present method is ruled out
    limits: tuple[Limit, ...] = ()
    declines: tuple[Override, ...] = ()
    branches: tuple[tuple[str, tuple[Rung, ...]], ...] = ()
    terms: Terms = NO_TERMS
    kind: Kind = Kind.RECOVERY  # of the others the grace and the window are nothing
    promise_within: timedelta = PROMISE_WITHIN  # how far ahead; zero: it is not offered
    promise_most: int = 1
    works: Works = field(default=monday_to_friday, compare=False, repr=False)

    @property
    def version(self) -> str:
        """The content hash: equal for equal policies, whatever file they came from."""
        text = json.dumps(to_data(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def has(self, kind: StepKind) -> bool:
        """Whether any line does this, in whichever branch."""
        lines = (self.timeline, *(own for _, own in self.branches))
        return any(rung.do is kind for own in lines for rung in own)


# --- as data -------------------------------------------------------------------------------

# How a value is written as JSON and read back. Cases are pinned to the hash of what is written, so
# a key that came later is written only where it is not what it was before there was the key.
_Codec = tuple[Callable[[Any], Any], Callable[[Any], Any]]


def _word(kind: Callable[[str], enum.StrEnum]) -> _Codec:
    return (lambda word: word.value, kind)


def _maybe(codec: _Codec) -> _Codec:
    write, read = codec
    return (
        lambda value: None if value is None else write(value),
        lambda data: None if data is None else read(data),
    )


def _each(codec: _Codec) -> _Codec:
    write, read = codec
    return (
        lambda values: [write(value) for value in values],
        lambda data: tuple(read(value) for value in data),
    )


def _record(kind: type[Any], codecs: Mapping[str, _Codec]) -> _Codec:
    return (
        lambda record: {key: write(getattr(record, key)) for key, (write, _) in codecs.items()},
        lambda data: kind(**_read(data, codecs)),
    )


_text: _Codec = (str, str)
_whole: _Codec = (int, int)
_truth: _Codec = (bool, bool)
_span: _Codec = (
    lambda span: span.days * 86_400 + span.seconds,
    lambda seconds: timedelta(seconds=seconds),
)
_clock: _Codec = (lambda clock: clock.isoformat("minutes"), time.fromisoformat)
_wish: _Codec = (
    lambda wish: wish if isinstance(wish, int) else wish.value,
    lambda data: data if isinstance(data, int) else Day(data),
)
_pairs: _Codec = (dict, lambda data: tuple(sorted(data.items())))
_hours: _Codec = (
    lambda hours: [clock.isoformat("minutes") for clock in hours or ()],
    lambda data: tuple(time.fromisoformat(text) for text in data) or None,
)

_RUNG: dict[str, _Codec] = {
    "do": _word(StepKind),
    "after": _maybe(_span),
    "before": _maybe(_span),
    "anchor": _maybe(_text),
    "template": _maybe(_text),
    "clock": _maybe(_clock),
    "on": _each(_wish),
    "collection": _word(Collection),
    "subscription": _word(Subscription),
    "invoice": _word(Invoice),
}
_when: _Codec = (when_to, when_from)
_terms: _Codec = (terms_to, terms_from)
_LATER_RUNG: dict[str, _Codec] = {
    "name": _maybe(_text),
    "past": _maybe(_span),
    "patience": _span,
    "jitter": _span,
    "between": _hours,
    "tell": _pairs,
    "when": _when,
}
_branches: _Codec = (
    lambda branches: [[name, [_rung_to(rung) for rung in lines]] for name, lines in branches],
    lambda data: tuple((name, tuple(map(_rung_from, lines))) for name, lines in data),
)
_POLICY: dict[str, _Codec] = {
    "name": _text,
    "grace": _span,
    "window": _span,
    "timezone": _text,
    "retries": _word(Retries),
    "send_between": _hours,
}
_LIMIT = _record(
    Limit,
    {"name": _text, "kind": _text, "count": _whole, "window": _span, "source": _text}
    | {"certainty": _text, "network": _maybe(_text), "method_type": _maybe(_text)}
    | {"same_amount": _truth, "in_a_row": _truth, "counted": _text, "note": _text},
)
_OVERRIDE = _record(
    Override,
    {"code": _text, "advice": _word(Advice), "why": _text, "kind": _maybe(_text)}
    | {"wait": _maybe(_span), "source": _maybe(_text), "category": _maybe(_text)},
)
_LATER_POLICY: dict[str, _Codec] = {
    "quiet_days": _each(_word(Quiet)),
    "kind": _word(Kind),
    "paydays": _each(_wish),
    "locale": _text,
    "holdout": _maybe((Holdout.to_data, Holdout.from_data)),
    "access": _word(Reach),
    "on_cancel": _word(OnCancel),
    "backup_methods": _each(_text),
    "backup_after_last_retry": (bool, bool),
    "limits": _each(_LIMIT),
    "declines": _each(_OVERRIDE),
    "branches": _branches,
    "terms": _terms,
    "promise_within": _span,
    "promise_most": _whole,
}


def to_data(policy: Policy) -> dict[str, Any]:
    """The policy as JSON-ready data, for its hash and for the row a case is pinned to."""
    timeline = [_rung_to(rung) for rung in policy.timeline]
    return _written(policy, _POLICY, _LATER_POLICY) | {"timeline": timeline}


def from_data(data: Mapping[str, Any], works: Works = monday_to_friday) -> Policy:
    """Read back what `to_data` wrote; what is known of working days comes from elsewhere."""
    timeline = tuple(map(_rung_from, data["timeline"]))
    rest = {key: value for key, value in data.items() if key != "timeline"}
    return Policy(**_read(rest, _POLICY | _LATER_POLICY), timeline=timeline, works=works)


def _rung_to(rung: Rung) -> dict[str, Any]:
    return _written(rung, _RUNG, _LATER_RUNG)


def _rung_from(data: Mapping[str, Any]) -> Rung:
    return Rung(**_read(data, _RUNG | _LATER_RUNG))


def _written(
    record: Rung | Policy, codecs: Mapping[str, _Codec], later: Mapping[str, _Codec]
) -> dict[str, Any]:
    data = {key: write(getattr(record, key)) for key, (write, _) in codecs.items()}
    plain = {each.name: each.default for each in fields(record)}
    changed = (key for key in later if getattr(record, key) != plain[key])
    return data | {key: later[key][0](getattr(record, key)) for key in changed}


def _read(data: Mapping[str, Any], codecs: Mapping[str, _Codec]) -> dict[str, Any]:
    return {key: codecs[key][1](value) for key, value in data.items()}
