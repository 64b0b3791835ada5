"""`policy check`, `policy explain` and `policy preview`."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from dunning.config import RULES
from tests.cli.conftest import Shell

GOOD = """\
version: 1
policies:
  quick:
    grace: 2d
    window: 4d
    timeline:
      - {at: 1d, do: retry}
      - {at: 2d, do: suspend}
      - {at: 4d, do: give_up, subscription: cancel}
choose:
  - {policy: quick}
"""


def preview(shell: Shell, *options: str) -> Any:
    begin = ("policy", "preview", "--amount", "49.00", "--failed-at", "2026-03-01T09:00Z")
    return shell(*begin, *options, "--format", "json").json()


# --- check -----------------------------------------------------------------------------------


def test_the_built_in_policy_is_right(shell: Shell) -> None:
    assert "default.yaml is right: 1 policy." in shell("policy", "check", "--strict").out


def test_check_as_json(shell: Shell) -> None:
    (shell.folder / "p.yaml").write_text(GOOD)
    told = shell("policy", "check", "p.yaml", "--format", "json").json()
    assert (told["ok"], told["problems"]) == (True, [])
    assert (
        told["policies"]["quick"]["sentences"][0]
        == "1 day after the first failure: try the charge again."
    )
    assert {warning["path"] for warning in told["warnings"]} >= {"policies.quick.timeline"}


def test_warnings_are_no_errors(shell: Shell) -> None:
    (shell.folder / "p.yaml").write_text(GOOD)
    out = shell("policy", "check", "p.yaml").out
    assert "p.yaml:7:7: warning: policies.quick.timeline: The customer is never written" in out
    assert "[no-email]\n    why  Most customers do not know that a charge failed" in out
    assert "\n    fix  Add `{at: 0h, do: email, template: payment_failed}`." in out


def test_strict_leaves_with_1_on_any_warning(shell: Shell) -> None:
    (shell.folder / "p.yaml").write_text(GOOD)
    said = shell("policy", "check", "--strict", "p.yaml", code=1)
    assert "p.yaml is right: 1 policy, 3 warnings." in said.out
    told = shell("policy", "check", "--strict", "p.yaml", "--format", "json", code=1).json()
    assert told["ok"] is True
    assert set(told["warnings"][0]) == {
        *("filename", "line", "column", "path", "rule", "sentence", "why", "advice")
    }


def test_the_rules_are_listed(shell: Shell) -> None:
    out = shell("policy", "check", "--rules").out
    listed = shell("policy", "check", "--rules", "--format", "json").json()
    assert [rule["rule"] for rule in listed] == list(RULES)
    for rule in listed:
        assert f"  {rule['rule']}\n      why  {rule['why']}\n      fix  {rule['fix']}\n" in out
        assert rule["subject"] in out


def test_a_wrong_file_is_exit_1_with_its_places(shell: Shell) -> None:
    (shell.folder / "p.yaml").write_text(GOOD.replace("do: retry", "do: retyr"))
    said = shell("policy", "check", "p.yaml", code=1)
    assert said.err.startswith("p.yaml:7:22: ")
    assert "Did you mean 'retry'?" in said.err
    told = shell("policy", "check", "p.yaml", "--format", "json", code=1).json()
    assert told["ok"] is False
    (problem,) = told["problems"]
    assert (problem["file"], problem["line"], problem["column"]) == ("p.yaml", 7, 22)


def test_the_file_of_the_environment_is_checked(shell: Shell) -> None:
    (shell.folder / "p.yaml").write_text(GOOD)
    shell.env(DUNNING_POLICY_FILE="p.yaml")
    assert "p.yaml is right" in shell("policy", "check").out


def test_no_file(shell: Shell) -> None:
    assert "none.yaml: cannot be read" in shell("policy", "check", "none.yaml", code=1).complaint


def test_a_file_with_sources_needs_no_keys_to_be_checked(shell: Shell) -> None:
    sources = "sources:\n  - {name: eu, provider: stripe, api_key_env: EU_KEY}\n"
    (shell.folder / "p.yaml").write_text(GOOD + sources)
    assert shell("policy", "check", "p.yaml").err == ""


# --- explain ---------------------------------------------------------------------------------


def test_the_built_in_policy_in_words(shell: Shell) -> None:
    out = shell("policy", "explain").out
    assert "14 days after the first failure: suspend access" in out
    assert "1. everything: standard" in out


def test_one_policy_in_words(shell: Shell) -> None:
    out = shell("policy", "explain", "--policy", "standard").out
    assert "Policy standard" in out
    assert "Which policy" not in out
    assert "Did you mean 'standard'?" in shell(
        "policy", "explain", "--policy", "standart", code=1
    ).complaint  # fmt: skip


def test_words_for_a_wiki_and_for_programs(shell: Shell) -> None:
    (shell.folder / "p.yaml").write_text(GOOD.replace("quick", "quick_one"))
    text = shell("policy", "explain", "p.yaml", "--format", "markdown").out
    assert text.startswith("# p.yaml in words\n\n## Policy quick\\_one\n\nNo suspension before 2")
    assert "\n- 1 day after the first failure: try the charge again.\n" in text
    assert text.endswith("\n1. everything: quick\\_one\n")
    told = shell("policy", "explain", "p.yaml", "--format", "json").json()
    assert (told["file"], list(told["policies"])) == ("p.yaml", ["quick_one"])


# --- templates -------------------------------------------------------------------------------


def test_ready_files_are_listed_and_printed(shell: Shell) -> None:
    listed = shell("policy", "templates", "--format", "json").json()
    names = [each["name"] for each in listed]
    assert names == [
        *("default", "bank_debit", "business_annual", "consumer_monthly", "high_value")
    ]
    assert "consumer_monthly  Consumers who pay monthly by card" in shell("policy", "templates").out
    for name in names:
        (shell.folder / "p.yaml").write_text(shell("policy", "templates", name).out)
        shell("policy", "check", "--strict", "p.yaml")
        preview(shell, "--file", "p.yaml", "--decline", "lost_card")
    complaint = shell("policy", "templates", "bank_debt", code=1).complaint
    assert "Did you mean 'bank_debit'?" in complaint


# --- preview ---------------------------------------------------------------------------------


def test_the_way_of_one_customer(shell: Shell) -> None:
    told = preview(shell, "--decline", "insufficient_funds", "--timezone", "Europe/Berlin")
    assert (told["amount"], told["currency"]) == (4900, "usd")
    assert [(stop["step"], stop["result"], stop["local_time"]) for stop in told["timeline"]] == [
        ("email:1", "done", "2026-03-01T10:00:00+01:00"),
        ("retry:1", "declined", "2026-03-02T10:00:00+01:00"),
        ("email:2", "done", "2026-03-04T10:00:00+01:00"),
        ("retry:2", "declined", "2026-03-05T08:00:00+01:00"),
        ("retry:3", "declined", "2026-03-09T10:00:00+01:00"),
        ("restrict:1", "done", "2026-03-11T10:00:00+01:00"),
        ("email:3", "done", "2026-03-12T10:00:00+01:00"),
        ("retry:4", "declined", "2026-03-14T10:00:00+01:00"),
        ("suspend:1", "done", "2026-03-15T10:00:00+01:00"),
        ("email:suspended", "done", "2026-03-15T10:00:00+01:00"),
        ("retry:5", "declined", "2026-03-22T10:00:00+01:00"),
        ("give_up:1", "done", "2026-03-29T11:00:00+02:00"),  # clocks went forward that night
    ]
    assert (told["state"], told["closed_reason"]) == ("lost", "given_up")


def test_a_card_that_must_not_be_charged_is_not(shell: Shell) -> None:
    told = preview(shell, "--decline", "lost_card")
    retries = [stop for stop in told["timeline"] if stop["kind"] == "retry"]
    assert retries
    assert {stop["result"] for stop in retries} == {"skipped"}
    assert all("reported lost" in stop["why"] for stop in retries)
    assert told["timeline"][0]["template"] == "new_card_needed"


def test_advice_alone_is_enough(shell: Shell) -> None:
    told = preview(shell, "--advice", "do_not_try_again")
    assert told["advice"] == "stop"


def test_preview_for_people_and_as_csv(shell: Shell) -> None:
    begin = (
        "policy",
        "preview",
        "--amount",
        "5000",
        "--currency",
        "jpy",
        "--decline",
        "what_is_this",
    )
    out = shell(*begin).out
    assert "5,000 JPY under policy standard" in out
    assert "no code 'what_is_this' is known" in out
    assert "In the end: lost (given_up)." in out
    lines = list(csv.DictReader(io.StringIO(shell(*begin, "--format", "csv").out)))
    assert lines[-1]["step"] == "give_up:1"


def test_the_file_chooses_when_no_policy_is_named(shell: Shell) -> None:
    two = GOOD.replace(
        "choose:\n", "choose:\n  - {when: {amount: {at_least: 500 USD}}, policy: slow}\n"
    )
    body = GOOD[GOOD.index("    grace") : GOOD.index("choose")]
    two = two.replace("choose:", f"  slow:\n{body}choose:")
    (shell.folder / "p.yaml").write_text(two)
    assert preview(shell, "--file", "p.yaml")["policy"] == "quick"
    shell.env(DUNNING_POLICY_FILE="p.yaml")
    big = shell("policy", "preview", "--amount", "500", "--format", "json").json()
    assert big["policy"] == "slow"


def test_an_unknown_policy_names_the_nearest(shell: Shell) -> None:
    complaint = shell("policy", "preview", "--policy", "standrd", "--amount", "1", code=1).complaint
    assert "it has standard. Did you mean 'standard'?" in complaint


BRANCHED = """\
version: 1
value: {expected_years: 3}
segments: {big: {lifetime_value: {at_least: 1000 USD}}}
policies:
  quick:
    grace: 2d
    window: 4d
    timeline:
      - {at: 1d, do: retry}
      - {at: 2d, do: suspend}
    branches:
      funds:
        - {at: 3d, do: retry, when: {tenure: {at_least: 30d}}}
      bank_debit:
        - {at: 1d, do: email, template: reminder}
  yearly: {grace: 1d, window: 9d, timeline: [{at: 9d, do: give_up}]}
  hand: {grace: 1d, window: 8d, timeline: [{at: 8d, do: give_up}]}
  gold: {grace: 1d, window: 7d, timeline: [{at: 7d, do: give_up}]}
  large: {grace: 1d, window: 6d, timeline: [{at: 6d, do: give_up}]}
  once: {grace: 1d, window: 5d, timeline: [{at: 5d, do: give_up}]}
choose:
  - {when: {interval: year}, policy: yearly}
  - {when: {by_hand: true}, policy: hand}
  - {when: {plan: gold}, policy: gold}
  - {when: {metadata: {tier: gold}}, policy: gold}
  - {when: {segment: big}, policy: large}
  - {when: {subscription: false}, policy: once}
  - {policy: quick}
"""


@pytest.mark.parametrize(
    ("options", "policy"),
    [
        ((), "quick"),
        (("--interval", "year"), "yearly"),
        (("--by-hand",), "hand"),
        (("--plan", "silver", "--plan", "gold"), "gold"),
        (("--metadata", "tier=gold"), "gold"),
        (("--yearly", "400"), "large"),
        (("--yearly", "300"), "quick"),
        (("--one-off",), "once"),
    ],
)
def test_the_policy_is_chosen_as_in_life(
    shell: Shell, options: tuple[str, ...], policy: str
) -> None:
    (shell.folder / "p.yaml").write_text(BRANCHED)
    assert preview(shell, "--file", "p.yaml", *options)["policy"] == policy


def test_the_way_of_a_branch(shell: Shell) -> None:
    (shell.folder / "p.yaml").write_text(BRANCHED)
    asked = ("--file", "p.yaml", "--decline", "insufficient_funds")

    def steps(*more: str) -> list[tuple[str, str]]:
        timeline = preview(shell, *asked, *more)["timeline"]
        return [(stop["step"], stop["result"]) for stop in timeline]

    assert ("funds.retry:1", "declined") in steps("--tenure", "40d")
    assert ("funds.retry:1", "skipped") in steps("--tenure", "20d")
    assert ("funds.retry:1", "skipped") in steps("--method", "sepa_debit")  # the first that fits
    begin = ("policy", "preview", "--amount", "49", "--tenure", "40d")
    out = shell(*begin, "--file", "p.yaml", "--decline", "insufficient_funds").out
    assert "try the charge again, only if" in out


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        (("--tenure", "long"), "'long' is no span"),
        (("--metadata", "gold"), "'gold' is no pair"),
        (("--yearly", "x"), "not a number"),
    ],
)
def test_what_is_typed_wrong_is_said(shell: Shell, option: tuple[str, str], complaint: str) -> None:
    said = shell("policy", "preview", "--amount", "49", *option, code=2)
    assert complaint in said.err


def test_branches_and_words_of_the_file_in_words(shell: Shell) -> None:
    (shell.folder / "p.yaml").write_text(BRANCHED)
    out = shell("policy", "explain", "p.yaml").out
    assert "Policy quick, branch funds\n  While there is not enough money, this is done" in out
    assert "try the charge again, only if the time as a customer is at least 30 days." in out
    assert "Segment big: the lifetime value is at least 1,000.00 USD." in out
    assert "5. the segment is big: large" in out
    told = shell("policy", "explain", "p.yaml", "--format", "json").json()
    assert list(told["policies"]["quick"]["branches"]) == ["funds", "bank_debit"]
    assert told["choose"][1]["when"] == "the customer pays by hand"


def test_explain_says_how_customers_see_the_merchant(shell: Shell) -> None:
    (shell.folder / "p.yaml").write_text(
        "version: 1\nbrand: {name: Zenith, support: {phone: '+44 1234'}}\n"
        "policies:\n  standard:\n    grace: 9d\n    window: 9d\n    locale: de\n"
        "    timeline: [{at: 1d, do: retry}]\n"
    )
    out = " ".join(shell("policy", "explain", "p.yaml").out.split())
    assert "Customers see Zenith, support +44 1234." in out
    assert "and so is the language, else de" in out
