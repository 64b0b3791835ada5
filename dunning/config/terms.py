"""What a policy says beside its timeline: access, cancelling, other methods, promises."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from dunning.config import values
from dunning.config.cursor import At, Fields, fields, member, one_or_more, text
from dunning.config.problems import quoted
from dunning.config.timing import span_words
from dunning.config.yaml_tree import Scalar, Table
from dunning.core.events import OnCancel
from dunning.core.policy import ANY_METHOD, Reach

TERMS_KEYS = ("access", "on_cancel", "backup_methods", "promises")
ACCESS_KEYS = ("scope",)
BACKUP_KEYS = ("order", "also")
PROMISES_KEYS = ("within", "most")
# The only moment beside the one at which the present method is ruled out.
ALSO = "after_last_retry"
MAX_METHODS = 20
OFF = "off"
# Beyond these a promise is a matter for a person.
LONGEST_PROMISE = timedelta(days=31)
MOST_PROMISES = 20
METHOD = r"[a-z][a-z0-9_]{0,39}"

_METHOD = "a type of payment method such as card or sepa_debit, or any"


def read_terms(found: Fields) -> dict[str, Any]:
    """The fields of a policy that these keys make; what is wrong is in the report."""
    told: dict[str, Any] = {
        "access": found.read("access", _access, Reach.SUBSCRIPTION),
        "on_cancel": found.read("on_cancel", _on_cancel, OnCancel.CLOSE),
    }
    if at := found.get("backup_methods"):
        told |= _backups(at)
    if at := found.get("promises"):
        told |= _promises(at)
    return told


def _access(at: At) -> Reach | None:
    found = fields(at, ACCESS_KEYS)
    return found.need("scope", _scope, "subscription or customer") if found else None


def _scope(at: At) -> Reach | None:
    return member(at, Reach, "something that access hangs on")


def _on_cancel(at: At) -> OnCancel | None:
    return member(at, OnCancel, "an end of what is owed")


def _backups(at: At) -> dict[str, Any]:
    """A type, several in their order, or the order with when else they may be charged."""
    if not isinstance(at.node, Table):
        return {"backup_methods": _order(at)}
    found = fields(at, BACKUP_KEYS)
    if found is None:
        return {}
    order = found.need("order", _order, _METHOD) or ()
    also = found.read("also", _also, False)
    return {"backup_methods": order, "backup_after_last_retry": bool(also)}


def _promises(at: At) -> dict[str, Any]:
    """How far ahead customers may promise on their page, with how often else; or `off`."""
    if isinstance(at.node, Table):
        found = fields(at, PROMISES_KEYS)
        if found is None:
            return {}
        within = found.need("within", _within, "how far ahead, such as 7d")
        return {"promise_within": within, "promise_most": found.read("most", _most, 1)}
    if isinstance(at.node, Scalar) and at.node.text.strip() == OFF:
        return {"promise_within": timedelta(0)}
    return {"promise_within": _within(at)}


def _within(at: At) -> timedelta | None:
    span = values.duration(at)
    if span is not None and not timedelta(days=1) <= span <= LONGEST_PROMISE:
        at.fail(f"{span_words(span)}; expected 1d to {LONGEST_PROMISE.days}d, or `promises: {OFF}`")
    return span


def _most(at: At) -> int | None:
    value = text(at, "a whole number")
    if value is None:
        return None
    if not (value.isascii() and value.isdecimal() and 1 <= int(value) <= MOST_PROMISES):
        at.fail(f"{quoted(value)} is not a whole number from 1 to {MOST_PROMISES}")
        return None
    return int(value)


def _order(at: At) -> tuple[str, ...]:
    types = one_or_more(at, _method, "types of payment methods", MAX_METHODS)
    if ANY_METHOD in types and len(types) > 1:
        at.fail(f"`{ANY_METHOD}` beside others; expected it alone, or the types in their order")
    return types


def _method(at: At) -> str | None:
    value = text(at, _METHOD)
    if value is not None and not re.fullmatch(METHOD, value, re.ASCII):
        at.fail(f"{quoted(value)} is not a type of payment method; expected {_METHOD}")
        return None
    return value


def _also(at: At) -> bool | None:
    value = text(at, ALSO)
    if value not in {None, ALSO}:
        at.fail(f"{quoted(value or '')} is not a moment here; expected {ALSO}")
        return None
    return value is not None
