"""`holdout: 10%`, or `{share: 10%, policy: gentle}`: which part of the customers is held out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from dunning.config import values
from dunning.config.cursor import At, Fields, fields, text
from dunning.config.problems import expected_one_of, quoted
from dunning.config.yaml_tree import Table
from dunning.core.holdout import MOST, Holdout
from dunning.core.policy import Policy

KEYS = ("share", "policy", "salt")
SHARE = r"[0-9]{1,2}(\.[0-9]{1,2})? ?%"
SALT = r"[A-Za-z0-9_.-]{1,40}"
_SHARE = "a share above 0 % and at most 50 %, such as 10% or 2.5%"


def read_holdout(at: At) -> Holdout | None:
    """The hold-out of one policy; that its other policy exists is asked by `resolve`."""
    if not isinstance(at.node, Table):
        share = _share(at)
        return None if share is None else Holdout(share=share)
    found = fields(at, KEYS)
    if found is None:
        return None
    share = found.need("share", _share, _SHARE)
    policy = found.read("policy", values.name, None)
    salt = found.read("salt", _salt, "")
    return None if share is None else Holdout(share=share, policy=policy, salt=salt or "")


def _share(at: At) -> int | None:
    value = text(at, _SHARE)
    if value is None:
        return None
    if not re.fullmatch(SHARE, value, re.ASCII):
        at.fail(f"{quoted(value)} is not a share; expected {_SHARE}")
        return None
    whole, _, part = value.rstrip("% ").partition(".")
    share = int(whole) * 100 + int(part.ljust(2, "0") or "0")
    if not 0 < share <= MOST:
        at.fail(f"{quoted(value)} is out of range; expected {_SHARE}")
        return None
    return share


def _salt(at: At) -> str | None:
    expected = "up to 40 letters, digits, dots, - and _"
    value = text(at, expected)
    if value is not None and not re.fullmatch(SALT, value, re.ASCII):
        at.fail(f"{quoted(value)} is not a salt; expected {expected}")
        return None
    return value


def resolve(table: Fields, policies: Mapping[str, Policy]) -> dict[str, Policy]:
    """Give each hold-out the policy it names; say so when there is none, or none that serves."""
    made = dict(policies)
    for name, policy in policies.items():
        holdout = policy.holdout
        if holdout is None or holdout.policy is None:
            continue
        at = _named(table, name)
        other = policies.get(holdout.policy)
        if other is None:
            if holdout.policy not in table.table.entries:
                expected = expected_one_of(sorted(policies), holdout.policy)
                at.fail(f"no policy {quoted(holdout.policy)}; {expected}")
        elif holdout.policy == name:
            at.fail("who is held out would be walked by this very policy; expected another")
        elif other.holdout is not None:
            at.fail(f"{holdout.policy} holds customers out itself; expected one that does not")
        else:
            made[name] = replace(policy, holdout=replace(holdout, instead=other))
    return made


def _named(table: Fields, policy: str) -> At:
    """The place in the file at which the hold-out names its other policy."""
    at: At | None = table.get(policy)
    for key in ("holdout", "policy"):
        found = fields(at) if at else None
        at = found.get(key) if found else None
    assert at is not None, "it was read from there"
    return at
