"""What a policy says beside its timeline, and what its steps tell the product."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from dunning.config import describe
from dunning.core.events import OnCancel, StepKind
from dunning.core.policy import Policy, Reach, from_data, to_data
from dunning.errors import ConfigError
from tests.config.files import load, policy_of, text_of

RETRY = "{at: 1d, do: retry}"


def content(*lines: str, more: str = "") -> str:
    """A file whose one policy says this as well, each part after a bar on a line of its own."""
    keys = "".join(f"    {part.strip()}\n" for part in more.split("|") if part)
    return text_of(*lines).replace("    timeline:\n", f"{keys}    timeline:\n", 1)


def saying(more: str, *lines: str) -> Policy:
    return load(content(*(lines or (RETRY,)), more=more)).policies["p"]


def refusal(*lines: str, more: str = "") -> str:
    with pytest.raises(ConfigError) as caught:
        load(content(*(lines or (RETRY,)), more=more))
    return str(caught.value)


def test_what_is_said_is_read_and_kept() -> None:
    found = saying(
        "access: {scope: customer} | on_cancel: void_if_wholly_unpaid |"
        " backup_methods: {order: [card, sepa_debit], also: after_last_retry}"
    )
    assert (found.access, found.on_cancel) == (Reach.CUSTOMER, OnCancel.VOID_IF_WHOLLY_UNPAID)
    assert found.backup_methods == ("card", "sepa_debit")
    assert found.backup_after_last_retry
    assert from_data(json.loads(json.dumps(to_data(found)))) == found


def test_what_is_not_said_is_as_it_was_before_there_were_these_keys() -> None:
    plain = policy_of(RETRY)
    assert (plain.access, plain.on_cancel) == (Reach.SUBSCRIPTION, OnCancel.CLOSE)
    assert plain.backup_methods == ()
    assert not {"access", "on_cancel", "backup_methods"} & to_data(plain).keys()
    said = saying("access: {scope: subscription} | on_cancel: close | promises: 7d")
    assert said.version == plain.version


@pytest.mark.parametrize(
    ("said", "within", "most"),
    [("10d", 10, 1), ("{within: 5d}", 5, 1), ("{within: 48h, most: 3}", 2, 3), ("off", 0, 1)],
)
def test_what_customers_may_promise(said: str, within: int, most: int) -> None:
    found = saying(f"promises: {said}")
    assert (found.promise_within, found.promise_most) == (timedelta(days=within), most)
    assert from_data(json.loads(json.dumps(to_data(found)))) == found
    assert found.version != policy_of(RETRY).version
    assert any("promise" in sentence for sentence in describe(found))


@pytest.mark.parametrize("order", ["card", "[card]", "{order: card}", "{order: [card]}"])
def test_one_method_needs_no_list(order: str) -> None:
    found = saying(f"backup_methods: {order}")
    assert (found.backup_methods, found.backup_after_last_retry) == (("card",), False)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("access: customer", "policies.p.access: expected keys and values with scope"),
        ("access: {scope: team}", "'team' is not something that access hangs on; expected one of"),
        ("access: {}", "`scope` is missing; expected subscription or customer"),
        ("on_cancel: forgive", "'forgive' is not an end of what is owed; expected one of close,"),
        ("backup_methods: []", "an empty list; expected types of payment methods"),
        ("backup_methods: [card, any]", "`any` beside others; expected it alone"),
        ("backup_methods: [card, card]", "'card' is given twice"),
        ("backup_methods: Visa", "'Visa' is not a type of payment method"),
        ("backup_methods: {also: after_last_retry}", "`order` is missing; expected a type of"),
        ("backup_methods: {order: any, also: never}", "'never' is not a moment here"),
        ("promises: never", "policies.p.promises: 'never' is not a duration"),
        ("promises: 12h", "12h; expected 1d to 31d, or `promises: off`"),
        ("promises: 32d", "32d; expected 1d to 31d, or `promises: off`"),
        ("promises: {most: 2}", "`within` is missing; expected how far ahead, such as 7d"),
        ("promises: {within: 7d, most: 0}", "'0' is not a whole number from 1 to 20"),
    ],
)
def test_what_is_wrong_is_said(more: str, expected: str) -> None:
    assert expected in refusal(more=more)


def test_what_the_product_hears_is_text_by_name() -> None:
    found = policy_of(
        "{at: 1d, do: announce, name: show_banner, tell: {banner: red, times: 3, loud: yes}}",
        "{at: 2d, do: restrict, tell: {exports: off}}",
    )
    announce, restrict = found.timeline
    assert announce.do is StepKind.ANNOUNCE
    assert announce.tell == (("banner", "red"), ("loud", "yes"), ("times", "3"))
    assert restrict.tell == (("exports", "off"),)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{at: 1d, do: announce}", "`name` is missing; expected what the product knows the"),
        ("{at: 1d, do: retry, tell: {a: b}}", "only announce and restrict and suspend have it"),
        ("{at: 1d, do: announce, name: x, tell: {}}", "0 pairs; expected 1 to 20, such as"),
        ("{at: 1d, do: announce, name: x, tell: red}", "expected keys and values; found 'red'"),
        ("{at: 1d, do: announce, name: x, tell: {a: [b]}}", "expected a value, which is passed on"),
        (f"{{at: 1d, do: announce, name: x, tell: {{a: {'x' * 201}}}}}", "too long"),
    ],
)
def test_what_the_product_cannot_hear_is_refused(line: str, expected: str) -> None:
    assert expected in refusal(line)


def test_two_announcements_at_one_place_are_two() -> None:
    found = policy_of("{at: 1d, do: announce, name: one}", "{at: 1d, do: announce, name: two}")
    assert [rung.name for rung in found.timeline] == ["one", "two"]


def test_all_of_it_in_words() -> None:
    found = saying(
        "access: {scope: customer} | on_cancel: keep |"
        " backup_methods: {order: [card, sepa_debit], also: after_last_retry}",
        "{at: 1d, do: announce, name: show_banner, tell: {banner: red}}",
        "{at: 2d, do: restrict, tell: {exports: off}}",
        "{at: 14d, do: suspend}",
        "{at: 28d, do: give_up, subscription: unpaid, invoice: keep}",
    )
    assert describe(found) == [
        "1 day after the first failure: tell the product: show_banner (banner: red).",
        (
            "2 days after the first failure: restrict access to all that the customer has"
            " (exports: off)."
        ),
        (
            "14 days after the first failure: suspend access to all that the customer has; later"
            " invoices wait as drafts."
        ),
        (
            "28 days after the first failure: give up: switch the service off, while later invoices"
            " wait as drafts, and leave the invoice open."
        ),
        "If the customer cancels, what is owed is pursued all the same.",
        (
            "When the present method may not be charged any more, or after the last retry before a"
            " door: charge another saved method of the customer (card, then sepa_debit), each once."
        ),
    ]


def test_pausing_and_voiding_in_words() -> None:
    found = saying(
        "on_cancel: void | backup_methods: any", "{at: 28d, do: give_up, subscription: pause}"
    )
    assert describe(found) == [
        (
            "28 days after the first failure: give up: pause the subscription, whose later invoices"
            " are voided, and leave the invoice open."
        ),
        "If the customer cancels, the invoice is voided.",
        (
            "When the present method may not be charged any more: charge another saved method of"
            " the customer (whatever its type), each once."
        ),
    ]
