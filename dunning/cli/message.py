"""`message …`: the emails customers get, as they will look."""

from __future__ import annotations

import enum
import sys
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dunning.cli.opening import load
from dunning.cli.output import Column, PageFormat, json_list, json_text, table, write_file
from dunning.cli.words import read_money

if TYPE_CHECKING:
    from dunning.config import Settings
    from dunning.core.brand import Brand
    from dunning.core.declines import Verdict
    from dunning.messages import Facts, Messages, Rendered, Short

app = typer.Typer(
    no_args_is_help=True,
    help="Look at any email in any language before a customer does.",
    epilog="""\
Examples:
  dunning message preview payment_failed --locale de --amount 49.00 --currency EUR
  dunning message preview reminder --decline expired_card --format html --output mail.html
  dunning message preview sms_reminder --locale ja
  dunning message preview --gallery emails.html
  dunning message catalogue --locale fi --output templates/locale/fi.po

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
        str | None,
        typer.Argument(
            metavar="[NAME]", help="The message, e.g. payment_failed.", show_default=False
        ),
    ] = None,
    locale: Annotated[
        str | None,
        typer.Option("--locale", metavar="CODE", help="The customer's, e.g. de or pt-BR."),
    ] = None,
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
    gallery: Annotated[
        Path | None,
        typer.Option(
            "--gallery",
            metavar="FILE",
            help="Write one page with every message in every language and for every cause;"
            " NAME and --locale narrow it.",
        ),
    ] = None,
) -> None:
    """Render one message with made-up links: subject, text and HTML; or all of them as one page.

    Of a text to a phone it says in how many parts it is sent.
    """
    from dunning.messages import Messages

    settings = load().settings
    money = read_money(amount, currency)
    messages = Messages(settings.templates)
    brand = _brand(settings, messages)
    if gallery is not None:
        own = sample_facts(settings, "payment_failed", customer, "en", None)
        base = replace(own, amount=money, renewal_amount=money, brand=brand)
        _write_gallery(gallery, messages, base, name, locale)
        return
    if name is None:
        raise typer.BadParameter("which message? or --gallery FILE for all of them")
    locale = locale or "en"
    said = _verdict(decline, advice)
    fitting = _fitting(name, said, messages)
    facts = sample_facts(settings, fitting, customer, locale, _reason(said, decline))
    cause = _cause(said, decline)
    facts = replace(facts, amount=money, renewal_amount=money, cause=cause, brand=brand)
    _render(messages, facts, form, output)


@app.command("languages")
def show_languages(
    form: Annotated[
        PageFormat, typer.Option("--format", help="How it is written.")
    ] = PageFormat.TABLE,
) -> None:
    """List the languages that emails and pages come in, and how complete each is."""
    from babel import Locale

    from dunning.messages.extraction import known_files, language_state

    folder = load().settings.templates
    rows = [
        {"language": code, "name": Locale.parse(code).get_display_name("en"), **state}
        for code, files in known_files(folder).items()
        if (state := language_state(code, files, folder))
    ]
    if form is PageFormat.JSON:
        json_list(rows)
        return
    columns = [
        Column("LANGUAGE", lambda row: row["language"]),
        Column("NAME", lambda row: row["name"]),
        Column("TRANSLATED", lambda row: f"{row['translated']} of {row['sentences']}", right=True),
        Column("YOURS", lambda row: str(row["yours"]), right=True),
    ]
    table(columns, rows)


@app.command("catalogue")
def catalogue(
    locale: Annotated[
        str, typer.Option("--locale", metavar="CODE", help="The language, e.g. fi or pt-PT.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="Write it there; else it is printed."),
    ] = None,
) -> None:
    """Write a catalogue to translate: every sentence, with the translations there are.

    As locale/CODE.po in the folder of DUNNING_TEMPLATES it is used; what is empty is English.
    """
    from babel import Locale, UnknownLocaleError

    from dunning.messages.extraction import as_text, filled, known_files, missing

    folder = load().settings.templates
    try:
        language = Locale.parse(locale.strip().replace("-", "_"))
    except (ValueError, UnknownLocaleError):
        raise typer.BadParameter(f"{locale!r} is not a language such as fi or pt-PT") from None
    written = filled(language, known_files(folder).get(str(language), ()), folder)
    lacking, every = missing(written)
    if output is None:
        sys.stdout.write(as_text(written))
    else:
        write_file(output, as_text(written))
    typer.echo(f"{every - lacking} of {every} sentences are translated", err=True)


def _write_gallery(
    path: Path, messages: Messages, base: Facts, name: str | None, locale: str | None
) -> None:
    from dunning.cli.gallery import write_gallery

    written = write_gallery(path, messages, base, name, locale)
    typer.echo(f"{path}: {written} messages", err=True)


def _brand(settings: Settings, messages: Messages) -> Brand:
    """The brand of the policy file, if there is one that can be read."""
    from dunning.config import load_policy_file

    names = messages.names()
    file = load_policy_file(settings.policy_file, environ=None, known_templates=names)
    return file.brand


def _verdict(decline: str | None, advice: AdviceWord | None) -> Verdict | None:
    from dunning.core.declines import UNKNOWN, Advice, advise
    from dunning.core.events import Decline

    said = advise(Decline(code=decline, method_type="card")) if decline else None
    if advice is None:
        return said
    return replace(said or UNKNOWN, advice=Advice(advice.value))


def _fitting(name: str, said: Verdict | None, messages: Messages) -> str:
    """The message that the program would send under this name; where it is another, say so."""
    from dunning.core.steps import fitting_template

    fitting = fitting_template(name, said)
    if fitting != name and name in messages.names():
        typer.echo(
            f"With this decline {fitting} is sent instead of {name}; shown is {fitting}.", err=True
        )
    return fitting


def _reason(said: Verdict | None, decline: str | None) -> str | None:
    from dunning.messages import customer_reason

    return customer_reason(said, decline) if said is not None else None


def _cause(said: Verdict | None, decline: str | None) -> str | None:
    from dunning.messages import customer_cause

    return customer_cause(said, decline) if said is not None else None


def sample_facts(
    settings: Settings,
    name: str,
    customer: str,
    locale: str,
    reason: str | None,
    failed: date = date(2026, 3, 2),
) -> Facts:
    """Sample facts in the merchant's own name, the dates as the standard policy has them."""
    from dunning.messages import every_fact
    from dunning.messages.samples import linked

    base = settings.public_url or "https://pay.example.com"
    facts = replace(
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
        renews_on=failed + timedelta(days=30),
        reason=reason,
        cause=None,
        locale=locale,
    )
    return linked(facts)


def _render(messages: Messages, facts: Facts, form: MessageFormat, output: Path | None) -> None:
    from dunning.core.steps import is_text

    name, locale = facts.template, facts.locale
    if is_text(name):
        _write_text(name, locale, messages.text(facts), form, output)
    else:
        _write(name, locale, messages.render(facts), form, output)


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


def _write_text(
    name: str, locale: str, short: Short, form: MessageFormat, output: Path | None
) -> None:
    """A text has neither subject nor HTML; it is paid for by its parts."""
    counted = short.segments
    told = {
        "template": name,
        "locale": locale,
        "text": short.body,
        "parts": counted.count,
        "letters": counted.letters,
        "alphabet": counted.alphabet,
    }
    if form is MessageFormat.HTML:
        raise typer.BadParameter(f"{name} is a text to a phone and has no HTML")
    content = json_text(told) if form is MessageFormat.JSON else short.body
    if output is None:
        sys.stdout.write(content.rstrip("\n") + "\n")
    else:
        write_file(output, content.rstrip("\n") + "\n")
    typer.echo(str(counted), err=True)


def _as_json(name: str, locale: str, rendered: Rendered) -> dict[str, str]:
    return {
        "template": name,
        "locale": locale,
        "subject": rendered.subject,
        "text": rendered.text,
        "html": rendered.html,
    }
