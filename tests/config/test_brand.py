"""`brand` and `locale`: what is read, what is refused and where, and what a source inherits."""

from __future__ import annotations

import pytest

from dunning.config import PolicyFile, load_policies
from dunning.config.brand import describe_brand
from dunning.core.brand import (
    INK,
    NIGHT,
    PAPER,
    READABLE,
    SEEN,
    WHITE,
    Brand,
    contrast,
    palette,
    rgb,
)
from dunning.errors import ConfigError
from dunning.messages import TEMPLATES

POLICY = """
policies:
  standard:
    grace: 9d
    window: 9d
    timeline:
      - {at: 1d, do: retry}
"""
BRAND = """version: 1
brand:
  name: Acme
  logo: https://acme.example/logo.png
  colour: "#0f766e"
  address: [Acme Ltd, 1 High Street]
  support: {email: help@acme.example, url: "https://acme.example/help", phone: +44 20 7946 0018}
"""
SOURCES = """
sources:
  - {name: one, provider: stripe, api_key_env: KEY_ONE}
  - {name: two, provider: stripe, api_key_env: KEY_TWO, brand: {name: Zenith, colour: "#fff"}}
"""


def load(content: str) -> PolicyFile:
    return load_policies(content, filename="policy.yaml", environ=None, known_templates=TEMPLATES)


def test_a_brand_is_read_and_a_source_says_only_what_is_different() -> None:
    file = load(BRAND + POLICY + SOURCES)
    assert file.brand == Brand(
        name="Acme",
        logo_url="https://acme.example/logo.png",
        colour="#0f766e",
        address=("Acme Ltd", "1 High Street"),
        support_email="help@acme.example",
        support_url="https://acme.example/help",
        support_phone="+44 20 7946 0018",
    )
    one, two = file.sources
    assert one.brand == file.brand
    assert (two.brand.name, two.brand.colour) == ("Zenith", "#fff")
    assert two.brand.support_email == "help@acme.example"
    assert describe_brand(file.brand).startswith("Customers see Acme, logo https://acme.example/")
    assert load("version: 1" + POLICY).brand == Brand()


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("https://acme.example/logo.png", "http://acme.example/logo.png", "4:9: brand.logo: "),
        ("https://acme.example/logo.png", "logo.png", "4:9: brand.logo: "),
        ("https://acme.example/logo.png", "https://a.example/<b>", "4:9: brand.logo: "),
        ('"#0f766e"', "green", "5:11: brand.colour: 'green' is not a colour; expected a colour"),
        ('"#0f766e"', "#0f766e", "5:3: brand.colour: is empty; expected a colour in quotes"),
        ("help@acme.example", "help", "7:20: brand.support.email: 'help' is not a mail address"),
        ("+44 20 7946 0018", "ask Bob", "brand.support.phone: 'ask Bob' is not a phone number"),
        ("name: Acme", "nam: Acme", "3:3: brand.nam: 'nam' is not a key here"),
        ("[Acme Ltd, 1 High Street]", "[]", "6:12: brand.address: an empty list"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(old: str, new: str, problem: str) -> None:
    assert old in BRAND
    with pytest.raises(ConfigError) as caught:
        load(BRAND.replace(old, new, 1) + POLICY)
    assert problem in str(caught.value)


def test_the_language_of_last_resort_is_the_files_or_the_policys() -> None:
    assert load("version: 1" + POLICY).policies["standard"].locale == "en"
    assert (
        load("version: 1\ndefaults: {locale: de-AT}" + POLICY).policies["standard"].locale
        == "de-AT"
    )
    own = POLICY.replace("grace: 9d", "grace: 9d\n    locale: sv")
    assert load("version: 1\ndefaults: {locale: de}" + own).policies["standard"].locale == "sv"
    with pytest.raises(ConfigError, match="'german' is not a language; expected a language, and"):
        load("version: 1\ndefaults: {locale: german}" + POLICY)


@pytest.mark.parametrize(
    "colour",
    [
        None,
        "#000",
        "#fff",
        "#777777",
        "#ffe066",
        "#0b1020",
        "#ff0000",
        "#0f766e",
        "#808080",
        "#1d232d",
    ],
)
def test_whatever_the_colour_words_and_edges_can_be_seen(colour: str | None) -> None:
    found = palette(colour)
    assert found.label in {WHITE, INK}
    assert contrast(rgb(found.label), rgb(found.button)) >= 4.2
    assert contrast(rgb(found.edge), rgb(PAPER)) >= SEEN
    assert contrast(rgb(found.edge_dark), rgb(NIGHT)) >= SEEN
    assert contrast(rgb(found.link), rgb(PAPER)) >= READABLE
    assert contrast(rgb(found.link_dark), rgb(NIGHT)) >= READABLE
    if colour is not None and len(colour) == 7:
        assert found.button == colour


def test_contrast_is_what_the_standard_says() -> None:
    assert contrast(rgb("#000"), rgb("#fff")) == pytest.approx(21)
    assert contrast(rgb("#777"), rgb("#fff")) == pytest.approx(4.478, abs=0.001)
    for wrong in ("fff", "#ffff", "red", "", "#12345g"):
        with pytest.raises(ValueError, match="not a colour"):
            rgb(wrong)
