"""`policy …`: is a policy file right, is it dangerous, what does it say, what would it do."""

from __future__ import annotations

import os
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dunning.cli.options import FormatOption, PageFormatOption
from dunning.cli.output import Format, PageFormat, csv_list, heading, item, json_page, say
from dunning.cli.words import count_text, read_moment, read_money, read_zone
from dunning.errors import ConfigError, NotFoundError

if TYPE_CHECKING:
    from dunning.config import LintWarning, PolicyFile
    from dunning.core.policy import Policy

app = typer.Typer(
    no_args_is_help=True,
    help="Check the policy file, read it in words, try it on a customer.",
    epilog="""\
Examples:
  dunning policy check policies.yaml
  dunning policy preview --policy standard --amount 49.00 --currency USD \\
      --decline insufficient_funds --failed-at 2026-03-01T09:00Z

The file is named in DUNNING_POLICY_FILE; without it the built-in default holds.""",
)

_PROBLEM = re.compile(r"(?P<file>.*?):(?P<line>\d+):(?P<column>\d+): (?P<message>.*)", re.DOTALL)

FileArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="[FILE]",
        help="The file; DUNNING_POLICY_FILE, else the built-in default, if left out.",
        show_default=False,
    ),
]


@app.command("check")
def check(file: FileArgument = None, form: PageFormatOption = PageFormat.TABLE) -> None:
    """Check syntax and meaning (exit 1), warn of what is dangerous, and say it all in words.

    Needs no database and no keys, so it can run wherever the file is kept.
    """
    try:
        loaded = load_file(file)
    except ConfigError as error:
        if form is PageFormat.JSON:
            json_page({"ok": False, "problems": problems(str(error)), "warnings": []})
            raise typer.Exit(1) from None
        raise
    from dunning.config import lint

    warnings = lint(loaded)
    if form is PageFormat.JSON:
        json_page(_as_json(loaded, warnings))
    else:
        _show(loaded, warnings)


def load_file(file: Path | None) -> PolicyFile:
    """Read the file with the messages there are; what its sources' variables hold is not asked."""
    from dunning.config import load_policy_file, read_environment
    from dunning.messages import Messages

    environ = read_environment(os.environ, Path.cwd())
    templates = environ.get("DUNNING_TEMPLATES", "").strip()
    if file is None and (named := environ.get("DUNNING_POLICY_FILE", "").strip()):
        file = Path(named)
    names = Messages(Path(templates) if templates else None).names()
    return load_policy_file(file, environ=None, known_templates=names)


def problems(text: str) -> list[dict[str, Any]]:
    """The problems of a file one by one, with their places."""
    found: list[dict[str, Any]] = []
    for line in text.splitlines():
        if line.startswith("    ") and found:
            continue  # the line of the file, and the caret under it
        place = _PROBLEM.fullmatch(line)
        if place is None:
            found.append({"file": None, "line": None, "column": None, "message": line})
        else:
            numbers = {name: int(place[name]) for name in ("line", "column")}
            found.append({"file": place["file"], **numbers, "message": place["message"]})
    return found


def _as_json(file: PolicyFile, warnings: list[LintWarning]) -> dict[str, Any]:
    from dunning.config import describe
    from dunning.config.sentences import describe_branches, describe_terms
    from dunning.core.choosing import words

    return {
        "ok": True,
        "file": file.filename,
        "problems": [],
        "warnings": [asdict(warning) for warning in warnings],
        "policies": {
            name: {
                "version": policy.version,
                "grace_seconds": int(policy.grace.total_seconds()),
                "window_seconds": int(policy.window.total_seconds()),
                "retries": policy.retries.value,
                "timezone": policy.timezone,
                "sentences": describe(policy),
                "branches": describe_branches(policy),
            }
            for name, policy in file.policies.items()
        },
        "words": describe_terms(file.terms),
        "choose": [
            {"policy": choice.policy, "when": words(choice.when)} for choice in file.choices
        ],
    }


def _show(file: PolicyFile, warnings: list[LintWarning]) -> None:
    from dunning.config import describe
    from dunning.config.sentences import MEANINGS, describe_branches, describe_terms
    from dunning.core.choosing import words as in_words

    for warning in warnings:
        say(f"warning: {warning}", style="yellow")
    if warnings:
        say()
    policies = count_text(len(file.policies), "policy", "policies")
    worth = f", {count_text(len(warnings), 'warning')}" if warnings else ""
    say(f"{file.filename} is right: {policies}{worth}.", style="green")
    for name, policy in file.policies.items():
        heading(f"{name} (version {policy.version})")
        for sentence in (_terms(policy), *describe(policy)):
            item(sentence)
        for branch, sentences in describe_branches(policy).items():
            say(f"  While {MEANINGS[branch]} ({branch}), instead of its charges and emails:")
            for sentence in sentences:
                item(sentence)
    if told := describe_terms(file.terms):
        heading("Words of this file")
        for sentence in told:
            item(sentence)
    heading("Which policy a case gets: the first that fits")
    for number, choice in enumerate(file.choices, 1):
        words = in_words(choice.when) or ("everything else" if number > 1 else "everything")
        item(f"{number}. {words}: {choice.policy}")


def _terms(policy: Policy) -> str:
    from dunning.cli.rules import OWNERS

    hours = ""
    if policy.send_between is not None:
        opens, closes = policy.send_between
        hours = f" Emails go out between {opens:%H:%M} and {closes:%H:%M}."
    return (
        f"No suspension before {policy.grace.days} days, the end after {policy.window.days}; "
        f"{OWNERS[policy.retries]}. Times are the customer's, else {policy.timezone}.{hours}"
    )


@app.command("preview")
def preview(
    amount: Annotated[
        str, typer.Option("--amount", metavar="AMOUNT", help="The unpaid amount, such as 49.00.")
    ],
    policy: Annotated[
        str | None,
        typer.Option("--policy", metavar="NAME", help="The policy; the file chooses if left out."),
    ] = None,
    currency: Annotated[
        str, typer.Option("--currency", metavar="CODE", help="Three letters.")
    ] = "USD",
    decline: Annotated[
        str | None,
        typer.Option(
            "--decline", metavar="CODE", help="Why the charge failed, e.g. insufficient_funds."
        ),
    ] = None,
    advice: Annotated[
        str | None,
        typer.Option(
            "--advice", metavar="CODE", help="The provider's advice code, e.g. do_not_try_again."
        ),
    ] = None,
    failed_at: Annotated[
        str | None,
        typer.Option(
            "--failed-at", metavar="TIME", help="When it failed, UTC unless it says; now if not."
        ),
    ] = None,
    timezone: Annotated[
        str | None,
        typer.Option("--timezone", metavar="ZONE", help="The customer's, e.g. Europe/Berlin."),
    ] = None,
    country: Annotated[
        str | None, typer.Option("--country", metavar="CODE", help="The customer's, e.g. DE.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="FILE", help="Another file than DUNNING_POLICY_FILE."),
    ] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Show the dated timeline one customer would live through if every charge failed.

    Nothing is stored and nobody is charged. The dates are those the program itself computes.
    """
    from dunning.cli import preview as previewing
    from dunning.clock import SystemClock

    if timezone is not None:
        read_zone(timezone, "--timezone")
    asked = previewing.Asked(
        amount=read_money(amount, currency),
        code=decline,
        advice_code=advice,
        failed_at=read_moment(failed_at, "--failed-at") if failed_at else SystemClock().now(),
        timezone=timezone,
        country=country.upper() if country else None,
    )
    loaded = load_file(file)
    chosen = _policy(loaded, policy, asked)
    preview = previewing.live_through(chosen, asked)
    match form:
        case Format.TABLE:
            previewing.show(preview)
        case Format.JSON:
            json_page(previewing.as_json(preview))
        case Format.CSV:
            csv_list(previewing.KEYS, previewing.as_json(preview)["timeline"])


def _policy(file: PolicyFile, name: str | None, asked: Any) -> Policy:
    from dunning.cli.preview import subject_of
    from dunning.config.problems import nearest
    from dunning.core.choosing import choose

    if name is None:
        name = choose(file.choices, subject_of(asked), file.terms)
    if name in file.policies:
        return file.policies[name]
    meant = nearest(name, file.policies)
    hint = f". Did you mean '{meant}'?" if meant else ""
    message = f"no policy {name!r} in {file.filename}; it has {', '.join(file.policies)}{hint}"
    raise NotFoundError(message)
