"""Days that a step may wait for, as they are written in the policy file."""

from __future__ import annotations

import re

from dunning.config.cursor import At, one_or_more, text
from dunning.config.problems import expected_one_of, quoted
from dunning.config.yaml_tree import Listing
from dunning.core.days import WEEK, Day, Quiet, Wish

MOST = 20
MONTH = r"[1-9]|[12][0-9]|3[01]"

_EXPECTED = "a day of the month from 1 to 31, or "


def wishes(at: At) -> tuple[Wish, ...]:
    """One day or several, the most wanted first."""
    return one_or_more(at, _wish, "days", MOST)


def paydays(at: At) -> tuple[Wish, ...] | None:
    """The days on which customers are paid, such as [25] or [1, 15, last_day]."""
    found = wishes(at)
    if Day.PAYDAY in found:
        at.fail("payday is what is explained here; expected days such as 25 or last_day")
        return None
    return found


def quiet(at: At) -> tuple[Quiet, ...]:
    """The days on which no email is written, such as [saturday, sunday, holiday]; or none."""
    if isinstance(at.node, Listing) and not at.node.items:
        return ()  # a policy may lift what the defaults say
    found = one_or_more(at, _quiet, "days", len(Quiet))
    if set(WEEK) <= set(found):
        at.fail("every day of the week is quiet, so no email could ever be written")
    return tuple(day for day in Quiet if day in found)


def _quiet(at: At) -> Quiet | None:
    words = [each.value for each in Quiet]
    value = text(at, expected_one_of(words).removeprefix("expected "))
    if value is None:
        return None
    if value in words:
        return Quiet(value)
    at.fail(f"{quoted(value)} is not a quiet day; {expected_one_of(words, value)}")
    return None


def _wish(at: At) -> Wish | None:
    words = [each.value for each in Day]
    value = text(at, _EXPECTED + expected_one_of(words).removeprefix("expected "))
    if value is None:
        return None
    if re.fullmatch(MONTH, value, re.ASCII):
        return int(value)
    if value in words:
        return Day(value)
    kinds = expected_one_of(words, value).removeprefix("expected ")
    at.fail(f"{quoted(value)} is not a kind of day; expected 1 to 31, or {kinds}")
    return None
