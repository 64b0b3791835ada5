"""Messages: what customers read, in every template, locale and currency, whatever the values."""

from __future__ import annotations

import html
import re
import unicodedata
from dataclasses import replace
from datetime import date
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dunning.core.declines import UNKNOWN, Advice, table
from dunning.core.money import Money
from dunning.core.steps import _FOR_ADVICE, TEXT
from dunning.errors import MalformedError
from dunning.messages import (
    TEMPLATES,
    TEXTS,
    Facts,
    Messages,
    Rendered,
    customer_reason,
    every_fact,
    few_facts,
)
from dunning.messages.reasons import _causes, all_reasons

MESSAGES = Messages()
LINK = "https://invoice.stripe.example/i/acct_1/live_" + "YWNjdF8x" * 40 + "?s=ap&x=3D"
# Those that want something; a new link that was asked for is one link, and names no amount.
ASKING = [name for name in TEMPLATES if name not in ("recovered", "new_link")]


def visible(rendered: Rendered) -> str:
    """The HTML as a person sees it: no tags, no entities."""
    body = rendered.html.partition("<body")[2]
    return html.unescape(re.sub(r"<[^>]+>", " ", body))


def render(template: str = "payment_failed", **facts: object) -> Rendered:
    return MESSAGES.render(replace(every_fact(template), **facts))  # type: ignore[arg-type]


# --- every template ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("facts", [every_fact, few_facts])
def test_a_message_is_whole_whether_facts_are_there_or_not(name: str, facts: object) -> None:
    rendered = MESSAGES.render(facts(name))  # type: ignore[operator]
    for part in (rendered.subject, rendered.text, rendered.html):
        assert not re.search(r"None|\{\{|\}\}|\{%|Undefined|\u2028|\u2029", part)
    for part in (rendered.subject, rendered.text):
        assert not re.search(r" [.,;:?!]|\.\.|  | $|[.?][A-Z]", part, re.MULTILINE)
    for part in (rendered.text, visible(rendered)):
        assert name == "new_link" or "$49.00" in part
        assert "Acme" in part
        assert "because you are a customer of Acme" in part
    assert rendered.subject
    assert "\n" not in rendered.subject
    assert "\n\n\n" not in rendered.text


@pytest.mark.parametrize("name", ASKING)
@pytest.mark.parametrize("kind", ["pay_url", "update_card_url"])
def test_one_link_is_enough_and_is_both_a_button_and_readable(name: str, kind: str) -> None:
    rendered = MESSAGES.render(replace(few_facts(name), **{kind: LINK}))  # type: ignore[arg-type]
    assert f"\n{LINK}\n" in rendered.text
    assert rendered.html.count(f'href="{html.escape(LINK)}"') == 2
    assert f">{html.escape(LINK)}</a>" in rendered.html
    assert len(re.findall(r'<a class="button"', rendered.html)) == 1


@pytest.mark.parametrize("name", TEMPLATES)
def test_text_and_html_say_the_same(name: str) -> None:
    rendered = MESSAGES.render(every_fact(name))
    seen = " ".join(visible(rendered).split())
    for paragraph in rendered.text.split("\n\n"):
        for sentence in re.split(r"(?<=[.?])\s", paragraph):
            if re.match(r"[A-Z]", sentence) and "\n" not in sentence and ":" not in sentence:
                plain = sentence.strip().removeprefix("--\nAcme\n")
                assert re.sub(r"\W", "", plain) in re.sub(r"\W", "", seen)


def test_what_each_message_must_say() -> None:
    final = render("final_notice")
    assert final.subject == "Your access to Acme pauses on March 15, 2026"
    assert "March 15, 2026" in final.text
    assert "March 29, 2026" in final.text
    late = MESSAGES.render(replace(few_facts("final_notice"), give_up_on=date(2026, 3, 29)))
    assert late.subject == "Your subscription to Acme ends on March 29, 2026"
    assert "comes back by itself" in render("suspended").text
    assert "Thank you" in render("recovered").text
    assert "https://" not in render("recovered").text
    assert "We will try again on March 4, 2026" in render("payment_failed").text
    assert "help@acme.example" in render("reminder").text
    assert "The card has expired." in render("new_card_needed").text
    assert "02/2026" in render("new_card_needed").text
    assert "confirm" in render("action_required").subject


@pytest.mark.parametrize("name", TEMPLATES)
def test_no_blame_no_threats_no_shouting(name: str) -> None:
    rendered = MESSAGES.render(every_fact(name))
    hard = (
        r"\b(failed to|must|immediately|legal|debt|overdue|delinquent|penalty|fraud|stolen|lost)\b"
    )
    assert not re.search(hard, rendered.text, re.IGNORECASE)
    assert "!" not in rendered.text
    assert len(rendered.text.partition("\n--\n")[0].split()) < 120


def test_every_template_that_the_core_names_exists() -> None:
    assert set(_FOR_ADVICE.values()) <= set(TEMPLATES)
    assert {f"{TEXT}{name}" for name in _FOR_ADVICE.values()} <= set(TEXTS)
    assert MESSAGES.names() == (*TEMPLATES, *TEXTS)
    assert MESSAGES.check() == []


def test_the_html_stands_alone_and_suits_mail_programs() -> None:
    page = render().html
    assert page.startswith('<!DOCTYPE html><html lang="en" dir="ltr">')
    assert page.index('charset="utf-8"') < 300
    assert 'style="' in page
    assert "prefers-color-scheme: dark" in page
    assert "max-width: 480px" in page
    assert 'class="preheader" style="display: none' in page
    assert not re.search(r"<script|<img|<link|@import|url\(", page)
    assert len(page) < 20_000  # mail programs cut longer ones


# --- amounts and dates ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("minor", "currency", "locale", "written"),
    [
        (4900, "usd", "en", "$49.00"),
        (123456789, "usd", "en", "$1,234,567.89"),
        (4900, "usd", "en-US", "$49.00"),
        (4900, "eur", "de", "49,00\u00a0€"),
        (123450, "eur", "de-AT", "€\u00a01.234,50"),
        (123450, "eur", "de-XX", "1.234,50\u00a0€"),
        (123450, "eur", "fr", "1\u202f234,50\u00a0€"),
        (123450, "chf", "de-CH", "CHF\u00a01’234.50"),
        (500, "jpy", "ja", "￥500"),
        (500, "jpy", "en", "¥500"),
        (5120, "kwd", "en", "KWD\u00a05.120"),
        (5120, "kwd", "fr", "5,120\u00a0KWD"),
        (50000, "isk", "en", "ISK\u00a0500"),
        (50000, "isk", "is", "500\u00a0kr."),
        (150000, "ugx", "en", "UGX\u00a01,500"),
        (1500, "mga", "en", "MGA\u00a01,500"),  # two decimals in ISO 4217, none at Stripe
        (150000, "huf", "en", "HUF\u00a01,500.00"),
        (10_000_000, "inr", "en-IN", "₹1,00,000.00"),
        (4900, "usd", "pt-BR", "US$\u00a049,00"),
        (4900, "usd", "tlh", "$49.00"),
        (4900, "usd", "", "$49.00"),
        (4900, "usd", "../../etc/passwd", "$49.00"),
        (4900, "usd", "en_US.UTF-8", "$49.00"),
    ],
)
def test_amounts(minor: int, currency: str, locale: str, written: str) -> None:
    rendered = render(amount=Money(minor, currency), locale=locale)
    assert written in rendered.text
    assert written in visible(rendered)
    assert " ".join(written.split()) in rendered.subject


@pytest.mark.parametrize(
    ("locale", "written"),
    [
        ("en", "March 15, 2026"),
        ("en-GB", "15 March 2026"),
        ("de", "15. März 2026"),
        ("fr", "15 mars 2026"),
        ("ja", "2026年3月15日"),
        ("es-MX", "15 de marzo de 2026"),
        ("xx-YY", "March 15, 2026"),
    ],
)
def test_dates(locale: str, written: str) -> None:
    rendered = render("final_notice", locale=locale)
    assert written in rendered.text
    assert written in rendered.subject


@given(st.text(max_size=30))
def test_no_locale_is_too_strange(locale: str) -> None:
    assert "49" in render("recovered", locale=locale).text


# --- values from outside ----------------------------------------------------------------------

HOSTILE = [
    "{{ 7*7 }}",
    "{% include '/etc/passwd' %}",
    "{{ ''.__class__.__mro__ }}",
    "{# gone #}",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "&lt;b&gt;",
    "Robert'); DROP TABLE cases;--",
    "%s %d %(x)s",
]


@pytest.mark.parametrize("value", HOSTILE)
def test_a_value_is_never_a_template_nor_html(value: str) -> None:
    rendered = render(customer_name=value, company=value, invoice_number=value, reason=value)
    assert f"Hello {value}," in rendered.text
    assert value in visible(rendered)
    assert value in rendered.subject
    assert "<script>" not in rendered.html
    assert "<img" not in rendered.html
    assert "49" not in rendered.text.replace("$49.00", "")


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\x0b", "\x0c", "\x85", "\u2028", "\u2029"])
def test_a_value_stays_on_its_line(end: str) -> None:
    evil = f"Ada{end}Bcc: victim@example.com{end}{end}New paragraph"
    rendered = render(customer_name=evil, company=evil, invoice_number=evil)
    assert end not in rendered.subject
    assert "Hello Ada Bcc: victim@example.com New paragraph," in rendered.text
    assert rendered.text.splitlines()[0].startswith("Hello Ada Bcc")


def test_direction_marks_nul_and_lone_surrogates_go() -> None:
    name = "A\u202ed\u2066a\x00 \ud800L\ufeff\u200b"
    rendered = render(customer_name=name, company=name)
    assert "Hello Ada L," in rendered.text
    assert "to Ada L did" in rendered.subject
    rendered.html.encode("utf-8")


def test_names_in_any_script_survive() -> None:
    for name in ("Zoë Ångström", "山田太郎", "نیما می\u200cخواهد", "Νίκος", "👩\u200d💻 Dev"):
        assert f"Hello {unicodedata.normalize('NFC', name)}," in render(customer_name=name).text


def test_long_values_are_cut_and_the_subject_fits() -> None:
    rendered = render(company="W" * 5000, customer_name="x" * 5000, invoice_number="9" * 5000)
    assert len(rendered.subject) <= 150
    assert "…" in rendered.text
    assert max(len(line) for line in rendered.text.splitlines()) < 500


@pytest.mark.parametrize("name", ["You won https://evil.example", "WWW.evil.example", "", " \n"])
def test_a_name_that_carries_a_link_or_nothing_is_not_greeted(name: str) -> None:
    rendered = render(customer_name=name)
    assert rendered.text.startswith("Hello,\n")
    assert "evil" not in rendered.html


@given(st.text(max_size=200), st.text(max_size=200))
def test_whatever_the_values_the_message_stands(name: str, number: str) -> None:
    rendered = render(customer_name=name, company=name, invoice_number=number)
    assert len(rendered.subject) <= 150
    kinds = {unicodedata.category(each) for each in rendered.subject if each not in "\u200c\u200d"}
    assert not kinds & {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
    assert "\n\nPay $49.00:\nhttps://pay.example/i/1\n\n" in rendered.text
    rendered.text.encode("utf-8")
    rendered.html.encode("utf-8")


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "//pay.example/x",
        "pay.example/x",
        "https://",
        "https://user@pay.example/",
        "https://pay.example/a b",
        "https://pay.example/\r\nBcc: x",
        'https://pay.example/"onclick=',
        "https://pay.example/<b>",
        "https://pay.example\\@evil.example/",
        "https://[broken",
        "https://pay.example/" + "x" * 5000,
        " https://pay.example/",
        "",
    ],
)
@pytest.mark.parametrize("kind", ["pay_url", "update_card_url"])
def test_only_web_addresses_become_links(url: str, kind: str) -> None:
    with pytest.raises(MalformedError, match=kind) as caught:
        replace(few_facts("payment_failed"), **{kind: url})  # type: ignore[arg-type]
    assert url == "" or url not in str(caught.value)  # a link may hold a token


@pytest.mark.parametrize("digits", ["4242424242424242", "424", "abcd", "４２４２"])
def test_card_digits_are_four(digits: str) -> None:
    with pytest.raises(MalformedError, match="card_last4"):
        Facts(
            template="reminder",
            company="Acme",
            amount=Money(1, "usd"),
            failed_on=date(2026, 3, 1),
            card_last4=digits,
        )


def test_links_survive_the_mail_encodings() -> None:
    for token in ("=3D=0A=20", "3Dab", "=C3=A9", "ab" * 400, quote("ä/=&+"), "a=" * 80, "." * 5):
        url = f"https://pay.example/i?t={token}"
        rendered = render(pay_url=url, update_card_url=None)
        for cte in ("quoted-printable", "base64"):
            message = EmailMessage(policy=policy.SMTP)
            message.set_content(rendered.text, cte=cte)
            message.add_alternative(rendered.html, subtype="html", cte=cte)
            read = BytesParser(policy=policy.default).parsebytes(message.as_bytes())
            text, page = read.get_body(("plain",)), read.get_body(("html",))
            assert text is not None
            assert page is not None
            assert url in text.get_content().splitlines()
            assert page.get_content().count(f'href="{html.escape(url)}"') == 2


# --- why it failed ----------------------------------------------------------------------------


def test_reasons() -> None:
    assert customer_reason(UNKNOWN, "expired_card") == "The card has expired."
    assert customer_reason(UNKNOWN, " Insufficient_Funds ") == (
        "The balance or the limit did not cover the payment."
    )
    assert customer_reason(UNKNOWN, "generic_decline") is None
    assert customer_reason(UNKNOWN, None) is None
    asking = replace(UNKNOWN, advice=Advice.AUTHENTICATE)
    assert customer_reason(asking, None) == "Your bank asks you to confirm the payment yourself."


def test_what_the_customer_may_not_know_is_never_said() -> None:
    hidden = [row for row in table() if not row.customer_may_know]
    assert {"fraudulent", "lost_card", "stolen_card", "pickup_card"} <= {row.code for row in hidden}
    for row in hidden:
        assert customer_reason(UNKNOWN, row.code) is None
    # A blocked charge may carry a harmless code beside the real cause.
    assert customer_reason(replace(UNKNOWN, customer_may_know=False), "expired_card") is None


def test_every_cause_has_words_and_every_code_is_a_known_one() -> None:
    codes = [code for cause in _causes().values() for code in cause["codes"]]
    assert len(codes) == len(set(codes))
    assert set(codes) <= {row.code for row in table()}
    for sentence in all_reasons():
        assert re.fullmatch(r"[A-Z][^.!]*\.", sentence)
