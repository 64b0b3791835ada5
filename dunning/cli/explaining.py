"""Why the last step of a case happened or did not, and what comes next: rule, facts, version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dunning.cli.case_file import CaseFile, Line, line_json
from dunning.cli.case_page import ahead, chosen, promise_words, title
from dunning.cli.output import heading, once, pairs, say
from dunning.cli.rules import OWNERS, group, rule
from dunning.cli.words import local_text, moment_and_hint
from dunning.core.events import NoticeReported, StepKind
from dunning.core.permission import why_no_charge
from dunning.core.places import ONCE
from dunning.core.promises import judged
from dunning.core.status import last_decline, verdict

_HOW = {
    "done": "was done",
    "declined": "was tried, and the bank declined it",
    "action_needed": "was tried, and the bank wants the customer to confirm it",
    "processing": "was tried, and the bank has not answered yet",
    "not_owed": "was not done, as nothing is owed",
    "skipped": "was not done",
    "doubtful": "may have happened; it is not done twice",
    "put off": "could not be done and was put off",
    "running": "is being done right now",
    "unknown": "may have happened; the provider is asked first",
}
_SHARED = frozenset(kind.value for kind in ONCE)
_TRIED = ("done", "declined", "action_needed", "processing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One step with the rule behind it."""

    line: Line
    sentence: str  # what became of it, or when it will be
    rule: str
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The answer to why."""

    file: CaseFile
    facts: list[tuple[str, str]]
    last: Told | None
    next: Told | None
    dropped: list[Line]


def explain(file: CaseFile) -> Explanation:
    """Find the last step, the next one, and what speaks for and against them."""
    last, following = _last(file.timeline), _next(file.timeline)
    return Explanation(
        file=file,
        facts=_facts(file),
        last=_told(file, last, _became(file, last)) if last else None,
        next=_told(file, following, _will_be(file, following)) if following else None,
        dropped=[line for line in file.timeline if line.state == "dropped"],
    )


# --- parts -----------------------------------------------------------------------------------


def _last(timeline: Any) -> Line | None:
    """What was begun and not finished, else what ended last; questions to the provider aside."""
    own = [line for line in timeline if line.kind != StepKind.RECONCILE.value]
    begun = [line for line in own if line.state in ("running", "unknown", "put off")]
    ended = [line for line in own if line.at is not None]
    return next(iter(begun), None) or (ended[-1] if ended else None)


def _next(timeline: Any) -> Line | None:
    return next(
        (line for line in timeline if line.at is None and line.state in ("planned", "put off")),
        None,
    )


def _told(file: CaseFile, line: Line, sentence: str) -> Told:
    # Restricting and the doors have one key in all branches, so what holds now is meant.
    shared = line.kind in _SHARED
    words = rule(file.way.policy if shared else file.policy, line.step)
    return Told(line=line, sentence=sentence, rule=words, because=line.why)


def _became(file: CaseFile, line: Line) -> str:
    how = _HOW.get(line.state, line.state)
    when = "until" if line.state == "put off" else "on"
    return f"{_name(line)} {how}, {when} {moment_and_hint(line.when, file.now)}"


def _will_be(file: CaseFile, line: Line) -> str:
    local = local_text(line.due_at, file.zone)
    when = f"{moment_and_hint(line.due_at, file.now)}, {local} in {file.zone}"
    return f"{_name(line)} at {when}"


def _name(line: Line) -> str:
    return f"{line.step} ({line.template})" if line.template else line.step


def _facts(file: CaseFile) -> list[tuple[str, str]]:
    case, row = file.case, file.row
    promised = judged(case, file.now)
    if case.notice is not None:
        return _of_notice(file, case.notice)
    told = [("first failed", moment_and_hint(row.opened_at, file.now))]
    last, said = last_decline(case), verdict(case, file.policy.declines)
    if last is not None:
        code = row.decline_code or "no reason given"
        told.append(("last decline", f"{code}, {moment_and_hint(last.at, file.now)}"))
    if said is not None:
        told.append(("advice", f"{said.advice.value}: {said.reason}"))
        told.append(("as told by", ", ".join(said.sources) or "nobody"))
        if last is not None and said.wait is not None and row.closed_at is None:
            earliest = moment_and_hint(last.at + said.wait, file.now)
            told.append(("next charge", f"not before {earliest}"))
    against = why_no_charge(case, file.policy)
    if row.closed_at is None:
        told.append(("charge now", f"no: {against}" if against else "allowed"))
    told.append(("who charges", OWNERS[file.policy.retries]))
    if case.drawn is not None:
        told.append(("hold-out", group(case.drawn)))
    told += chosen(file)
    if file.plan.frozen is not None:
        told.append(("stands still", file.plan.frozen.why))
    told += [("promise", promise_words(one, row.currency, file.now)) for one in promised]
    if row.closed_at is not None:
        told.append(("ended", f"{moment_and_hint(row.closed_at, file.now)}: {row.closed_reason}"))
    told.append(("customer's time", str(file.zone)))
    return told


def _of_notice(file: CaseFile, notice: NoticeReported) -> list[tuple[str, str]]:
    """What is known of what lies ahead, and since when."""
    row = file.row
    told = ahead(notice.ahead, file.now)
    told.append(("looked", moment_and_hint(notice.at, file.now)))
    if file.plan.frozen is not None:
        told.append(("stands still", file.plan.frozen.why))
    if row.closed_at is not None:
        told.append(("ended", f"{moment_and_hint(row.closed_at, file.now)}: {row.closed_reason}"))
    told.append(("customer's time", str(file.zone)))
    return told


# --- writing ---------------------------------------------------------------------------------


def show(explanation: Explanation) -> None:
    """Write it for people."""
    file = explanation.file
    row = file.row
    say(f"{row.id}: {title(file)}, {row.state}", style="bold")
    say(f"policy {row.policy}, version {row.policy_version}, as it was when the case began")
    heading("Last")
    if explanation.last is None:
        say("  nothing has been done yet")
    else:
        _show_told(explanation.last)
    heading("Facts")
    pairs([(f"  {name}", value) for name, value in explanation.facts])
    heading("Next")
    if explanation.next is not None:
        _show_told(explanation.next)
    elif file.plan.frozen is not None:
        say(f"  nothing until this ends: {file.plan.frozen.why}")
    else:
        say("  nothing: only news from the provider moves this case")
    if explanation.dropped:
        heading("Will not be done")
        reasons = once((_name(line), line.why) for line in explanation.dropped)
        pairs([(f"  {name}", why) for name, why in reasons.items()])


def _show_told(told: Told) -> None:
    lines = [("  step", told.sentence), ("  rule", told.rule)]
    if told.because:
        lines.append(("  outcome" if told.line.state in _TRIED else "  because", told.because))
    pairs(lines)


def as_json(explanation: Explanation) -> dict[str, Any]:
    """The same for programs."""
    file = explanation.file
    standing = file.plan.frozen
    return {
        "id": file.row.id,
        "state": file.row.state,
        "policy": file.row.policy,
        "policy_version": file.row.policy_version,
        "last": _told_json(file, explanation.last),
        "facts": dict(explanation.facts),
        "frozen": standing.why if standing else None,
        "next": _told_json(file, explanation.next),
        "dropped": [line_json(line, file.zone) for line in explanation.dropped],
    }


def _told_json(file: CaseFile, told: Told | None) -> dict[str, Any] | None:
    if told is None:
        return None
    return {**line_json(told.line, file.zone), "sentence": told.sentence, "rule": told.rule}
