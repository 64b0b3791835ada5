"""The linter: policies that can be walked and still do harm. Warnings, never errors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise

from dunning.config.policy_file import PolicyFile
from dunning.config.problems import Mark, Path, dotted
from dunning.config.timing import Timed, first, in_order, of_kind, span_words
from dunning.config.yaml_tree import START
from dunning.core.events import StepKind
from dunning.core.policy import Invoice, Policy, Retries, Subscription, When

DAY = timedelta(days=1)
# The networks charge fees beyond these tries of one card: Visa 20 in 30 days, Mastercard 35 in 30
# days and 10 in 24 hours. Tries by the customer and by the provider count as well, so stay far off.
MONTH = timedelta(days=30)
MOST_RETRIES = 8
LONGEST_WINDOW = timedelta(days=31)
FIRST_EMAIL_BY = timedelta(days=3)
LAST_WORD = "final_notice"


@dataclass(frozen=True, slots=True, order=True)
class LintWarning:
    """Something to think about: where, what is the matter, and what to do."""

    filename: str
    line: int
    column: int
    path: str
    sentence: str
    advice: str

    def __str__(self) -> str:
        where = f"{self.filename}:{self.line}:{self.column}: {self.path}"
        return f"{where}: {self.sentence} {self.advice}"


# Where in the policy, what is the matter, what to do.
Finding = tuple[Path, str, str]


def lint(file: PolicyFile) -> list[LintWarning]:
    """Everything dangerous in a file that loaded well, top to bottom."""
    findings = list(_unused(file))
    for name, policy in file.policies.items():
        findings += [(("policies", name, *path), s, a) for path, s, a in _policy(policy)]
    return sorted(_warning(file, *finding) for finding in findings)


def _warning(file: PolicyFile, path: Path, sentence: str, advice: str) -> LintWarning:
    place: Mark = file.marks.get(path, START)
    return LintWarning(file.filename, *place, dotted(path), sentence, advice)


def _policy(policy: Policy) -> Iterator[Finding]:
    lines = in_order(policy)
    yield from _retries(policy, lines)
    yield from _emails(lines)
    yield from _suspension(policy, lines)
    yield from _end(policy, lines)


def _place(line: Timed) -> Path:
    return ("timeline", line.index)


# --- charges -------------------------------------------------------------------------------


def _retries(policy: Policy, lines: list[Timed]) -> Iterator[Finding]:
    if policy.backup_methods and policy.retries in (Retries.PROVIDER, Retries.SIGNAL):
        yield (
            ("backup_methods",),
            "The charges are not ours here, so no other method is ever charged.",
            "Remove it, or set `retries: ours`.",
        )
    retries = list(of_kind(lines, StepKind.RETRY))
    if policy.retries is Retries.PROVIDER:
        for line in retries[:1]:
            yield (
                _place(line),
                "Retries belong to the provider here, so this one is never made.",
                "Remove it, or set `retries: ours`.",
            )
        return
    for earlier, later in pairwise(retries):
        gap = later.offset - earlier.offset
        if gap < DAY:
            yield (
                _place(later),
                f"Only {span_words(gap)} after the retry before; banks repeat their answer.",
                "Leave at least 24h between retries.",
            )
    for i, line in enumerate(retries):
        ahead = [other for other in retries[i:] if other.offset - line.offset < MONTH]
        if len(ahead) > MOST_RETRIES:
            yield (
                _place(ahead[MOST_RETRIES]),
                f"{len(ahead)} retries in 30 days; the networks count everybody's tries of a card.",
                f"Keep to {MOST_RETRIES}; beyond 20 (Visa) or 35 (Mastercard) there are fees.",
            )
            return


# --- words to the customer -----------------------------------------------------------------


def _emails(lines: list[Timed]) -> Iterator[Finding]:
    emails = list(of_kind(lines, StepKind.EMAIL))
    if not emails:
        yield (
            ("timeline",),
            "The customer is never written to.",
            "Add `{at: 0h, do: email, template: payment_failed}`.",
        )
        return
    if emails[0].offset > FIRST_EMAIL_BY:
        yield (
            _place(emails[0]),
            f"The customer first hears of it after {span_words(emails[0].offset)}.",
            "Write within 3d: most customers can mend a card at once.",
        )
    door = first(lines, StepKind.SUSPEND) or first(lines, StepKind.GIVE_UP)
    if door and not any(
        email.rung.template == LAST_WORD and email.offset < door.offset for email in emails
    ):
        yield (
            _place(door),
            f"No {LAST_WORD} email comes before this step.",
            f"Add `{{before: {door.rung.do.value} 3d, do: email, template: {LAST_WORD}}}`.",
        )


# --- access --------------------------------------------------------------------------------


def _suspension(policy: Policy, lines: list[Timed]) -> Iterator[Finding]:
    door = first(lines, StepKind.SUSPEND)
    if door is None:
        return
    if policy.retries is not Retries.PROVIDER and not any(
        timedelta(0) < line.offset < door.offset for line in of_kind(lines, StepKind.RETRY)
    ):
        yield (
            _place(door),
            "Access is taken without one retry since the first failure.",
            "Add `{before: suspend 1d, do: retry}`.",
        )
    if not any(line.offset <= door.offset - DAY for line in of_kind(lines, StepKind.EMAIL)):
        yield (
            _place(door),
            "Access is taken without an email at least a day before.",
            f"Add `{{before: suspend 3d, do: email, template: {LAST_WORD}}}`.",
        )
    limit = first(lines, StepKind.RESTRICT)
    if limit and limit.offset >= door.offset:
        yield (
            _place(limit),
            "Restricting comes when access is suspended already.",
            "Move it before the suspension, or remove it.",
        )


# --- the end -------------------------------------------------------------------------------


def _end(policy: Policy, lines: list[Timed]) -> Iterator[Finding]:
    if policy.window > LONGEST_WINDOW:
        yield (
            ("window",),
            f"{span_words(policy.window)} is over a month: the next invoice fails beside this one.",
            "Keep to 31d or less, unless these invoices are yearly.",
        )
    end = first(lines, StepKind.GIVE_UP)
    if end is None:
        yield (
            ("timeline",),
            f"Given up after {span_words(policy.window)}, with subscription and invoice kept.",
            "Add a line with `do: give_up`, `subscription:` and `invoice:`.",
        )
        return
    if end.rung.subscription is Subscription.KEEP and end.rung.invoice is Invoice.KEEP:
        yield (
            _place(end),
            "Giving up keeps both the subscription and the invoice: service goes on unpaid.",
            "Say `subscription: cancel`, `invoice: uncollectible`, or both.",
        )
    if end.offset < policy.window:
        yield (
            _place(end),
            f"The case is given up before its window of {span_words(policy.window)} closes.",
            f"Set `window: {span_words(end.offset)}`, or move this line.",
        )


# --- choosing ------------------------------------------------------------------------------


def _unused(file: PolicyFile) -> Iterator[Finding]:
    # Ahead of the list stand the rules of sources with a policy of their own.
    own = sum(1 for source in file.sources if source.policy)
    listed = file.choices[own:]
    reached = len(listed)
    for i, choice in enumerate(listed[:-1]):
        if choice.when == When():
            yield (
                ("choose", i),
                "This line matches everything, so the ones after it are never reached.",
                "Move it to the end.",
            )
            reached = i + 1
            break
    chosen = {choice.policy for choice in file.choices[: own + reached]}
    for name in file.policies:
        if name not in chosen:
            yield (
                ("policies", name),
                "No line of `choose` leads to this policy.",
                "Name it there, or remove it.",
            )
