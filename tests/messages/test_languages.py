"""Every language is complete, says what English says, and no word of it blames or frightens."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from dataclasses import replace

import pytest
from babel import Locale
from babel.messages.plurals import get_plural
from babel.numbers import format_decimal

from dunning.core.declines import UNKNOWN, Advice, table
from dunning.messages import (
    CAUSES,
    TEMPLATES,
    Catalogues,
    Messages,
    customer_cause,
    every_fact,
    locale_for,
)
from dunning.messages.catalogues import ROOT, CatalogueFile
from dunning.messages.extraction import as_text, empty, filled, missing, sentences
from dunning.messages.samples import INVOICES, every_kind

LANGUAGES = ("da", "de", "es", "fr", "it", "ja", "nl", "pl", "pt_BR", "sv")
FILES = {code: CatalogueFile(ROOT / "locale" / f"{code}.po") for code in LANGUAGES}
MESSAGES = Messages()
# What a customer never reads, whatever a bank said: crime, blame, threats.
FORBIDDEN = {
    "en": r"fraud|stolen|lost|theft|criminal|police|penalt|immediately|delinquent|lawyer|court",
    "da": r"svindel|bedrag|stjål|tyveri|tabt|bortkom|politi|inkasso|advokat|straks|retten\b",
    "de": r"betrug|betrüg|gestohlen|diebst|verloren|polizei|inkasso|mahn|anwalt|sofort|gericht\b",
    "es": r"fraude|robad|robo\b|perdid|hurto|policía|inmediatamente|moros|abogad|tribunal",
    "fr": r"fraud|volé|vol\b|perdu|police|immédiatement|contentieux|huissier|avocat|tribunal",
    "it": r"frode|frodi|rubat|furto|smarrit|pers[ao]\b|polizia|immediatamente|moros|avvocat",
    "ja": r"詐欺|不正|盗難|盗まれ|紛失|警察|督促|滞納|法的|弁護士|裁判",
    "nl": r"fraude|gestolen|diefstal|verloren|politie|incassobureau|onmiddellijk|advocaat|rechtb",
    "pl": r"oszust|skradz|kradzie|zgubi|utrac|policj|windyk|natychmiast|adwokat|\bsąd",
    "pt_BR": r"fraud|roubad|roubo|furto|perdid|polícia|imediatamente|inadimpl|advogad|tribunal",
    "sv": r"bedräg|stulen|stöld|förlorad|borttapp|polis|inkasso|omedelbart|advokat|domstol",
}


def forms(words: str | Sequence[str] | None) -> tuple[str, ...]:
    return (words or "",) if isinstance(words, str) or words is None else tuple(words)


def everything_said(language: str) -> list[str]:
    every = [facts for name in TEMPLATES for facts in every_kind(name, language)]
    said = [MESSAGES.render(facts) for facts in every]
    return [f"{rendered.subject}\n{rendered.text}" for rendered in said]


def test_these_languages_are_there() -> None:
    assert set(Catalogues().languages()) == {"en", *LANGUAGES} == set(FORBIDDEN)


@pytest.mark.parametrize("code", LANGUAGES)
def test_a_catalogue_is_whole_and_as_it_would_be_written_again(code: str) -> None:
    file = FILES[code]
    assert file.wrong == []
    wanted = filled(Locale.parse(code), [file])
    assert missing(wanted)[0] == 0, [m.id for m in wanted if m.id and not m.string]
    assert not any(message.fuzzy for message in file.messages)
    kept = {(message.id, message.context) for message in file.messages}
    every = (message for message in empty(Locale.parse(code)) if message.id)
    assert kept == {(message.id, message.context) for message in every}
    # Whoever adds a sentence writes all catalogues again: `dunning message catalogue`.
    assert file.path.read_text("utf-8") == as_text(wanted)


@pytest.mark.parametrize("code", LANGUAGES)
def test_plurals_are_those_of_the_language(code: str) -> None:
    catalog = FILES[code].catalog
    assert catalog is not None
    count, rule, *_ = get_plural(code)
    assert (catalog.num_plurals, catalog.plural_expr) == (count, rule)
    assert {"pl": 3, "ja": 1}.get(code, 2) == count


@pytest.mark.parametrize("code", LANGUAGES)
def test_a_translation_is_shaped_like_its_sentence(code: str) -> None:
    """Full stops, and nothing untranslated: what is the same in both languages is short."""
    for message in FILES[code].messages:
        ids, said = forms(message.id), forms(message.string)
        for form in said:
            assert form == form.strip()
            assert "  " not in form
            ends = form[-1] in ".。" or form.endswith("%(contact)s")
            assert ends == (ids[0][-1] == "." or form.endswith("%(contact)s")) or code == "ja"
            assert form not in ids or len(form.split()) == 1


@pytest.mark.parametrize("code", ["en", *LANGUAGES])
def test_no_word_that_blames_or_frightens(code: str) -> None:
    for said in everything_said(code):
        found = re.search(FORBIDDEN[code], said, re.IGNORECASE)
        assert found is None, f"{found}: {said}"
        assert "!" not in said


@pytest.mark.parametrize("code", LANGUAGES)
def test_nothing_of_a_message_stays_english(code: str) -> None:
    english = {each.id for each in sentences() if len(each.id.split()) > 3}
    plain = [
        re.escape(part)
        for each in english
        for part in re.split(r"%\(\w+\)s", each)
        if len(part.split()) > 3
    ]
    for said in everything_said(code):
        assert re.search("|".join(plain), said) is None


@pytest.mark.parametrize("code", ["en", *LANGUAGES])
def test_counts_read_well_from_one_to_a_hundred(code: str) -> None:
    for count in (1, 2, 3, 4, 5, 11, 12, 21, 22, 25):
        rendered = MESSAGES.render(
            replace(every_fact("renewal_notice"), locale=code, term=f"{count} months")
        )
        number = format_decimal(count, locale=code)
        assert count == 1 or number in rendered.text


def test_polish_has_three_plurals() -> None:
    polish = {1: "1 miesiąc", 2: "2 miesiące", 5: "5 miesięcy", 22: "22 miesiące"}
    for count, words in polish.items():
        facts = replace(every_fact("renewal_notice"), locale="pl", term=f"{count} months")
        assert f"na {words}." in MESSAGES.render(facts).text


def test_days_are_read_as_each_language_reads_them() -> None:
    for locale, written in {
        "fr": "le 1er avril 2026",
        "pt-BR": "em 1º de abril de 2026",
        "it": "in data 1º aprile 2026",
        "es": "el 1 de abril de 2026",
        "de": "am 1. April 2026",
        "da": "den 1. april 2026",
        "sv": "den 1 april 2026",
        "nl": "op 1 april 2026",
        "pl": "się 1 kwietnia 2026",
        "ja": "2026年4月1日に",
    }.items():
        rendered = MESSAGES.render(replace(every_fact("renewal_notice"), locale=locale))
        assert written in rendered.text, rendered.text


def test_japanese_has_no_gaps_between_sentences() -> None:
    rendered = MESSAGES.render(replace(every_fact("final_notice"), locale="ja"))
    assert not re.search("。 ", rendered.text)
    assert "。" in rendered.text


def test_a_language_nobody_translated_is_english_with_english_dates() -> None:
    rendered = MESSAGES.render(replace(every_fact("final_notice"), locale="fi"))
    assert rendered.language == "en"
    assert "March 15, 2026" in rendered.subject


@pytest.mark.parametrize(
    ("preferred", "country", "default", "locale"),
    [
        ("de", None, "en", "de"),
        ("de", "AT", "en", "de_AT"),
        ("de", "US", "en", "de"),
        ("pt-BR", "PT", "en", "pt_BR"),
        ("pt", "PT", "en", "pt_PT"),
        (None, "FR", "en", "fr_FR"),
        ("", "ch", "en", "de_CH"),
        (None, "BE", "en", "nl_BE"),
        (None, "CA", "de", "en_CA"),
        (None, "IN", "de", "en_IN"),
        (None, "FI", "de", "de"),
        ("fi", "FI", "de", "de"),
        ("fi", "SE", "de", "sv_SE"),
        ("tlh", None, "en", "en"),
        ("../../etc", "../", "en", "en"),
        (None, None, "pl", "pl"),
        (None, "XX", "pl", "pl"),
        ("en-GB", "DE", "de", "en_GB"),
    ],
)
def test_the_language_is_the_customers_then_the_countrys_then_the_merchants(
    preferred: str | None, country: str | None, default: str, locale: str
) -> None:
    assert locale_for(preferred, country, default, MESSAGES.languages()) == locale


def test_what_is_asked_of_a_customer_follows_from_the_advice() -> None:
    assert customer_cause(None, None) == "unknown"
    assert customer_cause(UNKNOWN, "expired_card") == "expired"
    assert customer_cause(UNKNOWN, "insufficient_funds", "sepa_debit") == "funds"
    assert customer_cause(UNKNOWN, "generic_decline", "sepa_debit") == "bank_debit"
    asking = replace(UNKNOWN, advice=Advice.AUTHENTICATE)
    assert customer_cause(asking, "expired_card") == "authenticate"
    for row in table():
        said = replace(UNKNOWN, advice=row.advice, customer_may_know=row.customer_may_know)
        cause = customer_cause(said, row.code, "card")
        assert cause in CAUSES
        if not row.customer_may_know:
            assert cause in {"new_method", "unknown"}


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("name", ["payment_failed", "reminder", "final_notice"])
def test_each_cause_has_words_of_its_own(name: str, cause: str) -> None:
    facts = replace(every_fact(name), reason=None, cause=cause)
    others = [MESSAGES.render(replace(facts, cause=each)).text for each in CAUSES if each != cause]
    assert MESSAGES.render(facts).text not in others


def test_several_invoices_are_a_table_with_a_total_for_each_currency() -> None:

    facts = replace(every_fact("reminder"), locale="de", invoices=INVOICES)
    rendered = MESSAGES.render(facts)
    assert rendered.subject == "3 Zahlungen an Acme sind noch offen"
    plain = rendered.text.replace("\u00a0", " ")
    assert "zusammen 61,50 $ und 9,00 €" in plain
    assert "F-1001 · Team plan · 1. März 2026: 49,00 $" in plain
    assert "Summe: 61,50 $\nSumme: 9,00 €" in plain
    assert rendered.html.count('class="button"') == 2  # the cell and the one link in it
    assert not set(string.ascii_letters) & set(re.sub(r"[^0-9]", "", plain))
