"""Rules about `choose`: lines that are never reached, policies nobody gets."""

from __future__ import annotations

from collections.abc import Iterator

from dunning.config.lint.rule import Found, Rule
from dunning.config.policy_file import PolicyFile
from dunning.core.policy import Choice, When


def listed(file: PolicyFile) -> tuple[Choice, ...]:
    """The lines of the list; ahead of it stand the rules of sources with a policy of their own."""
    return file.choices[sum(1 for source in file.sources if source.policy) :]


def never_reached(file: PolicyFile) -> Iterator[Found]:
    for i, choice in enumerate(listed(file)[:-1]):
        if choice.when == When():
            yield Found(
                ("choose", i),
                "This line matches everything, so the ones after it are never reached.",
                "Move it to the end.",
            )
            return


def never_chosen(file: PolicyFile) -> Iterator[Found]:
    lines = listed(file)
    ends = (i for i, choice in enumerate(lines) if choice.when == When())
    reached = lines[: next(ends, len(lines)) + 1]
    own = file.choices[: len(file.choices) - len(lines)]
    chosen = {choice.policy for choice in (*own, *reached)}
    for name in file.policies:
        if name not in chosen:
            yield Found(
                ("policies", name),
                "No line of `choose` leads to this policy.",
                "Name it there, or remove it.",
            )


SUBJECT = "Choosing"
RULES = (
    Rule(
        name="choice-never-reached",
        why="The first line that fits decides; a line behind a wider one does nothing, and the"
        " invoices it was written for get the other policy.",
        fix="Put the narrower line first.",
        of_file=never_reached,
    ),
    Rule(
        name="policy-never-chosen",
        why="It does nothing, and whoever reads the file believes that it does.",
        fix="Name it in `choose`, or remove it.",
        of_file=never_chosen,
    ),
)
