"""Typed access to the JSON of a webhook: the value asked for, or a sentence naming what is wrong.

Nothing is converted. An amount in quotes, a boolean for a number or a time in milliseconds is
refused, because a wrong amount is worse than a parked event. Values are never repeated in a
message, since they may be personal; their JSON type is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, TypeVar

from dunning.clock import from_unix
from dunning.errors import MalformedError

MAX_AMOUNT: Final = 10**15
MAX_COUNT: Final = 10**9
MAX_ID: Final = 255
LAST_SECOND: Final = 4_102_444_800  # the year 2100; also catches times in milliseconds

_ID = re.compile(r"[!-~]{1,255}\Z")
_CURRENCY = re.compile(r"[A-Za-z]{3}\Z")
# PostgreSQL takes neither NUL nor lone surrogates; other control characters never help a reader.
_UNWANTED = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]+")

_AN_ID = f"a string of 1 to {MAX_ID} printable characters"
_AN_AMOUNT = "an integer of minor units from 0 to 10^15"
_A_COUNT = "an integer from 0 to 10^9"
_A_TIME = "an integer of seconds since 1970, before 2100"
_A_CURRENCY = "three letters such as usd"
_A_WORD = "one printable word or phrase of at most 255 characters"
_A_FLAG = "true or false"
_AN_OBJECT = "an object"
_A_LIST = "a list of objects"
_A_TEXT = "a string"
_WORDS = "a list of strings"
_STRINGS: Final = frozenset((_AN_ID, _A_CURRENCY, _A_WORD, _A_TEXT))

_MISSING: Final = object()
_EMPTY: Final[Mapping[str, Any]] = {}
_JSON_NAMES: Final = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a fraction",
    type(None): "null",
}

Found = TypeVar("Found")


class FieldError(MalformedError):
    """A field is missing or is not what it has to be; the message names the path."""


def kind_of(value: object) -> str:
    """How JSON calls this value."""
    return _JSON_NAMES.get(type(value), "something that is not JSON")


class Fields:
    """One JSON object and where it was found. Names may be asked for that are not there."""

    __slots__ = ("data", "path")

    def __init__(self, data: Mapping[str, Any], path: str) -> None:
        self.data = data
        self.path = path

    # --- what must be there -----------------------------------------------------------------
    def id(self, name: str) -> str:
        """An id; an expanded object gives its own."""
        found = self.id_or_none(name)
        return self._need(name, found, _AN_ID)

    def amount(self, name: str) -> int:
        """An amount in minor units."""
        return self._need(name, self.amount_or_none(name), _AN_AMOUNT)

    def time(self, name: str) -> datetime:
        """A time, aware, in UTC."""
        return self._need(name, self.time_or_none(name), _A_TIME)

    def currency(self, name: str = "currency") -> str:
        """A currency, lower case."""
        return self._need(name, self.currency_or_none(name), _A_CURRENCY)

    def word(self, name: str) -> str:
        """A word of the provider's vocabulary, such as a status."""
        return self._need(name, self.word_or_none(name), _A_WORD)

    def need(self, name: str) -> Fields:
        """An object that has to be there."""
        return self._need(name, self.inner(name) if self.given(name) else None, _AN_OBJECT)

    # --- what may be missing or null ----------------------------------------------------------
    def id_or_none(self, name: str) -> str | None:
        """An id, an expanded object's own id, or None."""
        value = self.data.get(name)
        if value is None:
            return None
        if isinstance(value, dict):
            return Fields(value, f"{self.path}.{name}").id("id")
        if isinstance(value, str) and (not value or _ID.match(value)):
            return value or None
        raise self.wrong(name, _AN_ID)

    def amount_or_none(self, name: str) -> int | None:
        """An amount in minor units, or None."""
        value = self.data.get(name)
        if value is None or (type(value) is int and 0 <= value <= MAX_AMOUNT):
            return value
        raise self.wrong(name, _AN_AMOUNT)

    def count_or_none(self, name: str) -> int | None:
        """A small whole number, or None."""
        value = self.data.get(name)
        if value is None or (type(value) is int and 0 <= value <= MAX_COUNT):
            return value
        raise self.wrong(name, _A_COUNT)

    def time_or_none(self, name: str) -> datetime | None:
        """A time, aware, in UTC, or None."""
        value = self.data.get(name)
        if value is None:
            return None
        if type(value) is int and 0 < value < LAST_SECOND:
            return from_unix(value)
        raise self.wrong(name, _A_TIME)

    def currency_or_none(self, name: str = "currency") -> str | None:
        """A currency, lower case, or None."""
        value = self.data.get(name)
        if value is None:
            return None
        if isinstance(value, str) and _CURRENCY.match(value):
            return value.lower()
        raise self.wrong(name, _A_CURRENCY)

    def word_or_none(self, name: str) -> str | None:
        """A word of the provider's vocabulary, or None; an empty one is none."""
        value = self.data.get(name)
        if value is None:
            return None
        if isinstance(value, str) and len(value) <= MAX_ID and not _UNWANTED.search(value):
            return value or None
        raise self.wrong(name, _A_WORD)

    def text_or_none(self, name: str) -> str | None:
        """What people typed, without the characters a database refuses; blank is None."""
        value = self.data.get(name)
        if value is None:
            return None
        if isinstance(value, str):
            return _UNWANTED.sub(" ", value).strip() or None
        raise self.wrong(name, _A_TEXT)

    def flag_or_none(self, name: str) -> bool | None:
        """True, false or None."""
        value = self.data.get(name)
        if value is None or isinstance(value, bool):
            return value
        raise self.wrong(name, _A_FLAG)

    # --- what is inside ---------------------------------------------------------------------
    def has(self, name: str) -> bool:
        """Whether the name is there at all, be it null."""
        return name in self.data

    def given(self, name: str) -> bool:
        """Whether the name is there and not null."""
        return self.data.get(name) is not None

    def expanded(self, name: str) -> Fields | None:
        """The whole object where an id could be; None when there is only the id, or nothing."""
        value = self.data.get(name)
        return Fields(value, f"{self.path}.{name}") if isinstance(value, dict) else None

    def opened(self, name: str) -> Fields:
        """The expanded object, or one without fields when there is only its id, or nothing."""
        return self.expanded(name) or Fields(_EMPTY, f"{self.path}.{name}")

    def inner(self, name: str) -> Fields:
        """The object of this name; one without fields when it is missing or null."""
        value = self.data.get(name)
        if value is None:
            return Fields(_EMPTY, f"{self.path}.{name}")
        if isinstance(value, dict):
            return Fields(value, f"{self.path}.{name}")
        raise self.wrong(name, _AN_OBJECT)

    def each(self, name: str) -> tuple[Fields, ...]:
        """The objects of a list, or of Stripe's list object; none when missing or null."""
        value = self.data.get(name)
        path = f"{self.path}.{name}"
        if isinstance(value, dict):
            return Fields(value, path).each("data")
        if value is None:
            return ()
        if isinstance(value, list) and all(isinstance(item, dict) for item in value):
            return tuple(Fields(item, f"{path}[{n}]") for n, item in enumerate(value))
        raise self.wrong(name, _A_LIST)

    def words(self, name: str) -> tuple[str, ...]:
        """The words of a list of strings; none when missing or null."""
        value = self.data.get(name)
        if value is None:
            return ()
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(item for item in value if len(item) <= MAX_ID)
        raise self.wrong(name, _WORDS)

    def metadata(self, name: str = "metadata") -> tuple[tuple[str, str], ...]:
        """The merchant's own key-value pairs, sorted by key."""
        inner = self.inner(name)
        pairs = ((_UNWANTED.sub(" ", key), inner.text_or_none(key)) for key in inner.data)
        return tuple(sorted((key, value) for key, value in pairs if value))

    # --- what is wrong ----------------------------------------------------------------------
    def wrong(self, name: str, expected: str) -> FieldError:
        """The error for a field that is there but cannot be used."""
        value = self.data.get(name, _MISSING)
        if value is _MISSING:
            return FieldError(f"{self.path}.{name} is missing (expected {expected})")
        return FieldError(f"{self.path}.{name} is {_describe(value, expected)}")

    def unknown(self, name: str, expected: str) -> FieldError:
        """The error for a word of Stripe's vocabulary that we do not know; it is no secret."""
        return FieldError(f"{self.path}.{name} is {self.data.get(name)!r} (expected {expected})")

    def _need(self, name: str, found: Found | None, expected: str) -> Found:
        if found is None:
            raise self.wrong(name, expected)
        return found


def _describe(value: object, expected: str) -> str:
    """What the value is, without repeating it, and what it should have been."""
    what = kind_of(value)
    if value == "" and isinstance(value, str):
        what = "an empty string"
    elif expected.startswith(what) or (isinstance(value, str) and expected in _STRINGS):
        what += " that will not do"
    return f"{what} (expected {expected})"


def fields(source: Mapping[str, Any] | Fields, path: str) -> Fields:
    """Give a plain object a path; what already has one keeps it."""
    return source if isinstance(source, Fields) else Fields(source, path)
