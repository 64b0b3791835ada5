"""Policy files that are wrong: the place to the column, what is wrong, and the right word."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dunning.errors import ConfigError
from tests.config.files import EXAMPLE, heads, load, refusal, text_of

# A line of EXAMPLE, what it is turned into, and the problem.
LINES = [
    ("version: 1", "version: 2", "1:10: version: version '2' is not known; expected 1"),
    ("version: 1", "", "2:1: `version` is missing; expected version: 1"),
    ("version: 1", "version:", "1:1: version: is empty; expected version: 1"),
    ("version: 1", "version: [1]", "1:10: version: expected version: 1; found a list"),
    ("version: 1", "verson: 1\nversion: 1",
     ("1:1: verson: 'verson' is not a key here; expected one of books, brand, choose, declines,"
      " defaults, limits, policies, segments, sources, staff, value, version. Did you mean"
      " 'version'?")),
    ("timezone: UTC", "timezone: Europe/Berln",
     ("2:22: defaults.timezone: 'Europe/Berln' is not a time zone; expected a name such as"
     " Europe/Berlin or UTC. Did you mean 'Europe/Berlin'?")),
    ("timezone: UTC", "timezone: ../etc/passwd",
     "2:22: defaults.timezone: '../etc/passwd' is not a time zone; expected a name such as"),
    ("timezone: UTC", "timezone: localtime", "2:22: defaults.timezone: 'localtime' is not a time"),
    ("retries: ours", "retries: mine",
     ("2:36: defaults.retries: 'mine' is not an owner of the retries; expected one of ours,"
     " provider, provider_first, signal")),
    ('"09:00-18:00"', '"18:00-09:00"',
     "2:56: defaults.send_between: '18:00-09:00' closes before it opens; expected the earlier"),
    ('"09:00-18:00"', "09:00-09:00", "2:56: defaults.send_between: '09:00-09:00' is empty;"),
    ('"09:00-18:00"', "9-18",
     ("2:56: defaults.send_between: '9-18' is not a span of the day; expected two times of day,"
     ' such as "09:00-18:00"')),
    ('"09:00-18:00"', "09:00-24:00", "2:56: defaults.send_between: '09:00-24:00' is not a span"),
    ("timezone: UTC", "timezone: UTC, quiet_days: [saturday, sundays]",
     ("2:50: defaults.quiet_days.1: 'sundays' is not a quiet day; expected one of friday, holiday,"
      " monday, saturday, sunday, thursday, tuesday, wednesday. Did you mean 'sunday'?")),
    ("timezone: UTC", "timezone: UTC, quiet_days: payday",
     "2:39: defaults.quiet_days: 'payday' is not a quiet day; expected one of friday, holiday,"),
    ("timezone: UTC", "timezone: UTC, quiet_days: [sunday, sunday]",
     "2:48: defaults.quiet_days.1: 'sunday' is given twice"),
    ("timezone: UTC", ("timezone: UTC, quiet_days: [monday, tuesday, wednesday, thursday, friday,"
     " saturday, sunday]"),
     "2:39: defaults.quiet_days: every day of the week is quiet, so no email could ever be"),
    ("grace: 14d", "grace: 14 days",
     ("5:12: policies.standard.grace: '14 days' is not a duration; expected a duration in whole"
     " numbers, such as 45m, 0h, 36h, 3d or 2w")),
    ("grace: 14d", "grace: 1.5d", "5:12: policies.standard.grace: '1.5d' is not a duration"),
    ("grace: 14d", "grace: -1d", "5:12: policies.standard.grace: '-1d' is not a duration"),
    ("grace: 14d", "grace: 14", "5:12: policies.standard.grace: '14' is not a duration"),
    ("grace: 14d", "grace: 14D", "5:12: policies.standard.grace: '14D' is not a duration"),
    ("grace: 14d", "grace: ١d", "5:12: policies.standard.grace: '١d' is not a duration"),
    ("grace: 14d", "grace: 99999999999d", "5:12: policies.standard.grace: '99999999999d' is not"),
    ("grace: 14d", "grace:", "5:5: policies.standard.grace: is empty; expected a duration in"),
    ("grace: 14d", "grce: 14d",
     ("5:5: policies.standard.grce: 'grce' is not a key here; expected one of access,"
      " backup_methods, branches, grace, holdout, kind, locale, on_cancel, paydays, promises,"
      " quiet_days, retries, … (16 in all). Did you mean 'grace'?")),
    ("window: 28d", "window: 400d",
     "6:13: policies.standard.window: 400d; expected more than 0h, at most 365d"),
    ("window: 28d", "window: 13d",
     ("6:13: policies.standard.window: the window of 13d closes before the grace of 14d ends;"
     " expected 14d or more")),
    ("window: 28d", "window: 27d",
     "18:14: policies.standard.timeline.10.at: 28d is after the window of 27d"),
    ("{at: 0h,  do: email,  template: payment_failed}", "retry",
     "8:9: policies.standard.timeline.0: expected keys and values; found 'retry'"),
    ("do: email,  template: payment_failed", "do: emial, template: payment_failed",
     ("8:23: policies.standard.timeline.0.do: 'emial' is not a step; expected one of"
     " announce, email, give_up, restrict, retry, sms, suspend. Did you mean 'email'?")),
    ("do: email,  template: payment_failed", "do: Retry",
     ("8:23: policies.standard.timeline.0.do: 'Retry' is not a step; expected one of"
     " announce, email, give_up, restrict, retry, sms, suspend. Did you mean 'retry'?")),
    ("do: email,  template: payment_failed", "do: restore",
     "8:23: policies.standard.timeline.0.do: 'restore' is not a step; expected one of announce,"),
    ("template: payment_failed", "template: payment_faild",
     ("8:41: policies.standard.timeline.0.template: there is no message 'payment_faild'; expected"
     " one of final_notice, payment_failed, reminder. Did you mean 'payment_failed'?")),
    ("do: email,  template: payment_failed", "do: email",
     "8:9: policies.standard.timeline.0: `template` is missing; expected a message's name"),
    ("{at: 0h,  do: email,  template: payment_failed}", "{at: 0h, template: reminder}",
     "8:9: policies.standard.timeline.0: `do` is missing; expected one of announce, email,"),
    ("{at: 1d,  do: retry}", "{do: retry}",
     ("9:9: policies.standard.timeline.1: `at` is missing; expected a step such as"
     " {at: 3d, do: retry}, or `before: suspend 1d`")),
    ("{at: 1d,  do: retry}", "{at: 1d, before: suspend 2d, do: retry}",
     "9:18: policies.standard.timeline.1.before: both `at` and `before`; expected one of them"),
    ("{at: 1d,  do: retry}", "{at: 1d, do: retry, tempalte: x}",
     ("9:29: policies.standard.timeline.1.tempalte: 'tempalte' is not a key here; expected one of"
     " after, at, before, between, do, jitter, name, on, time, when, within. Did you mean"
     " 'template'?")),
    ("{at: 1d,  do: retry}", "{at: 1d, do: retry, template: reminder}",
     ("9:29: policies.standard.timeline.1.template: `template` means nothing for retry; only email"
     " and sms have it")),
    ("{at: 1d,  do: retry}", "{at: 1d, do: retry, subscription: cancel}",
     ("9:29: policies.standard.timeline.1.subscription: `subscription` means nothing for retry;"
     " only give_up has it")),
    ("{at: 1d,  do: retry}", "[at, do]",
     "9:9: policies.standard.timeline.1: expected keys and values; found a list"),
    ('time: "08:00"', "time: 8:00",
     ("10:37: policies.standard.timeline.2.time: '8:00' is not a time of day; expected a time of"
     ' day from 00:00 to 23:59, such as "08:00". Did you mean \'08:00\'?')),
    ('time: "08:00"', "time: 480", "10:37: policies.standard.timeline.2.time: '480' is not a time"),
    ('time: "08:00"', "time: 24:00", "10:37: policies.standard.timeline.2.time: '24:00' is not a"),
    ("[payday, weekday]", "[payday, weekdy]",
     "12:44: policies.standard.timeline.4.on.1: 'weekdy' is not a kind of day; expected 1 to 31,"),
    ("[payday, weekday]", "[payday, 32]",
     "12:44: policies.standard.timeline.4.on.1: '32' is not a kind of day; expected 1 to 31, or"),
    ("on: [payday, weekday]", "within: 2d",
     "12:31: policies.standard.timeline.4.within: `within` is how long to wait for the days of"),
    ("on: [payday, weekday]", "on: 25, within: 36h",
     "12:47: policies.standard.timeline.4.within: expected whole days from 1d to 14d"),
    ("on: [payday, weekday]", "jitter: 2d",
     "12:39: policies.standard.timeline.4.jitter: expected more than 0m and at most 24h"),
    ("on: [payday, weekday]", "between: 18:00-09:00",
     "12:40: policies.standard.timeline.4.between: '18:00-09:00' closes before it opens"),
    ('time: "08:00"', 'time: "08:00", between: 09:00-10:00',
     "10:46: policies.standard.timeline.2.between: both `time` and `between`; expected one of"),
    ("{at: 21d, do: retry}", "{at: 21d, do: retry, name: suspend}",
     "17:36: policies.standard.timeline.9.name: 'suspend' is what a step does; expected a name"),
    ("[payday, weekday]", "[]", "12:35: policies.standard.timeline.4.on: an empty list; expected"),
    ("[payday, weekday]", "[payday, payday]",
     "12:44: policies.standard.timeline.4.on.1: 'payday' is given twice"),
    ("before: suspend 1d", "before: suspnd 1d",
     ("15:18: policies.standard.timeline.7.before: no step has the `name` 'suspnd'; expected one of"
     " give_up, restrict, suspend. Did you mean 'suspend'?")),
    ("before: suspend 1d", "before: suspend",
     ("15:18: policies.standard.timeline.7.before: 'suspend' does not say how far from it;"
     " expected a step and a duration, such as `suspend 1d`")),
    ("before: suspend 1d", "after: retry 1d",
     "15:17: policies.standard.timeline.7.after: no step has the `name` 'retry'; expected one"),
    ("before: suspend 1d", "before: suspend 15d",
     "15:18: policies.standard.timeline.7.before: this is 1d before the first failure"),
    ("{at: 14d, do: suspend}", "{at: 14d, do: restrict}",
     "15:18: policies.standard.timeline.7.before: the timeline has no suspend to be placed by"),
    ("{at: 14d, do: suspend}", "{at: 13d, do: suspend}",
     ("16:14: policies.standard.timeline.8.at: suspension at 13d is before the grace of 14d ends;"
     " expected 14d or later")),
    ("{at: 14d, do: suspend}", "{at: 14d, do: suspend, collection: draft}",
     ("16:44: policies.standard.timeline.8.collection: 'draft' is not a way to treat later"
     " invoices; expected one of go_on, keep_as_draft, mark_uncollectible, void")),
    ("{at: 21d, do: retry}", "{at: 21d, do: suspend}",
     "17:23: policies.standard.timeline.9.do: a second suspend; a timeline has at most one"),
    ("{at: 21d, do: retry}", "{at: 168h, do: retry}",
     "17:9: policies.standard.timeline.9: a second retry at 7d; the first is in line 12"),
    ("{at: 21d, do: retry}", "{at: 72h, do: email, template: reminder}",
     ("17:9: policies.standard.timeline.9: a second email 'reminder' at 3d; the first is in line"
     " 11")),
    ("{at: 28d, do: give_up,", "{at: 20d, do: give_up,",
     "17:14: policies.standard.timeline.9.at: retry comes after give_up, when nothing is left"),
    ("subscription: cancel", "subscription: end",
     ("18:46: policies.standard.timeline.10.subscription: 'end' is not an end of a subscription;"
     " expected one of cancel, keep")),
    ("invoice: uncollectible", "invoice: write_off",
     ("18:63: policies.standard.timeline.10.invoice: 'write_off' is not an end of an invoice;"
     " expected one of keep, uncollectible, void")),
    ("{at_least: 500 USD}", "{at_least: 500}",
     ("26:32: choose.0.when.amount.at_least: '500' is not an amount; expected a number and a"
     " currency: 500 USD")),
    ("{at_least: 500 USD}", "{at_least: 1.001 USD}",
     "26:32: choose.0.when.amount.at_least: '1.001 USD' is not an amount"),
    ("{at_least: 500 USD}", "{at_least: -5 USD}",
     "26:32: choose.0.when.amount.at_least: '-5 USD' is not above zero"),
    ("{at_least: 500 USD}", "{at_least: 500 USD, below: 900 EUR}",
     "26:21: choose.0.when.amount: 500.00 USD and 900.00 EUR are in two currencies; expected one"),
    ("{at_least: 500 USD}", "{at_least: 500 USD, below: 500 USD}",
     "26:21: choose.0.when.amount: nothing is at least 500.00 USD and below 500.00 USD"),
    ("{at_least: 500 USD}", "{}",
     "26:21: choose.0.when.amount: expected at_least, below or both, such as"),
    ("{at_least: 500 USD}", "500 USD",
     "26:21: choose.0.when.amount: expected keys and values with at_least, below; found '500 USD'"),
    ("{at_least: 500 USD}", "{atleast: 500 USD}",
     ("26:22: choose.0.when.amount.atleast: 'atleast' is not a key here; expected one of at_least,"
     " below. Did you mean 'at_least'?")),
    ("amount: {at_least: 500 USD}", "country: NOR",
     "26:22: choose.0.when.country: 'NOR' is not a country; expected two letters such as DE or"),
    ("amount: {at_least: 500 USD}", "country: []",
     "26:22: choose.0.when.country: an empty list; expected words"),
    ("amount: {at_least: 500 USD}", "country: ",
     "26:13: choose.0.when.country: is empty; expected a country such as NO"),
    ("amount: {at_least: 500 USD}", "currency: [EUR, Euro]",
     "26:29: choose.0.when.currency.1: 'Euro' is not a currency; expected three letters such as"),
    ("amount: {at_least: 500 USD}", "source: strip",
     "26:21: choose.0.when.source: there is no source 'strip'; expected stripe"),
    ("amount: {at_least: 500 USD}", "metadata: {tier: [a]}",
     "26:30: choose.0.when.metadata.tier: expected a value, which is compared as text; found a"),
    ("amount: {at_least: 500 USD}", "metadata: {}",
     "26:23: choose.0.when.metadata: 0 pairs; expected 1 to 20, such as {tier: gold}"),
    ("amount: {at_least: 500 USD}", "amuont: 500 USD",
     ("26:13: choose.0.when.amuont: 'amuont' is not a condition; expected one of amount, by_hand,"
     " country, currency, interval, lifetime_revenue, lifetime_value, metadata, method, plan,"
     " product, segment, source, subscription, tag, tenure. Did you mean 'amount'?")),
    ("policy: patient}", "policy: patent}",
     ("26:51: choose.0.policy: there is no policy 'patent'; expected one of patient, standard. Did"
     " you mean 'patient'?")),
    (", policy: patient}", "}", "26:5: choose.0: `policy` is missing; expected the name of a"),
    ("{policy: standard}", "{when: {country: DE}, policy: standard}",
     ("27:5: choose.1: the last line of `choose` must match everything; expected a last line"
     " without `when`, such as `- {policy: standard}`")),
    ("  patient:", "  pa tient:",
     "19:3: policies.pa tient: 'pa tient' is not a name; expected letters, digits, - and _,"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "instead", "problem"), LINES)
def test_one_line_is_wrong(line: str, instead: str, problem: str) -> None:
    assert line in EXAMPLE
    found = [head for head in heads(EXAMPLE.replace(line, instead, 1)) if head.startswith(problem)]
    assert len(found) == 1, heads(EXAMPLE.replace(line, instead, 1))


def test_one_mistake_is_one_problem() -> None:
    """Except where one line spoils another, or is wrong in two ways."""
    counts = {new: len(heads(EXAMPLE.replace(old, new, 1))) for old, new, _ in LINES}
    assert {new: count for new, count in counts.items() if count != 1} == {
        "grce: 14d": 2,  # an unknown key, and the right one is missing
        "window: 13d": 4,  # before the grace, and before three steps
        "{at: 14d, do: restrict}": 2,  # a second one, and no suspension is left
        "  pa tient:": 2,  # no name, and `choose` names the old one
    }


def test_a_problem_shows_its_line_with_a_caret() -> None:
    text = refusal(EXAMPLE.replace("do: email,  template: payment", "do: emial, template: payment"))
    assert text == (
        "p.yaml:8:23: policies.standard.timeline.0.do: 'emial' is not a step; expected one of"
        " announce, email, give_up, restrict, retry, sms, suspend. Did you mean 'email'?\n"
        "          - {at: 0h,  do: emial, template: payment_failed}\n"
        "                          ^"
    )


def test_everything_is_told_at_once_from_top_to_bottom() -> None:
    content = EXAMPLE
    for line, instead in (
        ("version: 1", "version: 3"),
        ("retries: ours", "retries: us"),
        ("do: suspend", "do: suspense"),
        ("{at: 2w, do: retry}", "{at: 2y, do: retyr}"),
        ("policy: patient}", "policy: parent}"),
    ):
        content = content.replace(line, instead, 1)
    places = [head.split(": ")[1] for head in heads(content)]
    timeline = "policies.standard.timeline.8.do"
    other = "policies.patient.timeline.1"
    expected = ["version", "defaults.retries", timeline, f"{other}.at", f"{other}.do"]
    assert places == [*expected, "choose.0.policy"]


def test_very_many_problems_are_cut() -> None:
    content = text_of(*(f"{{at: {i}x, do: retry}}" for i in range(60)))
    assert len(heads(content)) == 50
    assert refusal(content).endswith("… and 10 more")


def test_a_mistake_behind_an_alias_is_told_once() -> None:
    content = (
        "version: 1\npolicies:\n  p: {grace: 1d, window: 2d, timeline: &t [{at: 1x, do: retry}]}\n"
        "  q: {grace: 1d, window: 2d, timeline: *t}\nchoose: [{policy: p}]\n"
    )
    assert len(heads(content)) == 1


def test_a_long_line_is_cut_around_the_place() -> None:
    text = refusal(f"version: 1 {' ' * 300}# end\npolicies: {{{' ' * 300}p: 7{' ' * 300}}}")
    line, caret = text.splitlines()[-2:]
    assert len(line) < 110
    assert line[caret.index("^")] == "7"


def test_control_characters_do_not_reach_the_terminal() -> None:
    text = refusal('version: "\\e[2J"\npolicies: {p: {}}\n')
    assert "\x1b" not in text
    assert "\\x1b[2J" in text


@pytest.mark.parametrize(
    "content",
    [
        "version: 1\napi_key: hunter2\n",
        "version: 1\nsources: [{name: a, provider: stripe, api_key: hunter2}]\n",
        "version: 1\nsources: [{name: a, provider: stripe, api_key_env: hunter2}]\n",
        "version: 1\nsources: [{name: a, provider: stripe, api_key_env: sk_live_hunter2}]\n",
        "version: 1\nsources: [{name: a, provider: x, webhook_secrets_env: [hunter2]}]\n",
        "version: 1\nsources:\n - name: a\n   webhook_secrets_env:\n    - hunter2\n",
        "version: 1\nsources:\n - api_key_env: 'hunter2 hunter2'\n",
        'version: 1\nsources:\n - api_key_env: "hunter2\\nhunter2"\n',
        "version: sk_live_hunter2\n",
        "sk_live_hunter2: 1\n",
        "a: b: sk_live_hunter2\n",
        "api_key: {hunter2: [\n",
        "secret: 'hunter2\n",
    ],
)
def test_a_secret_in_the_wrong_place_is_not_repeated(content: str) -> None:
    assert "hunter2" not in refusal(content)


# --- whatever the file is ------------------------------------------------------------------

PIECES = re.findall(r"\w+|[^\w\s]|\s+", EXAMPLE)
ODD = ["", "\t", "&a ", "*a", "!!x ", "<<: ", "- ", "\n", "null", "{", "[", "'", "\x07", "é", "0d"]


@given(st.data())
def test_a_damaged_file_is_read_or_refused_with_a_place(data: st.DataObject) -> None:
    pieces = list(PIECES)
    for _ in range(data.draw(st.integers(1, 4))):
        i = data.draw(st.integers(0, len(pieces) - 1))
        pieces[i] = data.draw(st.sampled_from([*ODD, *sorted(set(PIECES))]))
    content = "".join(pieces)
    refused = ""
    try:
        load(content)
    except ConfigError as error:
        refused = str(error)
    last = len(content.splitlines()) + 1
    places = re.findall(r"^p\.yaml:(\d+):(\d+): ", refused, re.MULTILINE)
    assert bool(places) is bool(refused)
    assert all(1 <= int(line) <= last for line, _ in places)
