"""Sources: one Stripe account by variables alone, several by name, and no secret anywhere."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from dunning.config import PolicyFile, Secret, Source
from dunning.core.choosing import Choice, OneOf, Subject, When, choose
from dunning.core.money import Money
from dunning.errors import ConfigError
from tests.config.files import load, text_of

POLICY = "{at: 0h, do: retry}"
ENVIRON = {
    "EU_KEY": "sk_live_hunterEU",
    "EU_SECRET": "whsec_hunter1, whsec_hunter2",
    "EU_OLD_SECRET": "whsec_hunter0",
    "US_KEY": "rk_test_hunterUS",
    "US_SECRET": "whsec_hunter3",
}
TWO = """\
choose:
  - {when: {source: us}, policy: p}
  - {policy: p}
sources:
  - name: eu
    provider: stripe
    api_key_env: EU_KEY
    webhook_secrets_env: [EU_SECRET, EU_OLD_SECRET]
    mode: live
    policy: p
    sender: Billing EU <eu@b.example>
    rate: 200
  - {name: us, provider: stripe, api_key_env: US_KEY, webhook_secrets_env: US_SECRET}
"""


def with_sources(more: str, environ: Mapping[str, str] | None = None) -> PolicyFile:
    return load(text_of(POLICY, more=more), environ)


def refusal(more: str, environ: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        with_sources(more, environ)
    assert "hunter" not in str(caught.value)
    return [line for line in str(caught.value).splitlines() if line.startswith("p.yaml:")]


def one(**fields: str) -> str:
    known = {"name": "a", "provider": "stripe", "api_key_env": "EU_KEY", **fields}
    items = ", ".join(f"{key}: {value}" for key, value in known.items() if value)
    return f"sources: [{{{items}}}]\n"


def test_two_variables_are_enough_for_one_account() -> None:
    environ = {"STRIPE_API_KEY": "sk_test_1", "STRIPE_WEBHOOK_SECRET": "whsec_a,whsec_b"}
    (source,) = with_sources("", environ).sources
    assert source == Source(
        name="stripe",
        provider="stripe",
        api_key=Secret("sk_test_1"),
        webhook_secrets=(Secret("whsec_a"), Secret("whsec_b")),
        live=False,
    )


@pytest.mark.parametrize("environ", [{}, None, {"STRIPE_API_KEY": " "}], ids=str)
def test_no_variables_no_source(environ: dict[str, str] | None) -> None:
    assert with_sources("", environ).sources == ()


@pytest.mark.parametrize(
    ("environ", "live"),
    [
        ({"STRIPE_WEBHOOK_SECRET": "whsec_a"}, None),
        ({"STRIPE_WEBHOOK_SECRET": "whsec_a", "STRIPE_MODE": "live"}, True),
        ({"STRIPE_API_KEY": "rk_live_1"}, True),
    ],
)
def test_the_mode_of_the_one_account(environ: dict[str, str], live: bool | None) -> None:
    (source,) = with_sources("", environ).sources
    assert source.live is live


def test_several_accounts() -> None:
    file = with_sources(TWO, ENVIRON)
    assert file.sources == (
        Source(
            name="eu",
            provider="stripe",
            api_key=Secret("sk_live_hunterEU"),
            webhook_secrets=(
                Secret("whsec_hunter1"),
                Secret("whsec_hunter2"),
                Secret("whsec_hunter0"),
            ),
            live=True,
            policy="p",
            sender="Billing EU <eu@b.example>",
            rate=200,
        ),
        Source(
            name="us",
            provider="stripe",
            api_key=Secret("rk_test_hunterUS"),
            webhook_secrets=(Secret("whsec_hunter3"),),
            live=False,
        ),
    )
    assert "hunter" not in repr(file)


def test_a_source_s_own_policy_goes_first() -> None:
    more = TWO.replace("{policy: p}\n", "{policy: q}\n").replace("source: us}", "source: [us, eu]}")
    content = text_of(POLICY, more=more.replace("policy: p}\n", "policy: q}\n", 1))
    content = content.replace(
        "policies:\n", "policies:\n  q: {grace: 1d, window: 2d, timeline: [{at: 0h, do: retry}]}\n"
    )
    file = load(content, ENVIRON)
    assert file.choices[0] == Choice(policy="p", when=When((OneOf("source", ("eu",)),)))
    for source, policy in (("eu", "p"), ("us", "q")):
        assert choose(file.choices, Subject(source=source, amount=Money(1, "usd"))) == policy


def test_without_an_environment_a_file_can_be_checked_anywhere() -> None:
    assert [s.api_key for s in with_sources(TWO, None).sources] == [None, None]


def test_listed_sources_are_all_there_are() -> None:
    environ = {**ENVIRON, "STRIPE_API_KEY": "sk_test_1"}
    assert [source.name for source in with_sources(TWO, environ).sources] == ["eu", "us"]


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (one(name="EU"), "sources.0.name: 'EU' is not a name; expected lower-case letters"),
        (one(name="a/b"), "sources.0.name: 'a/b' is not a name"),
        (one(name=""), "sources.0: `name` is missing; expected a name such as stripe-eu"),
        (one(provider="strpe"), "sources.0.provider: 'strpe' is not a provider; expected stripe"),
        (one(provider=""), "sources.0: `provider` is missing; expected stripe"),
        (one(mode="prod"), "sources.0.mode: 'prod' is not a mode; expected one of live, test"),
        (one(mode="test"), "sources.0.mode: is test, but the API key is a live one"),
        (one(policy="none"), "sources.0.policy: there is no policy 'none'; expected p"),
        (one(rate="0"), "sources.0.rate: '0' is not a rate; expected requests a second"),
        (one(rate="fast"), "sources.0.rate: 'fast' is not a rate; expected requests a second"),
        (one(sender="Billing"), "sources.0.sender: 'Billing' is not a mail address; expected one"),
        (one(api_key_env="NONE"), "sources.0.api_key_env: the variable NONE is not set; expected"),
        (one(api_key_env="EU_SECRET"), "sources.0.api_key_env: what the variable holds is a webh"),
        (one(api_key_env="DUNNING_KEY"), "sources.0.api_key_env: names with DUNNING_ are settings"),
        (one(api_key_env="hunter2"), "sources.0.api_key_env: not the name of a variable, perhaps"),
        (one(api_key_env="sk_live_hunter"), "sources.0.api_key_env: not the name of a variable"),
        (one(api_key_env=""), "sources.0: neither `api_key_env` nor `webhook_secrets_env`; exp"),
        (one(webhook_secrets_env="EU_KEY"), "sources.0.webhook_secrets_env: what the variable hol"),
        (
            one(webhook_secrets_env="[US_SECRET, US_SECRET]"),
            "sources.0.webhook_secrets_env.1: '***",
        ),
        (one(webhook_secrets_env="[]"), "sources.0.webhook_secrets_env: an empty list; expected n"),
        (one(api_key="EU_KEY"), "sources.0.api_key: 'api_key' is not a key here; expected one of"),
        ("sources: []\n", "sources: an empty list; expected sources"),
        ("sources: stripe\n", "sources: expected a list of sources, each after a `-`; found"),
        (
            f"sources: [{'{name: a, provider: stripe, api_key_env: EU_KEY}, ' * 2}]\n",
            "sources.1: a second source 'a'; each needs a name of its own",
        ),
        (
            f"sources: [{'{name: a, provider: stripe, api_key_env: EU_KEY}, ' * 51}]\n",
            "sources: 51 sources; at most 50 are allowed",
        ),
    ],
)
def test_a_source_that_is_wrong(more: str, problem: str) -> None:
    (found,) = refusal(more, ENVIRON)
    assert found.split(": ", 1)[1].startswith(problem)


def test_a_condition_on_a_source_that_is_not_there() -> None:
    (found,) = refusal(TWO.replace("source: us", "source: stripe"), ENVIRON)
    assert "there is no source 'stripe'; expected one of eu, us" in found


@pytest.mark.parametrize("more", [TWO, ""], ids=["listed", "variables"])
def test_no_live_source_with_the_sandbox(more: str) -> None:
    environ = {
        **ENVIRON,
        "STRIPE_API_KEY": "sk_live_hunter",
        "DUNNING_SANDBOX_URL": "http://localhost:12111",
    }
    (found,) = refusal(more, environ)
    assert "together with the sandbox; expected test mode" in found


def test_test_sources_with_the_sandbox() -> None:
    environ = {"STRIPE_API_KEY": "sk_test_1", "DUNNING_SANDBOX_URL": "http://localhost:12111"}
    assert len(with_sources("", environ).sources) == 1
