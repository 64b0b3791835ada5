"""Checks of a policy that reads well and still cannot be walked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from dunning.config.problems import Path, Report, expected_one_of, quoted
from dunning.config.timing import in_order, span_words, timed
from dunning.core.events import StepKind
from dunning.core.places import ONCE, anchors_of, places, walked
from dunning.core.policy import Policy, Rung

MAX_WINDOW = timedelta(days=365)


def check_policy(policy: Policy, path: Path, report: Report) -> None:
    """Note everything that contradicts itself; `path` leads to the policy in the file."""
    check = _Check(policy, path, report, [("timeline", i) for i in range(len(policy.timeline))])
    check.frame()
    check.lines()
    if report.count:
        return  # branches share lines with a timeline that cannot be walked
    for name, lines in policy.branches:
        whole = walked(policy, name)
        own: list[Path] = [("branches", name, i) for i in range(len(lines))]
        kinds = [rung.do for rung in policy.timeline]
        kept: list[Path] = [
            ("timeline", kinds.index(rung.do)) for rung in whole.timeline[len(lines) :]
        ]
        _Check(whole, path, report, [*own, *kept]).lines()


class _Check:
    """`where` leads to each line of the timeline, from the policy on."""

    def __init__(self, policy: Policy, path: Path, report: Report, where: Sequence[Path]) -> None:
        self.policy = policy
        self.path = path
        self.report = report
        self.where = where

    def fail(self, message: str, *path: str | int) -> None:
        whole = (*self.path, *path)
        self.report.add(self.report.marks[whole], whole, message)

    def lines(self) -> None:
        self.once()
        self.names()
        self.anchors()
        self.places()
        self.duplicates()
        self.after_the_end()

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
                    f"a second {kind.value}; a timeline has at most one", *self.where[line], "do"
                )

    def names(self) -> None:
        seen: dict[str, int] = {}
        for i, rung in enumerate(self.policy.timeline):
            if rung.name is None:
                continue
            if (first := seen.setdefault(rung.name, i)) != i:
                row = self.report.marks[(*self.path, *self.where[first])].line
                what = f"{quoted(rung.name)} is the name of line {row} already"
                self.fail(f"{what}; expected another", *self.where[i], "name")

    def anchors(self) -> None:
        names = (*anchors_of(self.policy.timeline), StepKind.GIVE_UP.value)
        for i, (rung, at) in enumerate(zip(self.policy.timeline, places(self.policy), strict=True)):
            if rung.anchor is None:
                continue
            place = (*self.where[i], _key(rung))
            if rung.anchor not in names:
                if rung.anchor in (kind.value for kind in ONCE):
                    self.fail(f"the timeline has no {rung.anchor} to be placed by", *place)
                else:
                    self.fail(
                        f"no step has the `name` {quoted(rung.anchor)};"
                        f" {expected_one_of(set(names), rung.anchor)}",
                        *place,
                    )
            elif rung.anchor in (rung.do, rung.name):
                self.fail(f"{rung.anchor} cannot be placed by itself", *place)
            elif at is None:
                self.fail(f"in the end {rung.anchor} is placed by this very step", *place)
            elif at < timedelta(0):
                self.fail(f"this is {span_words(-at)} before the first failure", *place)

    def places(self) -> None:
        policy = self.policy
        for line in timed(policy):
            place = (*self.where[line.index], _key(line.rung))
            if line.offset < timedelta(0):
                continue  # told already, of the line that it is placed by
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
            name = rung.name if rung.do is StepKind.ANNOUNCE else None
            same = seen.setdefault((line.offset, rung.do, rung.template, name), line.index)
            if same == line.index or rung.do in ONCE:
                continue
            what = f"email {quoted(rung.template)}" if rung.template else rung.do.value
            row = self.report.marks[(*self.path, *self.where[same])].line
            self.fail(
                f"a second {what} at {span_words(line.offset)}; the first is in line {row}",
                *self.where[line.index],
            )

    def after_the_end(self) -> None:
        ended = False
        for line in in_order(self.policy):
            if ended and line.rung.do is not StepKind.GIVE_UP:
                self.fail(
                    f"{line.rung.do.value} comes after give_up, when nothing is left to do",
                    *self.where[line.index],
                    _key(line.rung),
                )
            ended = ended or line.rung.do is StepKind.GIVE_UP


def _key(rung: Rung) -> str:
    if rung.after is not None:
        return "at"
    return "after" if rung.past is not None else "before"
