"""The linter on whole files: branches, conditions, choosing, bank debits, intervals."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import indent

import pytest

from dunning.cli.policy_templates import ready
from dunning.config import RULES, SUBJECTS, LintWarning, lint, load_policies
from dunning.config.lint.standing import clash, covers
from dunning.core.choosing import Terms, When
from dunning.messages import Messages
from tests.config.test_linter import CASES, FINE, email, load

TIMELINE = [f"- {line}" for line in FINE]


def text(
    timeline: str = "\n".join(TIMELINE),
    branches: str = "",
    choose: str = "- {policy: p}",
    more: str = "",
    window: str = "28d",
    keys: str = "",
) -> str:
    """A file; the timeline begins in line 7, and what is in `more` comes first of all."""
    parts = [
        more,
        "version: 1",
        "policies:",
        "  p:",
        "    grace: 14d",
        f"    window: {window}",
        keys and f"    {keys}",
        "    timeline:",
        indent(timeline, "      "),
        branches and "    branches:\n" + indent(branches, "      "),
        "choose:",
        indent(choose, "  "),
    ]
    return "\n".join(part for part in parts if part) + "\n"


def other(name: str = "q") -> str:
    return f"  {name}: {{grace: 14d, window: 28d, timeline: [{', '.join(FINE)}]}}"


def two(choose: str, more: str = "") -> str:
    """A file with a second policy, q, whose line is the 13th without `more`."""
    return text(choose=choose, more=more).replace("choose:", f"{other()}\nchoose:", 1)


ASK = f"""\
hard_decline:
  - {{at: 0h, do: email, template: payment_failed}}
  - {email("at: 11d", "final_notice")}
  - {email("at: 25d")}
"""
DEBIT = f"""\
bank_debit:
  - {{at: 0h, do: email, template: payment_failed}}
  - {{at: 3d, do: retry}}
  - {email("at: 11d", "final_notice")}
  - {{at: 13d, do: retry}}
  - {email("at: 25d")}
"""


def plus(branch: str, line: str) -> str:
    return f"{branch}  - {line}\n"


SEGMENTS = "segments: {big: {amount: {at_least: 900 USD}}}"

# rule, a file that breaks it, where and how it begins, and one that nearly does
CASES_OF_FILES = [
    # --- branches
    ("charge-after-hard-decline", text(branches=plus(ASK, "{at: 2d, do: retry}")),
     "18:11 After hard_decline a charge brings nothing", text(branches=ASK)),
    ("charge-after-hard-decline",
     text("\n".join([*TIMELINE, "- {at: 5d, do: retry, when: {decline: [hard_decline]}}"])),
     "13:9 After hard_decline a charge brings nothing",
     text("\n".join([*TIMELINE, "- {at: 5d, do: retry, when: {decline: [hard_decline, funds]}}"]))),
    ("no-email", text(branches="funds:\n  - {at: 3d, do: retry}"),
     "15:9 The customer is never written to.", text(branches=ASK)),
    ("no-final-notice", text(branches=ASK.replace("final_notice", "reminder")),
     "10:9 In the branch hard_decline: no final_notice email comes before", text(branches=ASK)),
    ("retries-too-close", text(branches="issuer_unavailable:\n  - {at: 59m, do: retry}"),
     "15:11 Only 59m after the first failure",
     text(branches="issuer_unavailable:\n  - {at: 1h, do: retry}\n  - {at: 2h, do: retry}")),
    ("retries-too-close",
     text("\n".join([*TIMELINE, "- {at: 60h, do: retry}"])),
     "13:9 Only 12h after the retry before",
     text("\n".join([TIMELINE[0], "- {at: 2d, do: retry, when: {decline: funds}}",
                     "- {at: 60h, do: retry, when: {decline: unknown}}", *TIMELINE[2:]]))),
    ("emails-too-often", text(branches=plus(ASK, email("at: 23h"))),
     "18:11", text(branches=plus(ASK, email("at: 3d")))),
    ("emails-too-often", text("\n".join([*TIMELINE, f"- {email('at: 36h')}"]), branches=plus(
        ASK, email("at: 50h"))),
     "19:11 Only 14h after an email of the timeline, where the charge between",
     text("\n".join([*TIMELINE, f"- {email('at: 36h')}"]), branches=plus(ASK, email("at: 60h")))),
    ("suspension-told-wrong",
     text("\n".join([*TIMELINE, f"- {email('at: 14d, when: {country: DE}', 'suspended')}"])),
     "13:9 Suspended customers for whom its condition does not hold are never told.",
     text("\n".join([*TIMELINE, f"- {email('at: 14d', 'suspended')}"]))),
    ("charge-after-hard-decline", text(branches=plus(ASK, "{at: 2d, do: retry}")), "18:11 After",
     text(branches=plus(ASK, "{at: 2d, do: retry}"), keys="backup_methods: any")),
    ("too-many-retries",
     text("\n".join([*TIMELINE, "- {at: 5d, do: retry}"]),
          more="limits: [{name: house ceiling, attempts: 3}]"),
     "12:9 With the first failure this is try 4 within 30d; 3 are allowed (house ceiling)",
     text("\n".join([*TIMELINE, "- {at: 5d, do: retry}"]),
          more="limits: [{name: house ceiling, attempts: 4}]")),
    # --- in place of our tables
    ("decline-made-milder",
     text(more="declines:\n  lost_card: {advice: retry, why: we know better, source: a mail}"),
     "2:14 It charges again where our table says stop",
     text(more="declines:\n  insufficient_funds: {advice: retry, why: we know, source: a mail}")),
    ("ceiling-raised", text(more="limits:\n  - {name: house ceiling, attempts: 9}"),
     "2:5 It allows 9 tries, where banks begin to take offence after 8.",
     text(more="limits:\n  - {name: house ceiling, attempts: 8}")),
    # --- bank debits
    ("too-many-retries", text(branches=plus(DEBIT, "{at: 21d, do: retry}")),
     "20:11 With the first failure this is try 4 within 30d; 3 are allowed (SEPA",
     text(branches=DEBIT)),
    ("bank-debit-too-fast", text(branches=DEBIT.replace("at: 13d", "at: 7d")),
     "18:11 Only 4d after the debit before", text(branches=DEBIT.replace("at: 13d", "at: 8d"))),
    ("bank-debit-too-fast",
     two("- {when: {method: sepa_debit}, policy: p}\n- {policy: q}").replace("at: 22d", "at: 6d"),
     "11:9 Only 4d", two("- {when: {method: card}, policy: p}\n- {policy: q}").replace(
         "at: 22d", "at: 6d")),
    ("branch-never-fits",
     two("- {when: {method: card}, policy: p}\n- {policy: q}").replace(
         "\n  q:", "\n    branches:\n" + indent(DEBIT.rstrip(), "      ") + "\n  q:"),
     "15:9 This policy is chosen for card only",
     two("- {when: {method: [card, sepa_debit]}, policy: p}\n- {policy: q}").replace(
         "\n  q:", "\n    branches:\n" + indent(DEBIT.rstrip(), "      ") + "\n  q:")),
    # --- customers who pay by hand
    ("retry-never-made", two("- {when: {by_hand: true}, policy: p}\n- {policy: q}"),
     "8:9 These customers pay by hand, so there is nothing to charge.",
     two("- {when: {by_hand: false}, policy: p}\n- {policy: q}")),
    # --- intervals
    ("window-too-long", two("- {when: {interval: week}, policy: p}\n- {policy: q}"),
     "5:13 28d is longer than the 7d from one invoice to the next",
     two("- {when: {interval: month}, policy: p}\n- {policy: q}")),
    ("window-too-long",
     text(window="60d").replace("28d, do: give_up", "60d, do: give_up"),
     "5:13 60d is over a month",
     two("- {when: {interval: [year, quarter]}, policy: p}\n- {policy: q}").replace(
         "window: 28d\n", "window: 60d\n").replace("28d, do: give_up", "60d, do: give_up", 1)),
    # --- choosing
    ("choice-never-reached", two("- {policy: p}\n- {policy: q}"),
     "16:5 Line 15 ahead of it matches everything, so this one is never reached.",
     two("- {when: {currency: EUR}, policy: p}\n- {policy: q}")),
    ("choice-never-reached",
     two("- {when: {amount: {at_least: 10 USD}}, policy: p}\n"
         "- {when: {amount: {at_least: 20 USD}, country: DE}, policy: q}\n- {policy: p}"),
     "16:5 Line 15 ahead of it is as wide",
     two("- {when: {amount: {at_least: 20 USD}, country: DE}, policy: q}\n"
         "- {when: {amount: {at_least: 10 USD}}, policy: p}\n- {policy: p}")),
    ("choice-never-reached",
     two("- {when: {segment: big}, policy: p}\n"
         "- {when: {amount: {at_least: 1000 USD}}, policy: q}\n- {policy: p}", SEGMENTS),
     "17:5 Line 16 ahead of it is as wide",
     two("- {when: {segment: big}, policy: p}\n"
         "- {when: {amount: {at_least: 800 USD}}, policy: q}\n- {policy: p}", SEGMENTS)),
    ("choice-never-reached",
     two("- {when: {source: a}, policy: p}\n- {policy: p}\n",
         "sources: [{name: a, provider: stripe, api_key_env: A, policy: q}]"),
     "16:5 The source a has a policy of its own",
     two("- {policy: p}\n", "sources: [{name: a, provider: stripe, api_key_env: A, policy: q}]")),
    ("policy-never-chosen", two("- {policy: p}"), "13:6 No line of `choose` leads to this policy.",
     two("- {policy: p}", "sources: [{name: a, provider: stripe, api_key_env: A, policy: q}]")),
    ("policy-never-chosen", two("- {policy: p}"), "13:6",
     two("- {policy: p}").replace(
         "timeline:", "holdout: {share: 5%, policy: q}\n    timeline:", 1)),
    ("policy-never-chosen", two("- {policy: p}\n- {policy: q}"), "13:6",
     two("- {when: {country: DE}, policy: q}\n- {policy: p}")),
    ("plan-without-policy",
     two("- {when: {plan: gold}, policy: p}\n- {when: {plan: [silver]}, policy: q}\n- {policy: q}"),
     "17:5 The plans gold, silver are named; any other, and each new one, gets q unseen.",
     two("- {when: {plan: gold}, policy: p}\n- {policy: q}")),
    # --- conditions
    ("condition-never-holds",
     two("- {when: {amount: {at_least: 5 USD}, currency: EUR}, policy: p}\n- {policy: q}"),
     "15:12 It can never be that the amount is at least 5.00 USD and the currency is EUR.",
     two("- {when: {amount: {at_least: 5 USD}, currency: [EUR, USD]}, policy: p}\n- {policy: q}")),
    ("condition-never-holds",
     two("- {when: {segment: big}, policy: q}\n- {policy: p}",
         SEGMENTS.replace("}}}", "}, currency: EUR}}")),
     "1:17 It can never be", two("- {when: {segment: big}, policy: q}\n- {policy: p}", SEGMENTS)),
    ("line-never-done",
     text(branches=plus(ASK, email("at: 5d, when: {decline: funds}"))),
     "18:26 These lines hold only while the last decline means hard_decline",
     text(branches=plus(ASK, email("at: 5d, when: {decline: [funds, hard_decline]}")))),
    ("line-never-done",
     text("\n".join([*TIMELINE, "- {at: 5d, do: retry, when: {decline: funds}}"]),
          branches=ASK.replace("hard_decline", "funds")),
     "13:35 While the last decline means funds the branch of that name is walked",
     text("\n".join([*TIMELINE, "- {at: 5d, do: retry, when: {decline: [funds, unknown]}}"]),
          branches=ASK.replace("hard_decline", "funds"))),
    ("line-never-done",
     two("- {when: {currency: EUR}, policy: p}\n- {policy: q}").replace(
         "at: 22d, do: retry}", "at: 22d, do: retry, when: {currency: USD}}", 1),
     "11:36 No invoice that comes to this policy fits it.",
     two("- {when: {currency: EUR}, policy: q}\n- {policy: p}").replace(
         "at: 22d, do: retry}", "at: 22d, do: retry, when: {currency: USD}}", 1)),
    ("code-unknown",
     text("\n".join([*TIMELINE, "- {at: 5d, do: retry, when: {code: [do_not_honour, \"05\"]}}"])),
     "13:35 No bank or provider that we know of answers do_not_honour. Did you mean do_not_honor?",
     text("\n".join([*TIMELINE, "- {at: 5d, do: retry, when: {code: [do_not_honor, new_word]}}"]),
          more="declines:\n  new_word: {advice: retry, category: soft_funds, why: new}")),
    ("backup-never-charged", text(keys="backup_methods: card\n    retries: signal"),
     "6:21 The charges are not ours with `retries: signal`", text(keys="backup_methods: card")),
]  # fmt: skip


def notice(line: str, kind: str = "renewal", when: str = "when: {interval: year}, ") -> str:
    """A file with a notice, whose line is the 8th from the end."""
    added = (
        f"  told: {{kind: {kind}, timeline: [\n    {line}]}}\nchoose:\n  - {{{when}policy: told}}"
    )
    return text().replace("choose:", added, 1)


EARLY = "{before: 30d, do: email, template: reminder}"
CASES_OF_FILES += [
    ("term-too-short", notice(EARLY, when="when: {interval: month}, "),
     "14:5 30d before the renewal of a term of a month", notice(EARLY)),
    ("expiry-told-late", notice(EARLY.replace("30d", "2d"), "card_expiry", ""),
     "13:39 The first word comes 2d before", notice(EARLY, "card_expiry", "")),
    ("notice-waits-past-its-date", notice(EARLY.replace("30d", "3d, on: monday, within: 3d")),
     "14:5 It may wait 3d", notice(EARLY.replace("30d", "4d, on: monday, within: 3d"))),
]  # fmt: skip
IDS = [f"{case[0]}-{number}" for number, case in enumerate(CASES_OF_FILES)]


def told(content: str, rule: str) -> list[str]:
    return [f"{w.line}:{w.column} {w.sentence}" for w in lint(load(content)) if w.rule == rule]


@pytest.mark.parametrize(("rule", "bad", "place", "near"), CASES_OF_FILES, ids=IDS)
def test_a_danger_is_seen_and_what_is_nearly_one_is_fine(
    rule: str, bad: str, place: str, near: str
) -> None:
    found = told(bad, rule)
    assert [text for text in found if text.startswith(place)], (found, lint(load(bad)))
    assert not told(near, rule)


@pytest.mark.parametrize("case", CASES_OF_FILES, ids=IDS)
def test_every_finding_names_its_line(case: tuple[str, ...]) -> None:
    lines = case[1].splitlines()
    for warning in lint(load(case[1])):
        assert lines[warning.line - 1][warning.column - 1 :].strip(), warning
        assert warning.line > 1 or warning.path.startswith(("segments", "sources", "limits")), (
            warning
        )


def test_every_rule_has_a_case() -> None:
    assert {case.rule for case in CASES} | {case[0] for case in CASES_OF_FILES} == set(RULES)


def test_a_finding_as_it_is_printed() -> None:
    (found,) = lint(load(two("- {policy: p}")))
    assert found == LintWarning(
        "p.yaml", 13, 6, "policies.q", "policy-never-chosen",
        "No line of `choose` leads to this policy.", RULES["policy-never-chosen"].why,
        "Name it there, or remove it.",
    )  # fmt: skip
    assert str(found) == (
        "p.yaml:13:6: policies.q: No line of `choose` leads to this policy."
        " Name it there, or remove it. [policy-never-chosen]"
    )


def test_lines_under_several_names_are_told_of_once() -> None:
    branches = ASK.replace("hard_decline:", "hard_decline: &ask").replace("at: 11d", "at: 2h")
    found = lint(load(text(branches=f"{branches}authentication: *ask\n")))
    assert [w.rule for w in found].count("emails-too-often") == 1


@pytest.mark.parametrize("each", ready(), ids=lambda each: each.name)
def test_the_ready_files_raise_no_warning(each: object) -> None:
    content, name = each.text, each.name  # type: ignore[attr-defined]
    known = Messages(None).names()
    assert lint(load_policies(content, filename=name, environ=None, known_templates=known)) == []


# --- how conditions stand to each other ------------------------------------------------------


def when(words: str) -> When:
    choose = f"- {{when: {words}, policy: p}}\n- {{policy: q}}"
    return load(two(choose, f"{SEGMENTS}\nvalue: {{expected_years: 3}}")).choices[0].when


TERMS = Terms(segments=(("big", when("{amount: {at_least: 900 USD}}")),))


@pytest.mark.parametrize(
    ("wide", "narrow", "expected"),
    [
        ("{country: [DE, AT]}", "{country: DE}", True),
        ("{country: DE}", "{country: [DE, AT]}", False),
        ("{country: DE}", "{country: DE, currency: EUR}", True),
        ("{country: DE, currency: EUR}", "{country: DE}", False),
        ("{currency: USD}", "{amount: {below: 5 USD}}", True),
        ("{amount: {below: 9 USD}}", "{amount: {below: 5 USD}}", True),
        ("{amount: {below: 9 USD}}", "{amount: {below: 5 EUR}}", False),
        ("{amount: {at_least: 2 USD, below: 9 USD}}", "{amount: {below: 5 USD}}", False),
        ("{tenure: {at_least: 30d}}", "{tenure: {at_least: 60d}}", True),
        ("{metadata: {a: b}}", "{metadata: {a: b, c: d}}", True),
        ("{metadata: {a: b}}", "{metadata: {a: x}}", False),
        ("{segment: big}", "{amount: {at_least: 900 USD}}", True),
        ("{segment: big}", "{amount: {at_least: 899 USD}}", False),
        ("{amount: {at_least: 900 USD}}", "{segment: big}", True),
        ("{subscription: true}", "{subscription: true, tag: x}", True),
        ("{subscription: true}", "{subscription: false}", False),
    ],
)
def test_one_condition_is_as_wide_as_another(wide: str, narrow: str, expected: bool) -> None:
    assert covers(when(wide), when(narrow), TERMS) is expected


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("{country: DE}", "{country: AT}", True),
        ("{country: DE}", "{country: [AT, DE]}", False),
        ("{product: a}", "{product: b}", False),  # an invoice may have both
        ("{amount: {below: 5 USD}}", "{amount: {at_least: 5 USD}}", True),
        ("{amount: {below: 6 USD}}", "{amount: {at_least: 5 USD}}", False),
        ("{amount: {below: 6 USD}}", "{lifetime_value: {at_least: 5 EUR}}", True),
        ("{by_hand: true}", "{by_hand: false}", True),
        ("{metadata: {a: b}}", "{metadata: {a: c}}", True),
        ("{metadata: {a: b}}", "{metadata: {c: d}}", False),
        ("{segment: big}", "{amount: {below: 900 USD}}", True),
        ("{interval: month}", "{subscription: false}", True),
    ],
)
def test_two_conditions_never_hold_together(one: str, other: str, expected: bool) -> None:
    assert (clash(TERMS, when(one), when(other)) is not None) is expected
    assert (clash(TERMS, when(other), when(one)) is not None) is expected


# --- the page --------------------------------------------------------------------------------

PAGE = Path(__file__).resolve().parents[2] / "docs" / "policies.md"
TABLE = re.compile(r"(?<=write\(\)\"\) -->\n).*?(?=<!-- rules: end -->)", re.DOTALL)


def table() -> str:
    """The rules as the page has them."""
    rows = []
    for subject, rules in SUBJECTS.items():
        rows += ["", f"**{subject}**", "", "| rule | why | how to mend it |", "|---|---|---|"]
        rows += [f"| `{rule.name}` | {rule.why} | {rule.fix} |" for rule in rules]
    return "\n".join([*rows[1:], ""])


def write() -> None:
    """Write the table into the page."""
    PAGE.write_text(TABLE.sub(lambda _: table(), PAGE.read_text("utf-8")), "utf-8")


def test_the_page_has_the_rules() -> None:
    (found,) = TABLE.findall(PAGE.read_text("utf-8"))
    assert found == table(), "run write()"
