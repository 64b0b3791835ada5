"""Bugs to be found: guards of the program, switched off one at a time.

This is the one place that patches the program, since that is its purpose. Each bug is a function
that takes a `Patch` and leaves the program with one guard less.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from unittest import mock
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlmodel import Session, col

from dunning import (
    appending,
    cases,
    columns,
    executor,
    hands,
    inbox,
    ledger,
    outbox,
    readers,
    received,
    schedule,
)
from dunning.actions import access, composing, retry
from dunning.actions.looking import Looked
from dunning.core import case as facts_of
from dunning.core import freezing, local, merge, plan, reactions
from dunning.core.calendar import Local
from dunning.core.events import BillingEvent, InvoiceReported, PaymentReceived, StepKind
from dunning.core.facts import Case
from dunning.core.ports import Doing, PutOff
from dunning.core.status import State, status
from dunning.core.steps import Step
from dunning.providers.stripe.acting import StripeProvider
from dunning.providers.stripe.charging import Charging
from dunning.simulation import process
from dunning.store import OutboxRow
from tests.simulation import planted_mails, planted_notices
from tests.simulation.planting import BUGS, Patch, bug, unseen

__all__ = ["BUGS", "planted", "planted_mails", "planted_notices"]


@contextmanager
def planted(name: str) -> Iterator[None]:
    """Run with this bug in the program."""
    with ExitStack() as stack:

        def patch(owner: Any, attribute: str, put: Any) -> None:
            stack.enter_context(mock.patch.object(owner, attribute, put))

        BUGS[name].plant(patch)
        yield


# --- leases and keys -----------------------------------------------------------------------------


@bug("pause seconds=(?!5 )")
def a_late_holder_writes(patch: Patch) -> None:
    """The token is not compared when the outcome of a step is written."""
    real = cases.CaseBook._conclude

    def conclude(self: Any, desk: Any, claim: Any, *rest: Any) -> Any:
        cursor = desk.schedule.get(claim.case_id)
        return real(self, desk, replace(claim, token=cursor["lease_token"]), *rest)

    patch(cases.CaseBook, "_conclude", conclude)


@bug()
def each_try_has_a_key_of_its_own(patch: Patch) -> None:
    """The idempotency key is not the step's."""
    real = StripeProvider.charge
    numbers = itertools.count()

    def charge(self: Any, invoice: str, *, key: str, **rest: Any) -> Any:
        return real(self, invoice, key=f"{key}-{next(numbers)}", **rest)

    patch(StripeProvider, "charge", charge)


@bug("kill point=outside.charged.* down=(180000|252000)", "posts fate=delay seconds=259200")
def the_age_of_a_key_is_not_asked(patch: Patch) -> None:
    """A charge is repeated however long ago its key was used."""
    patch(retry, "KEY_LIFE", timedelta(days=1_000))


@bug()
def a_claim_has_no_lease(patch: Patch) -> None:
    """A claimed case stays due."""
    _with_lease(patch, timedelta(0))


@bug("kill")
def a_lease_never_ends(patch: Patch) -> None:
    """What a dead worker held is never taken up again."""
    _with_lease(patch, timedelta(days=1_000))


def _with_lease(patch: Patch, lease: timedelta) -> None:
    real: Callable[..., Any] = schedule.take

    def take(*arguments: Any) -> Any:
        return real(*arguments[:-1], lease)

    def hold(session: Session, claims: Any, now: datetime, until: datetime) -> Any:
        return schedule.hold(session, claims, now, until - executor.LEASE + lease)

    patch(schedule, "take", take)
    patch(executor, "hold", hold)


# --- doubt ---------------------------------------------------------------------------------------


@bug("kill point=outside.mailed")
def an_email_in_doubt_is_sent_again(patch: Patch) -> None:
    """`again` is ignored for emails."""
    real = executor.Executor._act

    def act(self: Any, doing: Doing) -> Any:
        forgets = doing.step.kind is StepKind.EMAIL
        return real(self, replace(doing, again=False) if forgets else doing)

    patch(executor.Executor, "_act", act)


@bug("kill point=outside.mailed")
def what_was_begun_is_forgotten(patch: Patch) -> None:
    """Nobody knows that a step was begun before."""
    real = executor.Executor._act

    def act(self: Any, doing: Doing) -> Any:
        return real(self, replace(doing, again=False))

    patch(executor.Executor, "_act", act)


@bug("request fate=.* away=(93600|180000|216000)")
def not_known_is_taken_for_not_sent(patch: Patch) -> None:
    """A charge with no clear ending is tried again as if it had not left."""
    real = retry._conclude

    def conclude(*arguments: Any, **named: Any) -> Any:
        ending = real(*arguments, **named)
        return replace(ending, unknown=False) if isinstance(ending, PutOff) else ending

    patch(retry, "_conclude", conclude)
    patch(retry, "KEY_LIFE", timedelta(days=1_000))


@bug("stripe (away|limits)|mail fate=(down|4xx)", "pays who|voids|close")
def what_was_begun_is_not_ended(patch: Patch) -> None:
    """Steps that nobody will conclude are left as they are."""
    patch(cases, "end_unfinished", lambda *_: [])


# --- the last look -------------------------------------------------------------------------------


def _blind(_provider: Any, doing: Doing) -> Looked:
    return unseen(doing.case)


@bug("posts fate=(delay|lose|refuse)", "pays who|voids")
def nobody_looks_before_a_charge(patch: Patch) -> None:
    """Neither the action nor the adapter reads the invoice first."""
    patch(retry, "look_with_methods", _blind)
    patch(Charging, "_closed", lambda *_: None)


@bug("posts fate=(delay|lose|refuse)", "pays who|voids")
def nobody_looks_before_an_email(patch: Patch) -> None:
    """What we last heard is taken for what is."""
    patch(composing, "look", _blind)


@bug("posts fate=delay seconds=259200 copies=1 times=40", "pays who|voids")
def nobody_looks_before_access_changes(patch: Patch) -> None:
    """The service is suspended, or the debt given up, on what we last heard."""
    patch(access, "look", _blind)


# --- the inbox -----------------------------------------------------------------------------------


@bug()
def an_event_is_kept_each_time_it_comes(patch: Patch) -> None:
    """The provider's event id does not count."""
    real = received.keep
    numbers = itertools.count()

    def keep(session: Session, came: Any, now: datetime) -> Any:
        fresh = [
            replace(one, envelope=replace(one.envelope, id=f"{one.envelope.id}-{next(numbers)}"))
            for one in came
        ]
        return real(session, fresh, now)

    patch(process, "keep", keep)


@bug()
def some_events_are_answered_and_not_kept(patch: Patch) -> None:
    """The answer does not wait for the commit."""
    real = received.keep
    numbers = itertools.count(1)

    def keep(session: Session, came: Any, now: datetime) -> Any:
        return [] if next(numbers) % 7 == 0 else real(session, came, now)

    patch(process, "keep", keep)


@bug("broker fate=lose")
def nothing_is_swept(patch: Patch) -> None:
    """A row whose hint got lost is never handled."""
    patch(inbox, "sweep", lambda *_, **__: [])


@bug("part, disputed .*closes=None", "posts fate=delay .*times=[6-9]", "renews=36[06]0")
def nothing_is_recalled(patch: Patch) -> None:
    """What came before its case is not found again."""
    patch(readers.Readers, "recall", lambda *_: iter(()))


# --- decisions -----------------------------------------------------------------------------------


def _without(word: str) -> Callable[..., Any]:
    real = freezing.freeze

    def freeze(case: Case, now: datetime) -> Any:
        standing = real(case, now)
        return None if standing is not None and word in standing.why else standing

    return freeze


def _freeze(patch: Patch, word: str) -> None:
    thawed = _without(word)
    for module in (plan, retry, composing, access):
        patch(module, "freeze", thawed)


@bug("processing:")
def a_debit_in_process_stops_nothing(patch: Patch) -> None:
    """The timeline goes on while a payment is under way."""
    _freeze(patch, "in process")


@bug("part, disputed")
def a_dispute_stops_nothing(patch: Patch) -> None:
    """The timeline goes on while a charge is disputed."""
    _freeze(patch, "disputed")


@bug("hold who")
def a_hold_stops_nothing(patch: Patch) -> None:
    """The timeline goes on although a person held it."""
    _freeze(patch, "on hold")


@bug()
def the_next_step_is_not_computed_anew(patch: Patch) -> None:
    """The cursor stays where it was."""
    real = columns.next_columns
    before: dict[str, Any] = {}

    def next_columns(case: Any, ahead: Any) -> Any:
        told = real(case, ahead)
        if len(case.done) % 2 and before.get(case.id) is not None:
            return told | {"next_at": before[case.id]}
        before[case.id] = told["next_at"]
        return told

    patch(cases, "next_columns", next_columns)


@bug("policy=(brisk|hammer)", "kill .*down=(93600|144000|252000)")
def missed_rungs_are_all_fired(patch: Patch) -> None:
    """After an outage every charge that was missed is made, at once."""
    patch(plan, "_missed", lambda *_: None)
    patch(plan, "spaced", lambda _case, _policy, step, _doors: step)


@bug("policy=hammer")
def a_card_may_be_asked_for_ever(patch: Patch) -> None:
    """Neither the limits of networks and house nor the time between two charges is kept."""
    patch(retry, "allowed", lambda *_, **__: None)
    patch(plan, "spaced", lambda _case, _policy, step, _doors: step)


@bug("policy=gentle", "zone=(?!None)")
def every_customer_lives_in_greenwich(patch: Patch) -> None:
    """Time zones are ignored."""
    utc = ZoneInfo("UTC")

    def in_utc(policy: Any) -> Any:
        return lambda _zone, country: Local(utc, country, policy.paydays, policy.works)

    patch(local, "_locals", in_utc)  # not what it is made of: that is remembered


@bug("pays who")
def access_is_not_restored(patch: Patch) -> None:
    """Who pays gets nothing back."""
    real = reactions.after_end

    def after_end(*arguments: Any) -> Iterator[Step]:
        return (one for one in real(*arguments) if one.kind is not StepKind.RESTORE)

    patch(plan, "after_end", after_end)


# --- facts and money -----------------------------------------------------------------------------


@bug("pays who")
def a_payment_after_the_end_is_ignored(patch: Patch) -> None:
    """Who pays when the case was given up is not heard any more."""
    real = facts_of.advance

    def advance(case: Case, event: BillingEvent) -> Case:
        late = isinstance(event, InvoiceReported | PaymentReceived)
        if late and case.failed_at is not None and status(case).state is State.LOST:
            return case
        return real(case, event)

    patch(hands, "advance", advance)


@bug("processing:succeed", "credits who|voids", "posts fate=(delay|lose)")
def the_last_view_wins(patch: Patch) -> None:
    """Of two views of an invoice the one that came last counts, and not the newer one."""
    patch(merge, "_newest", lambda _known, heard: heard)


@bug("credits|refunds|pays a part|disputed")
def nothing_is_taken_back_in_the_ledger(patch: Patch) -> None:
    """What turned out otherwise stays, beside what is right."""
    real = appending.difference

    def difference(*arguments: Any) -> Any:
        return [row for row in real(*arguments) if row.reverses is None]

    patch(ledger, "difference", difference)


# --- calls to the product ------------------------------------------------------------------------


@bug("product fate=down", "pays who|voids|close")
def calls_leave_in_any_order(patch: Patch) -> None:
    """A call does not wait for the one of its case before it."""

    def claim_calls(session: Session, now: datetime, *, limit: int, lease: timedelta) -> Any:
        rows = session.scalars(
            select(OutboxRow)
            .where(col(OutboxRow.state) == "pending", col(OutboxRow.wake_at) <= now)
            .order_by(col(OutboxRow.id).desc())
            .limit(limit)
        ).all()
        found = []
        for row in rows:
            row.wake_at, row.leased, row.tries = now + lease, True, row.tries + 1
            session.add(row)
            assert row.id is not None
            found.append(outbox.Call(row.id, row.key, row.body.encode(), row.tries))
        return found

    patch(outbox, "claim_calls", claim_calls)


@bug("product fate=(down|500)")
def a_call_that_failed_is_dropped(patch: Patch) -> None:
    """What the product does not take at once is counted as told."""
    real = outbox.settle_call

    def settle_call(session: Session, call: Any, heard: Any, now: datetime) -> None:
        real(session, call, replace(heard, taken=True), now)

    patch(outbox, "settle_call", settle_call)
