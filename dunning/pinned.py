"""Which policy a case begins under, and the policies that cases began under, each read once."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlmodel import Session, col

from dunning.core.branches import asks
from dunning.core.policy import Policy, from_data, to_data
from dunning.desk import Desk
from dunning.errors import NotFoundError
from dunning.store import PolicyRow
from dunning.workdays import works_on


class Pinned:
    """The policies of a process by version: a version never changes, so it is kept."""

    def __init__(self) -> None:
        self._known: dict[str, Policy] = {}
        self._asks: dict[str, frozenset[str]] = {}
        # By the object, which is kept and so stays the only one of this identity.
        self._versions: dict[int, tuple[Policy, str]] = {}

    def of(self, session: Session, version: str) -> Policy:
        """The policy of that version; `NotFoundError` when no case ever began under it."""
        if version not in self._known:
            row = session.get(PolicyRow, version)
            if row is None:
                message = f"policy version {version} is not in the database"
                raise NotFoundError(message)
            self._known[version] = from_data(json.loads(row.body), works_on)
        return self._known[version]

    def asks(self, session: Session, version: str) -> frozenset[str]:
        """What the policy of that version needs to know beside its cases; mostly nothing."""
        found = self._asks.get(version)
        if found is None:
            found = self._asks[version] = asks(self.of(session, version))
        return found

    def learn(self, desk: Desk) -> None:
        """Read at once the policies of the cases in hand that this process has not met yet."""
        versions = {held.row["policy_version"] for held in desk.cases.values()}
        if new := sorted(versions - self._known.keys()):
            query = select(PolicyRow).where(col(PolicyRow.version).in_(new))
            for row in desk.session.scalars(query):
                self._known[row.version] = from_data(json.loads(row.body), works_on)

    def pin(self, desk: Desk, policy: Policy, now: datetime) -> str:
        """Keep the policy for the case that begins under it; its version."""
        version = self._version_of(policy)
        if desk.policies.get(version) is None:
            desk.policies.put(version, row_of(policy, version, now))
        self._known[version] = policy
        return version

    def _version_of(self, policy: Policy) -> str:
        """The hash of its content, computed once for each policy object there is."""
        known, version = self._versions.get(id(policy), (None, ""))
        if known is not policy:
            version = policy.version
            self._versions[id(policy)] = (policy, version)
        return version


def row_of(policy: Policy, version: str, now: datetime) -> dict[str, Any]:
    """The row of a policy that is about to be used for the first time."""
    return {
        "version": version,
        "name": policy.name,
        "body": json.dumps(to_data(policy), sort_keys=True),
        "first_used_at": now,
    }
