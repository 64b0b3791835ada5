"""Rules about `choose` and `when`: what is never reached, or can never hold."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from dunning.config.lint.rule import Found, Rule, Way
from dunning.config.lint.standing import clash, covers
from dunning.config.policy_file import PolicyFile
from dunning.config.problems import Path, nearest
from dunning.config.yaml_tree import START
from dunning.core.branches import BANK_DEBIT
from dunning.core.choosing import Choice, OneOf, When, words
from dunning.core.decline_table import table
from dunning.core.merge import DEBITS
from dunning.core.places import REPLACED

# What stays as it was when the policy was chosen.
LASTING = ("source", "currency", "subscription", "by_hand")


def _own(file: PolicyFile) -> int:
    """Ahead of the list stand the rules of sources with a policy of their own."""
    return sum(1 for source in file.sources if source.policy)


def _listed(file: PolicyFile) -> Iterator[tuple[Path, Choice, tuple[Choice, ...]]]:
    """Each line of the list with those ahead of it."""
    own = _own(file)
    for number, choice in enumerate(file.choices[own:]):
        yield ("choose", number), choice, file.choices[: own + number]


def _ahead(file: PolicyFile, choice: Choice, ahead: tuple[Choice, ...]) -> int | None:
    """The number of an earlier line that leaves nothing for this one."""
    found = (
        i
        for i, one in enumerate(ahead)
        if one.kind is choice.kind and covers(one.when, choice.when, file.terms)
    )
    return next(found, None)


def never_reached(file: PolicyFile) -> Iterator[Found]:
    own = _own(file)
    for path, choice, ahead in _listed(file):
        before = _ahead(file, choice, ahead)
        if before is None:
            continue
        if before < own:
            source = next(iter(ahead[before].when.all_of))
            name = source.words[0] if isinstance(source, OneOf) else ""
            yield Found(
                path,
                f"The source {name} has a policy of its own, so this line is never reached.",
                "Remove it, or the `policy` of the source.",
            )
            continue
        line = file.marks.get(("choose", before - own), START).line
        wide = "matches everything" if not ahead[before].when else "is as wide"
        yield Found(
            path,
            f"Line {line} ahead of it {wide}, so this one is never reached.",
            f"Move it ahead of line {line}, or remove it.",
        )


def never_chosen(file: PolicyFile) -> Iterator[Found]:
    chosen = {choice.policy for choice in file.choices[: _own(file)]}
    for _, choice, ahead in _listed(file):
        if _ahead(file, choice, ahead) is None:
            chosen.add(choice.policy)
    held_out = (file.policies[name].holdout for name in chosen)
    chosen |= {one.policy for one in held_out if one and one.policy}
    for name in file.policies:
        if name not in chosen:
            yield Found(
                ("policies", name),
                "No line of `choose` leads to this policy.",
                "Name it there, or remove it.",
            )


def never_holds(file: PolicyFile) -> Iterator[Found]:
    for path, choice, _ in _listed(file):
        yield from _contradiction(file, path, choice.when)
    for name, when in file.terms.segments:
        yield from _contradiction(file, ("segments", name), when)


def line_never_holds(way: Way) -> Iterator[Found]:
    for line in way.lines:
        if line.place[0] != way.place[0]:
            continue  # a line of the timeline, told there
        found = list(_contradiction(way.file, line.place, line.rung.when))
        yield from found or _never_here(way, line.place, line.rung.when, line.rung.do in REPLACED)


def _contradiction(file: PolicyFile, path: Path, when: When) -> Iterator[Found]:
    if pair := clash(file.terms, when):
        one, other = (words(When((condition,))) for condition in pair)
        yield Found(
            (*path, "when") if (*path, "when") in file.marks else path,
            f"It can never be that {one} and {other}.",
            "Remove one of the two conditions.",
        )


def _never_here(way: Way, path: Path, when: When, replaced: bool) -> Iterator[Found]:
    asked = next((c for c in when.all_of if isinstance(c, OneOf) and c.key == "decline"), None)
    here = When((OneOf("decline", (way.branch,)),)) if way.branch else None
    apart = [name for name, _ in way.policy.branches]
    if here is not None and clash(way.file.terms, when, here):
        yield Found(
            (*path, "when"),
            f"These lines hold only while the last decline means {way.branch}, so it never holds.",
            "Remove the condition, or the line.",
        )
    elif here is None and asked and replaced and set(asked.words) <= set(apart):
        yield Found(
            (*path, "when"),
            f"While the last decline means {' or '.join(asked.words)} the branch of that name is"
            " walked, so this line never holds.",
            "Move the line into the branch.",
        )
    elif way.chosen and all(clash(way.file.terms, when, _lasting(one)) for one in way.chosen):
        yield Found(
            (*path, "when"),
            "No invoice that comes to this policy fits it.",
            "Remove the line, or choose the policy for other invoices.",
        )


def _lasting(when: When) -> When:
    """What still holds later: a card may be exchanged, and an amount be paid in part."""
    kept = [c for c in when.all_of if c.key in LASTING]
    return When(tuple(kept))


def branch_never_fits(way: Way) -> Iterator[Found]:
    if way.branch != BANK_DEBIT:
        return
    methods = way.words("method")
    if methods and not methods & DEBITS:
        yield Found(
            way.place,
            f"This policy is chosen for {' or '.join(sorted(methods))} only, so no bank debit"
            " fails here.",
            "Remove the branch, or choose the policy for debits too.",
        )


def unknown_code(way: Way) -> Iterator[Found]:
    """Bank words are compared as they are, so one that nobody says never fits."""
    own = {override.code for override in way.file.declines}
    for line in way.lines:
        if line.place[0] != way.place[0]:
            continue  # a line of the timeline, told there
        asked = [c for c in line.rung.when.all_of if isinstance(c, OneOf) and c.key == "code"]
        for word in (word for condition in asked for word in condition.words):
            if word in own or word in _codes():
                continue
            meant = nearest(word, _codes() | own)
            hint = f" Did you mean {meant}?" if meant else ""
            yield Found(
                (*line.place, "when"),
                f"No bank or provider that we know of answers {word}.{hint}",
                f"Mend it, or say under `declines` what {word} means.",
            )


@cache
def _codes() -> frozenset[str]:
    return frozenset(word for row in table() for word in (row.code, *row.aliases))


def plans_left_over(file: PolicyFile) -> Iterator[Found]:
    """Plans are named one by one, and whatever is not named gets the last line unseen."""
    by_plan = [
        condition
        for _, choice, _ in _listed(file)
        for condition in choice.when.all_of
        if isinstance(condition, OneOf) and condition.key in ("plan", "product")
    ]
    if len(by_plan) < LISTED:
        return
    *_, (path, last, _) = _listed(file)
    named = sorted({word for condition in by_plan for word in condition.words})
    shown = ", ".join(named[:4]) + (f", … ({len(named)} in all)" if len(named) > 4 else "")
    yield Found(
        path,
        f"The plans {shown} are named; any other, and each new one, gets {last.policy} unseen.",
        "If that is meant, say so beside this line: `# lint: allow plan-without-policy`.",
    )


# So many lines by plan or product are a list of them, and not an exception.
LISTED = 2

SUBJECT = "Choosing and conditions"
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
    Rule(
        name="plan-without-policy",
        why="Where plans are listed one by one, a new plan is forgotten sooner or later, and its"
        " customers get a policy that nobody chose for them.",
        fix="Name every plan, or allow it beside the last line.",
        of_file=plans_left_over,
    ),
    Rule(
        name="condition-never-holds",
        why="Conditions that exclude each other never hold together, so the line does nothing.",
        fix="Remove one of the two.",
        of_file=never_holds,
    ),
    Rule(
        name="line-never-done",
        why="A line whose condition cannot hold where it stands is a step that never comes; whoever"
        " reads the file counts on it.",
        fix="Move it to where it can hold, or remove it.",
        of_way=line_never_holds,
        of_notices=True,
    ),
    Rule(
        name="code-unknown",
        why="A line for a decline code that is misspelt is never done, and nobody is told.",
        fix="Write the code as the provider does, or say what a new one means under `declines`.",
        of_way=unknown_code,
    ),
    Rule(
        name="branch-never-fits",
        why="A branch for bank debits in a policy that is chosen for cards only is never walked.",
        fix="Remove it, or choose the policy for debits too.",
        of_way=branch_never_fits,
    ),
)
