"""Each key of a policy file does what it says, seen from outside; ignored, its story fails.

`retries` has its stories in test_who_owns_the_retries, `subscription` and `invoice` in
test_cancelled_or_ended, `timezone` in test_time_and_language.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from dunning.core.local import chance
from dunning.errors import ConfigError
from tests.scenarios.conftest import Begin
from tests.staging import SECRET
from tests.world import World

OPENED = "product case.opened"


def policy(*lines: str, grace: str = "20d", window: str = "25d", more: str = "") -> str:
    """A policy file with one policy of these lines."""
    timeline = "\n".join(f"      - {{{line}}}" for line in lines)
    return f"""
version: 1
policies:
  standard:
    grace: {grace}
    window: {window}
    {more}
    timeline:
{timeline}
"""


# What the policy says, what happens at once, and the hours after which each later thing happens.
KEYS: dict[str, tuple[str, list[str], list[tuple[float, list[str]]]]] = {
    "at": (
        policy("at: 0h, do: email, template: payment_failed", "at: 36h, do: retry"),
        [OPENED, "email payment_failed"],
        [(35.9, []), (0.2, ["retry:1 declined"])],
    ),
    "at the failure itself": (
        policy("at: 0h, do: restrict"),
        [OPENED, "restrict:1", "product access.restricted"],
        [(24, [])],
    ),
    "before": (
        policy(
            "before: suspend 2d, do: retry",
            "at: 20d, do: suspend",
            "before: give_up 1d, do: email, template: final_notice",
            "at: 25d, do: give_up",
        ),
        [OPENED],
        [
            (18 * 24 - 0.1, []),
            (0.2, ["retry:1 declined"]),
            (48, ["suspend:1", "product access.suspended", "email suspended"]),
            (4 * 24, ["email final_notice"]),
        ],
    ),
    "do: restrict": (
        policy("at: 1d, do: restrict"),
        [OPENED],
        [(24, ["restrict:1", "product access.restricted"]), (24, [])],
    ),
    "do: suspend": (
        policy("at: 1d, do: suspend", grace="1d"),
        [OPENED],
        [(24, ["suspend:1", "product access.suspended", "email suspended"]), (24, [])],
    ),
    "template": (
        policy("at: 0h, do: email, template: final_notice"),
        [OPENED, "email final_notice"],
        [(24, [])],
    ),
    "time": (
        policy('at: 1d, do: retry, time: "22:30"'),
        [OPENED],
        [(35.4, []), (0.2, ["retry:1 declined"])],
    ),
    "send_between": (
        policy("at: 0h, do: email, template: payment_failed", more='send_between: "20:00-21:00"'),
        [OPENED],
        [(8.9, []), (0.2, ["email payment_failed"])],
    ),
    "quiet_days": (
        # Two days after noon of Thursday 2 April is a Saturday.
        policy(
            "at: 2d, do: email, template: payment_failed", more="quiet_days: [saturday, sunday]"
        ),
        [OPENED],
        [(3 * 24 + 12.5, []), (0.5, ["email payment_failed"])],
    ),
    "on: weekday": (
        # Two days after Thursday 2 April is a Saturday.
        policy("at: 2d, do: retry, on: weekday"),
        [OPENED],
        [(95.9, []), (0.2, ["retry:1 declined"])],
    ),
    "on: payday": (
        # Ten days after Thursday 2 April is the 12th, three days ahead of the 15th.
        policy("at: 10d, do: retry, on: [payday, weekday]"),
        [OPENED],
        [(13 * 24 - 0.1, []), (0.2, ["retry:1 declined"])],
    ),
    "after and name": (
        policy("at: 1d, do: retry, name: first", "after: first 2d, do: retry"),
        [OPENED],
        [(23.9, []), (0.2, ["retry:1 declined"]), (47.8, []), (0.2, ["retry:2 declined"])],
    ),
    "between": (
        policy('at: 1d, do: retry, between: "20:00-21:00"'),
        [OPENED],
        [(32.9, []), (0.2, ["retry:1 declined"])],
    ),
    "on a day of the month, within": (
        policy("at: 2d, do: retry, on: 10, within: 7d"),
        [OPENED],
        [(8 * 24 - 0.1, []), (0.2, ["retry:1 declined"])],
    ),
    "paydays": (
        policy("at: 1d, do: retry, on: payday", more="paydays: [5, last_day]"),
        [OPENED],
        [(71.9, []), (0.2, ["retry:1 declined"])],
    ),
    "window": (
        policy("at: 1d, do: retry", grace="2d", window="3d"),
        [OPENED],
        [(71.9, ["retry:1 declined"]), (0.2, ["give_up:1", "product case.lost"])],
    ),
}


@pytest.mark.parametrize("key", KEYS)
def test_the_key_does_what_it_says(begin: Begin, key: str) -> None:
    text, at_once, later = KEYS[key]
    world = begin(policy=text)
    world.failing(times=9, at_once=at_once)
    for hours, expect in later:
        world.passes(hours=hours, expect=expect)


# Where the customer lives counts: how late it is there, and which days are worked.
THERE: dict[str, tuple[str, str, float]] = {
    # The failure is on Thursday 2 April at 20:00 in Japan.
    "time": ("JP", 'at: 1d, do: retry, time: "08:00"', 36),
    # Good Friday and Easter Monday are holidays in Germany.
    "on: business_day": ("DE", "at: 1d, do: retry, on: business_day, within: 5d", 120),
    "on: business_day, elsewhere": ("US", "at: 1d, do: retry, on: business_day, within: 5d", 24),
}


@pytest.mark.parametrize("key", THERE)
def test_the_customers_country_counts(begin: Begin, key: str) -> None:
    country, line, hours = THERE[key]
    world = begin(policy=policy(line))
    world.failing(times=9, at_once=[OPENED], address={"country": country})
    world.passes(hours=hours - 0.1, expect=[])
    world.passes(hours=0.2, expect=["retry:1 declined"])


def test_jitter_spreads_what_is_due_at_one_moment(begin: Begin) -> None:
    world = begin(policy=policy("at: 1d, do: retry, jitter: 8h"))
    case = world.case(world.failing(times=9, at_once=[OPENED]))
    opened, due = (datetime.fromisoformat(case[key]) for key in ("opened_at", "next_at"))
    jitter = chance(f"{case['id']}/retry:1", timedelta(hours=8))
    assert timedelta(0) < jitter < timedelta(hours=8)
    assert due - opened == timedelta(days=1) + jitter


def test_a_suspension_before_the_grace_has_ended_is_refused_before_anybody_suffers(
    begin: Begin,
) -> None:
    with pytest.raises(ConfigError, match="before the grace of 6d ends"):
        begin(policy=policy("at: 5d, do: suspend", grace="6d"))


@pytest.mark.parametrize("behaviour", ["keep_as_draft", "mark_uncollectible", "void", "go_on"])
def test_collection_says_what_becomes_of_later_invoices(begin: Begin, behaviour: str) -> None:
    line = f"at: 1d, do: suspend, collection: {behaviour}"
    world = begin(policy=policy(line, grace="1d", window="60d"))
    ann = world.failing(at_once=[OPENED], times=1)
    world.passes(days=1, expect=["suspend:1", "product access.suspended", "email suspended"])
    pause = world.stripe.v1.subscriptions.retrieve(ann.subscription).pause_collection
    assert (pause.behavior if pause else "go_on") == behaviour
    world.passes(days=31)
    later = world.stripe.v1.invoices.list({"subscription": ann.subscription, "limit": 1}).data[0]
    ends = {"keep_as_draft": "draft", "mark_uncollectible": "uncollectible", "go_on": "paid"}
    assert later.status == ends.get(behaviour, behaviour)


CHOOSING = """
version: 1
policies:
  chosen: {{grace: 9d, window: 9d, timeline: [{{at: 0h, do: restrict}}]}}
  other: {{grace: 9d, window: 9d, timeline: [{{at: 9d, do: suspend}}]}}
choose:
  - {{when: {{{when}}}, policy: chosen}}
  - {{policy: other}}
"""
CHOICES: list[tuple[str, dict[str, Any], bool]] = [
    ("amount: {at_least: 100 USD}", {"amount": 10_000}, True),
    ("amount: {at_least: 100 USD}", {"amount": 9_999}, False),
    ("amount: {at_least: 100 USD}", {"amount": 20_000, "currency": "eur"}, False),
    ("amount: {below: 100 USD}", {"amount": 9_999}, True),
    ("amount: {below: 100 USD}", {"amount": 10_000}, False),
    ("currency: [EUR, GBP]", {"currency": "gbp"}, True),
    ("currency: EUR", {"currency": "usd"}, False),
    ("country: [DE, AT]", {"address": {"country": "AT"}}, True),
    ("country: DE", {"address": {"country": "FR"}}, False),
    ("country: DE", {}, False),
    ("product: prod_gold", {"product": "prod_gold"}, True),
    ("product: prod_gold", {"product": "prod_iron"}, False),
    ("metadata: {tier: gold}", {"subscription": {"metadata": {"tier": "gold"}}}, True),
    ("metadata: {tier: gold}", {"subscription": {"metadata": {"tier": "iron"}}}, False),
    ("amount: {at_least: 1 USD}, currency: EUR", {}, False),
]


@pytest.mark.parametrize(("when", "facts", "fits"), CHOICES)
def test_the_policy_is_chosen_by_what_the_invoice_is(
    begin: Begin, when: str, facts: dict[str, Any], fits: bool
) -> None:
    world = begin(policy=CHOOSING.format(when=when))
    if name := facts.get("product"):
        world.stripe.v1.products.create({"id": name, "name": "Gold"})
    chosen = [OPENED, "restrict:1", "product access.restricted"]
    ann = world.failing(at_once=chosen if fits else [OPENED], times=9, **facts)
    assert world.case(ann)["policy"] == ("chosen" if fits else "other")


def test_each_source_has_the_policy_chosen_for_it(begin: Begin) -> None:
    sources = """
sources:
  - name: stripe
    provider: stripe
    api_key_env: STRIPE_API_KEY
    webhook_secrets_env: [STRIPE_WEBHOOK_SECRET]
  - {name: second, provider: stripe, webhook_secrets_env: [STRIPE_WEBHOOK_SECRET]}
"""
    world = begin(policy=CHOOSING.format(when="source: stripe") + sources)
    address = world.program.settings.public_url
    world.sandbox.add_webhook(f"{address}/webhooks/second", SECRET)
    world.failing(
        times=9,
        at_once=[OPENED, OPENED, "restrict:1", "product access.restricted"],
    )
    by_source = {case["source"]: case["policy"] for case in world.cases()}
    assert by_source == {"stripe": "chosen", "second": "other"}


def test_a_case_keeps_the_policy_it_began_under(world: World) -> None:
    """The version is the content's, and stands in the case."""
    ann = world.failing(times=9)
    version = world.case(ann)["policy_version"]
    assert version == world.program.policies.current.policies["standard"].version
    world.passes(days=3)
    assert world.case(ann)["policy_version"] == version
