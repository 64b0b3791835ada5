"""`policy explain`: a policy file in plain sentences, to be read aloud or pasted into a wiki."""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dunning.cli.output import heading, item, json_page, plain, say
from dunning.cli.policy_files import FileArgument, load_file, policy_named
from dunning.cli.rules import OWNERS
from dunning.core.words import Kind

if TYPE_CHECKING:
    from dunning.config import PolicyFile
    from dunning.core.policy import Policy

EPILOG = """\
Examples:
  dunning policy explain policies.yaml
  dunning policy explain --policy standard
  dunning policy explain policies.yaml --format markdown > recovery.md"""


class DocumentFormat(enum.StrEnum):
    """How a document is written."""

    TEXT = "text"
    MARKDOWN = "markdown"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the document: what it is about, and one sentence a line."""

    title: str
    sentences: Sequence[str]
    intro: str = ""
    numbered: bool = False


def explain(
    file: FileArgument = None,
    policy: Annotated[
        str | None,
        typer.Option("--policy", metavar="NAME", help="Only this policy; all if left out."),
    ] = None,
    form: Annotated[
        DocumentFormat,
        typer.Option("--format", help="text for people, markdown for a wiki, json for programs."),
    ] = DocumentFormat.TEXT,
) -> None:
    """Say in plain sentences what the file does: each policy, and which invoice gets which.

    Needs no database and no keys.
    """
    loaded = load_file(file)
    names = list(loaded.policies) if policy is None else [policy_named(loaded, policy).name]
    match form:
        case DocumentFormat.JSON:
            json_page({"file": loaded.filename, **as_json(loaded, names)})
        case DocumentFormat.MARKDOWN:
            typer.echo(_markdown(loaded, document(loaded, names, whole=policy is None)), nl=False)
        case DocumentFormat.TEXT:
            _show(loaded, document(loaded, names, whole=policy is None))


def document(file: PolicyFile, names: Sequence[str], *, whole: bool) -> list[Section]:
    """The sections on these policies; of the whole file also how one of them is chosen."""
    sections = [section for name in names for section in _policy(file.policies[name])]
    if not whole:
        return sections
    return [*sections, *_words_of_the_file(file), *_choosing(file), *_staff(file)]


def _policy(policy: Policy) -> list[Section]:
    from dunning.config import describe
    from dunning.config.sentences import MEANINGS, describe_branches

    title = f"Policy {policy.name}"
    sections = [Section(title, describe(policy), f"{_terms(policy)} Version {policy.version}.")]
    alike: dict[tuple[str, ...], list[str]] = {}  # several names may stand for the same lines
    for branch, sentences in describe_branches(policy).items():
        alike.setdefault(tuple(sentences), []).append(branch)
    for told, branches in alike.items():
        names = ("branch " if len(branches) == 1 else "branches ") + ", ".join(branches)
        when = ", or ".join(MEANINGS[branch] for branch in branches)
        intro = f"While {when}, this is done instead of the charges and emails above:"
        sections.append(Section(f"{title}, {names}", told, intro))
    return sections


NOTICES = {
    Kind.CARD_EXPIRY: "Told ahead of a card's last day, if a renewal is to be charged to it after"
    " that. No money is at risk, and nothing is charged.",
    Kind.RENEWAL: "Told ahead of a renewal: when, and how much. No money is at risk, and nothing is"
    " charged.",
}
WHAT = {Kind.CARD_EXPIRY: "cards that expire", Kind.RENEWAL: "renewals"}


def _terms(policy: Policy) -> str:
    hours = ""
    if policy.send_between is not None:
        opens, closes = policy.send_between
        hours = f" Emails go out between {opens:%H:%M} and {closes:%H:%M}."
    if policy.kind.is_notice:
        return f"{NOTICES[policy.kind]} Times are the customer's, else {policy.timezone}.{hours}"
    return (
        f"No suspension before {policy.grace.days} days, the end after {policy.window.days}; "
        f"{OWNERS[policy.retries]}. Times are the customer's, else {policy.timezone}, "
        f"and so is the language, else {policy.locale}.{hours}"
    )


def _words_of_the_file(file: PolicyFile) -> list[Section]:
    from dunning.config import describe_books, describe_rules
    from dunning.config.brand import describe_brand
    from dunning.config.sentences import describe_terms
    from dunning.core.brand import NO_BRAND

    sections = []
    own = ((each.name, each.brand) for each in file.sources if each.brand != file.brand)
    said = [("", file.brand)] if file.brand != NO_BRAND else []
    said += own
    if said:
        told = [f"{name}: {describe_brand(brand)}".removeprefix(": ") for name, brand in said]
        sections.append(Section("The merchant, as customers see it", told))
    if told := describe_books(file.books):
        sections.append(Section("The books", told))
    if told := describe_terms(file.terms):
        sections.append(Section("Words of this file", told))
    if told := describe_rules(file.declines, file.limits):
        sections.append(Section("In place of the built-in tables", told))
    return sections


def _choosing(file: PolicyFile) -> list[Section]:
    from dunning.core.choosing import words

    lines = []
    for number, choice in enumerate(file.choices, 1):
        when = words(choice.when) or ("everything else" if number > 1 else "everything")
        if choice.kind.is_notice:
            when = f"of {WHAT[choice.kind]}: {words(choice.when) or 'all'}"
        lines.append(f"{when}: {choice.policy}")
    return [Section("Which policy a case gets: the first that fits", lines, numbered=True)]


def _staff(file: PolicyFile) -> list[Section]:
    """Only where the file says so: else it is the same everywhere."""
    from dunning.config import describe_staff

    if ("staff",) not in file.marks:
        return []
    return [Section("What your own people are told", describe_staff(file.staff))]


# --- writing ---------------------------------------------------------------------------------


def _show(file: PolicyFile, sections: Sequence[Section]) -> None:
    say(f"{file.filename} in words", style="bold")
    for section in sections:
        heading(section.title)
        if section.intro:
            item(section.intro)
        for number, sentence in enumerate(section.sentences, 1):
            item(f"{number}. {sentence}" if section.numbered else f"- {sentence}")


def _markdown(file: PolicyFile, sections: Sequence[Section]) -> str:
    lines = [f"# {_escaped(file.filename)} in words", ""]
    for section in sections:
        lines += [f"## {_escaped(section.title)}", ""]
        if section.intro:
            lines += [_escaped(section.intro), ""]
        for number, sentence in enumerate(section.sentences, 1):
            mark = f"{number}." if section.numbered else "-"
            lines.append(f"{mark} {_escaped(sentence)}")
        lines.append("")
    return "\n".join(lines)


_MARKS = re.compile(r"([\\`*_\[\]<>#|~])")


def _escaped(text: str) -> str:
    """Names from a file stand as they are; none of their letters is taken for a mark-up."""
    return _MARKS.sub(r"\\\1", plain(text))


def as_json(file: PolicyFile, names: Sequence[str]) -> dict[str, Any]:
    """The same for programs."""
    from dunning.config import describe, describe_books, describe_rules, describe_staff
    from dunning.config.sentences import describe_branches, describe_terms
    from dunning.core.choosing import words

    return {
        "policies": {
            name: {
                "version": policy.version,
                "kind": policy.kind.value,
                "grace_seconds": int(policy.grace.total_seconds()),
                "window_seconds": int(policy.window.total_seconds()),
                "retries": policy.retries.value,
                "timezone": policy.timezone,
                "sentences": describe(policy),
                "branches": describe_branches(policy),
            }
            for name, policy in file.policies.items()
            if name in names
        },
        "books": describe_books(file.books),
        "terms": describe_terms(file.terms),
        "rules": describe_rules(file.declines, file.limits),
        "choose": [
            {"policy": choice.policy, "kind": choice.kind.value, "when": words(choice.when)}
            for choice in file.choices
        ],
        "staff": describe_staff(file.staff),
    }
