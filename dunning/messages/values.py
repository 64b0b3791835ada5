"""Write facts as templates print them: clean, on one line, in the customer's own formats."""

from __future__ import annotations

import copy
import re
import unicodedata
from datetime import date
from typing import Any

from babel import Locale, UnknownLocaleError
from babel.dates import format_date

from dunning.core.money import SHOWN_WHOLE, Money, exponent
from dunning.messages.facts import Facts

_ENGLISH = Locale.parse("en")
_VALUE_LENGTH = 100
_NO_BREAK_SPACE = "\u00a0"
_JOINERS = "\u200c\u200d"  # invisible, but Persian, Indic scripts and emoji need them


def one_line(text: str, limit: int = _VALUE_LENGTH) -> str:
    """Make a value harmless: one line, no control or direction marks, at most `limit` long."""
    kept = "".join(_visible(character) for character in unicodedata.normalize("NFC", text))
    line = " ".join(kept.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if category in {"Cc", "Zl", "Zp"}:
        return " "
    if category in {"Cf", "Cs", "Co"} and character not in _JOINERS:
        return ""
    return character


def words(facts: Facts, locale: Locale) -> dict[str, Any]:
    """Turn the facts into what templates print: clean strings, or None."""
    name = _clean(facts.customer_name)
    if name and re.search(r"://|www\.", name, re.IGNORECASE):
        name = None  # signing up as "Win at http://…" would make us send spam on request
    return {
        "company": one_line(facts.company),
        "customer_name": name,
        "amount": format_money(facts.amount, locale),
        "invoice_number": _clean(facts.invoice_number),
        "failed_on": format_date(facts.failed_on, "long", locale),
        "pay_url": facts.pay_url,
        "update_card_url": facts.update_card_url,
        "suspend_on": _day(facts.suspend_on, locale),
        "give_up_on": _day(facts.give_up_on, locale),
        "next_retry_on": _day(facts.next_retry_on, locale),
        "reason": _clean(facts.reason),
        "support_email": _clean(facts.support_email),
        "card_last4": facts.card_last4,
        "card_expiry": _clean(facts.card_expiry),
    }


def _clean(text: str | None) -> str | None:
    return (one_line(text) or None) if text is not None else None


def _day(day: date | None, locale: Locale) -> str | None:
    return None if day is None else format_date(day, "long", locale)


def format_money(amount: Money, locale: Locale) -> str:
    """Write an amount as the customer's country does, with the decimals the provider uses."""
    # Babel's own table of decimals is ISO 4217's, which is not what card processors do.
    pattern = copy.copy(locale.currency_formats["standard"])
    places = 0 if amount.currency in SHOWN_WHOLE else exponent(amount.currency)
    pattern.frac_prec = (places, places)
    code = amount.currency.upper()
    written = str(pattern.apply(amount.decimal(), locale, currency=code, currency_digits=False))
    # "KWD5.120": a currency that ends in a letter is kept apart from the digits.
    return re.sub(r"(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])", _NO_BREAK_SPACE, written)


def locale_of(name: str) -> Locale:
    """The customer's locale, else its language alone, else English."""
    parts = name.strip().replace("-", "_").split("_")
    for length in range(len(parts), 0, -1):
        try:
            return Locale.parse("_".join(parts[:length]))
        except (ValueError, TypeError, UnknownLocaleError):
            continue
    return _ENGLISH


def languages(locale: Locale) -> list[str]:
    """Folders to look for a template in, best first: de_AT, de, en."""
    script = f"{locale.language}_{locale.script}" if locale.script else locale.language
    return list(dict.fromkeys([str(locale), script, locale.language, "en"]))
