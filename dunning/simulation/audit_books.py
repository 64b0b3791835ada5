"""The part of the audit that compares our cases and ledger with the provider's own books."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from dunning.core.limits import built_in
from dunning.core.status import State

if TYPE_CHECKING:
    from dunning.simulation.auditor import Evidence, Seen
    from dunning.store import CaseRow

# Of one card and amount, by anyone: the ceiling of the house, whatever the network.
_CEILING = next(limit for limit in built_in() if limit.is_house)


@dataclass(slots=True)
class Line:
    """One invoice of the provider's books, with what its movements say of each moment."""

    invoice: str
    told: Mapping[str, Any]
    places: tuple[tuple[int, Mapping[str, Any]], ...] = ()

    @property
    def paid_at(self) -> datetime | None:
        """When the last of it was paid."""
        at = self.told["paid_at"]
        return None if at is None else datetime.fromtimestamp(at, UTC)

    @property
    def failed_at_nothing(self) -> bool:
        """Whether it was voided while a debit was under way, which failed only then."""
        failed_at = self.told["first_failed_at"]
        voided = [entry["at"] for _, entry in self.places if entry["what"] == "voided"]
        return failed_at is not None and any(at < failed_at for at in voided)

    def stopped_at_place(self, known: int) -> str:
        """Why nothing may begin, by what was written before that place; empty: it may."""
        due = paid = credited = disputed = 0
        ended = ""
        waiting: set[str] = set()
        for place, entry in self.places:
            if place >= known:
                break
            what, amount = entry["what"], entry.get("amount", 0)
            if what == "due":
                due += amount
            elif what == "paid":
                paid += amount
            elif what == "credited":
                credited += amount
            elif what == "disputed":
                disputed += amount
            elif what in ("voided", "uncollectible", "cancelled"):
                ended = what
            _follow(waiting, entry)
        if due and paid + credited >= due:
            return "paid"
        if ended:
            return ended
        if waiting:
            return "paid by a debit in process"
        return ""


def _follow(waiting: set[str], entry: Mapping[str, Any]) -> None:
    """Debits under way, by their charge."""
    charge = entry.get("charge")
    if entry["what"] == "attempt" and entry.get("outcome") == "processing":
        waiting.add(str(charge))
    elif charge is not None:
        waiting.discard(str(charge))


def check(seen: Seen, lines: Mapping[str, Line], evidence: Evidence) -> list[str]:
    """Every breach of money, state and charges."""
    _place(lines, evidence)
    # After a backup was restored, charges were made of which no step is on record any more.
    steps = set() if "restored" in evidence.leaves else {row.key for row in seen.steps}
    breaches: list[str] = []
    for line in lines.values():
        breaches += _charges(line, steps, evidence.only_us)
        breaches += _limits(line)
    for case in seen.cases:
        if case.kind != "recovery":
            breaches += _notice(seen, case)
            continue
        line = lines[case.invoice]
        sums: Counter[str] = Counter()
        for row in seen.entries:
            if row.case_id == case.id:
                sums[row.credit] += row.amount
                sums[row.debit] -= row.amount
        breaches += _ledger(case.id, line, sums)
        breaches += _state(case, line)
        breaches += _monthly(seen, case, line)
    breaches += _begun_too_late(seen, lines, evidence)
    return breaches


def _notice(seen: Seen, case: CaseRow) -> Iterator[str]:
    """What only tells of something ahead moves no money and takes no access."""
    if any(row.case_id == case.id for row in seen.entries):
        yield f"I5 {case.id} is a notice, and the ledger speaks of it"
    if case.amount_at_risk or case.amount_due or case.access != "full":
        yield f"I5 {case.id} is a notice of {case.invoice} with something at risk"
    kinds = {row.kind for row in seen.steps if row.case_id == case.id}
    if kinds - {"email", "announce", "reconcile"}:
        yield f"I1 {case.id} is a notice, and did {', '.join(sorted(kinds))}"


def _place(lines: Mapping[str, Line], evidence: Evidence) -> None:
    """Give each invoice its movements, with their place among all."""
    found: dict[str, list[tuple[int, Mapping[str, Any]]]] = {name: [] for name in lines}
    for place, entry in enumerate(evidence.movements or ()):
        if entry["invoice"] in found:
            found[entry["invoice"]].append((place, entry))
    for name, line in lines.items():
        line.places = tuple(found[name])


def _charges(line: Line, steps: set[str], only_us: bool) -> Iterator[str]:
    """I1: one good charge of an invoice, one try per decision, each of a step of ours."""
    told = line.told
    ours = [one for one in told["payments"] if one["by"] == "api" and one["charge"]]
    if len(ours) > 1 or told["amount_paid"] > told["amount_due"]:
        yield f"I1 {line.invoice} was paid too much: {told['payments']}"
    tries = Counter(one["key"] for one in told["attempts"] if one["by"] == "api")
    for key, count in tries.items():
        if count > 1:
            yield f"I1 {line.invoice} was tried {count} times under the key {key}"
        # Keys of ours have a slash; where merchants charge as well, theirs are none of ours.
        is_ours = key is not None and (only_us or "/" in key)
        if steps and is_ours and key not in steps:
            yield f"I1 {line.invoice} was tried under {key}, which is no step of ours"


def _limits(line: Line) -> Iterator[str]:
    """I6: no try of ours beyond what the card may be asked."""
    tries = [one for one in line.told["attempts"] if one["outcome"] != "succeed"]
    for one in line.told["attempts"]:
        if one["by"] != "api":
            continue
        at = datetime.fromtimestamp(one["at"], UTC)
        before = [
            other
            for other in tries
            if other["payment_method"] == one["payment_method"]
            and other["at"] < one["at"]
            and other["amount"] == one["amount"]
            and at - datetime.fromtimestamp(other["at"], UTC) < _CEILING.window - timedelta(1)
        ]
        if len(before) >= _CEILING.count:
            yield f"I6 {line.invoice}: try {len(before) + 1} of one card by {one['key']}"


def _ledger(case: str, line: Line, sums: Counter[str]) -> Iterator[str]:
    """I1: our ledger says of an invoice what the provider's books say."""
    told = line.told
    accounts = _money(line)
    short = {name: amount - sums[name] for name, amount in accounts.items()}
    # What was paid in the very second of the failure may have come before it; then neither it nor
    # what went back of it is of this case.
    first = told["first_failed_at"] or 0
    at_once = sum(one["amount"] for one in told["payments"] if one["at"] <= first)
    gone = short["refunded"] + short["disputed"]
    if at_once and 0 <= gone <= at_once and short["recovered"] == at_once - gone:
        return
    for account, amount in accounts.items():
        if short[account]:
            yield f"I1 {case}: {account} is {sums[account]}, the provider says {amount}"


def _money(line: Line) -> dict[str, int]:
    """What the provider's books say was paid of the debt and kept, and what of it went back.

    A charge that the invoice was settled without is no payment of it. What was paid beyond the
    debt, since a credit note had taken it off, was not recovered, and is the first to go back.
    """
    told = line.told
    over = max(0, told["amount_paid"] + told["credited"] - told["amount_due"])
    back = {"refunded": 0, "disputed": 0}
    ours = {str(one["charge"]) for one in told["payments"] if one["charge"]}
    beyond: Counter[str] = Counter()  # of each charge: how much of the excess a dispute took
    kept = told["amount_paid"] - over
    if not line.places:  # the provider tells of its movements in simulations only
        whole = {name: told[name] for name in back}
        return {"recovered": kept - sum(whole.values()), **whole}
    for _, entry in line.places:
        what, amount, charge = entry["what"], entry.get("amount", 0), str(entry.get("charge"))
        if what not in back or charge not in ours:
            continue
        part = min(amount, over) if amount > 0 else -min(-amount, beyond[charge])
        over -= part
        if what == "disputed":
            beyond[charge] += part
        back[what] += amount - part
        kept -= amount - part
    return {"recovered": kept, **back}


def _state(case: Any, line: Line) -> Iterator[str]:
    """The state of a case is what the provider says of the invoice."""
    told, state = line.told, State(case.state)
    whole = told["amount_due"] and told["amount_remaining"] == 0 and not told["voided_at"]
    if whole and told["amount_paid"] and state is not State.RECOVERED:
        yield f"I1 {case.id} is {state}, and {line.invoice} is paid"
    if whole and not told["amount_paid"] and state.is_open:
        yield f"I1 {case.id} is {state}, and {line.invoice} is credited whole"
    if (told["voided_at"] or told["uncollectible_at"]) and state.is_open:
        yield f"I1 {case.id} is {state}, and {line.invoice} is void or written off"
    open_there = told["amount_remaining"] and not told["uncollectible_at"]
    if open_there and state is State.RECOVERED:
        yield f"I1 {case.id} is {state}, and {line.invoice} is unpaid"
    if state.is_open and case.amount_at_risk != told["amount_remaining"]:
        remains = told["amount_remaining"]
        yield f"I1 {case.id}: {case.amount_at_risk} at risk, {remains} remains at the provider"


def _monthly(seen: Seen, case: CaseRow, line: Line) -> Iterator[str]:
    """I1: what a subscription brings in is at risk, saved and lost as its invoice and it are."""
    told, state = line.told, State(case.state)
    sums: Counter[str] = Counter()
    for row in seen.monthly:
        if row.case_id == case.id:
            sums[row.credit] += row.amount
            sums[row.debit] -= row.amount
    known = seen.subscriptions.get((case.source, case.subscription or ""))
    if known is None:
        if sums:
            yield f"I1 {case.id} has recurring revenue of a subscription nobody told of"
        return
    runs = known.ended_at is None
    if sums["at_risk"] and not (state.is_open and runs):
        yield f"I1 {case.id} is {state}, with recurring revenue at risk; it runs: {runs}"
    # Of a case that is open any word on the price is taken.
    brings = known.recurring if known.currency == case.currency else None
    if state.is_open and runs and brings and not sums["at_risk"]:
        yield f"I1 {case.id} is open, and what {known.id} brings in is not at risk"
    whole = not told["amount_remaining"] and not told["voided_at"]
    if sums["saved"] and not (whole and told["amount_paid"]):
        yield f"I1 {case.id} saved recurring revenue, and {line.invoice} is unpaid"
    if sums["lost"] and runs and state is State.RECOVERED:
        yield f"I1 {case.id} is recovered and {known.id} runs, and what it brings in is lost"


_BEGINS = {"retry": "charged", "suspend": "suspended", "give_up": "given up"}


def _begun_too_late(seen: Seen, lines: Mapping[str, Line], evidence: Evidence) -> Iterator[str]:
    """I2: no request that begins something, once its end could be known."""
    for asked in evidence.asked:
        case, _, step = (asked.key or "").partition("/")
        word = _BEGINS.get(step.partition(":")[0])
        row = seen.by_case.get(case)
        changes = asked.path.endswith(("/pay", "/void", "/mark_uncollectible")) or (
            "pause_collection[behavior]" in asked.body or "pause_collection%5B" in asked.body
        )
        if word is None or row is None or not changes or row.invoice not in lines:
            continue
        why = lines[row.invoice].stopped_at_place(asked.known)
        # Our own giving up closes the invoice; its repetition is no new beginning.
        ours = step.startswith("give_up") and why in ("voided", "uncollectible")
        if why and not ours:
            yield f"I2 {asked.key}: was to be {word} although it was {why}"
