"""Subscriptions: begin, renew on the virtual clock, pause, resume, end."""

from __future__ import annotations

from typing import Any

from dunning.sandbox import collecting, substates
from dunning.sandbox.cycles import cycle_invoice, next_end, period, set_period, upcoming
from dunning.sandbox.errors import Obj, refused
from dunning.sandbox.events import emit, emit_updated
from dunning.sandbox.invoices import (
    announce,
    finalize,
    recount,
    schedule_finalizing,
    void,
)
from dunning.sandbox.jobs import job
from dunning.sandbox.render import list_of, plan_of
from dunning.sandbox.world import DAY, HOUR, World, snapshot

_INCOMPLETE_EXPIRES = 23 * HOUR
_TRIAL_NOTICE = 3 * DAY


def new_subscription(
    world: World, customer: Obj, prices: list[tuple[Obj, int]], **facts: Any
) -> Obj:
    """The object alone, with its items; nothing billed yet."""
    key = world.id("sub")
    start = facts.get("current_period_start", world.now)
    end = facts.pop("current_period_end", world.now)
    facts.pop("current_period_start", None)
    items = [_item(world, key, price, quantity, start, end) for price, quantity in prices]
    subscription: Obj = {
        "id": key,
        "object": "subscription",
        "application": None,
        "application_fee_percent": None,
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_cycle_anchor": world.now,
        "billing_cycle_anchor_config": None,
        "billing_mode": {"flexible": None, "type": "classic"},
        "billing_schedules": [],
        "billing_thresholds": None,
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "cancellation_details": {"comment": None, "feedback": None, "reason": None},
        "collection_method": "charge_automatically",
        "created": world.now,
        "currency": prices[0][0]["currency"],
        "customer": customer["id"],
        "customer_account": None,
        "days_until_due": None,
        "default_payment_method": None,
        "default_source": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [],
        "ended_at": None,
        "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
        "items": list_of(items, f"/v1/subscription_items?subscription={key}"),
        "latest_invoice": None,
        "livemode": False,
        "managed_payments": None,
        "metadata": {},
        "next_pending_invoice_item_invoice": None,
        "on_behalf_of": None,
        "pause_collection": None,
        "payment_settings": {
            "payment_method_options": None,
            "payment_method_types": None,
            "save_default_payment_method": "off",
        },
        "pending_invoice_item_interval": None,
        "pending_setup_intent": None,
        "pending_update": None,
        "schedule": None,
        "start_date": world.now,
        "status": "active",
        "test_clock": customer["test_clock"],
        "transfer_data": None,
        "trial_end": None,
        "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}},
        "trial_start": None,
        **facts,
    }
    return world.add(subscription)


def _item(world: World, key: str, price: Obj, quantity: int, start: int, end: int) -> Obj:
    return {
        "id": world.id("si", 14),
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": world.now,
        "current_period_end": end,
        "current_period_start": start,
        "discounts": [],
        "metadata": {},
        "plan": plan_of(price),
        "price": snapshot(price),
        "quantity": quantity,
        "subscription": key,
        "tax_rates": [],
    }


# --- beginning ---------------------------------------------------------------------------------
def begin(world: World, subscription: Obj, *, behavior: str, prorate: bool) -> None:
    """The first period and its invoice; afterwards the status says how the payment went."""
    anchor = subscription["billing_cycle_anchor"]
    if subscription["trial_end"] is not None:
        _begin_trial(world, subscription)
        return
    if anchor > world.now:
        set_period(subscription, world.now, anchor)
    else:
        set_period(subscription, world.now, next_end(subscription, world.now))
    subscription["status"] = "active_at_once"  # settled below, never shown
    invoice = cycle_invoice(world, subscription, "subscription_create", auto=True)
    if anchor > world.now:
        _prorate(subscription, invoice, world.now, anchor, prorate)
    announce(world, invoice)
    finalize(world, invoice, collect=False)
    if invoice["status"] == "open":
        _first_payment(world, subscription, invoice, behavior)
    if subscription["status"] == "active_at_once":
        subscription["status"] = "active"
    emit(world, "customer.subscription.created", subscription)
    schedule(world, subscription)


def _begin_trial(world: World, subscription: Obj) -> None:
    end = subscription["trial_end"]
    subscription["status"] = "trialing"
    subscription["trial_start"] = world.now
    subscription["billing_cycle_anchor"] = end
    set_period(subscription, world.now, end)
    invoice = cycle_invoice(world, subscription, "subscription_create", auto=True)
    for line in invoice["lines"]["data"]:
        line["amount"] = line["subtotal"] = 0
    recount(invoice)
    announce(world, invoice)
    finalize(world, invoice, collect=False)
    emit(world, "customer.subscription.created", subscription)
    notice = max(world.now, end - _TRIAL_NOTICE)
    world.at(notice, "subscription.trial_will_end", subscription["id"])
    schedule(world, subscription)


def _prorate(subscription: Obj, invoice: Obj, now: int, anchor: int, prorate: bool) -> None:
    full = next_end(subscription, anchor) - anchor
    share = (anchor - now) / full if prorate else 0.0
    for line in invoice["lines"]["data"]:
        line["amount"] = line["subtotal"] = round(line["amount"] * min(1.0, share))
    recount(invoice)


def _first_payment(world: World, subscription: Obj, invoice: Obj, behavior: str) -> None:
    if subscription["collection_method"] == "send_invoice":
        return
    world.at(world.now + _INCOMPLETE_EXPIRES, "subscription.expire", subscription["id"])
    if behavior == "default_incomplete":
        subscription["status"] = "incomplete"
        return
    if behavior == "error_if_incomplete":
        collecting.pay_or_raise(world, invoice)
        return
    collecting.pay(world, invoice)
    if invoice["status"] == "open":
        # Stripe does not repeat the payment of a beginning by itself.
        substates.stop_collection(world, invoice)


@job("subscription.expire")
def _expire_job(world: World, key: str) -> None:
    """An unpaid beginning is given 23 hours."""
    subscription = world.find("subscription", key)
    if subscription is None or subscription["status"] != "incomplete":
        return
    invoice = world.find("invoice", subscription["latest_invoice"])
    if invoice is not None and invoice["status"] == "open":
        void(world, invoice)
    elif subscription["status"] == "incomplete":
        substates.end(world, subscription, "payment_failed", status="incomplete_expired")


# --- renewing ----------------------------------------------------------------------------------
def schedule(world: World, subscription: Obj) -> None:
    """Put the end of the current period, and the notice before it, on the calendar."""
    _, end = period(subscription)
    world.at(end, "subscription.renew", subscription["id"], end)
    notice = end - world.settings.upcoming_seconds
    if world.settings.upcoming_seconds and notice >= world.now:
        world.at(notice, "subscription.upcoming", subscription["id"], end)


@job("subscription.renew")
def _renew_job(world: World, key: str, planned: int) -> None:
    subscription = world.find("subscription", key)
    if subscription is None or subscription["status"] in substates.ENDED:
        return
    if subscription["status"] in ("paused", "incomplete") or period(subscription)[1] != planned:
        return
    if subscription["cancel_at_period_end"]:
        substates.end(world, subscription, "cancellation_requested")
        return
    before = snapshot(subscription)
    if subscription["status"] == "trialing" and not _end_trial(world, subscription):
        return
    set_period(subscription, planned, next_end(subscription, planned))
    _end_pause_when_due(world, subscription)
    auto = subscription["status"] != "unpaid"
    paused = (subscription["pause_collection"] or {}).get("behavior")
    invoice = cycle_invoice(
        world, subscription, "subscription_cycle", auto=auto and paused != "keep_as_draft"
    )
    emit_updated(world, "customer.subscription.updated", subscription, before)
    announce(world, invoice)
    if invoice["auto_advance"]:
        schedule_finalizing(world, invoice)
    schedule(world, subscription)


def _end_trial(world: World, subscription: Obj) -> bool:
    """False when the trial ends in a pause or an end because nobody left a method."""
    missing = subscription["trial_settings"]["end_behavior"]["missing_payment_method"]
    probe = {
        "customer": subscription["customer"],
        "default_payment_method": None,
        "default_source": None,
        "parent": {"subscription_details": {"subscription": subscription["id"]}},
    }
    if missing != "create_invoice" and collecting.choose_method(world, probe) is None:
        if missing == "cancel":
            substates.end(world, subscription, "payment_failed")
        else:
            pause(world, subscription, "trial_end_without_payment_method")
        return False
    subscription["status"] = "active"
    return True


@job("subscription.cancel_at")
def _cancel_at_job(world: World, key: str, planned: int) -> None:
    subscription = world.find("subscription", key)
    if subscription is None or subscription["cancel_at"] != planned:
        return
    if subscription["status"] not in substates.ENDED:
        substates.end(world, subscription, "cancellation_requested")


@job("subscription.trial_will_end")
def _trial_notice_job(world: World, key: str) -> None:
    subscription = world.find("subscription", key)
    if subscription is not None and subscription["status"] == "trialing":
        emit(world, "customer.subscription.trial_will_end", subscription)


@job("subscription.upcoming")
def _upcoming_job(world: World, key: str, planned: int) -> None:
    subscription = world.find("subscription", key)
    if subscription is None or subscription["status"] not in ("active", "trialing", "past_due"):
        return
    if period(subscription)[1] != planned or subscription["cancel_at_period_end"]:
        return
    emit(world, "invoice.upcoming", upcoming(world, subscription))


# --- pausing -----------------------------------------------------------------------------------
def _end_pause_when_due(world: World, subscription: Obj) -> None:
    pause_collection = subscription["pause_collection"]
    if pause_collection and (pause_collection["resumes_at"] or world.now + 1) <= world.now:
        subscription["pause_collection"] = None


@job("subscription.resume_collection")
def _resume_collection_job(world: World, key: str) -> None:
    subscription = world.find("subscription", key)
    if subscription is None:
        return
    before = snapshot(subscription)
    _end_pause_when_due(world, subscription)
    emit_updated(world, "customer.subscription.updated", subscription, before)


def pause(world: World, subscription: Obj, why: str = "pause_requested") -> None:
    """Real pause: no invoices at all until resumed."""
    if subscription["status"] in substates.ENDED or subscription["status"] == "paused":
        raise refused(f"A {subscription['status']} subscription cannot be paused.")
    before = snapshot(subscription)
    subscription["status"] = "paused"
    subscription["status_details"] = {
        "paused": {
            "subscription": {"type": why},
            "transitioned_at": world.now,
            "type": "subscription",
        }
    }
    emit(world, "customer.subscription.paused", subscription)
    emit_updated(world, "customer.subscription.updated", subscription, before)


def resume(world: World, subscription: Obj) -> None:
    """A new cycle begins now, with an invoice for it."""
    if subscription["status"] != "paused":
        raise refused("You can only resume a subscription that is paused.")
    before = snapshot(subscription)
    subscription["status"] = "active"
    subscription.pop("status_details", None)
    subscription["billing_cycle_anchor"] = world.now
    set_period(subscription, world.now, next_end(subscription, world.now))
    invoice = cycle_invoice(world, subscription, "subscription_update", auto=True)
    emit(world, "customer.subscription.resumed", subscription)
    emit_updated(world, "customer.subscription.updated", subscription, before)
    announce(world, invoice)
    finalize(world, invoice)
    schedule(world, subscription)


def try_until(world: World, subscription: Obj, end: int) -> None:
    """A trial that begins, or is made longer: the next bill is moved to its end."""
    subscription["status"], subscription["trial_end"] = "trialing", end
    subscription["trial_start"] = subscription["trial_start"] or world.now
    subscription["billing_cycle_anchor"] = end
    set_period(subscription, world.now, end)
    schedule(world, subscription)


def end_trial_now(world: World, subscription: Obj) -> None:
    """The customer's trial is cut short; the first real period begins."""
    subscription["trial_end"] = world.now
    subscription["billing_cycle_anchor"] = world.now
    start, _ = period(subscription)
    set_period(subscription, start, world.now)
    _renew_job(world, subscription["id"], world.now)
