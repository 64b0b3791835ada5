"""How telling staff stands, as `doctor` shows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlmodel import Session

from dunning.config import Settings
from dunning.staff.sending import backlog


@dataclass(frozen=True, slots=True)
class Standing:
    """One thing to know, and what to do."""

    level: str
    what: str
    advice: str = ""


def standing(session: Session, settings: Settings) -> Iterator[Standing]:
    """Who is told, and what could not be told; nothing is to be said where nobody is told."""
    ways = [str(each) for each in settings.staff_emails]
    ways += ["the chat room"] if settings.staff_webhook_url else []
    ways += [f"{each} (finance)" for each in settings.finance_emails]
    found = backlog(session)
    if ways and not found.failing:
        yield Standing("ok", f"told are {', '.join(ways)}; `dunning staff test` tries it")
    if found.failing:
        yield Standing(
            "warning",
            f"{found.failing} messages to staff have not got through yet: {found.error}",
            "mend the way there, `dunning staff test` tries it; they are sent again by themselves",
        )
    if found.dead:
        yield Standing(
            "warning",
            f"{found.dead} messages to staff were given up",
            "look with `dunning staff list --dead`; `dunning staff retry` sends them again",
        )
