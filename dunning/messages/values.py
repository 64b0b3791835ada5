"""Write facts as templates print them: clean, on one line, in the customer's own formats."""

from __future__ import annotations

import copy
import re
import unicodedata
from datetime import date
from typing import Any

from babel import Locale, UnknownLocaleError
from babel.dates import format_date
from babel.lists import format_list

from dunning.core.brand import palette
from dunning.core.money import SHOWN_WHOLE, Money, exponent
from dunning.messages.facts import TERM, Facts, InvoiceLine

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


def words(facts: Facts, locale: Locale, language: Locale | None = None) -> dict[str, Any]:
    """Turn the facts into what templates print: clean strings, or None.

    Amounts come as the customer's country writes them; dates in the language of the message.
    """
    spoken = locale if language is None or language.language == locale.language else language
    totals = [format_money(each, locale) for each in _totals(facts)]
    return {
        **_whose(facts),
        "customer_name": _greeted(facts.customer_name),
        "amount": format_list(totals, locale=spoken) if len(totals) > 1 else totals[0],
        "totals": totals,
        "colon": _COLON.get(spoken.language, ":") + " ",
        "invoices": [_line(each, locale, spoken) for each in facts.invoices],
        "several_open": len(facts.invoices) > 1,
        "invoice_number": _clean(facts.invoice_number),
        "what_for": _clean(facts.what_for),
        "failed_on": _day(facts.failed_on, spoken),
        "pay_url": facts.pay_url,
        "update_card_url": facts.update_card_url,
        "unsubscribe_url": facts.unsubscribe_url,
        "cancel_url": facts.cancel_url,
        "suspend_on": _day(facts.suspend_on, spoken),
        "give_up_on": _day(facts.give_up_on, spoken),
        "next_retry_on": _day(facts.next_retry_on, spoken),
        "renews_on": _day(facts.renews_on, spoken),
        "renewal_amount": _renewal(facts, locale),
        **_term(facts.term),
        "reason": _clean(facts.reason),
        "cause": facts.cause,
        "card": _card(facts),
        "card_last4": facts.card_last4,
        "card_brand": _card_brand(facts.card_brand),
        "card_expiry": _clean(facts.card_expiry),
    }


# What stands between a label and its value.
_COLON = {"fr": f"{_NO_BREAK_SPACE}:"}


def _whose(facts: Facts) -> dict[str, Any]:
    """What there is to say of the merchant."""
    brand = facts.brand
    email = _clean(brand.support_email) or _clean(facts.support_email)
    phone = _clean(brand.support_phone)
    dialled = re.sub(r"[^0-9+]", "", phone or "")
    page = brand.support_url
    company = _clean(brand.name) or one_line(facts.company)
    address = [line for each in brand.address if (line := one_line(each))]
    ways = [
        ("email", email, f"mailto:{email}" if email else None),
        ("url", page.split("://", 1)[1].rstrip("/") if page else None, page),
        ("phone", phone, f"tel:{dialled}" if dialled else None),
    ]
    return {
        "company": company,
        "logo_url": brand.logo_url,
        "address": address[1:] if address[:1] == [company] else address,
        "support_email": email,
        "support_url": page,
        "support_phone": phone,
        "contact": [way for way in ways if way[1]],
        "palette": palette(brand.colour),
    }


def _totals(facts: Facts) -> list[Money]:
    """What is owed, by currency; several currencies are listed and never added."""
    if len(facts.invoices) < 2:
        return [facts.amount]
    sums: dict[str, int] = {}
    for line in facts.invoices:
        sums[line.amount.currency] = sums.get(line.amount.currency, 0) + line.amount.minor
    return [Money(minor, currency) for currency, minor in sums.items()]


def _renewal(facts: Facts, locale: Locale) -> str | None:
    """What will be charged: in a notice, what is owed is just that."""
    amount = facts.amount if facts.renewal_amount is None else facts.renewal_amount
    return format_money(amount, locale) if amount.minor > 0 else None


def _line(line: InvoiceLine, locale: Locale, spoken: Locale) -> dict[str, Any]:
    """One open invoice: its title, and what stands beneath."""
    number, what_for, since = _clean(line.number), _clean(line.what_for), _day(line.since, spoken)
    title, *rest = [each for each in (number, what_for, since) if each]
    return {
        "number": number,
        "what_for": what_for,
        "amount": format_money(line.amount, locale),
        "since": since,
        "pay_url": line.pay_url,
        "title": title,
        "beneath": " · ".join(rest) or None,
    }


def _term(term: str | None) -> dict[str, Any]:
    read = TERM.fullmatch(term or "")
    if read is None:
        return {"term_count": None, "term_unit": None}
    return {"term_count": int(read[1] or 1), "term_unit": read[2]}


_CARD_BRANDS = {
    "amex": "American Express",
    "jcb": "JCB",
    "unionpay": "UnionPay",
    "eftpos": "eftpos",
}


def _card_brand(brand: str | None) -> str | None:
    plain = _clean(brand)
    if plain is None or plain.lower() in {"unknown", "other"}:
        return None
    words = plain.replace("_", " ")
    return _CARD_BRANDS.get(plain.lower()) or (words.title() if words.islower() else words)


def _card(facts: Facts) -> str | None:
    """A card as banks print it: "Visa •••• 4242"."""
    if facts.card_last4 is None:
        return None  # "Visa" alone tells nobody which
    digits = f"••••{_NO_BREAK_SPACE}{facts.card_last4}"
    return " ".join(filter(None, (_card_brand(facts.card_brand), digits)))


def _greeted(customer_name: str | None) -> str | None:
    name = _clean(customer_name)
    if name and re.search(r"://|www\.", name, re.IGNORECASE):
        return None  # signing up as "Win at http://…" would make us send spam on request
    return name


def _clean(text: str | None) -> str | None:
    return (one_line(text) or None) if text is not None else None


# Where the first of a month is read, and so written, as "the first".
_FIRST = {"fr": "1er", "pt": "1º", "it": "1º"}


def _day(day: date | None, locale: Locale) -> str | None:
    if day is None:
        return None
    written = format_date(day, "long", locale)
    first = _FIRST.get(locale.language)
    return re.sub(r"^1(?=\s)", first, written) if first else written


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
