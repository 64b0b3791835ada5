"""What providers told us of customers, subscriptions, cards and charges, as last heard.

Kept for all of them, case or not, so that a case that opens late still knows of the new card or
the cancellation that came first.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from dunning.clock import from_unix, rfc3339
from dunning.core.ahead import outlook_from, outlook_to, upcoming_to
from dunning.core.declines import Override, advise
from dunning.core.events import (
    Attempt,
    BillingEvent,
    CustomerReported,
    Exempted,
    ExemptionLifted,
    InvoiceReported,
    MethodChanged,
    MethodNews,
    RenewalUpcoming,
    SubscriptionReported,
)
from dunning.core.facts import Case
from dunning.core.heard import details_of, monthly_of, pairs_from, pairs_to, read_details
from dunning.core.merge import earliest, latest
from dunning.core.monthly import Monthly, merged, newest
from dunning.desk import Desk, Named, Row
from dunning.store import CustomerRow, MethodRow, SubscriptionRow, table_of

Known = CustomerRow | SubscriptionRow | MethodRow
# As of when a row is that says who it is of, and nothing more yet.
UNHEARD = from_unix(0)
# A customer of whom it is known that they chose no way to pay for all they have.
NO_DEFAULT = "none"


class Mirror:
    """The provider's facts of one source, as a batch has them in hand.

    `watching`: as of when somebody is to see anew what lies ahead of whom there is news of.
    """

    def __init__(self, desk: Desk, source: str, watching: datetime | None = None) -> None:
        self._desk = desk
        self._source = source
        self._watching = watching

    def take(
        self,
        event: MethodChanged
        | CustomerReported
        | SubscriptionReported
        | RenewalUpcoming
        | Exempted
        | ExemptionLifted,
    ) -> None:
        """Remember news that is not of one invoice; what is older adds nothing."""
        if self._watching is not None:
            self._look_again(event.customer, self._watching)
        match event:
            case Exempted() | ExemptionLifted():
                key = Named(self._source, event.customer)
                self._desk.exemptions.put(key, _of_exemption(self._source, event))
            case CustomerReported():
                self._customer(event)
            case SubscriptionReported():
                self._subscription(event)
            case MethodChanged():
                self._method(event)
            case RenewalUpcoming():
                self._announced(event)

    def known(self, customer: str, subscription: str | None) -> Iterator[BillingEvent]:
        """What was heard before the case began, as the events it would have heard."""
        row = self._desk.customers.get(Named(self._source, customer))
        if row is not None:
            method = row["method"]
            card = self._desk.methods.get(Named(self._source, method)) if method else None
            yield from _of_customer(row, card["type"] if card else None)
        said = self._desk.exemptions.get(Named(self._source, customer))
        if said is not None:
            yield exemption_of(said)
        if subscription:
            sub = self._desk.subscriptions.get(Named(self._source, subscription))
            if sub is not None:
                yield _of_subscription(sub)

    def paid(self, event: InvoiceReported) -> None:
        """Remember what was paid of an invoice: what is paid of it only grows."""
        bill = event.bill
        if bill.paid <= 0 or not bill.customer:
            return
        key = Named(self._source, bill.invoice)
        known = self._desk.revenues.get(key)
        if known is None or known["amount"] < bill.paid:
            told = {"customer": bill.customer, "amount": bill.paid, "currency": bill.currency}
            self._desk.revenues.put(key, {"source": key.source, "id": key.id, **told})

    def _announced(self, event: RenewalUpcoming) -> None:
        """Remember the bill that the provider announced for the end of a term."""
        ends = event.period_end or event.due_at
        if event.subscription is None or ends is None:
            return
        key = Named(self._source, event.subscription)
        row = dict(self._desk.subscriptions.get(key) or _unheard(SubscriptionRow, key))
        told = upcoming_to(event.at, (ends, event.amount, event.currency))
        row["upcoming"] = max(row["upcoming"] or "", told)
        row["customer"] = row["customer"] or event.customer
        self._desk.subscriptions.put(key, row)

    def _look_again(self, customer: str | None, now: datetime) -> None:
        if customer:
            row = {"source": self._source, "customer": customer, "since": now}
            self._desk.look_again.put(Named(self._source, customer), row)

    def remember(self, case: Case, known: Case | None, declines: tuple[Override, ...]) -> None:
        """Write a case's new attempts where the limits of a card are counted, and its links."""
        links = known.links if known else frozenset((case.invoice,))
        for name in sorted(case.links - links):
            self._desk.links.add(Named(self._source, name), case.invoice)
        for attempt in case.attempts:
            if known is None or attempt not in known.attempts:
                row = _of_attempt(self._source, case, attempt, declines)
                self._desk.attempts.put(Named(self._source, attempt.id), row)

    # --- one kind of news each --------------------------------------------------------------

    def _customer(self, event: CustomerReported) -> None:
        key = Named(self._source, event.customer)
        row = dict(self._desk.customers.get(key) or _unheard(CustomerRow, key))
        if event.deleted:
            row["deleted_at"] = earliest(row["deleted_at"], event.at)
        else:
            row["since"] = earliest(row["since"], event.since)
            names = ("email", "name", "locale", "country", "timezone")
            told = {name: getattr(event, name) for name in names}
            if event.metadata is not None:  # the whole of the customer was shown
                told["pairs"] = pairs_to(event.metadata)
                told["default_method"] = event.default_method or NO_DEFAULT
            _take(row, event.at, told)
        self._desk.customers.put(key, row)

    def _subscription(self, event: SubscriptionReported) -> None:
        key = Named(self._source, event.subscription)
        row = dict(self._desk.subscriptions.get(key) or _unheard(SubscriptionRow, key))
        ended_at = row["ended_at"]
        if event.ended_at is not None and (ended_at is None or event.ended_at < ended_at):
            row["ended_at"] = event.ended_at
            row["end_reason"] = event.end_reason
        row["ended_by_us"] = row["ended_by_us"] or event.ended_by_us
        row["customer"] = row["customer"] or event.customer
        names = ("status", "started_at", "recurring", "currency")
        told = {name: getattr(event, name) for name in names}
        shown = event.outlook and outlook_to(event.outlook)
        row["monthly"] = _monthly_to(newest(merged(_monthly_from(row), monthly_of(event))))
        _take(row, event.at, told | {"details": details_of(event), "outlook": shown})
        row["renews_at"] = outlook_from(row["outlook"]).renews_at
        self._desk.subscriptions.put(key, row)

    def _method(self, event: MethodChanged) -> None:
        key = Named(self._source, event.customer)
        row = dict(self._desk.customers.get(key) or _unheard(CustomerRow, key))
        if event.news is MethodNews.NEW:
            heard = (event.at, event.method or "")
            if row["method_at"] is None or heard > (row["method_at"], row["method"] or ""):
                row["method"], row["method_at"] = event.method, event.at
        elif event.news in (MethodNews.CHANGED, MethodNews.NETWORK_UPDATED):
            row["method_fixed_at"] = latest(row["method_fixed_at"], event.at)
        self._desk.customers.put(key, row)
        if event.method:
            self._card(event, event.method)

    def _card(self, event: MethodChanged, method: str) -> None:
        key = Named(self._source, method)
        row = dict(
            self._desk.methods.get(key) or {**_unheard(MethodRow, key), "customer": event.customer}
        )
        if event.news in (MethodNews.REMOVED, MethodNews.MANDATE_GONE):
            row["gone_at"] = latest(row["gone_at"], event.at)
        row["type"] = row["type"] or event.method_type
        names = ("network", "last4", "fingerprint", "exp_month", "exp_year")
        _take(row, event.at, {name: getattr(event, name) for name in names})
        self._desk.methods.put(key, row)


def _unheard(model: type[Known], key: Named) -> Row:
    """A row of which nothing was heard yet."""
    row = dict.fromkeys(column.name for column in table_of(model).c)
    said = {"source": key.source, "id": key.id, "as_of": UNHEARD}
    if model is SubscriptionRow:
        said |= {"status": "", "ended_by_us": False}
    return row | said


def _of_attempt(source: str, case: Case, attempt: Attempt, declines: tuple[Override, ...]) -> Row:
    decline = attempt.decline
    return {
        "source": source,
        "id": attempt.id,
        "case_id": case.id,
        "at": attempt.at,
        "status": attempt.status.value,
        "amount": attempt.amount,
        "currency": attempt.currency,
        "by": attempt.by.value,
        "key": attempt.key,
        "method": attempt.method,
        "method_type": attempt.method_type,
        "network": attempt.network,
        "fingerprint": attempt.fingerprint,
        "decline_code": decline.code or decline.outcome_reason if decline else None,
        "network_code": decline.network_code if decline else None,
        "network_advice_code": decline.network_advice_code if decline else None,
        "advice": advise(decline, declines).advice.value if decline else None,
    }


def _take(row: dict[str, Any], at: datetime, words: Mapping[str, Any]) -> None:
    """The last word on each holds; of two of one moment the greater, whichever came first."""
    for name, told in words.items():
        known = row[name]
        if told is None or told == "":
            continue
        if known is None or known == "" or at > row["as_of"]:
            row[name] = told
        elif at == row["as_of"]:
            row[name] = max(known, told)
    row["as_of"] = max(row["as_of"], at)


def _of_customer(row: Row, kind: str | None) -> Iterator[BillingEvent]:
    """The customer as events; `kind` is what their newest way to pay is."""
    name, customer = f"mirror:{row['id']}", row["id"]
    yield CustomerReported(
        id=name,
        at=row["as_of"],
        customer=customer,
        email=row["email"],
        name=row["name"],
        locale=row["locale"],
        country=row["country"],
        timezone=row["timezone"],
        since=row["since"],
        metadata=pairs_from(row["pairs"]),
    )
    if row["deleted_at"] is not None:
        yield CustomerReported(id=name, at=row["deleted_at"], customer=customer, deleted=True)
    if row["method_at"] is not None:
        yield MethodChanged(
            id=name,
            at=row["method_at"],
            customer=customer,
            news=MethodNews.NEW,
            method=row["method"],
            method_type=kind,
        )
    if row["method_fixed_at"] is not None:
        news, at = MethodNews.CHANGED, row["method_fixed_at"]
        yield MethodChanged(id=name, at=at, customer=customer, news=news)


def exemption_id(customer: str, at: datetime) -> str:
    """The same name each time the same exemption is told of."""
    return f"exemption:{customer}:{at.timestamp():.6f}"


def exemption_of(row: Row) -> Exempted | ExemptionLifted:
    """What a person said of a customer, as the event it was."""
    known = {"customer": row["customer"], "at": row["at"], "why": row["why"], "by": row["by"]}
    name = exemption_id(row["customer"], row["at"])
    if row["act"] == "exempt":
        return Exempted(id=name, until=row["until"], **known)
    return ExemptionLifted(id=name, **known)


def _of_exemption(source: str, event: Exempted | ExemptionLifted) -> Row:
    return {
        "source": source,
        "customer": event.customer,
        "act": "exempt" if isinstance(event, Exempted) else "unexempt",
        "by": event.by,
        "why": event.why,
        "until": event.until if isinstance(event, Exempted) else None,
        "at": event.at,
    }


def _of_subscription(row: Row) -> SubscriptionReported:
    details = read_details(row["details"])
    return SubscriptionReported(
        id=f"mirror:{row['id']}",
        at=row["as_of"],
        subscription=row["id"],
        customer=row["customer"],
        status=row["status"],
        ended_at=row["ended_at"],
        end_reason=row["end_reason"],
        ended_by_us=row["ended_by_us"],
        products=details.products,
        plans=details.plans,
        intervals=details.intervals,
        started_at=row["started_at"],
        yearly=details.yearly.minor if details.yearly else None,
        currency=details.yearly.currency if details.yearly else None,
        metadata=details.metadata,
        heard=_monthly_from(row),
    )


def _monthly_from(row: Row) -> tuple[Monthly, ...]:
    """What was told of what it brings in a month; of a row older than that, its last word."""
    if row["monthly"] is not None:
        told = json.loads(row["monthly"])
        return tuple(Monthly(row["id"], datetime.fromisoformat(at), *rest) for at, *rest in told)
    if row["recurring"] is None or row["currency"] is None:
        return ()
    return (Monthly(row["id"], row["as_of"], row["recurring"], row["currency"]),)


def _monthly_to(told: tuple[Monthly, ...]) -> str | None:
    if not told:
        return None
    said = [[rfc3339(one.at), one.amount, one.currency] for one in told]
    return json.dumps(said, separators=(",", ":"))
