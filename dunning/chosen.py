"""Which policy a case gets and why: when it begins, and once more when the first look is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, NamedTuple

from sqlmodel import Session

from dunning.core.around import ALONE, Around
from dunning.core.choosing import Subject
from dunning.core.events import StepKind
from dunning.core.facts import Case
from dunning.core.holdout import is_late
from dunning.core.notices import begins_by
from dunning.core.policy import Policy, Retries
from dunning.core.status import Status
from dunning.core.subject import subject_of
from dunning.desk import Desk, Held, Row
from dunning.hands import Hand, draw_group, walks_for
from dunning.pinned import Pinned
from dunning.store import CaseRow
from dunning.surroundings import REVENUE, Wanted, around


class Chosen(NamedTuple):
    """The policy that a case gets, which line of the file gave it, and the segments it is in."""

    policy: Policy
    why: str = ""
    segments: tuple[str, ...] = ()


# Whoever charges is told so by the first look; another owner would come too late.
_WE_CHARGE = frozenset((Retries.OURS, Retries.SIGNAL))


def again(policy: Policy, chosen: Chosen, why: str | None) -> Chosen:
    """What becomes of a case that began under a policy, when the first look has been taken."""
    if chosen.policy.version == policy.version:
        return Chosen(policy, why or "")
    if (chosen.policy.retries in _WE_CHARGE) is not (policy.retries in _WE_CHARGE):
        kept = f"kept, as {chosen.policy.name} ({chosen.why}) has another owner of the retries"
        return Chosen(policy, f"{why}; {kept}" if why else kept)
    before = f"{policy.name} ({why})" if why else policy.name
    return Chosen(chosen.policy, f"{chosen.why}; chosen by the first look, before that {before}")


def may_choose_again(before: Case, after: Case) -> bool:
    """Whether more is known than when the case began, and nothing but looking was ever done."""
    return looked_first(before, after) or is_late(before, after)


def looked_first(before: Case, after: Case) -> bool:
    """Whether the first look has just been taken, and nothing but looking was ever done."""
    key = f"{after.id}/reconcile:open"
    return (
        after.adopted is None
        and before.step(key) is None
        and after.step(key) is not None
        and all(step.kind is StepKind.RECONCILE for step in after.done)
    )


# Which policy a new case begins under, and why; None: nobody is to be told of what lies ahead.
Chooser = Callable[[Subject], Policy | Chosen | None]


class Policies:
    """Chooses policies, keeps them for the cases that have them, and looks up what they ask for."""

    def __init__(
        self, choose: Chooser, *, keeps_revenue: Callable[[], bool] = lambda: False
    ) -> None:
        self.choose = choose
        self.keeps_revenue = keeps_revenue
        self._pinned = Pinned()
        self.of = self._pinned.of
        self.learn = self._pinned.learn

    def begin(
        self, desk: Desk, hand: Hand, present: Status, now: datetime
    ) -> dict[str, Any] | None:
        """The columns of a case that say which policy it begins under; None: it does not begin."""
        chosen = self._chosen(desk, hand.case, present)
        if chosen is None or (hand.case.notice and not begins_by(hand.case, chosen.policy, now)):
            return None
        return self._pin(desk, chosen._replace(policy=draw_group(hand, chosen.policy)), now)

    def look_again(
        self, desk: Desk, hand: Hand, present: Status, row: Row, now: datetime
    ) -> dict[str, Any]:
        """The first look may bring what an invoice event does not: whose it is, and of what."""
        policy = self.of(desk.session, row["policy_version"])
        chosen = self._chosen(desk, hand.case, present)
        assert chosen is not None, "a failed charge always gets a policy"
        walks = walks_for(hand.case, chosen.policy)
        found = again(policy, Chosen(walks, chosen.why), row["policy_why"])
        if found.policy.version == walks.version:
            draw_group(hand, chosen.policy)
        return self._pin(desk, found._replace(segments=chosen.segments), now)

    def around(self, desk: Desk, helds: Iterable[Held]) -> dict[str, Around]:
        """What the plans of cases in hand need to know beside them."""
        session = desk.session
        asks = self._pinned.asks
        wanted = [Wanted.by_case(h.case, asks(session, h.row["policy_version"])) for h in helds]
        return around(session, wanted, desk)

    def around_stored(self, session: Session, rows: Iterable[CaseRow]) -> dict[str, Around]:
        """The same of cases as they are stored."""
        wanted = []
        for row in rows:
            try:
                asks = self._pinned.asks(session, row.policy_version)
            except Exception:  # noqa: BLE001, S112 - told when this case is planned, alone
                continue
            wanted.append(Wanted.by_row(row, asks))
        return around(session, wanted)

    def _pin(self, desk: Desk, chosen: Chosen, now: datetime) -> dict[str, Any]:
        version = self._pinned.pin(desk, chosen.policy, now)
        return {
            "policy": chosen.policy.name,
            "policy_version": version,
            "policy_why": chosen.why or None,
            "segments": "+".join(sorted(chosen.segments)) or None,
        }

    def _chosen(self, desk: Desk, case: Case, present: Status) -> Chosen | None:
        """What the file chooses for the case, by what is known of it now."""
        asks = REVENUE if self.keeps_revenue() else frozenset[str]()
        besides = around(desk.session, [Wanted.by_case(case, asks)], desk)
        chosen = self.choose(subject_of(case, present, besides.get(case.id, ALONE)))
        return Chosen(chosen) if isinstance(chosen, Policy) else chosen
