"""`message …`: the emails customers get, as they will look."""

from __future__ import annotations

import enum
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dunning.cli.opening import load
from dunning.cli.output import json_text, write_file
from dunning.cli.words import read_money

if TYPE_CHECKING:
    from dunning.config import Settings
    from dunning.core.declines import Verdict
    from dunning.messages import Facts, Rendered

app = typer.Typer(
    no_args_is_help=True,
    help="Look at any email in any language before a customer does.",
    epilog="""\
Examples:
  dunning message preview payment_failed --locale de --amount 49.00 --currency EUR
  dunning message preview reminder --decline expired_card --format html --output mail.html

Put your own into a folder and name it in DUNNING_TEMPLATES; they come before the built-in ones.""",
)


class MessageFormat(enum.StrEnum):
    """How a message is written."""

    TEXT = "text"
    HTML = "html"
    JSON = "json"


class AdviceWord(enum.StrEnum):
    """What a decline means to us; the same words as `core.declines.Advice`."""

    RETRY = "retry"
    WAIT = "wait"
    AUTHENTICATE = "authenticate"
    NEW_METHOD = "new_method"
    STOP = "stop"


@app.command("preview")
def preview(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="The message, e.g. payment_failed.", show_default=False
        ),
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
    advice: Annotated[
        AdviceWord | None,
        typer.Option("--advice", help="What the decline means; it may call for another message."),
    ] = None,
    decline: Annotated[
        str | None,
        typer.Option("--decline", metavar="CODE", help="The decline code, e.g. expired_card."),
    ] = None,
    customer: Annotated[
        str, typer.Option("--name", metavar="TEXT", help="The customer's name.")
    ] = "Ada Lovelace",
    form: Annotated[
        MessageFormat, typer.Option("--format", help="text has the subject above it.")
    ] = MessageFormat.TEXT,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Write it there.")
    ] = None,
) -> None:
    """Render one email with made-up links: subject, text and HTML."""
    from dunning.messages import Messages

    settings = load().settings
    money = read_money(amount, currency)
    messages = Messages(settings.templates)
    said = _verdict(decline, advice)
    fitting = _fitting(name, said)
    if fitting != name and name in messages.names():
        typer.echo(
            f"With this decline {fitting} is sent instead of {name}; shown is {fitting}.", err=True
        )
    facts = _facts(settings, fitting, customer, locale, _reason(said, decline, locale))
    from dataclasses import replace

    rendered = messages.render(replace(facts, amount=money))
    _write(fitting, locale, rendered, form, output)


def _verdict(decline: str | None, advice: AdviceWord | None) -> Verdict | None:
    from dataclasses import replace

    from dunning.core.declines import UNKNOWN, Advice, advise
    from dunning.core.events import Decline

    said = advise(Decline(code=decline, method_type="card")) if decline else None
    if advice is None:
        return said
    return replace(said or UNKNOWN, advice=Advice(advice.value))


def _fitting(name: str, said: Verdict | None) -> str:
    """The message that the program would send under this name."""
    from dunning.core.steps import fitting_template

    return fitting_template(name, said)


def _reason(said: Verdict | None, decline: str | None, locale: str) -> str | None:
    from dunning.messages import customer_reason

    return customer_reason(said, decline, locale) if said is not None else None


def _facts(settings: Settings, name: str, customer: str, locale: str, reason: str | None) -> Facts:
    """Sample facts in the merchant's own name, the dates as the standard policy has them."""
    from dataclasses import replace

    from dunning.messages import every_fact

    failed = date(2026, 3, 2)
    base = settings.public_url or "https://pay.example.com"
    return replace(
        every_fact(name),
        company=settings.company or "Your company",
        customer_name=customer,
        support_email=settings.support_email or "help@example.com",
        failed_on=failed,
        next_retry_on=failed + timedelta(days=1),
        suspend_on=failed + timedelta(days=14),
        give_up_on=failed + timedelta(days=28),
        pay_url=f"{base}/pay/example-pay",
        update_card_url=f"{base}/pay/example-card",
        reason=reason,
        locale=locale,
    )


def _write(
    name: str, locale: str, rendered: Rendered, form: MessageFormat, output: Path | None
) -> None:
    told = {
        MessageFormat.TEXT: f"Subject: {rendered.subject}\n\n{rendered.text}",
        MessageFormat.HTML: rendered.html,
        MessageFormat.JSON: json_text(_as_json(name, locale, rendered)),
    }
    content = told[form].rstrip("\n") + "\n"
    if output is None:
        sys.stdout.write(content)
    else:
        write_file(output, content)
        typer.echo(f"{output}: {rendered.subject}", err=True)


def _as_json(name: str, locale: str, rendered: Rendered) -> dict[str, str]:
    return {
        "template": name,
        "locale": locale,
        "subject": rendered.subject,
        "text": rendered.text,
        "html": rendered.html,
    }
