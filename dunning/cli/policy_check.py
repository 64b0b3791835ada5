"""`policy check`: is a policy file right, and is it dangerous."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dunning.cli.options import PageFormatOption
from dunning.cli.output import PageFormat, heading, item, json_page, pairs, say
from dunning.cli.policy_files import FileArgument, load_file, problems
from dunning.cli.words import count_text
from dunning.errors import ConfigError

if TYPE_CHECKING:
    from dunning.config import LintWarning, PolicyFile

EPILOG = """\
Exit codes: 0 the file is right, warnings or not; 1 it is wrong, or with --strict
there is any warning; 2 the command was typed wrong.

Examples:
  dunning policy check policies.yaml
  dunning policy check --strict policies.yaml    before it is merged
  dunning policy check --rules                   what is looked for, and why

A warning that somebody has looked at: `# lint: allow RULE` beside its line."""


def check(
    file: FileArgument = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Leave with 1 when anything is found at all.")
    ] = False,
    rules: Annotated[
        bool, typer.Option("--rules", help="List what is looked for, why, and how to mend it.")
    ] = False,
    form: PageFormatOption = PageFormat.TABLE,
) -> None:
    """Check a file: is it right (else exit 1), and would it do harm (warnings).

    Needs no database and no keys, so it can run wherever the file is kept.
    """
    if rules:
        _rules(form)
        return
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
    if strict and warnings:
        raise typer.Exit(1)


def _as_json(file: PolicyFile, warnings: list[LintWarning]) -> dict[str, Any]:
    from dunning.cli.policy_explain import as_json

    return {
        "ok": True,
        "file": file.filename,
        "problems": [],
        "warnings": [asdict(warning) for warning in warnings],
        "notes": _notes(file),
        **as_json(file, list(file.policies)),
    }


def _notes(file: PolicyFile) -> list[str]:
    """What is right in the file, and will not be done by the program as it is set up here."""
    import os
    from pathlib import Path

    from dunning.config import read_environment
    from dunning.core.events import StepKind

    names = [name for name, policy in file.policies.items() if policy.has(StepKind.SMS)]
    if not names or read_environment(os.environ, Path.cwd()).get("DUNNING_SMS_URL", "").strip():
        return []
    return [f"The texts of {', '.join(names)} are skipped here: DUNNING_SMS_URL is not set."]


def _show(file: PolicyFile, warnings: list[LintWarning]) -> None:
    for warning in warnings:
        place = f"{warning.filename}:{warning.line}:{warning.column}"
        path = f"{warning.path}: " if warning.path else ""
        say(f"{place}: warning: {path}{warning.sentence} [{warning.rule}]", style="yellow")
        pairs([("    why", warning.why), ("    fix", warning.advice)])
    if warnings:
        say()
    for note in _notes(file):
        say(note, style="yellow")
    policies = count_text(len(file.policies), "policy", "policies")
    worth = f", {count_text(len(warnings), 'warning')}" if warnings else ""
    say(f"{file.filename} is right: {policies}{worth}.", style="green")
    say("`dunning policy explain` says it in words, `dunning policy preview` in dates.")


def _rules(form: PageFormat) -> None:
    from dunning.config import SUBJECTS

    if form is PageFormat.JSON:
        json_page(
            [
                {"rule": rule.name, "subject": subject, "why": rule.why, "fix": rule.fix}
                for subject, rules in SUBJECTS.items()
                for rule in rules
            ]
        )
        return
    for subject, rules in SUBJECTS.items():
        heading(subject)
        for rule in rules:
            item(rule.name)
            pairs([("      why", rule.why), ("      fix", rule.fix)])
