"""Why a payment failed, in words a customer may read, and what they can do about it."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any

from dunning.core.declines import Advice, Verdict
from dunning.core.merge import DEBITS

_FILE = Path(__file__).parent.parent / "templates" / "reasons.toml"
# Which of our causes calls for which act of the customer; the others call for none of these.
_CAUSE = {
    "card_expired": "expired",
    "card_details": "new_method",
    "funds": "funds",
    "authenticate": "authenticate",
    "card_kind": "new_method",
    "currency": "new_method",
    "account_details": "new_method",
    "mandate": "new_method",
}
# What a message says of a cause when nobody gave it words.
_SAID = {"expired": "card_expired", "funds": "funds", "authenticate": "authenticate"}


def customer_reason(said: Verdict, code: str | None) -> str | None:
    """Say why a charge failed in words a customer may read; None to say nothing.

    Only causes of a closed list (`templates/reasons.toml`) are named, and none when any source
    of the verdict says that the customer may not know. In English: a message or a page looks
    the sentence up in its catalogue.
    """
    if not said.customer_may_know:
        return None
    cause = _cause_of(code) or ("authenticate" if said.advice is Advice.AUTHENTICATE else None)
    return str(_causes()[cause]["words"]) if cause is not None else None


def customer_cause(said: Verdict | None, code: str | None, method_type: str | None = None) -> str:
    """Which of `CAUSES` a message is written for: what helps, not what the bank said.

    A cause that the customer may not know is told from nothing but the advice.
    """
    if said is None:
        return "unknown"
    if said.advice is Advice.AUTHENTICATE:
        return "authenticate"
    if said.customer_may_know and (known := _CAUSE.get(_cause_of(code) or "")):
        return known
    if said.advice is Advice.NEW_METHOD:
        return "new_method"
    return "bank_debit" if method_type in DEBITS else "unknown"


def words_for(cause: str | None) -> str | None:
    """The sentence for a cause that came without words of its own."""
    key = _SAID.get(cause or "")
    return str(_causes()[key]["words"]) if key is not None else None


def all_reasons() -> tuple[str, ...]:
    """Every sentence, for whoever translates them."""
    return tuple(str(each["words"]) for each in _causes().values())


def _cause_of(code: str | None) -> str | None:
    plain = (code or "").strip().lower()
    return next((cause for cause, told in _causes().items() if plain in told["codes"]), None)


@lru_cache(maxsize=1)
def _causes() -> dict[str, dict[str, Any]]:
    return tomllib.loads(_FILE.read_text("utf-8"))
