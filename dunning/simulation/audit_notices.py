"""The part of the audit that looks at what customers were told of what lies ahead of them.

The provider's own events are the witness: what was so when the work behind a message began follows
from those before it, whether or not any of them was heard.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlmodel import Session

from dunning.core.addresses import message_name, normalised
from dunning.core.calendar import zone_of
from dunning.core.notices import expires_at
from dunning.store import BadAddressRow, CaseRow

if TYPE_CHECKING:
    from dunning.simulation.auditor import Evidence, Seen

LIVE = frozenset(("active", "trialing", "past_due"))
# Whoever is there for so long ahead of a moment has a case of it; its first line is earlier still.
IN_TIME = timedelta(hours=12)


def check(session: Session, seen: Seen, evidence: Evidence) -> list[str]:
    """Every breach of what holds of notices, and of addresses that are bad."""
    return [
        *without_money(seen),
        *_told_in_vain(seen, evidence),
        *_to_bad_addresses(session, evidence),
        *_untold(seen, evidence),
    ]


def without_money(seen: Seen) -> Iterator[str]:
    """I1: a notice is no debt: nothing is at risk, nothing charged, no access taken by it."""
    ahead = {case.id: case for case in seen.cases if case.kind != "recovery"}
    for case in ahead.values():
        if (case.amount_due, case.amount_at_risk, case.access) != (0, 0, "full"):
            yield f"I1 {case.id} is a notice, and counted: {case.amount_at_risk} {case.access}"
    for step in seen.steps:
        if step.case_id in ahead and step.kind not in ("email", "reconcile"):
            yield f"I1 {step.key} is a step of a notice"
    rows = [("ledger", row.case_id) for row in seen.entries]
    for where, name in [*rows, *(("outbox", row.case_id) for row in seen.calls)]:
        if name in ahead:
            yield f"I1 {name} is a notice, and is in the {where}"


# --- what the provider knew ----------------------------------------------------------------------


@dataclass(slots=True)
class Known:
    """Customers, cards and subscriptions as the provider had them after some of its events."""

    defaults: dict[str, str | None] = field(default_factory=dict)
    zones: dict[str, str | None] = field(default_factory=dict)
    months: dict[str, tuple[int, int]] = field(default_factory=dict)
    subscriptions: dict[str, Any] = field(default_factory=dict)
    taken: int = 0

    def up_to(self, happened: Sequence[Any], count: int) -> Known:
        """Take in the events up to that one."""
        for event in happened[self.taken : count]:
            self._take(event.type, event.data)
        self.taken = max(self.taken, count)
        return self

    def _take(self, kind: str, told: Any) -> None:
        if kind in ("customer.created", "customer.updated"):
            self.defaults[told["id"]] = told["invoice_settings"]["default_payment_method"]
            self.zones[told["id"]] = told["metadata"].get("timezone")
        elif kind.startswith("customer.subscription."):
            self.subscriptions[told["id"]] = told
        elif kind.startswith("payment_method.") and told["type"] == "card":
            self.months[told["id"]] = told["card"]["exp_year"], told["card"]["exp_month"]

    def renew(self, customer: str) -> Iterator[Any]:
        """The subscriptions of a customer that will be charged for another term."""
        for one in self.subscriptions.values():
            ends = one["cancel_at_period_end"] or one["cancel_at"] or one["pause_collection"]
            if one["customer"] == customer and one["status"] in LIVE and not ends:
                yield one

    def why_not(self, case: CaseRow, key: str) -> str | None:
        """What spoke against telling a customer what this case tells of."""
        kind, about, date = case.invoice.split(":")
        goes_on = {one["id"]: one for one in self.renew(case.customer or "")}
        if kind == "card_expiry":
            if self.defaults.get(case.customer or "") != about:
                return "another card had taken its place"
            if "{}-{:02}".format(*self.months[about]) != date:
                return "the card had been renewed"
            return None if goes_on else "nothing was to be charged to it"
        if about not in goes_on:
            return "it was not to be renewed"
        told = key.rpartition("/")[2].partition(".")[0]
        renews_at = _moment(goes_on[about]["items"]["data"][0]["current_period_end"])
        return None if f"{renews_at:%Y%m%d}" == told else "it had been moved"

    def ahead(self, until: datetime) -> Iterator[tuple[str, datetime]]:
        """The name and the moment of everything these know to lie ahead before then."""
        for customer, method in self.defaults.items():
            going_on = list(self.renew(customer))
            for one in going_on:
                item = one["items"]["data"][0]
                at = _moment(item["current_period_end"])
                if item["plan"]["interval"] == "year" and at < until:
                    yield (
                        f"renewal:{one['id']}:{_moment(item['current_period_start']):%Y-%m-%d}",
                        at,
                    )
            if method in self.months and going_on:
                year, month = self.months[method]
                at = expires_at(year, month, zone_of(self.zones[customer], None, "UTC"))
                if at < until:
                    yield f"card_expiry:{method}:{year}-{month:02}", at


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


# --- what was told -------------------------------------------------------------------------------


def _told_in_vain(seen: Seen, evidence: Evidence) -> Iterator[str]:
    """I2: no notice when the card was replaced, or the term was not to be renewed any more."""
    steps = {message_name(row.key): row for row in seen.steps}
    known = Known()
    for mail in sorted(evidence.mails, key=lambda one: one.heard or 0):
        step = steps.get(mail.id.strip("<>").rpartition("@")[0])
        if mail.heard is None or step is None:
            continue
        case = seen.by_case[step.case_id]
        if case.kind == "recovery":
            continue
        why = known.up_to(evidence.happened, mail.heard).why_not(case, step.key)
        if why is not None:
            yield f"I2 {step.key} told of {case.invoice} although {why}"


def _untold(seen: Seen, evidence: Evidence) -> Iterator[str]:
    """I4: where nothing was kept from us, there is a case of all that came."""
    if not evidence.undisturbed or evidence.now is None:
        return
    cases = {case.invoice for case in seen.cases}
    happened, known, ahead = evidence.happened, Known(), dict[str, datetime]()
    for count in range(1, len(happened) + 1):
        ahead.update(known.up_to(happened, count).ahead(evidence.now))
    for name, at in ahead.items():
        then = (at - IN_TIME).timestamp()
        count = sum(1 for event in happened if event.created <= then)
        if name not in cases and name in dict(Known().up_to(happened, count).ahead(evidence.now)):
            yield f"I4 {name} comes at {at}, and there is no case of it"


def _to_bad_addresses(session: Session, evidence: Evidence) -> Iterator[str]:
    """I2: nobody writes to an address that is known to be bad."""
    marks = {row.address: row.since for row in session.scalars(select(BadAddressRow))}
    for mail in evidence.mails:
        since = marks.get(normalised(mail.to)) if mail.to else None
        if since is not None and mail.written is not None and mail.written > since + evidence.apart:
            yield f"I2 {mail.id} was written to {mail.to}, which was bad since {since}"
