"""A policy in words."""

from __future__ import annotations

import pytest

from dunning.config import describe
from tests.config.files import EXAMPLE, load, policy_of


def test_the_example_in_words() -> None:
    assert describe(load(EXAMPLE).policies["standard"]) == [
        (
            "When the charge first fails: write to the customer (payment_failed),"
            " between 09:00 and 18:00."
        ),
        "1 day after the first failure: try the charge again.",
        "3 days after the first failure, at the next 08:00: try the charge again.",
        (
            "3 days after the first failure: write to the customer (reminder),"
            " between 09:00 and 18:00."
        ),
        (
            "7 days after the first failure, moved to a payday (the 1st, the 15th or the last day"
            " of a month), else a working day (Monday to Friday) if one is within 3 days:"
            " try the charge again."
        ),
        "10 days after the first failure: restrict access.",
        (
            "11 days after the first failure: write to the customer (final_notice),"
            " between 09:00 and 18:00."
        ),
        "1 day before suspension, 13 days after the first failure: try the charge again.",
        "14 days after the first failure: suspend access; later invoices wait as drafts.",
        "21 days after the first failure: try the charge again.",
        (
            "28 days after the first failure: give up: cancel the subscription and mark the invoice"
            " uncollectible."
        ),
    ]


def test_what_moves_a_step_in_words() -> None:
    policy = policy_of(
        "{at: 1d, do: retry, name: first, on: [friday, 25, last_day], within: 5d}",
        "{after: first 2d, do: retry, on: payday, jitter: 90m}",
        '{after: suspend 1h, do: email, template: reminder, between: "10:00-12:00"}',
        "{after: restrict 0h, do: retry, on: business_day, within: 1d}",
        "{at: 5d, do: restrict}",
        "{at: 14d, do: suspend}",
        policy='grace: 14d, window: 20d, paydays: 23, send_between: "09:00-18:00"',
    )
    assert describe(policy)[:-1] == [
        (
            "1 day after the first failure, moved to a Friday, else the 25th, else the last day of"
            " a month if one is within 5 days: try the charge again."
        ),
        (
            "2 days after first, 3 days after the first failure, moved to a payday (the"
            " 23rd) if one is within 3 days, up to 90 minutes later by"
            " chance: try the charge again."
        ),
        (
            "Just after restricting, 5 days after the first failure, moved to a day on which the"
            " customer's country works if one is within 1 day: try the charge again."
        ),
        "5 days after the first failure: restrict access.",
        "14 days after the first failure: suspend access; later invoices wait as drafts.",
        (
            "1 hour after suspension, 337 hours after the first failure, between 10:00 and 12:00:"
            " write to the customer (reminder)."
        ),
    ]


def test_they_come_in_the_order_of_time_and_end_with_the_end() -> None:
    policy = policy_of(
        "{at: 14d, do: suspend, collection: void}",
        "{at: 36h, do: retry}",
        "{at: 90m, do: email, template: reminder}",
        "{before: give_up 0h, do: retry}",
        policy="grace: 14d, window: 20d",
    )
    assert describe(policy) == [
        "90 minutes after the first failure: write to the customer (reminder).",
        "36 hours after the first failure: try the charge again.",
        "14 days after the first failure: suspend access; later invoices are voided.",
        "Just before giving up, 20 days after the first failure: try the charge again.",
        (
            "20 days after the first failure: give up: keep the subscription and leave the invoice"
            " open."
        ),
    ]


@pytest.mark.parametrize(
    ("retries", "words"),
    [
        ("ours", "try the charge again"),
        ("provider", "no charge of ours, as the provider owns the retries"),
        ("provider_first", "try the charge again, once the provider has stopped trying"),
        ("signal", "tell the billing system to try the charge again"),
    ],
)
def test_who_charges(retries: str, words: str) -> None:
    policy = policy_of("{at: 1d, do: retry}", policy=f"grace: 1d, window: 9d, retries: {retries}")
    assert describe(policy)[0] == f"1 day after the first failure: {words}."
