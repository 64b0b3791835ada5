"""`# lint: allow RULE` beside a line: what somebody has looked at and wants as it is."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from dunning.config.lint.rule import Rule
from dunning.config.problems import nearest, quoted

_ALLOWS = re.compile(r"#\s*lint:\s*allow\s+(?P<names>[\w-]+(?:\s*,\s*[\w-]+)*)")


@dataclass(frozen=True, slots=True)
class Allowed:
    """One name in such a comment: where it stands, and which line of the file it is about."""

    line: int
    column: int
    about: int
    name: str


def allowed(lines: Collection[str]) -> Iterator[Allowed]:
    """Every one in the file. A comment on a line of its own is about the next line that is not."""
    texts = [*lines]
    for number, text in enumerate(texts, 1):
        found = _ALLOWS.search(text)
        if found is None:
            continue
        about = number
        while about < len(texts) and texts[about - 1].lstrip().startswith("#"):
            about += 1
        for name in re.finditer(r"[\w-]+", found["names"]):
            yield Allowed(number, found.start("names") + name.start() + 1, about, name[0])


NEEDLESS = Rule(
    name="allow-without-need",
    why="What is allowed and not there hides the next one that comes: the comment was about a line"
    " that has changed since, or its rule is spelled wrong.",
    fix="Remove the comment, or mend the name of its rule.",
)


def why_needless(one: Allowed, rules: Collection[str]) -> tuple[str, str]:
    """What is the matter with it, and what to do."""
    if one.name in rules:
        return f"Nothing here breaks {one.name}.", "Remove the comment."
    meant = nearest(one.name, rules)
    hint = f" Did you mean '{meant}'?" if meant else ""
    return f"There is no rule {quoted(one.name)}.{hint}", "`policy check --rules` lists them."


SUBJECT = "Allowing"
RULES = (NEEDLESS,)
