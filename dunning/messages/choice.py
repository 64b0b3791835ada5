"""Which language a customer is written to in: their own, their country's, else the merchant's."""

from __future__ import annotations

from collections.abc import Collection

from babel import Locale, UnknownLocaleError
from babel.languages import get_official_languages

from dunning.messages.values import languages

ENGLISH = "en"


def locale_for(
    preferred: str | None,
    country: str | None,
    default: str = ENGLISH,
    known: Collection[str] | None = None,
) -> str:
    """The locale of a message: what the customer prefers, else what their country speaks.

    `known` are the languages there are; what is not among them is no choice. Amounts and dates
    are written as the customer's country does, as far as it speaks the language.
    """
    wished = [_with_country(preferred, country), *_of_country(country)]
    return next((each for each in wished if each and _is_known(each, known)), default)


def _with_country(preferred: str | None, country: str | None) -> str | None:
    """The wish, with its country: "de" of somebody in Austria is "de_AT"."""
    found = _parsed(preferred)
    if found is None:
        return None
    code = (country or "").strip().upper()
    if found.territory is None and _parsed(f"{found}_{code}") is not None:
        spoken = get_official_languages(code, regional=True, de_facto=True)
        if found.language in {each.split("_")[0] for each in spoken}:
            return f"{found}_{code}"
    return str(found)


def _of_country(country: str | None) -> list[str]:
    """What most people of a country read (CLDR's table), and English where it is official too."""
    code = (country or "").strip().upper()
    spoken = get_official_languages(code, de_facto=True) if len(code) == 2 else ()
    wished = [*spoken[:1], *(each for each in spoken[1:] if each == ENGLISH)]
    return [name for each in wished if _parsed(name := f"{each}_{code}") is not None]


def _is_known(name: str, known: Collection[str] | None) -> bool:
    found = _parsed(name)
    if found is None:
        return False
    if known is None or found.language == ENGLISH:
        return True
    own = set(languages(found)[:-1])
    return any(code in own or _sister(code, found) for code in known)


def _sister(code: str, found: Locale) -> bool:
    """Whether it is the same language elsewhere: Brazilian is understood in Portugal."""
    other = _parsed(code)
    return other is not None and (other.language, other.script) == (found.language, found.script)


def _parsed(name: str | None) -> Locale | None:
    try:
        return Locale.parse((name or "").strip().replace("-", "_"))
    except (ValueError, TypeError, UnknownLocaleError):
        return None
