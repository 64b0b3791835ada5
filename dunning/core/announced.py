"""A door waits until the message that announces it could be read."""

from __future__ import annotations

from datetime import datetime, timedelta

from dunning.core.facts import Case
from dunning.core.places import DOORS, Way, namespace
from dunning.core.steps import Step

# So long a customer has at least to read what a door is announced by.
TO_READ = timedelta(days=1)


def await_notice(case: Case, way: Way, steps: tuple[Step, ...], now: datetime) -> tuple[Step, ...]:
    """Hold a door until the customer could read the message that announces it.

    For a day, or as long as the policy leaves between the two where that is less. A message that
    will not be sent is not waited for.
    """
    notices = [line for line in way.lines if line.is_notice]
    if not notices:
        return steps
    said: list[tuple[int, datetime]] = []
    ahead = {step.key: step for step in steps if step.skip is None}
    for line in notices:
        key = f"{case.id}/{namespace(case)}{line.name}"
        done = case.step(key)
        if done is not None and done.told:
            said.append((line.order, done.at))
        elif key in ahead:
            said.append((line.order, max(ahead[key].due_at, now)))
    if not said:
        return steps

    def held(door: Step) -> Step:
        read = (
            at + min(timedelta(seconds=door.order - order), TO_READ)
            for order, at in said
            if order < door.order
        )
        return door._replace(due_at=max((door.due_at, *read)))

    return tuple(held(step) if step.kind in DOORS else step for step in steps)
