"""Policy files that are right: every key arrives where the core looks for it."""

from __future__ import annotations

import json
from datetime import time, timedelta
from pathlib import Path

import pytest

from dunning.config import lint, load_policies, load_policy_file, read_policy_text
from dunning.core.choosing import Choice, Has, OneOf, Subject, When, Within, choose
from dunning.core.days import Day, Quiet
from dunning.core.events import StepKind
from dunning.core.money import Money
from dunning.core.policy import (
    Collection,
    Invoice,
    Retries,
    Rung,
    Subscription,
    from_data,
    to_data,
)
from dunning.errors import ConfigError
from tests.config.files import EXAMPLE, TEMPLATES, load, policy_of, text_of


def days(number: float) -> timedelta:
    return timedelta(days=number)


def test_the_example_of_the_product_page() -> None:
    policy = load(EXAMPLE).policies["standard"]
    assert (policy.name, policy.grace, policy.window) == ("standard", days(14), days(28))
    assert (policy.timezone, policy.retries) == ("UTC", Retries.OURS)
    assert policy.send_between == (time(9), time(18))
    retry, email = StepKind.RETRY, StepKind.EMAIL
    assert policy.timeline == (
        Rung(do=email, after=days(0), template="payment_failed"),
        Rung(do=retry, after=days(1)),
        Rung(do=retry, after=days(3), clock=time(8)),
        Rung(do=email, after=days(3), template="reminder"),
        Rung(do=retry, after=days(7), on=(Day.PAYDAY, Day.WEEKDAY)),
        Rung(do=StepKind.RESTRICT, after=days(10)),
        Rung(do=email, after=days(11), template="final_notice"),
        Rung(do=retry, before=days(1), anchor=StepKind.SUSPEND),
        Rung(do=StepKind.SUSPEND, after=days(14)),
        Rung(do=retry, after=days(21)),
        Rung(
            do=StepKind.GIVE_UP,
            after=days(28),
            subscription=Subscription.CANCEL,
            invoice=Invoice.UNCOLLECTIBLE,
        ),
    )
    assert from_data(json.loads(json.dumps(to_data(policy)))) == policy


def test_choosing_as_the_example_says() -> None:
    file = load(EXAMPLE)
    assert file.choices == (
        Choice(policy="patient", when=When((Within("amount", Money(50_000, "usd"), None),))),
        Choice(policy="standard"),
    )
    for minor, currency, name in (
        (50_000, "usd", "patient"),
        (49_999, "usd", "standard"),
        (50_000, "eur", "standard"),
    ):
        subject = Subject(source="stripe", amount=Money(minor, currency))
        assert choose(file.choices, subject) == name


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("45m", timedelta(minutes=45)),
        ("0h", timedelta(0)),
        ("36h", timedelta(hours=36)),
        ("3d", days(3)),
        ("2w", days(14)),
        ("'3d'", days(3)),
    ],
)
def test_durations(text: str, span: timedelta) -> None:
    assert policy_of(f"{{at: {text}, do: retry}}").timeline[0].after == span


@pytest.mark.parametrize("collection", Collection)
def test_what_suspension_does_to_later_invoices(collection: Collection) -> None:
    policy = policy_of(f"{{at: 14d, do: suspend, collection: {collection.value}}}")
    assert policy.timeline[0].collection is collection


@pytest.mark.parametrize("subscription", Subscription)
@pytest.mark.parametrize("invoice", Invoice)
def test_the_ends(subscription: Subscription, invoice: Invoice) -> None:
    rung = policy_of(
        f"{{at: 28d, do: give_up, subscription: {subscription.value}, invoice: {invoice.value}}}"
    ).timeline[0]
    assert (rung.subscription, rung.invoice) == (subscription, invoice)


def test_an_end_that_says_nothing_keeps_both() -> None:
    rung = policy_of("{at: 28d, do: give_up}").timeline[0]
    assert (rung.subscription, rung.invoice) == (Subscription.KEEP, Invoice.KEEP)


def test_a_step_may_hang_on_giving_up_even_if_that_is_not_a_line() -> None:
    rung = policy_of("{before: give_up 2d, do: retry}").timeline[0]
    assert (rung.before, rung.anchor) == (days(2), StepKind.GIVE_UP)


@pytest.mark.parametrize("step", ["retry", "restrict", "suspend", "email, template: reminder"])
def test_every_step_may_wait_for_a_time_and_a_day(step: str) -> None:
    rung = policy_of(f"{{at: 14d, do: {step}, time: 08:30, on: weekday}}").timeline[0]
    assert (rung.clock, rung.on) == (time(8, 30), (Day.WEEKDAY,))


@pytest.mark.parametrize("retries", Retries)
def test_a_policy_overrides_the_defaults(retries: Retries) -> None:
    own = (
        f"timezone: America/New_York\n    retries: {retries.value}\n    send_between: 08:00-20:30"
        "\n    quiet_days: [holiday, friday]"
    )
    content = (
        "version: 1\ndefaults: {timezone: Asia/Tokyo, retries: signal,"
        " send_between: 10:00-11:00, quiet_days: sunday}\n"
        "policies:\n  p:\n    grace: 1d\n    window: 2d\n    timeline: &t [{at: 0h, do: retry}]\n"
        f"    {own}\n"
        "  q: {grace: 1d, window: 2d, timeline: *t}\nchoose: [{policy: p}]\n"
    )
    file = load(content)
    mine, plain = file.policies["p"], file.policies["q"]
    assert (mine.timezone, mine.retries) == ("America/New_York", retries)
    assert mine.send_between == (time(8), time(20, 30))
    assert mine.quiet_days == (Quiet.FRIDAY, Quiet.HOLIDAY)
    assert plain.quiet_days == (Quiet.SUNDAY,)
    assert (plain.timezone, plain.retries) == ("Asia/Tokyo", Retries.SIGNAL)
    assert plain.send_between == (time(10), time(11))


def test_without_defaults() -> None:
    policy = policy_of("{at: 0h, do: retry}")
    assert (policy.timezone, policy.retries, policy.send_between) == ("UTC", Retries.OURS, None)


def test_every_condition_as_a_word_or_a_list() -> None:
    more = """\
    choose:
      - policy: p
        when:
          amount: {at_least: 1.50 EUR, below: "1,000 EUR"}
          currency: EUR
          country: NO
          product: prod_1
          source: stripe
          metadata: {tier: gold, year: 2026, vip: true}
      - policy: p
        when: {currency: [usd, Eur], country: [no, DE], product: [a, b], source: [stripe]}
      - when: {}
        policy: p
    """
    file = load(text_of("{at: 0h, do: retry}", more=more))
    assert [choice.when for choice in file.choices] == [
        When(
            (
                Within("amount", Money(150, "eur"), Money(100_000, "eur")),
                OneOf("currency", ("eur",)),
                OneOf("country", ("NO",)),
                OneOf("product", ("prod_1",)),
                OneOf("source", ("stripe",)),
                Has("metadata", (("tier", "gold"), ("vip", "true"), ("year", "2026"))),
            )
        ),
        When(
            (
                OneOf("currency", ("usd", "eur")),
                OneOf("country", ("NO", "DE")),
                OneOf("product", ("a", "b")),
                OneOf("source", ("stripe",)),
            )
        ),
        When(),
    ]


def test_a_file_with_one_policy_has_nothing_to_choose() -> None:
    file = load(text_of("{at: 0h, do: retry}", more="# nothing"))
    assert file.choices == (Choice(policy="p"),)


def test_equal_policies_have_one_version_whatever_the_file_looks_like() -> None:
    flow = policy_of(
        "{at: 24h, do: retry}", "{at: 2w, do: suspend}", policy="grace: 1w, window: 4w"
    )
    block = load(
        "{version: 1, policies: {p: {timeline: [{do: retry, at: 1d}, "
        "{collection: keep_as_draft, do: suspend, at: 14d}], window: 28d, grace: 7d}}}"
    ).policies["p"]
    assert flow.version == block.version


# --- YAML ----------------------------------------------------------------------------------


def test_yaml_words_that_other_readers_turn_into_something_else() -> None:
    more = """\
    choose:
      - {when: {country: NO, metadata: {on: yes, off: 010, key: ~x, date: 2026-01-01}}, policy: p}
      - {policy: p}
    """
    file = load(text_of("{at: 0h, do: retry, on: weekday, time: 08:00}", more=more))
    assert file.policies["p"].timeline[0].clock == time(8)
    when = file.choices[0].when
    expected = (("date", "2026-01-01"), ("key", "~x"), ("off", "010"), ("on", "yes"))
    assert when == When((OneOf("country", ("NO",)), Has("metadata", expected)))


@pytest.mark.parametrize("directive", ["%YAML 1.1", "%YAML 1.2"])
def test_the_same_in_any_version_of_yaml(directive: str) -> None:
    more = "choose:\n  - {when: {country: NO}, policy: p}\n  - {policy: p}\n"
    content = text_of("{at: 0h, do: retry, time: 12:30}", more=more)
    assert load(f"{directive}\n---\n{content}").choices == load(content).choices


def test_anchors_and_merged_tables() -> None:
    file = load(
        "version: 1\npolicies:\n"
        "  p: &p {grace: 1d, window: 9d, timeline: &t [{at: 0h, do: retry}]}\n"
        "  q: {<<: *p, window: 8d}\n"
        "  r: {timeline: *t, <<: [{grace: 2d}, *p]}\n"
        "choose: [{policy: p}]\n"
    )
    p, q, r = (file.policies[name] for name in "pqr")
    assert (q.grace, q.window, q.timeline) == (p.grace, days(8), p.timeline)
    assert (r.grace, r.window, r.timeline) == (days(2), days(9), p.timeline)


def test_other_line_ends_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "policies.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + EXAMPLE.replace("\n", "\r\n").encode())
    file = load_policy_file(path, environ={}, known_templates=TEMPLATES)
    assert file.policies == load(EXAMPLE).policies
    assert load("\ufeff" + EXAMPLE).policies == file.policies


# --- files ---------------------------------------------------------------------------------


def test_the_built_in_default_is_the_example_and_raises_no_warning() -> None:
    file = load_policy_file(None, environ={}, known_templates=TEMPLATES)
    assert file.filename == "default.yaml"
    assert file.policies == {"standard": load(EXAMPLE).policies["standard"]}
    assert file.choices == (Choice(policy="standard"),)
    assert lint(file) == []


def test_what_the_default_says_of_sources_in_a_comment_is_right() -> None:
    content, filename = read_policy_text(None)
    start = content.index("# sources:")
    content = content[:start] + content[start:].replace("# ", "", 1).replace("\n# ", "\n")
    environ = {"EU_API_KEY": "sk_live_1", "EU_WEBHOOK_SECRET": "whsec_1"}
    file = load_policies(content, filename=filename, environ=environ, known_templates=TEMPLATES)
    assert [source.name for source in file.sources] == ["stripe-eu"]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (None, "cannot be read: No such file or directory; expected a YAML file"),
        (b"version: 1\n# caf\xe9\n", ":2:6: not UTF-8; save the file as UTF-8"),
        (EXAMPLE.encode("utf-16"), ":1:1: not UTF-8; save the file as UTF-8"),
        (b"#" * 1_000_001, ":1:1: larger than 1000000 bytes; expected a policy file"),
    ],
    ids=["missing", "latin-1", "utf-16", "large"],
)
def test_a_file_that_cannot_be_read(raw: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "policies.yaml"
    if raw is not None:
        path.write_bytes(raw)
    with pytest.raises(ConfigError) as caught:
        load_policy_file(path, environ={}, known_templates=TEMPLATES)
    assert str(caught.value).startswith(str(path))
    assert str(caught.value).endswith(message)


def test_a_text_that_is_too_large() -> None:
    with pytest.raises(ConfigError, match=r"^p\.yaml:1:1: larger than 1000000 bytes"):
        load("#" * 1_000_001)
