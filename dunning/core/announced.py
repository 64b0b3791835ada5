"""A door waits until the message that announces it could be read."""

from __future__ import annotations

from datetime import datetime, timedelta

from dunning.core.facts import Case
from dunning.core.places import DOORS, Way, namespace
from dunning.core.steps import Step, in_order

# So long a customer has at least to read what a door is announced by.
TO_READ = timedelta(days=1)
_TO_READ_SECONDS = int(TO_READ.total_seconds())

_Said = tuple[int, datetime]  # the place of a message, and when it was or will be said


def await_notice(case: Case, way: Way, steps: tuple[Step, ...], now: datetime) -> tuple[Step, ...]:
    """Hold a door until the customer could read the message that announces it.

    For a day, or as long as the policy leaves between the two where that is less. A message that
    will not be sent is not waited for.
    """
    said = _said(case, way, steps, now) if way.notices else []
    if not said:
        return steps
    held = tuple([_held(step, said) if step.kind in DOORS else step for step in steps])
    return steps if held == steps else in_order(held)


def _said(case: Case, way: Way, steps: tuple[Step, ...], now: datetime) -> list[_Said]:
    said = []
    space = f"{case.id}/{namespace(case)}"
    for line in way.notices:
        key = space + line.name
        done = case.step(key)
        if done is not None and done.told:
            said.append((line.order, done.at))
            continue
        ahead = next((step for step in steps if step.key == key), None)
        if ahead is not None and ahead.skip is None:
            said.append((line.order, max(ahead.due_at, now)))
    return said


def _held(door: Step, said: list[_Said]) -> Step:
    opens = door.due_at
    for order, at in said:
        between = door.order - order
        if between > 0:
            wait = TO_READ if between >= _TO_READ_SECONDS else timedelta(seconds=between)
            opens = max(opens, at + wait)
    return door if opens is door.due_at else door.put_to(opens)
