"""Bugs to be found in what customers are told of what lies ahead of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from dunning import looking_up, lookout, mail_turns
from dunning.actions import composing
from dunning.actions.looking import Seen
from dunning.core.daily import MailDay, mail_day
from dunning.core.facts import Case
from dunning.core.ports import Doing
from dunning.core.status import status
from tests.simulation.planting import Patch, bug

AHEAD = "expires=|interval=year"


@bug("expires=", "posts fate=(delay|lose)", "new card|network updates|cancels")
def a_notice_is_told_after_the_new_card(patch: Patch) -> None:
    """Nobody looks at the card and the subscription before a notice is sent."""

    def blind(_provider: Any, doing: Doing) -> Seen:
        return Seen(case=doing.case, status=status(doing.case), events=())

    patch(composing, "look_ahead", blind)


@bug(AHEAD, "declines=\\['")
def a_notice_takes_no_day(patch: Patch) -> None:
    """A notice is written on a day on which the customer was written to already."""

    def apart(case: Case, policy: Any, now: datetime) -> MailDay:
        day = mail_day(case, policy, now)
        return day if case.notice is None else replace(day, customer=case.id)

    patch(mail_turns, "mail_day", apart)


@bug("expires=", "interval=year", "Auckland|Kolkata|New_York")
def a_zone_that_is_learned_late_moves_no_day(patch: Patch) -> None:
    """The day of a message is that of the zone we knew before we looked."""
    patch(composing, "_other_day", lambda *_: None)


@bug(AHEAD)
def nothing_is_seen_ahead(patch: Patch) -> None:
    """Whatever the lookout looks at, it sees nothing in it."""
    patch(lookout, "_worth", lambda *_: iter(()))


@bug("bounces .*fate=(permanent|complaint)", AHEAD)
def a_bad_address_is_written_to(patch: Patch) -> None:
    """It does not matter that a message has come back."""
    patch(looking_up, "why_bad", lambda *_: None)
