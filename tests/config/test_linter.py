"""The linter: each danger is seen where it is, and nothing is said of what is fine."""

from __future__ import annotations

import pytest

from dunning.config import LintWarning, lint
from tests.config.files import EXAMPLE, load, text_of

# Nothing to say about these; each test adds or removes a line.
EMAIL = "{at: 0h, do: email, template: payment_failed}"
RETRY = "{at: 2d, do: retry}"
NOTICE = "{at: 11d, do: email, template: final_notice}"
SUSPEND = "{at: 14d, do: suspend}"
END = "{at: 28d, do: give_up, subscription: cancel}"
FINE = (EMAIL, RETRY, NOTICE, SUSPEND, END)


def warnings(*lines: str, policy: str = "grace: 14d, window: 28d", more: str = "") -> list[str]:
    """`7:9 sentence advice`."""
    found = lint(load(text_of(*lines, policy=policy, more=more)))
    return [f"{w.line}:{w.column} {w.sentence} {w.advice}" for w in found]


def test_a_good_policy() -> None:
    assert warnings(*FINE) == []


def test_the_example_only_leaves_one_policy_short() -> None:
    assert {warning.path.split(".")[1] for warning in lint(load(EXAMPLE))} == {"patient"}


CASES = [
    ("no retry before suspension", (EMAIL, NOTICE, SUSPEND, "{at: 15d, do: retry}", END),
     "9:9 Access is taken without one retry since the first failure. Add `{before: suspend 1d,"),
    ("only a retry at once", (EMAIL, "{at: 0h, do: retry}", NOTICE, SUSPEND, END),
     "10:9 Access is taken without one retry since the first failure."),
    ("no email a day before", (RETRY, "{at: 13d, do: email, template: payment_failed}", END),
     "8:9 The customer first hears of it after 13d. Write within 3d"),
    ("email too late", (RETRY, "{at: 320h, do: email, template: final_notice}", SUSPEND, END),
     "9:9 Access is taken without an email at least a day before. Add"),
    ("no final notice before suspension", (EMAIL, RETRY, SUSPEND, END),
     "9:9 No final_notice email comes before this step. Add `{before: suspend 3d, do: email, temp"),
    ("final notice too late", (EMAIL, RETRY, SUSPEND,
     "{at: 15d, do: email, template: final_notice}", END),
     "9:9 No final_notice email comes before this step."),
    ("no final notice before the end", (EMAIL, RETRY, END),
     "9:9 No final_notice email comes before this step. Add `{before: give_up 3d, do: email"),
    ("no email", (RETRY, END),
     "7:7 The customer is never written to. Add `{at: 0h, do: email, template: payment_failed}`."),
    ("retries too close", (*FINE, "{at: 71h, do: retry}"),
     "12:9 Only 23h after the retry before; banks repeat their answer. Leave at least 24h"),
    ("retries too close in another order", ("{at: 71h, do: retry}", *FINE),
     "7:9 Only 23h after the retry before"),
    ("retries too close to one before a step", (*FINE, "{before: suspend 287h, do: retry}"),
     "12:9 Only 1h after the retry before"),
    ("too many", (EMAIL, NOTICE, SUSPEND, END, *(f"{{at: {i}d, do: retry}}" for i in range(1, 10))),
     "19:9 9 retries in 30 days; the networks count everybody's tries of a card. Keep to 8;"),
    ("keeps both", (EMAIL, RETRY, NOTICE, SUSPEND, "{at: 28d, do: give_up}"),
     "11:9 Giving up keeps both the subscription and the invoice: service goes on unpaid. Say"),
    ("no end", (EMAIL, RETRY, NOTICE, SUSPEND),
     "7:7 Given up after 28d, with subscription and invoice kept. Add a line with `do: give_up`"),
    ("early end", (EMAIL, RETRY, NOTICE, SUSPEND, "{at: 20d, do: give_up, invoice: void}"),
     "11:9 The case is given up before its window of 28d closes. Set `window: 20d`"),
    ("late limit", (*FINE, "{at: 15d, do: restrict}"),
     "12:9 Restricting comes when access is suspended already. Move it before"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "warning"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_a_dangerous_timeline(lines: tuple[str, ...], warning: str) -> None:
    found = warnings(*lines)
    assert [text for text in found if text.startswith(warning)], found


@pytest.mark.parametrize("name", [case[0] for case in CASES[4:] if "email" not in case[0]])
def test_one_danger_is_one_warning(name: str) -> None:
    lines = next(case[1] for case in CASES if case[0] == name)
    assert len(warnings(*lines)) == 1


def test_a_window_longer_than_a_month() -> None:
    lines = (*FINE[:-1], "{at: 32d, do: give_up, invoice: void}")
    (found,) = warnings(*lines, policy="grace: 14d, window: 32d")
    assert found.startswith("5:13 32d is over a month: the next invoice fails beside this one.")
    lines = (*FINE[:-1], "{at: 31d, do: give_up, invoice: void}")
    assert warnings(*lines, policy="grace: 14d, window: 31d") == []


def test_a_day_between_retries_and_eight_of_them_are_fine() -> None:
    retries = [f"{{at: {i}d, do: retry}}" for i in range(1, 9)]
    assert warnings(EMAIL, NOTICE, SUSPEND, END, *retries) == []


def test_more_than_eight_over_a_longer_time_are_fine() -> None:
    retries = [f"{{at: {i * 4}d, do: retry}}" for i in range(1, 12)]
    lines = (EMAIL, NOTICE, SUSPEND, "{at: 60d, do: give_up, invoice: void}", *retries)
    (found,) = warnings(*lines, policy="grace: 14d, window: 60d")
    assert "over a month" in found


def test_charges_of_the_provider() -> None:
    policy = "grace: 14d, window: 28d, retries: provider"
    assert warnings(EMAIL, NOTICE, SUSPEND, END, policy=policy) == []
    (found,) = warnings(*FINE, policy=policy)
    assert found.startswith("9:9 Retries belong to the provider here, so this one is never made.")


def test_a_policy_nobody_chooses() -> None:
    other = f"  q: {{grace: 14d, window: 28d, timeline: [{', '.join(FINE)}]}}\n"
    content = text_of(*FINE).replace("choose:", f"{other}choose:")
    (found,) = lint(load(content))
    assert found == LintWarning(
        "p.yaml", 12, 6, "policies.q", "No line of `choose` leads to this policy.",
        "Name it there, or remove it.",
    )  # fmt: skip
    assert str(found) == (
        "p.yaml:12:6: policies.q: No line of `choose` leads to this policy."
        " Name it there, or remove it."
    )


def test_a_line_that_is_never_reached() -> None:
    other = f"  q: {{grace: 14d, window: 28d, timeline: [{', '.join(FINE)}]}}\n"
    content = text_of(*FINE, more="choose: [{policy: p}, {policy: q}]\n")
    found = lint(load(content.replace("choose:", f"{other}choose:")))
    assert [(w.path, w.sentence.split(",")[0]) for w in found] == [
        ("policies.q", "No line of `choose` leads to this policy."),
        ("choose.0", "This line matches everything"),
    ]


def test_a_source_s_own_policy_counts_as_chosen() -> None:
    other = f"  q: {{grace: 14d, window: 28d, timeline: [{', '.join(FINE)}]}}\n"
    more = (
        "choose: [{policy: p}]\nsources: [{name: a, provider: stripe, api_key_env: A, policy: q}]\n"
    )
    content = text_of(*FINE, more=more).replace("choose:", f"{other}choose:")
    assert lint(load(content)) == []


def test_other_methods_where_the_charges_are_not_ours() -> None:
    for owner in ("provider", "signal"):
        policy = f"grace: 14d, window: 28d, retries: {owner}, backup_methods: card"
        found = warnings(EMAIL, NOTICE, SUSPEND, END, policy=policy)
        assert any("no other method is ever charged" in line for line in found)
