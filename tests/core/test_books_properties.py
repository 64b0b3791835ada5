"""The entries of every life add up, whatever happened and however it was told."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from dunning.core.entries import Account, Books, Cause, books
from dunning.core.events import (
    AttemptReported,
    BillingEvent,
    InvoiceNews,
    InvoiceReported,
    OnCancel,
    PaymentReceived,
)
from dunning.core.facts import Terms
from dunning.core.status import State, status
from tests import builders as b
from tests.builders import case_of, empty, fold
from tests.core import lives as l
from tests.core.lives import lives, part

ENDS = (Account.RECOVERED, Account.LOST, Account.WITHDRAWN, Account.REFUNDED, Account.DISPUTED)


def opened(sheet: Books) -> int:
    return sum(entry.amount for entry in sheet.entries if entry.debit is Account.OWED)


def replayed(sheet: Books) -> Counter[Account]:
    """What the accounts hold at the end; fails if one ever pays out what it does not hold."""
    held: Counter[Account] = Counter()
    for entry in sheet.entries:
        if entry.debit is not Account.OWED:
            held[entry.debit] -= entry.amount
            assert held[entry.debit] >= 0, entry
        held[entry.credit] += entry.amount
    return held


@part(1)
@given(told=lives())
def test_entries_are_positive_dated_in_order_and_keyed_once(told: list[BillingEvent]) -> None:
    sheet = books(case_of(*told))
    assert all(entry.amount > 0 for entry in sheet.entries)
    keys = [entry.key for entry in sheet.entries]
    assert len(set(keys)) == len(keys)
    times = [entry.at for entry in sheet.entries]
    assert times == sorted(times)
    assert all(bool(entry.how) == (entry.cause is Cause.PAID) for entry in sheet.entries)


@part(1)
@given(told=lives(), said=st.sampled_from(OnCancel))
def test_no_account_pays_out_what_it_does_not_hold_and_nothing_is_lost_between(
    told: list[BillingEvent], said: OnCancel
) -> None:
    case = fold(replace(empty(), terms=Terms(on_cancel=said)), told)
    sheet = books(case)
    held = replayed(sheet)
    assert {account: held[account] for account in Account} == {
        account: sheet.balance(account) for account in Account
    }
    assert opened(sheet) == sheet.balance(Account.AT_RISK) + sum(map(sheet.balance, ENDS))
    assert opened(sheet) <= case.gross


@given(told=lives(), said=st.sampled_from(OnCancel), data=st.data())
def test_what_a_cancellation_does_hangs_on_no_order(
    told: list[BillingEvent], said: OnCancel, data: st.DataObject
) -> None:
    begun = replace(empty(), terms=Terms(on_cancel=said))
    case, other = fold(begun, told), fold(begun, data.draw(l.shuffled(told)))
    assert books(other) == books(case)
    causes = {entry.cause for entry in books(case).entries}
    assert said is not OnCancel.KEEP or Cause.CANCELLED not in causes


@given(many=st.lists(lives(most=8), min_size=1, max_size=5))
def test_what_is_at_risk_is_what_the_open_cases_owe(many: list[list[BillingEvent]]) -> None:
    cases = [fold(empty(f"in_{number}"), told) for number, told in enumerate(many)]
    at_risk = sum(books(case).balance(Account.AT_RISK) for case in cases)
    known = [status(case) for case in cases]
    assert at_risk == sum(present.at_risk for present in known if present.state.is_open)


@part(1)
@given(told=lives(l.MONEY))
def test_money_told_in_many_ways_is_counted_once(told: list[BillingEvent]) -> None:
    case = case_of(*told)
    sheet = books(case)
    came = sheet.balance(Account.RECOVERED) + sheet.balance(Account.REFUNDED)
    came += sheet.balance(Account.DISPUTED)
    assert came <= _paid(told)
    if status(case).state is State.RECOVERED:
        assert sheet.balance(Account.LOST) == 0


def _paid(told: list[BillingEvent]) -> int:
    """What was really paid: each charge once, and at least what any view of the invoice shows."""
    charges: dict[str, int] = {}
    shown = 0
    for event in told:
        if isinstance(event, PaymentReceived) and event.charge:
            charges[event.charge] = event.amount
        elif isinstance(event, AttemptReported):
            charges[event.attempt.id] = event.attempt.amount
        elif isinstance(event, InvoiceReported):
            shown = max(shown, event.bill.paid)
    return max(sum(charges.values()), shown)


@st.composite
def fully_told(draw: l.Draw) -> tuple[l.Life, int, int]:
    """A life in which every payment, credit and refund is told in every way, each at its time."""
    life = l.Life(draw, amount=4900)
    life.some = lambda *reports: life.told.extend(reports)  # type: ignore[method-assign]
    acts = (l._pays, l._credits, l._voids_credit, l._refunds, l._refund_fails)
    before = draw(st.lists(st.sampled_from((l._pays, l._credits)), max_size=2))
    for number, act in enumerate(before):
        act(life, b.days(number - 5))
    paid, credited = life.paid, life.credited
    life.told.append(life.view(InvoiceNews.PAYMENT_FAILED, b.T0))
    for number, act in enumerate(draw(st.lists(st.sampled_from(acts), max_size=10)), 1):
        act(life, b.days(number))
    return life, paid, credited


@part(1)
@given(scene=fully_told())
def test_the_books_say_what_really_happened_when_everything_was_told(
    scene: tuple[l.Life, int, int],
) -> None:
    life, paid_before, credited_before = scene
    case = case_of(*life.told)
    sheet = books(case)
    if paid_before + credited_before >= life.amount:
        assert sheet.entries == ()
        return
    notes_before = sum(
        note.amount for note in case.credits if note.live and note.credited_at < b.T0
    )
    back = sum(
        refund.amount
        for refund in case.refunds
        if refund.live and next(p.at for p in case.payments if p.charge == refund.charge) > b.T0
    )
    came = sheet.balance(Account.RECOVERED) + sheet.balance(Account.REFUNDED)
    assert opened(sheet) == life.amount - paid_before - notes_before
    assert came == life.paid - paid_before
    assert sheet.balance(Account.REFUNDED) == back
    assert sheet.balance(Account.WITHDRAWN) == life.credited - notes_before
    assert sheet.balance(Account.AT_RISK) == life.left


KNOWN = re.compile(
    r"(?:v\d+\.|[a-z_]+\.)?retry:\d+|backup_method|new_card|retry_by_hand|outside|provider_retry"
    r"|network_updater|link|natural"
)


@part(1)
@given(told=lives())
def test_each_payment_has_one_mechanism_and_together_they_are_what_came_in(
    told: list[BillingEvent],
) -> None:
    sheet = books(case_of(*told))
    by_how: Counter[str] = Counter()
    for entry in sheet.entries:
        if entry.how:
            assert KNOWN.fullmatch(entry.how), entry
            by_how[entry.how] += entry.amount
    came_in = sum(
        entry.amount
        for entry in sheet.entries
        if entry.credit is Account.RECOVERED and entry.cause is Cause.PAID
    )
    assert sum(by_how.values()) == came_in
