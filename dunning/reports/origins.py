"""How money came in: what brought it, and what the customer had last heard and done by then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, SQLColumnExpression, case
from sqlmodel import col

from dunning.core.attribution import BACKUP_METHOD, BY_HAND, LINK, NEW_CARD, OUR_STEPS, is_rung
from dunning.store import EntryRow

OUR_RETRY = "our_retry"
UNKNOWN = "unknown"
NONE = "none"
# What we did made the money come in; the rest is shown and never claimed.
CLAIMED = (OUR_RETRY, BACKUP_METHOD, BY_HAND, NEW_CARD, LINK)
NOT_CLAIMED = ("provider_retry", "network_updater", "natural", "holdout", "outside", UNKNOWN)
_RUNG = "retry:"

PAYMENT_KEYS = ("mechanism", "step", "last_email", "last_email_step", "last_click")
PAYMENT_HEADINGS = {
    "mechanism": "Mechanism",
    "step": "Step",
    "last_email": "Last email",
    "last_email_step": "Last email, step",
    "last_click": "Last click",
}
PAYMENT_DEFINITIONS = {
    "mechanism": "our_retry: a planned charge of ours; new_card: our charge because the customer "
    "gave a new card; backup_method: our charge of another saved method; retry_by_hand: a charge "
    "asked for by a person; link: the customer paid "
    "after a message of ours; provider_retry: a charge of the provider's own; network_updater: "
    "the same, after the card network had refreshed the card; natural: paid "
    "without any act of ours; holdout: would be ours, but the customer is held out for "
    "comparison, so it is not claimed; outside: marked as paid elsewhere; unknown: the ledger does "
    "not say. A refund or dispute takes back the newest money of its case first.",
    "step": "Which charge of ours it was: retry:3 is the third of the timeline.",
    "last_email": "The template of the last message that had reached the customer before the "
    "payment; none: there was none; unknown: not kept at the time. It says nothing of why the "
    "money came: that is `mechanism`, and each amount is in one row of either.",
    "last_email_step": "Which step of the timeline that message was.",
    "last_click": "What the customer had last pressed on their page before the payment: pay, card; "
    "link: a link followed to nowhere of ours; page: fetched and nothing pressed, maybe by a "
    "scanner of mail; none; unknown: not kept at the time.",
}


class Origin(NamedTuple):
    """How money came in, as the rows of reports say it."""

    how: str
    last_email: str = UNKNOWN
    last_email_step: str = UNKNOWN
    last_click: str = UNKNOWN

    def keys(self) -> dict[str, str | None]:
        """What a payment is known by."""
        return {
            "mechanism": mechanism_of(self.how),
            "step": step_of(self.how),
            "last_email": self.last_email,
            "last_email_step": self.last_email_step,
            "last_click": self.last_click,
        }


def mechanism_of(how: str) -> str:
    """What brought the money in, all rungs of our ladder together."""
    return OUR_RETRY if is_rung(how) else how or UNKNOWN


def step_of(how: str) -> str | None:
    """Which charge of ours brought the money in; None when none did."""
    return how if is_rung(how) or how in OUR_STEPS else None


# --- the same for the database; a test holds them together ---------------------------------

_how = col(EntryRow.how)
_step, _template, _click = (
    col(EntryRow.email_step),
    col(EntryRow.email_template),
    col(EntryRow.click),
)
_rung = _how.startswith(_RUNG, autoescape=True) | _how.contains(f".{_RUNG}", autoescape=True)
payment_keys: Mapping[str, SQLColumnExpression[Any]] = {
    "mechanism": case((_rung, OUR_RETRY), (_how == "", UNKNOWN), else_=_how),
    "step": case((_rung | _how.in_(OUR_STEPS), _how), else_=None),
    "last_email": case(
        (_step.is_(None), UNKNOWN), (_step == "", NONE), (_template == "", _step), else_=_template
    ),
    "last_email_step": case((_step.is_(None), UNKNOWN), (_step == "", NONE), else_=_step),
    "last_click": case((_click.is_(None), UNKNOWN), (_click == "", NONE), else_=_click),
}
# As `Origin` has them.
origin: tuple[SQLColumnExpression[Any], ...] = (
    _how,
    *(payment_keys[name] for name in Origin._fields[1:]),
)
claimed: ColumnElement[bool] = _rung | _how.in_([word for word in CLAIMED if word != OUR_RETRY])
