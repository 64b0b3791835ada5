"""Every kind of news in every state, and the state it leads to. A new kind must be added here."""

from __future__ import annotations

import enum
from typing import get_args

import pytest

from dunning.core.events import (
    AttemptReported,
    AttemptStatus,
    BillingEvent,
    DisputeReported,
    DisputeStatus,
    InvoiceNews,
    InvoiceReported,
    InvoiceStatus,
    MethodChanged,
    MethodNews,
    NoticeReported,
    StepEnded,
    StepKind,
    StepResult,
)
from dunning.core.status import Access, State, status
from tests import builders as b
from tests import happenings as h

NOW = b.days(30)
FAILED = b.failed()

# A case of every state, as of 29 days after the first failure.
STATES: dict[State, tuple[BillingEvent, ...]] = {
    State.NONE: (),
    State.IN_GRACE: (FAILED,),
    State.SUSPENDED: (FAILED, h.step("suspend:1", b.days(14))),
    State.RECOVERED: (FAILED, b.paid(b.days(5))),
    State.LOST: (FAILED, h.step("give_up:1", b.days(28))),
    State.CLOSED: (FAILED, b.voided(b.days(5))),
}

SAME = "= = = = = ="
OPENS = "grace = = = = ="
PAYS = "= recovered recovered = recovered recovered"
CLOSES = "= closed closed = = ="
WORDS = {
    "grace": State.IN_GRACE,
    "suspended": State.SUSPENDED,
    "recovered": State.RECOVERED,
    "lost": State.LOST,
    "closed": State.CLOSED,
}

# news: what it leads to from       none grace suspended recovered lost closed
TABLE: list[tuple[BillingEvent, str]] = [
    (b.failed(NOW), OPENS),
    (b.reported(InvoiceNews.ACTION_REQUIRED, NOW), OPENS),
    (b.paid(NOW), PAYS),
    (b.voided(NOW), CLOSES),
    (b.uncollectible(NOW), CLOSES),
    (b.reported(InvoiceNews.UPDATED, NOW), SAME),
    (b.reported(InvoiceNews.OVERDUE, NOW, b.bill(automatic=False, due_at=NOW)), OPENS),
    (b.partly_paid(1000, NOW), SAME),
    (b.reported(InvoiceNews.UPDATED, NOW, b.bill(status=InvoiceStatus.DRAFT)), SAME),
    (b.processing(NOW), SAME),
    (b.action_needed(NOW), OPENS),
    (b.declined(at=NOW), OPENS),
    (b.attempted(b.attempt(AttemptStatus.CANCELED, NOW)), SAME),
    # A charge of an invoice that is void pays nothing: its money is kept for the customer.
    (b.succeeded(NOW), "= recovered recovered = recovered ="),
    (b.payment(b.AMOUNT, NOW), PAYS),
    (b.payment(1000, NOW), SAME),
    (b.refund(b.AMOUNT, NOW), SAME),
    (b.charge_refunded(b.AMOUNT, NOW), SAME),
    *((b.dispute(word, NOW), SAME) for word in DisputeStatus),
    (b.credit_note(b.AMOUNT, NOW), "= closed closed = closed ="),
    (b.credit_note(1000, NOW), SAME),
    (b.credit_note(b.AMOUNT, NOW, live=False), SAME),
    *((h.method(news, NOW), SAME) for news in MethodNews),
    (h.customer(NOW, email="ann@example.org"), SAME),
    (h.customer(NOW, deleted=True), CLOSES),
    (h.subscription(NOW), SAME),
    (h.ended(NOW), CLOSES),
    (h.ended(NOW, reason=None), CLOSES),
    (h.ended(NOW, reason="payment_failed"), "= lost lost = = ="),
    (h.ended(NOW, by_us=True), SAME),
    (h.subscription(NOW, name="sub_of_another_invoice", ended_at=NOW), SAME),
    (h.renewal(NOW), SAME),
    (h.step("suspend:1", NOW), "= suspended = = = ="),
    (h.step("give_up:1", NOW), "= lost lost = = ="),
    (h.step("restore:1", NOW), "= = grace = = ="),
    (h.step("restrict:1", NOW), SAME),
    (h.step("retry:1", NOW, StepResult.DECLINED), SAME),
    (h.step("email:1", NOW), SAME),
    (h.step("sms:1", NOW), SAME),
    (h.step("announce:1", NOW), SAME),
    (h.step("signal:1", NOW), SAME),
    (h.step("void:1", NOW), SAME),
    (h.step("reconcile:open", NOW), SAME),
    *(
        (h.step(name, NOW, result), SAME)
        for name in ("give_up:1", "suspend:2", "restore:1")
        for result in StepResult
        if result is not StepResult.DONE
    ),
    (h.deferred("suspend:1", NOW, b.days(31)), SAME),
    (h.promised(NOW), SAME),
    (h.promised(NOW, amount=1000), SAME),
    (h.exempted(NOW), SAME),
    (h.unexempted(NOW), SAME),
    (h.advanced("retry:2", NOW), SAME),
    (h.held(NOW), SAME),
    (h.resumed(NOW), SAME),
    (h.retry_asked(NOW), SAME),
    (h.closed_by_hand(NOW), CLOSES),
    (h.page_opened(NOW), SAME),
    (h.pressed(NOW), SAME),
    (h.adopted(NOW), SAME),
    (h.policy_changed(NOW), SAME),
]


def what(value: object) -> str:
    """A readable name for a test; numbered by pytest when two are alike."""
    if isinstance(value, State):
        return value.value
    words = [type(value).__name__]
    words += [
        str(getattr(value, name))
        for name in ("news", "status", "kind", "result", "live", "deleted")
        if hasattr(value, name)
    ]
    return "-".join(words)


@pytest.mark.parametrize("before", STATES)
@pytest.mark.parametrize(
    ("event", "after"), TABLE, ids=[f"{n}-{what(event)}" for n, (event, _) in enumerate(TABLE)]
)
def test_what_each_news_does_in_each_state(before: State, event: BillingEvent, after: str) -> None:
    case = b.case_of(*STATES[before])
    assert status(case).state is before
    word = after.split()[list(STATES).index(before)]
    expected = before if word == "=" else WORDS[word]
    assert status(b.fold(case, [event])).state is expected
    # And when it is heard before everything else.
    assert status(b.case_of(event, *STATES[before])).state is expected


def test_the_table_has_every_kind_of_news_and_every_word_of_it() -> None:
    # What is told of ahead has cases of its own: see `test_notices`.
    assert {type(event) for event, _ in TABLE} == set(get_args(BillingEvent)) - {NoticeReported}
    assert list(STATES) == [state for state in State if state not in (State.AHEAD, State.OVER)]
    seen: dict[type[enum.Enum], set[object]] = {}
    for event, _ in TABLE:
        match event:
            case InvoiceReported(news=word) | MethodChanged(news=word):
                seen.setdefault(type(word), set()).add(word)
            case AttemptReported(attempt=attempt):
                seen.setdefault(AttemptStatus, set()).add(attempt.status)
            case DisputeReported(status=status_):
                seen.setdefault(DisputeStatus, set()).add(status_)
            case StepEnded(kind=kind, result=result):
                seen.setdefault(StepKind, set()).add(kind)
                seen.setdefault(StepResult, set()).add(result)
            case _:
                pass
    kinds = (InvoiceNews, MethodNews, AttemptStatus, DisputeStatus, StepKind, StepResult)
    assert seen == {kind: set(kind) for kind in kinds}


# --- why a case ended --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("events", "state", "reason", "ended"),
    [
        ((b.paid(b.days(3)),), State.RECOVERED, "paid", 3),
        ((h.step("give_up:1", b.days(28)),), State.LOST, "given_up", 28),
        ((h.ended(b.days(2), reason="payment_failed"),), State.LOST, "ended_for_non_payment", 2),
        ((h.ended(b.days(2)),), State.CLOSED, "cancelled", 2),
        ((b.voided(b.days(2)),), State.CLOSED, "voided", 2),
        ((b.uncollectible(b.days(2)),), State.CLOSED, "written_off_elsewhere", 2),
        ((b.credit_note(4900, b.days(2)),), State.CLOSED, "credited", 2),
        ((h.customer(b.days(2), deleted=True),), State.CLOSED, "customer_deleted", 2),
        ((h.closed_by_hand(b.days(2)),), State.CLOSED, "closed_by_hand", 2),
        # Giving up voids or writes off the invoice itself: that is how the debt is lost.
        ((b.voided(b.days(28)), h.step("give_up:1", b.hours(673))), State.LOST, "given_up", 28.04),
        (
            (b.uncollectible(b.days(28)), h.step("give_up:1", b.hours(673))),
            State.LOST,
            "given_up",
            28.04,
        ),
        (
            (h.ended(b.days(28), by_us=True), h.step("give_up:1", b.hours(673))),
            State.LOST,
            "given_up",
            28.04,
        ),
        # Whoever came first has the word.
        ((b.voided(b.days(2)), h.step("give_up:1", b.days(28))), State.CLOSED, "voided", 2),
        ((h.ended(b.days(2)), b.voided(b.days(3))), State.CLOSED, "cancelled", 2),
        # Late money.
        ((h.step("give_up:1", b.days(28)), b.paid(b.days(40))), State.RECOVERED, "paid", 40),
        ((b.uncollectible(b.days(2)), b.paid(b.days(4))), State.RECOVERED, "paid", 4),
        ((h.ended(b.days(2)), b.paid(b.days(4))), State.RECOVERED, "paid", 4),
        (
            (h.step("give_up:1", b.days(28)), b.payment(1000, b.days(40))),
            State.LOST,
            "given_up",
            28,
        ),
        (
            (h.step("give_up:1", b.days(28)), b.credit_note(4900, b.days(40))),
            State.CLOSED,
            "credited",
            28,
        ),
        (
            (b.payment(3900, b.days(1)), b.credit_note(1000, b.days(2))),
            State.RECOVERED,
            "paid",
            2,
        ),
        # A credit note that is voided again leaves the debt as it was.
        (
            (b.credit_note(4900, b.days(2)), b.credit_note(4900, b.days(3), live=False)),
            State.IN_GRACE,
            "",
            None,
        ),
    ],
)
def test_why_and_when_a_case_ended(
    events: tuple[BillingEvent, ...], state: State, reason: str, ended: float | None
) -> None:
    present = status(b.case_of(FAILED, *events))
    assert (present.state, present.reason) == (state, reason)
    expected = None if ended is None else b.hours(round(ended * 24))
    assert present.ended_at == expected


# --- what opens a case, and what does not ----------------------------------------------------


def test_a_failure_dated_after_the_payment_opens_nothing() -> None:
    for events in ((b.paid(), b.failed(b.days(1))), (b.failed(b.days(1)), b.paid())):
        assert status(b.case_of(*events)).state is State.NONE


def test_paid_before_the_failure_was_heard_of_is_recovered_all_the_same() -> None:
    case = b.case_of(b.paid(b.hours(2)), FAILED)
    assert status(case).state is State.RECOVERED


def test_a_late_word_of_an_unpaid_invoice_does_not_take_the_payment_back() -> None:
    stale = b.reported(InvoiceNews.UPDATED, b.days(2), id="evt_stale")
    for again in (stale, b.failed(b.days(2))):
        case = b.case_of(FAILED, b.paid(b.days(1)), again)
        assert status(case).state is State.RECOVERED
        assert status(case).at_risk == 0


def test_an_invoice_of_nothing_is_no_case() -> None:
    assert status(b.case_of(b.failed(told=b.bill(0)))).state is State.NONE


# --- access ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "access"),
    [
        ((), Access.FULL),
        ((h.step("restrict:1", b.days(10)),), Access.RESTRICTED),
        ((h.step("restrict:1", b.days(10)), h.step("suspend:1", b.days(14))), Access.SUSPENDED),
        # A restriction that comes late gives nothing back.
        ((h.step("suspend:1", b.days(14)), h.step("restrict:1", b.days(15))), Access.SUSPENDED),
        ((h.step("suspend:1", b.days(14)), h.step("restore:1", b.days(15))), Access.FULL),
        # Within one second what was taken is what comes back.
        ((h.step("suspend:1", b.days(14)), h.step("restore:1", b.days(14))), Access.FULL),
        ((h.step("restore:1", b.days(13)), h.step("suspend:1", b.days(14))), Access.SUSPENDED),
        ((h.step("suspend:1", b.days(14), StepResult.NOT_OWED),), Access.FULL),
        ((h.step("suspend:1", b.days(14), StepResult.SKIPPED),), Access.FULL),
    ],
)
def test_access_is_the_worst_since_it_was_last_restored(
    steps: tuple[StepEnded, ...], access: Access
) -> None:
    assert status(b.case_of(FAILED, *steps)).access is access


def test_a_step_ends_once_and_its_first_end_stands() -> None:
    early = h.step("suspend:1", b.days(14), StepResult.NOT_OWED)
    late = h.step("suspend:1", b.days(15), StepResult.DONE)
    for events in ((early, late), (late, early)):
        assert status(b.case_of(FAILED, *events)).access is Access.FULL
