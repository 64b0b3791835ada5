"""The linter: policies that can be walked and still do harm. Warnings, never errors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dunning.config.lint import (
    access,
    allowing,
    charges,
    choosing,
    emails,
    ending,
    hours,
    house,
    notices,
    texts,
)
from dunning.config.lint.rule import Found, Rule, Way, ways
from dunning.config.policy_file import PolicyFile
from dunning.config.problems import Mark, dotted
from dunning.config.yaml_tree import START

SUBJECTS: dict[str, tuple[Rule, ...]] = {
    part.SUBJECT: part.RULES
    for part in (charges, emails, texts, access, ending, hours, notices, choosing, house, allowing)
}
RULES: dict[str, Rule] = {rule.name: rule for rules in SUBJECTS.values() for rule in rules}


@dataclass(frozen=True, slots=True, order=True)
class LintWarning:
    """Something to think about: where, which rule, what is the matter, why, and what to do."""

    filename: str
    line: int
    column: int
    path: str
    rule: str
    sentence: str
    why: str
    advice: str

    def __str__(self) -> str:
        where = f"{self.filename}:{self.line}:{self.column}: "
        path = f"{self.path}: " if self.path else ""
        return f"{where}{path}{self.sentence} {self.advice} [{self.rule}]"


def lint(file: PolicyFile) -> list[LintWarning]:
    """Everything dangerous in a file that loaded well, top to bottom, less what it allows."""
    told: dict[tuple[str, int, int], LintWarning] = {}
    for rule, found in _all(file):
        # What several ways through a policy share, or several names stand for, is said once.
        warning = _warning(file, rule, found)
        told.setdefault((rule.name, warning.line, warning.column), warning)
    return sorted(_not_allowed(file, told.values()))


def _not_allowed(file: PolicyFile, warnings: Iterable[LintWarning]) -> Iterator[LintWarning]:
    marks: dict[tuple[int, str], allowing.Allowed | None] = {
        (one.about, one.name): one for one in allowing.allowed(file.lines)
    }
    for warning in warnings:
        if (warning.line, warning.rule) in marks:
            marks[warning.line, warning.rule] = None
        else:
            yield warning
    for one in marks.values():
        if one is not None:
            rule, (sentence, advice) = allowing.NEEDLESS, allowing.why_needless(one, RULES)
            yield LintWarning(
                file.filename, one.line, one.column, "", rule.name, sentence, rule.why, advice
            )


def _all(file: PolicyFile) -> Iterator[tuple[Rule, Found]]:
    for rule in RULES.values():
        if rule.of_file is not None:
            yield from ((rule, found) for found in rule.of_file(file))
    for name, policy in file.policies.items():
        for way in ways(file, policy):
            for rule in RULES.values():
                if rule.of_way is not None and (rule.of_notices or not policy.kind.is_notice):
                    for found in rule.of_way(way):
                        yield rule, _of_policy(name, way, found)


def _of_policy(name: str, way: Way, found: Found) -> Found:
    """Counted from the file; of a line that a branch shares it says which branch is meant."""
    sentence = found.sentence
    if way.branch and found.path[:1] == ("timeline",):
        sentence = f"In the branch {way.branch}: {sentence[:1].lower()}{sentence[1:]}"
    return found._replace(path=("policies", name, *found.path), sentence=sentence)


def _warning(file: PolicyFile, rule: Rule, found: Found) -> LintWarning:
    place: Mark = file.marks.get(found.path, START)
    return LintWarning(
        file.filename,
        *place,
        dotted(found.path),
        rule.name,
        found.sentence,
        rule.why,
        found.advice,
    )
