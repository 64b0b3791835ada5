"""Checks of a policy that reads well and still cannot be walked."""

from __future__ import annotations

from datetime import timedelta

from dunning.config.problems import Path, Report, quoted
from dunning.config.timing import anchor_offset, in_order, span_words, timed
from dunning.core.events import StepKind
from dunning.core.policy import Policy, Rung

MAX_WINDOW = timedelta(days=365)
# Access is taken and the case given up at most once.
ONCE = (StepKind.RESTRICT, StepKind.SUSPEND, StepKind.GIVE_UP)


def check_policy(policy: Policy, path: Path, report: Report) -> None:
    """Note everything that contradicts itself; `path` leads to the policy in the file."""
    check = _Check(policy, path, report)
    check.frame()
    check.once()
    check.anchors()
    check.places()
    check.duplicates()
    check.after_the_end()


class _Check:
    def __init__(self, policy: Policy, path: Path, report: Report) -> None:
        self.policy = policy
        self.path = path
        self.report = report

    def fail(self, message: str, *path: str | int) -> None:
        whole = (*self.path, *path)
        self.report.add(self.report.marks[whole], whole, message)

    def frame(self) -> None:
        policy = self.policy
        if not timedelta(0) < policy.window <= MAX_WINDOW:
            limit = span_words(MAX_WINDOW)
            self.fail(
                f"{span_words(policy.window)}; expected more than 0h, at most {limit}", "window"
            )
        if policy.window < policy.grace:
            window, grace = span_words(policy.window), span_words(policy.grace)
            self.fail(
                f"the window of {window} closes before the grace of {grace} ends;"
                f" expected {grace} or more",
                "window",
            )

    def once(self) -> None:
        for kind in ONCE:
            lines = [i for i, rung in enumerate(self.policy.timeline) if rung.do is kind]
            for line in lines[1:]:
                self.fail(
                    f"a second {kind.value}; a timeline has at most one", "timeline", line, "do"
                )

    def anchors(self) -> None:
        for i, rung in enumerate(self.policy.timeline):
            if rung.anchor is None or rung.before is None:
                continue
            place = ("timeline", i, "before")
            name = rung.anchor.value
            anchored = anchor_offset(self.policy, rung.anchor)
            if rung.do is rung.anchor:
                self.fail(f"{name} cannot be before itself", *place)
            elif not any(other.do is rung.anchor for other in self.policy.timeline):
                if anchored is None:
                    self.fail(f"the timeline has no {name} to be before", *place)
            elif anchored is None:
                self.fail(
                    f"{name} is itself set before another step; expected {name} with `at`", *place
                )
            if anchored is not None and anchored < rung.before:
                early = span_words(rung.before)
                self.fail(
                    f"{early} before {name} is before the first failure;"
                    f" {name} is at {span_words(anchored)}",
                    *place,
                )

    def places(self) -> None:
        policy = self.policy
        for line in timed(policy):
            place = ("timeline", line.index, _key(line.rung))
            at = span_words(line.offset)
            if line.offset > policy.window:
                self.fail(f"{at} is after the window of {span_words(policy.window)}", *place)
            if line.rung.do is StepKind.SUSPEND and line.offset < policy.grace:
                grace = span_words(policy.grace)
                self.fail(
                    f"suspension at {at} is before the grace of {grace} ends;"
                    f" expected {grace} or later",
                    *place,
                )

    def duplicates(self) -> None:
        seen: dict[tuple[object, ...], int] = {}
        for line in timed(self.policy):
            rung = line.rung
            same = seen.setdefault((line.offset, rung.do, rung.template), line.index)
            if same == line.index or rung.do in ONCE:
                continue
            what = f"email {quoted(rung.template)}" if rung.template else rung.do.value
            row = self.report.marks[(*self.path, "timeline", same)].line
            self.fail(
                f"a second {what} at {span_words(line.offset)}; the first is in line {row}",
                "timeline",
                line.index,
            )

    def after_the_end(self) -> None:
        ended = False
        for line in in_order(self.policy):
            if ended and line.rung.do is not StepKind.GIVE_UP:
                self.fail(
                    f"{line.rung.do.value} comes after give_up, when nothing is left to do",
                    "timeline",
                    line.index,
                    _key(line.rung),
                )
            ended = ended or line.rung.do is StepKind.GIVE_UP


def _key(rung: Rung) -> str:
    return "at" if rung.after is not None else "before"
