"""Takes secrets out of text: those this process was given, and whatever looks like one."""

from __future__ import annotations

import re
import threading
from datetime import date
from typing import Any, Final
from urllib.parse import quote

HIDDEN: Final = "****"
# A shorter secret could be a word; starring that out would hide more than it keeps.
SHORTEST: Final = 8
# So deep a value is looked into; below that it is told as a whole.
_DEEPEST: Final = 8

# Keys of billing systems, signing secrets, client secrets, and passwords in addresses, whether
# they were seen before or not.
_SHAPES = re.compile(
    r"\b(?:sk|rk|whsec|pi_[A-Za-z0-9]+_secret|seti_[A-Za-z0-9]+_secret)_[A-Za-z0-9_+/=-]+"
    r"|(?<=://)[^/\s:@]*:[^/\s@]*(?=@)"
    r"|(?<=\bBearer )[A-Za-z0-9._~+/=-]{8,}"
)
# Looked for first, as most text has none of them and every line of the log comes by.
_MARKS: Final = ("k_", "whsec_", "_secret_", "://", "Bearer ")
# 13 to 19 digits as on a card, in one run or in groups; that of a network begins with 2 to 6.
_CARD = re.compile(r"(?<![\w.-])[2-6](?:[ -]?[0-9]){12,18}(?![\w-])")

_lock = threading.Lock()
_given: set[str] = set()
_pattern: re.Pattern[str] | None = None  # of those given; None until it is needed


def hide(secret: str) -> None:
    """From now on this value is starred out wherever it would be said, however it is quoted."""
    global _pattern  # noqa: PLW0603 - one process, one set of secrets
    if len(secret) < SHORTEST:
        return
    forms = {secret, quote(secret, safe=""), repr(secret)[1:-1]}
    with _lock:
        if not forms <= _given:
            _given.update(forms)
            _pattern = None


def clean_text(text: str) -> str:
    """The text without secrets."""
    if _given:
        text = (_pattern or _compiled()).sub(HIDDEN, text)
    if any(mark in text for mark in _MARKS):
        text = _SHAPES.sub(HIDDEN, text)
    return _CARD.sub(_hide_card, text)


def in_words(error: BaseException) -> str:
    """An error as it may be stored and shown: its kind and what it says, without secrets."""
    return clean_text(f"{type(error).__name__}: {error}")


def _compiled() -> re.Pattern[str]:
    global _pattern  # noqa: PLW0603
    with _lock:
        longest_first = sorted(_given, key=len, reverse=True)
        _pattern = re.compile("|".join(map(re.escape, longest_first)))
        return _pattern


def clean(value: Any, _depth: int = 0) -> Any:
    """Any value without secrets; what is no plain value becomes its text."""
    if isinstance(value, str):
        return clean_text(value)
    if value is None or isinstance(value, bool | int | float | date):
        return value
    if _depth < _DEEPEST:
        if isinstance(value, dict):
            return {clean(key, _depth + 1): clean(each, _depth + 1) for key, each in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [clean(each, _depth + 1) for each in value]
    return clean_text(repr(value))


def _hide_card(found: re.Match[str]) -> str:
    digits = [int(each) for each in found[0] if each.isdigit()]
    return HIDDEN if _passes_luhn(digits) else found[0]


def _passes_luhn(digits: list[int]) -> bool:
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
