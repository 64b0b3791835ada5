"""The `sources` list: several billing accounts, their keys named by variables, never written."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from dunning.config import stripe_keys, values
from dunning.config.addresses import wrong_mailbox
from dunning.config.brand import read_brand
from dunning.config.choosing import policy_name
from dunning.config.cursor import At, Fields, fields, listing, one_or_more, text, word
from dunning.config.problems import expected_one_of, quoted
from dunning.config.secret import Secret
from dunning.config.stripe_keys import Source
from dunning.core.brand import NO_BRAND

MAX_SOURCES = 50
MAX_SECRETS = 10
SOURCE_KEYS = (
    "name",
    "provider",
    "api_key_env",
    "webhook_secrets_env",
    "mode",
    "policy",
    "sender",
    "rate",
    "brand",
)
HIGHEST_RATE = 10_000
OWN_PREFIX = "DUNNING_"

_KEY = "the name of the variable that holds the key"
_SECRETS = "the names of the variables that hold the webhook secrets"


def read_sources(
    at: At,
    environ: Mapping[str, str] | None,
    policies: Collection[str],
    providers: Collection[str],
) -> tuple[Source, ...]:
    """Every account listed. Without an environment the variables are not looked up."""
    sources: list[Source] = []
    names: set[str] = set()
    for item in listing(at, "sources", MAX_SOURCES):
        found = fields(item, SOURCE_KEYS)
        if found is None:
            continue
        source = _source(found, environ, policies, providers)
        if source is None:
            continue
        if source.name in names:
            item.fail(f"a second source {quoted(source.name)}; each needs a name of its own")
        names.add(source.name)
        sources.append(source)
    return tuple(sources)


def source_names(at: At | None) -> set[str]:
    """The names that `choose` may use, right or wrong as the rest of their source may be."""
    if at is None:
        return {"stripe"}
    names = set()
    for entry in getattr(at.node, "items", ()):
        name = getattr(entry, "entries", {}).get("name")
        names.add(str(getattr(name.value, "text", "")) if name else "")
    return names - {""}


def _source(
    found: Fields,
    environ: Mapping[str, str] | None,
    policies: Collection[str],
    providers: Collection[str],
) -> Source | None:
    problems = found.at.report.count
    name = found.need("name", values.source_name, "a name such as stripe-eu")
    provider = found.need("provider", lambda at: word(at, providers, "a provider"), "stripe")
    key_at, secrets_at = found.get("api_key_env"), found.get("webhook_secrets_env")
    held = _variable(key_at, environ, _KEY) if key_at else None
    key = held.reveal() if held else None
    secrets = _secrets(secrets_at, environ) if secrets_at else []
    policy = found.read("policy", lambda at: policy_name(at, policies), None)
    sender = found.read("sender", _mailbox, None)
    rate = found.read("rate", _rate, None)
    brand = found.read("brand", read_brand, NO_BRAND) or NO_BRAND
    mode = found.read("mode", lambda at: word(at, tuple(stripe_keys.MODES), "a mode"), None)
    if key_at is None and secrets_at is None:
        found.at.fail("neither `api_key_env` nor `webhook_secrets_env`; expected both")
    live = stripe_keys.MODES.get(mode or "")
    if provider == "stripe":
        _check_stripe(found, live, key, secrets)
        live = stripe_keys.is_live(key) if live is None else live
    if found.at.report.count > problems or name is None or provider is None:
        return None
    return Source(
        name=name,
        provider=provider,
        api_key=Secret(key) if key else None,
        webhook_secrets=tuple(Secret(secret) for secret in secrets),
        live=live,
        policy=policy,
        sender=sender,
        rate=rate,
        brand=brand,
    )


def _check_stripe(found: Fields, live: bool | None, key: str | None, secrets: list[str]) -> None:
    wrong = {
        "api_key_env": stripe_keys.wrong_key(key) if key else None,
        "webhook_secrets_env": next(
            filter(None, (stripe_keys.wrong_webhook_secret(secret) for secret in secrets)), None
        ),
        "mode": stripe_keys.wrong_mode(live, key),
    }
    for name, message in wrong.items():
        at = found.get(name)
        if at is not None and message:
            at.fail(message if name == "mode" else f"what the variable holds {message}")


def _secrets(at: At, environ: Mapping[str, str] | None) -> list[str]:
    held = one_or_more(at, lambda each: _variable(each, environ, _SECRETS), "names", MAX_SECRETS)
    return [part for secret in held for part in stripe_keys.split(secret.reveal())]


def _variable(at: At, environ: Mapping[str, str] | None, expected: str) -> Secret | None:
    """What the named variable holds. Nothing that might be a secret is repeated."""
    name = text(at, expected, secret=True)
    if name is None:
        return None
    if not re.fullmatch(values.VARIABLE, name, re.ASCII):
        at.fail(
            f"not the name of a variable, perhaps a secret; expected {expected}", show_line=False
        )
        return None
    if name.startswith(OWN_PREFIX):
        at.fail(f"names with {OWN_PREFIX} are settings; expected another name")
        return None
    if environ is None:
        return None
    value = environ.get(name, "").strip()
    if not value:
        at.fail(f"the variable {name} is not set; expected it in the environment or in .env")
        return None
    return Secret(value)


def _mailbox(at: At) -> str | None:
    value = text(at, "an address such as Billing <billing@example.com>")
    message = wrong_mailbox(value) if value is not None else None
    if message:
        at.fail(message)
        return None
    return value


def _rate(at: At) -> int | None:
    expected = f"requests a second, from 1 to {HIGHEST_RATE}"
    value = text(at, expected)
    if value is None:
        return None
    if not re.fullmatch("[0-9]{1,5}", value, re.ASCII) or not 1 <= int(value) <= HIGHEST_RATE:
        at.fail(f"{quoted(value)} is not a rate; expected {expected}")
        return None
    return int(value)


def refuse_live_with_sandbox(at: At, sources: Collection[Source], sandbox_url: str | None) -> None:
    """The sandbox makes payments up; a live account must not be told of them."""
    live = [source.name for source in sources if source.live]
    if sandbox_url and live:
        names = expected_one_of(live).removeprefix("expected ").removeprefix("one of ")
        at.fail(f"live sources ({names}) together with the sandbox; expected test mode")
