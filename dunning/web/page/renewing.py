"""Sends a fresh link in place of one that has grown old: to the address on record, once a day."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import delete, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import col

from dunning import addresses, links, metrics
from dunning.core.facts import Case
from dunning.core.local import local_of
from dunning.core.money import Money
from dunning.core.ports import Bounced, Channel, Doubtful, Letter, SendOutcome, Sent
from dunning.messages import Facts, Rendered
from dunning.store import CaseRow, MessageRow, reading, transaction
from dunning.web.page.reading import speaks

if TYPE_CHECKING:
    from dunning.wiring import Program

log = structlog.get_logger(__name__)

TEMPLATE = "new_link"


class Renewed(enum.Enum):
    """What became of it, as the page says it."""

    SENT = "sent"
    SENT_BEFORE = "sent_before"
    NOT_SENT = "not_sent"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """What a letter needs; there is none without all of it."""

    channel: Channel
    sender: str
    recipient: str
    url: str


def renew(program: Program, row: CaseRow, case: Case, purpose: str) -> Renewed:
    """Reserve the day, send, put down how it went; where nothing left, the day is free again."""
    now = program.clock.now()
    way = _way(program, case, purpose, now)
    if way is None:
        return Renewed.NOT_SENT
    with reading(program.engine) as session:
        policy = program.cases.policy_of(session, row.policy_version)
    today = now.astimezone(local_of(case, policy).zone).date()
    settings = program.settings
    facts = Facts(
        template=TEMPLATE,
        company=settings.company or "Your supplier",
        amount=Money(row.amount_at_risk, row.currency or "usd"),  # of a notice nothing is said
        failed_on=today,
        customer_name=case.word("name"),
        pay_url=way.url,
        support_email=settings.support_email,
        brand=program.sources[case.source].config.brand,
        locale=speaks(program, case, policy),
    )
    rendered = program.messages.render(facts)
    kept = MessageRow(
        step_key=f"{case.id}/link:{today:%Y%m%d}",
        case_id=case.id,
        source=case.source,
        customer=case.customer,
        template=TEMPLATE,
        recipient=way.recipient,
        locale=facts.locale,
        subject=rendered.subject,
        state="reserved",
        at=now,
    )
    key = kept.step_key
    if not _reserved(program, kept):
        return Renewed.SENT_BEFORE
    letter = _letter(way, key, case, rendered, settings.support_email, now)
    with metrics.sending_email():
        outcome = way.channel.send(letter)
    ending = type(outcome).__name__.lower()
    metrics.email(ending)
    log.info(f"mail.{ending}", mail=letter.id, template=TEMPLATE)
    return _put_down(program, key, outcome)


def _way(program: Program, case: Case, purpose: str, now: datetime) -> _Way | None:
    settings, live = program.settings, program.sources.get(case.source)
    sender = (live.config.sender if live else None) or settings.mail_from
    recipient = case.word("email")
    if program.mail is None or sender is None or not recipient:
        return None
    with reading(program.engine) as session:
        if addresses.is_bad(session, recipient):
            return None
    if settings.public_url is None or not settings.secret_keys:
        return None
    key = settings.secret_keys[0].reveal()
    url = links.url_for(settings.public_url, key, case.id, purpose, now)
    return _Way(channel=program.mail, sender=sender, recipient=recipient, url=url)


def _letter(
    way: _Way, key: str, case: Case, rendered: Rendered, reply_to: str | None, now: datetime
) -> Letter:
    domain = way.sender.rpartition("@")[2].strip("> ") or "localhost"
    return Letter(
        to=way.recipient,
        to_name=case.word("name"),
        sender=way.sender,
        subject=rendered.subject,
        text=rendered.text,
        html=rendered.html,
        id=f"<{key.replace('/', '.').replace(':', '.')}@{domain}>",
        reply_to=reply_to,
        headers={"Date": format_datetime(now)},
    )


def _reserved(program: Program, kept: MessageRow) -> bool:
    """The row's key is the case and the day: of all who press at once one gets it."""
    try:
        with transaction(program.engine) as session:
            session.add(kept)
    except IntegrityError:
        return False
    return True


def _put_down(program: Program, key: str, outcome: SendOutcome) -> Renewed:
    the_row = col(MessageRow.step_key) == key
    match outcome:
        case Sent(reference=reference):
            told = {"state": "sent", "reference": reference}
        case Bounced(why=why):
            told = {"state": "bounced", "why": why}
        case Doubtful(why=why):
            told = {"state": "doubtful", "why": why}
        case _:
            with transaction(program.engine) as session:
                session.execute(delete(MessageRow).where(the_row))
            return Renewed.NOT_SENT
    with transaction(program.engine) as session:
        session.execute(update(MessageRow).where(the_row).values(told))
    # Whether an address is a good one is no news for whoever holds a link.
    return Renewed.SENT
