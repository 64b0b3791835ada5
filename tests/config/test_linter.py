"""The linter: each danger is seen where it is, and nothing is said of what is fine."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from dunning.config import RULES, LintWarning, PolicyFile, lint, load_policies
from tests.config.files import EXAMPLE, TEMPLATES, text_of

# Nothing to say about these; each case adds, removes or changes a line.
EMAIL = "{at: 0h, do: email, template: payment_failed}"
RETRY = "{at: 2d, do: retry}"
NOTICE = "{at: 11d, do: email, template: final_notice}"
SUSPEND = "{at: 14d, do: suspend}"
LATER = "{at: 22d, do: retry}"
END = "{at: 28d, do: give_up, subscription: cancel}"
FINE = (EMAIL, RETRY, NOTICE, SUSPEND, LATER, END)
FRAME = "grace: 14d, window: 28d"


def load(content: str) -> PolicyFile:
    known = TEMPLATES | {"suspended", "sms_reminder"}
    return load_policies(content, filename="p.yaml", environ=None, known_templates=known)


def found(*lines: str, policy: str = FRAME, more: str = "") -> list[LintWarning]:
    return lint(load(text_of(*lines, policy=policy, more=more)))


@dataclass(frozen=True)
class Case:
    """A file that breaks a rule at a place, and one that nearly does."""

    rule: str
    bad: tuple[str, ...]
    place: str  # line:column and the beginning of the sentence
    near: tuple[str, ...]
    policy: str = FRAME
    near_policy: str = ""
    more: str = ""
    near_more: str = ""


def but(*changes: tuple[str, str]) -> tuple[str, ...]:
    """The fine lines with some exchanged; an empty one goes."""
    lines = [dict(changes).get(line, line) for line in FINE]
    return tuple(line for line in lines if line)


def retries(*days: int) -> tuple[str, ...]:
    return tuple(f"{{at: {day}d, do: retry}}" for day in days)


def email(at: str, template: str = "reminder") -> str:
    return f"{{{at}, do: email, template: {template}}}"


def text(at: str) -> str:
    return f"{{{at}, do: sms, template: sms_reminder}}"


ONLY = "policies:\n"
CASES = [
    # --- texts
    Case("text-beside-message", (*FINE, text("at: 25h"), email("at: 2d")),
         "13:9 Only 23h from an email", (*FINE, text("at: 25h"), email("at: 49h"))),
    Case("text-before-email", (text("at: 0h"), *but((EMAIL, email("at: 1d")))),
         "7:9 The customer is texted before", (EMAIL, *but((EMAIL, text("at: 1d"))))),
    # --- charges
    Case("retry-never-made", FINE, "9:9 Retries belong to the provider here, so this one is never",
         (*but((RETRY, ""), (LATER, "")), email("at: 25d")),
         policy=f"{FRAME}, retries: provider"),
    Case("retry-inside-providers-retries", (*but((RETRY, "")), "{at: 335h, do: retry}"),
         "13:9 At 335h the provider's own retries are mostly still running",
         (*but((RETRY, ""), (SUSPEND, "{at: 15d, do: suspend}")), "{at: 14d, do: retry}"),
         policy=f"{FRAME}, retries: provider_first"),
    Case("retries-too-close", (*FINE, "{at: 71h, do: retry}"),
         "13:9 Only 23h after the retry before", (*FINE, "{at: 72h, do: retry}")),
    Case("retries-too-close", ("{at: 71h, do: retry}", *FINE),
         "7:9 Only 23h after the retry before", ("{at: 72h, do: retry}", *FINE)),
    Case("retries-too-close", (*FINE, "{before: suspend 287h, do: retry}"),
         "13:9 Only 1h after the retry before", (*FINE, "{before: suspend 11d, do: retry}")),
    Case("retries-too-close", (*FINE, "{at: 23h, do: retry}"),
         "13:9 Only 23h after the first failure", (*FINE, "{at: 24h, do: retry}")),
    Case("too-many-retries", (*FINE, *retries(3, 4, 5, 6, 7, 8)),
         "11:9 With the first failure this is try 9 within 30d; 8 are allowed (house",
         (*FINE, *retries(3, 4, 5, 6, 7))),
    Case("no-retry-before-suspend", but((RETRY, "")),
         "9:9 Access is taken without one retry since the first failure.", FINE),
    Case("no-retry-before-suspend", but((RETRY, "{at: 14d, do: retry}")),
         "10:9 Access is taken without one retry", but((RETRY, "{at: 13d, do: retry}"))),
    Case("suspend-before-last-retry", but((LATER, "{at: 17d, do: retry}"),
         (NOTICE, NOTICE), (END, END)),
         "10:9 Access is taken 3d before a retry that may bring the money.",
         but((LATER, "{at: 21d, do: retry}"))),
    Case("suspend-before-last-retry", (*FINE, *retries(25)),
         "10:9 2 retries come after the suspension, and only 1 before it.",
         (*FINE, *retries(5, 25))),
    # --- emails
    Case("no-email", but((EMAIL, ""), (NOTICE, "")), "7:7 The customer is never written to.", FINE),
    Case("first-email-late", but((EMAIL, "")), "8:9 The customer first hears of it after 11d.",
         but((EMAIL, email("at: 3d")))),
    Case("emails-too-often", (*FINE, email("at: 23h")), "13:9 Only 23h after the email before.",
         (*FINE, email("at: 24h"))),
    Case("no-final-notice", but((NOTICE, email("at: 11d"))),
         "10:9 No final_notice email comes before this step. Add `{before: suspend 3d, do: email",
         FINE),
    Case("no-final-notice", but((NOTICE, email("at: 14d", "final_notice"))),
         "10:9 No final_notice email comes before this step.",
         but((NOTICE, email("at: 13d", "final_notice")))),
    Case("no-final-notice", but((NOTICE, ""), (SUSPEND, "")),
         "10:9 No final_notice email comes before this step. Add `{before: give_up 3d, do: email",
         but((SUSPEND, ""))),
    Case("no-email-before-suspend", but((EMAIL, ""), (NOTICE, email("at: 320h", "final_notice"))),
         "9:9 Access is taken without an email at least a day before.",
         but((EMAIL, ""), (NOTICE, email("at: 13d", "final_notice")))),
    Case("no-last-chance", but((LATER, "")),
         "11:9 In the 7d before it no charge is tried and the customer is not asked to pay.",
         but((LATER, email("at: 21d")))),
    Case("no-last-chance", but((NOTICE, email("at: 3d", "final_notice"))),
         "10:9 In the 7d before it no charge", but((NOTICE, email("at: 7d", "final_notice")))),
    Case("suspension-told-wrong", (*FINE, email("at: 16d", "suspended")),
         "13:9 Suspended customers hear of it only after 2d.",
         (*FINE, email("after: suspend 1d", "suspended"))),
    Case("suspension-told-wrong", (*FINE, email("at: 13d", "suspended")),
         "13:9 It says that access is suspended before it is.",
         (*FINE, email("after: suspend 0h", "suspended"))),
    Case("suspension-told-wrong", (*but((SUSPEND, "")), email("at: 16d", "suspended")),
         "12:9 It tells of a suspension, and this policy has none.",
         (*FINE, email("at: 14d", "suspended"))),
    # --- access
    Case("grace-too-short", but((SUSPEND, "{at: 71h, do: suspend}")),
         "10:9 Access is gone 71h after the first failure.",
         but((SUSPEND, "{at: 3d, do: suspend}")),
         policy="grace: 0h, window: 28d"),
    Case("restrict-after-suspend", (*FINE, "{at: 15d, do: restrict}"),
         "13:9 Restricting comes when access is suspended already.",
         (*FINE, "{at: 13d, do: restrict}")),
    # --- the end
    Case("window-too-long", but((END, "{at: 32d, do: give_up, invoice: void}"),
         (LATER, "{at: 26d, do: retry}")),
         "5:13 32d is over a month: the next invoice fails beside this one.",
         but((END, "{at: 31d, do: give_up, invoice: void}"), (LATER, "{at: 26d, do: retry}")),
         policy="grace: 14d, window: 32d", near_policy="grace: 14d, window: 31d"),
    Case("no-give-up", but((END, "")), "7:7 Given up after 28d, with subscription and invoice kep",
         FINE),
    Case("give-up-keeps-all", but((END, "{at: 28d, do: give_up}")),
         "12:9 Giving up keeps both the subscription and the invoice",
         but((END, "{at: 28d, do: give_up, invoice: void}"))),
    Case("give-up-before-window", but((END, "{at: 27d, do: give_up, invoice: void}")),
         "12:9 The case is given up before its window of 28d closes. Set `window: 27d`", FINE),
    # --- days and hours
    Case("jitter-overruns-next-step", (*FINE, "{at: 10d, do: retry, jitter: 24h}", email("at: 252h")
         ), "13:9 By chance it may come up to 1d later, and the next step is 12h away.",
         (*FINE, "{at: 10d, do: retry, jitter: 24h}")),
    Case("wait-overruns-next-step", (*FINE, "{at: 19d, do: retry, on: [payday], within: 4d}",
         "{at: 5d, do: retry}"),
         "13:9 It may wait 4d for its day, and the next retry is 3d away;",
         (*FINE, "{at: 19d, do: retry, on: [payday], within: 3d}", "{at: 5d, do: retry}")),
    Case("day-lost-to-hours",
         but((RETRY, '{at: 2d, do: retry, on: [monday], between: "09:00-17:00"}')),
         "8:9 Where the charge failed after 17:00, it comes on its day after 17:00 too",
         but((RETRY, '{at: 2d, do: retry, on: [monday], time: "09:00"}'))),
    Case("day-lost-to-hours", (*FINE, email("at: 5d, on: [weekday]")),
         "14:9 Where the charge failed after 18:00",
         (*FINE, email('at: 5d, on: [1], time: "09:00"')),
         policy=f'{FRAME}, send_between: "09:00-18:00"'),
    Case("time-outside-hours", (*FINE, email('at: 5d, time: "18:00"')),
         "14:9 18:00 is outside 09:00-18:00, so it comes when these hours open next.",
         (*FINE, email('at: 5d, time: "17:59"')),
         policy=f'{FRAME}, send_between: "09:00-18:00"'),
    # --- allowing
    Case("allow-without-need", (*FINE, f"{email('at: 5d')}  # lint: allow no-email"),
         "13:64 Nothing here breaks no-email.",
         but((NOTICE, email("at: 11d")),
             (SUSPEND, f"{SUSPEND}  # lint: allow no-final-notice"))),
    Case("allow-without-need", (*FINE, f"{email('at: 5d')}  # lint: allow no-emial"),
         "13:64 There is no rule 'no-emial'. Did you mean 'no-email'?",
         (*FINE, f"{email('at: 5d')}  # lint allows no-emial")),
]  # fmt: skip
IDS = [f"{case.rule}-{number}" for number, case in enumerate(CASES)]


def told(warnings: list[LintWarning], rule: str) -> list[str]:
    return [f"{w.line}:{w.column} {w.sentence} {w.advice}" for w in warnings if w.rule == rule]


def test_a_good_policy() -> None:
    assert found(*FINE) == []


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_danger_is_seen_where_it_is(case: Case) -> None:
    warnings = found(*case.bad, policy=case.policy, more=case.more)
    texts = told(warnings, case.rule)
    assert [text for text in texts if text.startswith(case.place)], (case.place, warnings)
    assert all(w.why == RULES[w.rule].why and w.advice for w in warnings)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_what_is_nearly_one_is_fine(case: Case) -> None:
    more = case.near_more or case.more
    assert not told(found(*case.near, policy=case.near_policy or case.policy, more=more), case.rule)


def test_every_finding_names_its_line() -> None:
    for case in CASES:
        lines = text_of(*case.bad, policy=case.policy, more=case.more).splitlines()
        for warning in found(*case.bad, policy=case.policy, more=case.more):
            assert (warning.line, warning.column) > (1, 1), warning
            assert lines[warning.line - 1][warning.column - 1 :].strip(), warning


def test_most_dangers_are_told_once() -> None:
    several = {"too-many-retries", "no-email", "first-email-late", "no-email-before-suspend"}
    for case in CASES:
        names = [w.rule for w in found(*case.bad, policy=case.policy, more=case.more)]
        if case.rule not in several:
            assert names.count(case.rule) == 1, (case.rule, names)


def test_the_example_only_leaves_one_policy_short() -> None:
    assert {warning.path.split(".")[1] for warning in lint(load(EXAMPLE))} == {"patient"}


def test_more_than_eight_over_a_longer_time_are_fine() -> None:
    rungs = [f"{{at: {i * 4}d, do: retry}}" for i in range(1, 15)]
    lines = (EMAIL, NOTICE, "{at: 60d, do: give_up, invoice: void}", *rungs)
    assert not told(found(*lines, policy="grace: 14d, window: 60d"), "too-many-retries")


# --- allowing --------------------------------------------------------------------------------


def test_a_comment_above_allows_as_well_as_one_beside() -> None:
    lines = but((NOTICE, email("at: 11d")))
    comments = "      # as our contract says\n      # lint: allow no-final-notice, no-email\n"
    text = text_of(*lines).replace(f"      - {SUSPEND}", f"{comments}      - {SUSPEND}")
    (left,) = lint(load(text))
    assert (left.rule, left.sentence) == ("allow-without-need", "Nothing here breaks no-email.")
    assert left.line == text.splitlines().index("      # lint: allow no-final-notice, no-email") + 1


def test_an_allowed_rule_is_still_told_elsewhere() -> None:
    twice = (*FINE, f"{email('at: 23h')}  # lint: allow emails-too-often", email("at: 26h"))
    (left,) = found(*twice)
    assert (left.rule, left.line) == ("emails-too-often", 14)
