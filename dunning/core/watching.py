"""Which notices a policy file gives, so that whoever looks ahead knows how far."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import NamedTuple

from dunning.core.notices import longest_lead
from dunning.core.policy import Policy
from dunning.core.words import Kind


class Watch(NamedTuple):
    """How long ahead of it each kind of notice is first given, and a mark of all that gives any."""

    leads: Mapping[Kind, timedelta]
    mark: str


def watch_of(policies: Mapping[str, Policy]) -> Watch:
    """What there is to look out for; nothing where every policy is for failed charges."""
    leads: dict[Kind, timedelta] = {}
    giving = [policy for policy in policies.values() if policy.kind.is_notice]
    for policy in giving:
        leads[policy.kind] = max(leads.get(policy.kind, timedelta(0)), longest_lead(policy))
    return Watch(leads, ",".join(sorted(policy.version for policy in giving)))
