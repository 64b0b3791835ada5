"""What customers may promise by themselves, on their page; people may promise for them further."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from dunning.core.facts import Case
from dunning.core.freezing import freeze
from dunning.core.local import local_of
from dunning.core.policy import Policy
from dunning.core.promises import furthest

# Who said so, where it was the customer.
CUSTOMER = "customer"


def last_day_to_promise(case: Case, policy: Policy, now: datetime) -> date | None:
    """Until when the customer may promise on their page, by their clock; None: not at all.

    Tomorrow is the first day: for today there is the button to pay. While anything makes the
    timeline stand still, an earlier promise for one, there is nothing to be won by another.
    """
    said = sum(1 for one in case.promises if one.by == CUSTOMER)
    if freeze(case, now) is not None or said >= policy.promise_most:
        return None
    zone = local_of(case, policy).zone
    today = now.astimezone(zone).date()
    # The whole of the day is promised, so it must end within what anybody may promise.
    furthest_day = (furthest(case, policy, now).astimezone(zone) - timedelta(days=1)).date()
    last = min(today + policy.promise_within, furthest_day)
    return last if last > today else None
