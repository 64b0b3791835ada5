"""`message send-test`: one real email or text through what is configured, to oneself."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from dunning.cli.message import app, sample_facts
from dunning.cli.opening import engine_of, load
from dunning.cli.output import say
from dunning.cli.words import read_money

if TYPE_CHECKING:
    from dunning.config import Settings
    from dunning.core.money import Money
    from dunning.messages import Facts

__all__ = ["app"]  # with this command in it

MARK = "[Test]"


@app.command("send-test")
def send_test(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="The message, e.g. payment_failed.", show_default=False
        ),
    ],
    to: Annotated[
        str, typer.Option("--to", metavar="ADDRESS", help="Your own address, or number.")
    ],
    locale: Annotated[
        str, typer.Option("--locale", metavar="CODE", help="The customer's, e.g. de or pt-BR.")
    ] = "en",
    amount: Annotated[
        str, typer.Option("--amount", metavar="AMOUNT", help="What is owed.")
    ] = "49.00",
    currency: Annotated[
        str, typer.Option("--currency", metavar="CODE", help="Three letters.")
    ] = "USD",
    decline: Annotated[
        str | None,
        typer.Option("--decline", metavar="CODE", help="The decline code, e.g. expired_card."),
    ] = None,
) -> None:
    """Send one message with made-up facts, an email with `[Test]` in its subject, or a text.

    To yourself: an address that a customer has is refused.
    """
    from dunning.clock import SystemClock
    from dunning.config import needed
    from dunning.core.steps import is_text

    settings = load().settings
    money, to = read_money(amount, currency), to.strip()
    if is_text(name):
        send_text(settings, to, _facts(settings, name, locale, money, decline, _today()))
        return
    smtp = needed(settings.smtp_url, "DUNNING_SMTP_URL")
    sender = needed(settings.mail_from, "DUNNING_MAIL_FROM")
    _check_address(to)
    _refuse_customers(settings, to)
    now = SystemClock().now()
    facts = _facts(settings, name, locale, money, decline, now.date())
    _send(settings, smtp.reveal(), sender, to, facts, now)
    if facts.template != name:
        say(f"With this decline {facts.template} is sent instead of {name}.")


def _today() -> date:
    from dunning.clock import SystemClock

    return SystemClock().now().date()


def send_text(settings: Settings, to: str, facts: Facts) -> None:
    """Send one text to one's own number."""
    from dunning.channels.texting import TwilioTexts
    from dunning.config import needed
    from dunning.core.phones import e164
    from dunning.core.ports import Bounced, Doubtful, Sent, Text, Unsent
    from dunning.errors import ConfigError
    from dunning.messages import Messages

    url = needed(settings.sms_url, "DUNNING_SMS_URL")
    sender = needed(settings.sms_from, "DUNNING_SMS_FROM")
    number = e164(to)
    if number is None:
        raise ConfigError(f"--to {to!r} is not a number; expected one such as +4512345678")
    _refuse_customers(settings, number)
    short = Messages(settings.templates).text(facts)
    body = f"{MARK} {short.body}"
    match TwilioTexts(url.reveal(), sender).send(Text(to=number, body=body, mark=body)):
        case Sent(reference=reference):
            say(f"{number}: {short.segments} ({reference})")
        case Bounced(why=why) | Unsent(why=why) | Doubtful(why=why):
            raise ConfigError(f"not sent to {number}: {why}")


def _check_address(to: str) -> None:
    from dunning.config.readers import Wrong, address
    from dunning.errors import ConfigError

    try:
        address(to)
    except Wrong as wrong:
        raise ConfigError(f"--to {wrong}") from None


def _refuse_customers(settings: Settings, to: str) -> None:
    """A customer must not be told of a debt that is made up. No database, no customers."""
    from pathlib import Path

    from sqlalchemy.engine import make_url

    from dunning.errors import RefusedError

    url = make_url(settings.database_url.reveal())
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        return
    with engine_of(settings) as engine:
        from sqlalchemy import func, select
        from sqlmodel import col

        from dunning.store import CustomerRow, MessageRow, reading

        with reading(engine) as session:
            for column in (col(CustomerRow.email), col(MessageRow.recipient)):
                query = select(column).where(func.lower(column) == to.lower()).limit(1)
                if session.execute(query).first() is not None:
                    message = f"{to} is a customer's address; give one of your own people's"
                    raise RefusedError(message)


def _facts(
    settings: Settings, name: str, locale: str, amount: Money, decline: str | None, today: date
) -> Facts:
    """What is made up: a payment that failed today, in the merchant's own name."""
    from dunning.core.declines import advise
    from dunning.core.events import Decline
    from dunning.core.steps import fitting_template
    from dunning.messages import customer_cause, customer_reason

    said = advise(Decline(code=decline, method_type="card")) if decline else None
    reason = customer_reason(said, decline) if said else None
    fitting = fitting_template(name, said)
    facts = sample_facts(settings, fitting, "Ada Lovelace", locale, reason, today)
    return replace(facts, amount=amount, cause=customer_cause(said, decline) if said else None)


def _send(settings: Settings, smtp: str, sender: str, to: str, facts: Facts, now: datetime) -> None:
    from dunning.channels.email import EmailChannel
    from dunning.core.ports import Bounced, Doubtful, Letter, Sent, Unsent
    from dunning.errors import ConfigError
    from dunning.messages import Messages

    rendered = Messages(settings.templates).render(facts)
    letter = Letter(
        to=to,
        to_name=None,
        sender=sender,
        subject=f"{MARK} {rendered.subject}",
        text=rendered.text,
        html=rendered.html,
        id=f"test-{facts.template}-{now:%Y%m%dT%H%M%S%f}",
        reply_to=settings.support_email,
    )
    match EmailChannel(smtp).send(letter):
        case Sent(reference=reference):
            say(f"{to}: {letter.subject} ({reference})")
        case Bounced(why=why) | Unsent(why=why) | Doubtful(why=why):
            raise ConfigError(f"not sent to {to}: {why}")
