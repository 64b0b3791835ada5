"""Why a payment failed, in words a customer may read."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any

from dunning.core.declines import Advice, Verdict
from dunning.messages.values import languages, locale_of

_FOLDER = Path(__file__).parent.parent / "templates"


def customer_reason(said: Verdict, code: str | None, locale: str = "en") -> str | None:
    """Say why a charge failed in words a customer may read; None to say nothing.

    Only causes of a closed list (`templates/reasons.toml`) are named, and none when any source
    of the verdict says that the customer may not know.
    """
    if not said.customer_may_know:
        return None
    plain = (code or "").strip().lower()
    causes = (cause for cause, codes in _toml("reasons.toml").items() if plain in codes)
    cause = next(causes, "authenticate" if said.advice is Advice.AUTHENTICATE else None)
    for language in languages(locale_of(locale)):
        words = _toml(f"{language}/reasons.toml")
        if cause in words:
            return str(words[cause])
    return None


@lru_cache(maxsize=64)
def _toml(name: str) -> dict[str, Any]:
    path = _FOLDER / name
    return tomllib.loads(path.read_text("utf-8")) if path.is_file() else {}
