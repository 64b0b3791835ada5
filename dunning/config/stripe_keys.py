"""What a Stripe key says of itself, and the one source that the STRIPE_ variables make."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from dunning.config.secret import Secret
from dunning.core.brand import NO_BRAND, Brand

LIVE_KEY = re.compile(r"(?:sk|rk)_live_")
TEST_KEY = re.compile(r"(?:sk|rk)_test_")

API_KEY = "STRIPE_API_KEY"
WEBHOOK_SECRET = "STRIPE_WEBHOOK_SECRET"  # noqa: S105 - the name of a variable
MODE = "STRIPE_MODE"
MODES = {"live": True, "test": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One billing account that posts webhooks. `live` None: its key does not tell, both go.

    `policy` overrides `choose` for its invoices: `PolicyFile.choices` begins with a line for it.
    """

    name: str
    provider: str
    api_key: Secret | None = None
    webhook_secrets: tuple[Secret, ...] = ()
    live: bool | None = None
    policy: str | None = None
    sender: str | None = None
    rate: int | None = None  # requests a second, where the provider allows other than usual
    brand: Brand = NO_BRAND  # its own, and for the rest that of the whole file


def is_live(key: str | None) -> bool | None:
    """Whether the key moves real money; None when it does not tell."""
    if key is None:
        return None
    if LIVE_KEY.match(key):
        return True
    return False if TEST_KEY.match(key) else None


def wrong_key(key: str) -> str | None:
    """What is wrong with it as an API key; the key itself is not in the sentence."""
    if key.startswith("whsec_"):
        return "is a webhook secret; expected an API key, which begins with sk_ or rk_"
    if key.startswith("pk_"):
        return "is a publishable key, which cannot charge; expected one with sk_ or rk_"
    if re.search(r"\s|,", key):
        return "has a space or a comma in it; expected one key"
    return None


def wrong_webhook_secret(secret: str) -> str | None:
    """What is wrong with it as a webhook's signing secret."""
    if re.match(r"(?:sk|rk|pk)_", secret):
        return "is an API key; expected the webhook endpoint's signing secret, whsec_…"
    if re.search(r"\s", secret):
        return "has a space in it; expected secrets with commas between"
    return None


def wrong_mode(live: bool | None, key: str | None) -> str | None:
    """Say so when the mode asked for is not the key's."""
    own = is_live(key)
    if live is None or own is None or live == own:
        return None
    words = {True: "live", False: "test"}
    return f"is {words[live]}, but the API key is a {words[own]} one"


def split(value: str) -> list[str]:
    """`old,new`: while a secret is being rolled both are valid."""
    return [part.strip() for part in value.split(",") if part.strip()]


def stripe_source(environ: Mapping[str, str]) -> Source | None:
    """The source `stripe` of an account that needs no `sources` list. Settings checked its words.

    None when neither key nor secret is set.
    """
    key = environ.get(API_KEY, "").strip() or None
    secrets = tuple(Secret(part) for part in split(environ.get(WEBHOOK_SECRET, "")))
    if key is None and not secrets:
        return None
    mode = MODES.get(environ.get(MODE, "").strip().lower())
    return Source(
        name="stripe",
        provider="stripe",
        api_key=Secret(key) if key else None,
        webhook_secrets=secrets,
        live=is_live(key) if mode is None else mode,
    )
