"""The rule behind a step, in words: a line of the policy, or what happens beside it."""

from __future__ import annotations

from collections import Counter

from dunning.config.sentences import MEANINGS, describe
from dunning.config.timing import in_order
from dunning.core.events import StepKind
from dunning.core.holdout import Drawn
from dunning.core.places import walked
from dunning.core.policy import Policy, Retries

_BESIDE = {
    "reconcile": "Beside the timeline: the provider is asked how the invoice stands.",
    "restore": "Beside the timeline: access comes back once nothing is owed.",
    "card": "Beside the timeline: a new card is charged at once.",
    "hand": "Beside the timeline: a person asked for this charge.",
    "email": "Beside the timeline: the customer hears at once of what only they can do, or of a "
    "suspension or payment.",
}
OWNERS = {
    Retries.OURS: "dunning makes every charge",
    Retries.PROVIDER: "the provider makes every charge; dunning makes none",
    Retries.PROVIDER_FIRST: "the provider tries first, dunning when it has given up",
    Retries.SIGNAL: "dunning says when, the billing system charges",
}


def rule(policy: Policy, step: str) -> str:
    """The policy's line behind a step such as `retry:2`, in words."""
    *spaces, kind = step.split(":", maxsplit=1)[0].split(".")
    number = step.rpartition(":")[2]
    branch = spaces[-1] if spaces else ""
    if branch in dict(policy.branches):
        line = rule(walked(policy, branch), f"{kind}:{number}")
        return f"While {MEANINGS[branch]}, {line[:1].lower()}{line[1:]}"
    if number.isdecimal() and kind not in ("restore", "reconcile"):
        # `describe` ends with giving up at the window where no line says so.
        sentences = zip(in_order(policy), describe(policy), strict=False)
        lines = {line.index: text for line, text in sentences}
        count: Counter[StepKind] = Counter()
        for index, rung in enumerate(policy.timeline):
            count[rung.do] += 1
            if rung.do.value == kind and count[rung.do] == int(number):
                return lines[index]
        return describe(policy)[len(policy.timeline)]
    about = number.partition(":")[0]
    return _BESIDE.get(about) or _BESIDE.get(kind, "Beside the timeline.")


def group(drawn: Drawn) -> str:
    """The group of a hold-out that a case was drawn for, in words."""
    share = f"{drawn.share / 100:g} % of {drawn.policy}"
    if not drawn.held_out:
        return f"treated, while {share} are held out"
    if drawn.instead is None:
        return f"held out, as {share} are: no retries and no emails of ours"
    return f"held out, as {share} are: walked by {drawn.instead}"
