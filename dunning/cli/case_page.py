"""A case as a page for people."""

from __future__ import annotations

from datetime import datetime

from dunning.cli.case_file import CaseFile, Line
from dunning.cli.output import Column, heading, once, pairs, say, table
from dunning.cli.rules import group
from dunning.cli.words import (
    NOTHING,
    amount_text,
    hint,
    local_text,
    moment_and_hint,
    moment_text,
)
from dunning.config.sentences import MEANINGS
from dunning.core.ahead import Ahead
from dunning.core.promises import Judged, judged
from dunning.core.status import verdict
from dunning.core.words import Kind
from dunning.store import ActRow, AttemptRow, EntryRow, MessageRow

COLOURS = {
    "done": "green",
    "succeeded": "green",
    "sent": "green",
    "declined": "red",
    "bounced": "red",
    "skipped": "dim",
    "dropped": "dim",
    "not_owed": "dim",
    "planned": "cyan",
    "held": "yellow",
    "put": "yellow",
    "running": "yellow",
    "unknown": "yellow",
    "doubtful": "yellow",
}
UPCOMING = ("planned", "held", "dropped")


def show(file: CaseFile) -> None:
    """Write the page."""
    row = file.row
    say(f"{row.id}: {title(file)}, {row.state}", style="bold")
    pairs(facts(file))
    heading("Timeline (times are UTC)")
    _timeline(file)
    if file.case.notice is None:
        heading("Attempts: charges by anyone")
        _attempts(file)
    heading("Emails")
    _messages(file)
    if file.case.notice is None:
        heading("Ledger")
        _entries(file)
    if file.acts:
        heading("By hand")
        _acts(file)


def title(file: CaseFile) -> str:
    """What the case is about, in a word or two."""
    if file.case.notice is not None:
        return NOTICES[file.case.notice.kind]
    return amount_text(file.row.amount_due, file.row.currency)


def facts(file: CaseFile) -> list[tuple[str, str]]:
    """What is known, as names and values."""
    row, case, now = file.row, file.case, file.now
    bill = case.bill
    who = [row.customer or NOTHING, case.word("name"), case.word("email"), case.word("country")]
    told = [
        ("invoice", _joined([row.invoice, case.word("number"), row.source])),
        ("customer", _joined(who)),
        ("subscription", row.subscription or "none: a one-off invoice"),
        ("local time", f"{local_text(now, file.zone)} ({file.zone})"),
        ("at risk", amount_text(row.amount_at_risk, row.currency)),
        ("access", row.access),
        ("first failed", moment_and_hint(row.opened_at, now)),
    ]
    if case.notice is not None:
        told = [("notice", _joined([row.invoice, row.source])), *told[1:4]]
        told += ahead(case.notice.ahead, now)
    said = verdict(case, file.policy.declines)
    if said is not None:
        told.append(("advice", f"{said.advice.value}: {said.reason}"))
        told.append(("as told by", ", ".join(said.sources) or "nobody"))
    if bill is not None and bill.next_attempt_at is not None:
        theirs = moment_and_hint(bill.next_attempt_at, now)
        told.append(("provider", f"will retry by itself at {theirs}"))
    told.append(("policy", f"{row.policy}, version {row.policy_version}"))
    if case.drawn is not None:
        told.append(("hold-out", group(case.drawn)))
    told += chosen(file)
    if file.plan.frozen is not None:
        standing = file.plan.frozen
        end = moment_and_hint(standing.until, now) if standing.until else "that ends"
        told.append(("stands still", f"{standing.why}, until {end}"))
    told += [("promise", promise_words(one, row.currency, now)) for one in judged(case, now)]
    if row.closed_at is not None:
        told.append(("ended", f"{moment_and_hint(row.closed_at, now)}: {row.closed_reason}"))
    elif row.next_step:
        told.append(("next", f"{row.next_step} at {moment_and_hint(row.next_at, now)}"))
    return [(f"  {name}", value) for name, value in told]


NOTICES = {Kind.CARD_EXPIRY: "a card that expires", Kind.RENEWAL: "a renewal"}


def ahead(told: Ahead, now: datetime) -> list[tuple[str, str]]:
    """What a notice tells of."""
    term = f", for a term of {told.term}" if told.term else ""
    found = [("renews", f"{moment_and_hint(told.renews_at, now)}{term}")]
    amount = "not known" if told.amount is None else amount_text(told.amount, told.currency)
    found.append(("amount", amount))
    if told.method is not None:
        expiry = f"{told.exp_month:02}/{told.exp_year}" if told.exp_month else None
        last = f"ending in {told.last4}" if told.last4 else None
        good = f"good through {expiry}" if expiry else None
        found.append(("charged to", _joined([told.method, told.network, last, good])))
    return found


def promise_words(told: Judged, currency: str, now: datetime) -> str:
    """`49.00 USD by 2026-03-20 22:00 UTC (in 2 d): open`."""
    one = told.promise
    amount = "all" if one.amount is None else amount_text(one.amount, currency)
    when = f", {moment_and_hint(told.at, now)}" if told.at else ""
    return f"{amount} by {moment_and_hint(one.until, now)}: {told.ending.value}{when} ({one.why})"


def chosen(file: CaseFile) -> list[tuple[str, str]]:
    """Why it has its policy, and which lines of it hold now."""
    told = [("chosen by", file.row.policy_why)] if file.row.policy_why else []
    if file.way.branch is not None:
        since = file.way.since
        when = f"since {moment_and_hint(since, file.now)}" if since else "from the beginning"
        told.append(("branch", f"{file.way.branch}: {MEANINGS[file.way.branch]}; {when}"))
    return told


def _joined(parts: list[str | None]) -> str:
    return " · ".join(part for part in parts if part)


def _timeline(file: CaseFile) -> None:
    def when(line: Line) -> str:
        return moment_text(line.when)

    def relative(line: Line) -> str:
        return hint(line.when, file.now)

    def step(line: Line) -> str:
        return f"{line.step} ({line.template})" if line.template else line.step

    local = Column("LOCAL", lambda line: local_text(line.when, file.zone), rank=2)
    columns = [
        Column("WHEN", when),
        Column("", relative, rank=1, right=True),
        *([local] if str(file.zone) != "UTC" else []),
        Column("STEP", step),
        Column("STATE", lambda line: str(line.state), paint=COLOURS),
        Column("WHY", lambda line: reasons[line.step], fold=True),
    ]
    reasons = once((line.step, line.why) for line in file.timeline)
    if file.timeline:
        table(columns, file.timeline, indent=2)
    else:
        say("  nothing was done and nothing is planned")


def _attempts(file: CaseFile) -> None:
    def ending(row: AttemptRow) -> str:
        return row.decline_code or NOTHING

    columns = [
        Column("WHEN", lambda row: moment_text(row.at)),
        Column("BY", lambda row: str(row.by)),
        Column("AMOUNT", lambda row: amount_text(row.amount, row.currency), right=True),
        Column("STATUS", lambda row: str(row.status), paint=COLOURS),
        Column("DECLINE", ending),
        Column("ADVICE", lambda row: row.advice or NOTHING, rank=1),
        Column("NETWORK", _network, rank=2),
        Column("ID", lambda row: str(row.id), rank=3),
    ]
    _or_none(columns, file.attempts, "nobody told of a charge yet")


def _network(row: AttemptRow) -> str:
    return _joined([row.network, row.network_code]) or NOTHING


def _messages(file: CaseFile) -> None:
    def subject(row: MessageRow) -> str:
        return row.why or row.subject

    columns = [
        Column("WHEN", lambda row: moment_text(row.at)),
        Column("TEMPLATE", lambda row: str(row.template)),
        Column("STATE", lambda row: str(row.state), paint=COLOURS),
        Column("TO", lambda row: str(row.recipient)),
        Column("LOCALE", lambda row: str(row.locale), rank=2),
        Column("SUBJECT", subject, rank=1, fold=True),
    ]
    _or_none(columns, file.messages, "none was sent")


def _entries(file: CaseFile) -> None:
    def movement(row: EntryRow) -> str:
        return f"{row.debit} -> {row.credit}"

    def cause(row: EntryRow) -> str:
        undone = f", takes back {row.reverses.partition('/')[2]}" if row.reverses else ""
        return _joined([row.cause, row.how]) + undone

    columns = [
        Column("OCCURRED", lambda row: moment_text(row.occurred_at)),
        Column("AMOUNT", lambda row: amount_text(row.amount, row.currency), right=True),
        Column("MOVEMENT", movement),
        Column("CAUSE", cause, fold=True),
        Column("RECORDED", lambda row: moment_text(row.recorded_at), rank=1),
    ]
    _or_none(columns, file.entries, "no entries")


def _acts(file: CaseFile) -> None:
    def until(row: ActRow) -> str:
        return moment_text(row.until)

    columns = [
        Column("WHEN", lambda row: moment_text(row.at)),
        Column("ACT", lambda row: _joined([row.act, row.about])),
        Column("UNTIL", until, rank=1),
        Column("BY", lambda row: str(row.by)),
        Column("WHY", lambda row: str(row.why), fold=True),
    ]
    table(columns, file.acts, indent=2)


def _or_none(columns: list[Column], rows: object, nothing: str) -> None:
    if isinstance(rows, list) and rows:
        table(columns, rows, indent=2)
    else:
        say(f"  {nothing}")
