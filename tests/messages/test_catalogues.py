"""Catalogues of words: whose come first, which language a locale gets, and wrong files named."""

from __future__ import annotations

from pathlib import Path

import pytest
from babel import Locale
from jinja2 import Environment
from jinja2.exceptions import UndefinedError
from markupsafe import Markup

from dunning.errors import ConfigError
from dunning.messages import Catalogues, words_for_templates

HELLO = 'msgid "Hello"\nmsgstr "{}"\n\n'
SUM = 'msgid "You owe %(amount)s."\nmsgstr "{}"\n\n'
DAYS = 'msgid "%(num)s day"\nmsgid_plural "%(num)s days"\n'


def po(folder: Path, name: str, *parts: str) -> Path:
    path = folder / "locale" / f"{name}.po"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(parts), encoding="utf-8")
    return path


def test_ops_words_come_first_and_ours_fill_the_gaps(tmp_path: Path) -> None:
    po(tmp_path / "ours", "de", HELLO.format("Guten Tag"), SUM.format("Offen: %(amount)s."))
    po(tmp_path / "mine", "de", HELLO.format("Servus"))
    found = Catalogues([tmp_path / "mine", tmp_path / "ours"])
    german = found.for_(Locale.parse("de_CH"))
    assert german.gettext("Hello") == "Servus"
    assert german.gettext("You owe %(amount)s.") == "Offen: %(amount)s."
    assert german.gettext("Nobody translated this") == "Nobody translated this"


def test_english_is_there_without_a_file_and_may_be_changed_by_one(tmp_path: Path) -> None:
    found = Catalogues([tmp_path])
    assert found.languages() == ("en",)
    assert found.for_(Locale.parse("en_GB")).gettext("Hello") == "Hello"
    po(tmp_path, "en", HELLO.format("Hi"))
    po(tmp_path, "en_AU", SUM.format("You owe %(amount)s, mate."))
    found = Catalogues([tmp_path])
    assert found.for_(Locale.parse("en_GB")).gettext("Hello") == "Hi"
    australian = found.for_(Locale.parse("en_AU"))
    assert australian.gettext("Hello") == "Hi"
    assert "mate" in australian.gettext("You owe %(amount)s.")
    assert found.language_of(Locale.parse("en_NZ")) == "en"


@pytest.mark.parametrize(
    ("locale", "language"),
    [
        ("pt_BR", "pt_BR"),
        ("pt_PT", "pt_BR"),
        ("pt", "pt_BR"),
        ("de_AT", "de"),
        ("zh_TW", "zh_Hant"),
        ("zh_CN", "en"),
        ("fi", "en"),
        ("en_IN", "en"),
    ],
)
def test_which_language_a_locale_gets(tmp_path: Path, locale: str, language: str) -> None:
    for name in ("pt-BR", "de", "zh_Hant"):
        po(tmp_path, name, HELLO.format("x"))
    assert Catalogues([tmp_path]).language_of(Locale.parse(locale)) == language


def test_plural_forms_are_those_of_the_language(tmp_path: Path) -> None:
    forms = 'msgstr[0] "%(num)s dzień"\nmsgstr[1] "%(num)s dni"\nmsgstr[2] "%(num)s dnia"\n'
    po(tmp_path, "pl", DAYS, forms)
    words = words_for_templates(Catalogues([tmp_path]).for_(Locale("pl")), autoescape=False)
    said = [words["ngettext"]("%(num)s day", "%(num)s days", n) for n in (1, 2, 5, 12, 22)]
    assert said == ["1 dzień", "2 dni", "5 dnia", "12 dnia", "22 dni"]


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        (HELLO.format("a") + SUM.format("Offen."), 4, "lacks %(amount)s"),
        (HELLO.format("a") + SUM.format("%(sum)s: %(amount)s"), 4, "%(sum)s, which does not exist"),
        (SUM.format("%(amount)s, 100 % sure"), 1, "does not exist"),
        (SUM.format("%(amount)d"), 1, "does not exist"),
        (HELLO.format("<b>Hallo</b>"), 1, "holds HTML"),
        (HELLO.format("&lt;Hallo"), 1, "holds HTML"),
        (DAYS + 'msgstr[0] "%(num)s a"\nmsgstr[1] "%(num)s b"\n', 1, "needs 3 plural forms"),
        (HELLO.format("a") + 'msgid "x\nmsgstr "y"\n', 4, ""),
        (HELLO.format("a") + "nonsense\n", 4, ""),
    ],
)
def test_a_wrong_catalogue_is_named_with_its_line(
    tmp_path: Path, text: str, line: int, why: str
) -> None:
    path = po(tmp_path, "pl", text)
    with pytest.raises(ConfigError) as caught:
        Catalogues([tmp_path])
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert why in str(caught.value)


def test_a_file_that_is_no_language_or_no_text_is_refused(tmp_path: Path) -> None:
    po(tmp_path / "a", "klingonish", HELLO.format("x"))
    with pytest.raises(ConfigError, match=r"klingonish\.po: 'klingonish' is not a language"):
        Catalogues([tmp_path / "a"])
    path = po(tmp_path / "b", "de", "")
    path.write_bytes(b'msgid "a"\nmsgstr "\xff"\n')
    with pytest.raises(ConfigError, match=r"de\.po:2: not UTF-8"):
        Catalogues([tmp_path / "b"])


def test_doubtful_and_empty_translations_are_not_used(tmp_path: Path) -> None:
    po(tmp_path, "de", "#, fuzzy\n", HELLO.format("Moin"), SUM.format(""))
    german = Catalogues([tmp_path]).for_(Locale("de"))
    assert german.gettext("Hello") == "Hello"
    assert german.gettext("You owe %(amount)s.") == "You owe %(amount)s."


def test_one_environment_serves_all_languages_and_escapes(tmp_path: Path) -> None:
    po(tmp_path, "de", SUM.format("Offen: %(amount)s."))
    environment = Environment(autoescape=True, extensions=["jinja2.ext.i18n"])
    environment.newstyle_gettext = True  # type: ignore[attr-defined]
    template = environment.from_string("{% trans amount=x %}You owe {{ amount }}.{% endtrans %}")
    found = Catalogues([tmp_path])
    for locale, said in (("de", "Offen: {}."), ("en", "You owe {}.")):
        words = words_for_templates(found.for_(Locale(locale)), autoescape=True)
        assert template.render({**words, "x": "<5"}) == said.format("&lt;5")
        assert template.render({**words, "x": Markup("<b>5</b>")}) == said.format("<b>5</b>")
        with pytest.raises(UndefinedError, match="'amount' may be missing"):
            template.render({**words, "x": None})
