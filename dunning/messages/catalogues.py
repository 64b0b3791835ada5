"""Translations: gettext catalogues, one `.po` a language, ops' own words before ours."""

from __future__ import annotations

import gettext
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

from babel import Locale, UnknownLocaleError
from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import write_mo
from babel.messages.pofile import PoFileError, read_po
from jinja2.exceptions import UndefinedError
from markupsafe import Markup

from dunning.errors import ConfigError

ROOT = Path(__file__).parent.parent / "templates"
FOLDER = "locale"
SOURCE = "en"  # the language that templates are written in
_PLACEHOLDER = re.compile(r"%(?:\((\w+)\)s|%|(.?))")
# Babel lets lines pass that end in the middle of their words.
_LINE = re.compile(
    r'\s*(#.*|((msgctxt|msgid|msgid_plural|msgstr(\[\d\])?)\s*)?"([^"\\]|\\.)*")?\s*'
)
_MAX_BYTES = 2_000_000

Translations = gettext.NullTranslations


class Catalogues:
    """The catalogues of some folders of templates, the first folder's words first."""

    def __init__(self, folders: Sequence[Path] = ()) -> None:
        """Read what ops wrote at once, ConfigError if it is wrong; ours as they are asked for."""
        self.files: dict[str, list[Path]] = {}
        self._read: dict[str, Translations] = {}
        for folder in folders or (ROOT,):
            for path in sorted((folder / FOLDER).glob("*.po")):
                self.files.setdefault(_code(path), []).append(path)
        self._raise(path for path in self.paths() if not path.is_relative_to(ROOT))

    def languages(self) -> tuple[str, ...]:
        """The codes of every language there is, English among them."""
        return tuple(sorted({SOURCE, *self.files}))

    def language_of(self, locale: Locale) -> str:
        """The language that this locale gets: its own, a sister of it, else English."""
        return next(iter(self._chain(locale)), SOURCE)

    def for_(self, locale: Locale) -> Translations:
        """The words of this locale; what is not translated comes back as it was, in English."""
        code = self.language_of(locale)
        if code not in self._read:
            self._read[code] = self._joined(self._chain(Locale.parse(code)))
        return self._read[code]

    def paths(self) -> tuple[Path, ...]:
        """Every catalogue file."""
        return tuple(path for paths in self.files.values() for path in paths)

    def check(self) -> list[str]:
        """What is wrong in any of them, each with file and line."""
        return [wrong for path in self.paths() for wrong in CatalogueFile(path).wrong]

    def _raise(self, paths: Iterable[Path]) -> None:
        wrong = [each for path in paths for each in CatalogueFile(path).wrong]
        if wrong:
            raise ConfigError("\n".join(wrong))

    def _chain(self, locale: Locale) -> list[str]:
        """The catalogues to look in, best first."""
        script = f"{locale.language}_{locale.script}" if locale.script else locale.language
        wished = dict.fromkeys((str(locale), script, locale.language))
        found = [code for code in wished if code in self.files]
        if found or locale.language == SOURCE:
            return found
        # Somebody from Portugal reads Brazilian sooner than English.
        parsed = ((code, Locale.parse(code)) for code in sorted(self.files))
        sisters = (
            code
            for code, each in parsed
            if each.language == locale.language and each.script == locale.script
        )
        return list(sisters)[:1]

    def _joined(self, codes: Sequence[str]) -> Translations:
        first: Translations | None = None
        for path in (path for code in codes for path in self.files[code]):
            file = CatalogueFile(path)
            if file.wrong:
                raise ConfigError("\n".join(file.wrong))
            words = file.translations()
            if first is None:
                first = words
            else:
                first.add_fallback(words)
        return first or gettext.NullTranslations()


class CatalogueFile:
    """One `.po` file: what it says, and what is wrong with it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.wrong: list[str] = []
        self.catalog = self._parsed()
        if self.catalog is not None:
            self.wrong += self._wrong_messages(self.catalog)

    def translations(self) -> Translations:
        """The words, ready for use; fuzzy ones and empty ones are left out."""
        assert self.catalog is not None
        file = BytesIO()
        write_mo(file, self.catalog, use_fuzzy=False)
        file.seek(0)
        return gettext.GNUTranslations(file)

    @cached_property
    def messages(self) -> tuple[Message, ...]:
        """Every message but the header."""
        return tuple(each for each in self.catalog or () if each.id)

    def _parsed(self) -> Catalog | None:
        text = self._text()
        if text is None:
            return None
        try:
            return read_po(StringIO(text), locale=_code(self.path), abort_invalid=True)
        except PoFileError as error:
            self.wrong.append(f"{self.path}:{error.lineno + 1}: {error}")
        except (ValueError, LookupError) as error:  # a header Babel refuses
            self.wrong.append(f"{self.path}:1: {error}")
        return None

    def _text(self) -> str | None:
        """The file as text, if every line of it is one of a catalogue."""
        try:
            raw = self.path.read_bytes()
        except OSError as error:
            self.wrong.append(f"{self.path}: cannot be read: {error.strerror}")
            return None
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = raw.count(b"\n", 0, error.start) + 1
            self.wrong.append(f"{self.path}:{line}: not UTF-8; save the file as UTF-8")
            return None
        if len(raw) > _MAX_BYTES:
            self.wrong.append(f"{self.path}:1: larger than {_MAX_BYTES} bytes")
            return None
        for number, said in enumerate(text.split("\n"), 1):
            if not _LINE.fullmatch(said):
                self.wrong.append(f"{self.path}:{number}: not a line of a catalogue")
        return None if self.wrong else text

    def _wrong_messages(self, catalog: Catalog) -> Iterator[str]:
        for message in catalog:
            if message.id and not message.fuzzy:
                for why in _wrong(message, catalog.num_plurals):
                    yield f"{self.path}:{message.lineno or 1}: {why}"


def _code(path: Path) -> str:
    """The language a file is for, as Babel writes it."""
    try:
        return str(Locale.parse(path.stem.replace("-", "_")))
    except (ValueError, UnknownLocaleError):
        message = f"{path}: {path.stem!r} is not a language; expected a name such as de.po"
        raise ConfigError(message) from None


def is_translated(message: Message) -> bool:
    """Whether every form of it has words, and nobody marked them as doubtful."""
    return all(_forms(message.string)) and not message.fuzzy


def _forms(words: str | Iterable[str] | None) -> tuple[str, ...]:
    return (words or "",) if isinstance(words, str) or words is None else tuple(words)


def _wrong(message: Message, plurals: int) -> Iterator[str]:
    """Why this translation cannot be used, if it is one at all."""
    ids, forms = _forms(message.id), _forms(message.string)
    if not any(forms):
        return  # not translated: English is used
    if message.pluralizable and (len(forms) != plurals or not all(forms)):
        yield f"{ids[0]!r} needs {plurals} plural forms, and has {sum(map(bool, forms))}"
        return
    given = [_placeholders(each) for each in ids]
    known, needed = set.union(*given), set.intersection(*given)
    for form in forms:
        used = _placeholders(form)
        if extra := sorted(used - known):
            yield f"the translation of {ids[0]!r} has %({extra[0]})s, which does not exist there"
        elif missing := sorted(needed - used):
            yield f"the translation of {ids[0]!r} lacks %({missing[0]})s"
        if re.search(r"[<>]|&#?\w+;", form):
            yield f"the translation of {ids[0]!r} holds HTML; that is up to the template"


def _placeholders(text: str) -> set[str]:
    """The names in it; what % cannot read is a name too, so that it does not exist."""
    found = _PLACEHOLDER.finditer(text)
    return {
        match[1] or match[0].removeprefix("%").strip() or "%" for match in found if match[0] != "%%"
    }


# --- for templates -------------------------------------------------------------------------------


def words_for_templates(
    translations: Translations, *, autoescape: bool
) -> Mapping[str, Callable[..., str]]:
    """What `{% trans %}` calls, as words of a template's context.

    One environment serves all languages so: jinja2.ext.i18n with its own functions would be tied
    to one. A value that is missing is an error here, as it is everywhere in templates.
    """

    def filled(text: str, values: Mapping[str, Any]) -> str:
        for name, value in values.items():
            if value is None and f"%({name})s" in text:
                message = f"{name!r} may be missing and is printed; ask {{% if {name} %}} first"
                raise UndefinedError(message)
        return (Markup(text) if autoescape else text) % dict(values)  # noqa: S704 no HTML in them

    def one(text: str, /, **values: Any) -> str:
        return filled(translations.gettext(text), values)

    def many(single: str, plural: str, count: int, /, **values: Any) -> str:
        return filled(translations.ngettext(single, plural, count), {"num": count, **values})

    def one_of(context: str, text: str, /, **values: Any) -> str:
        return filled(translations.pgettext(context, text), values)

    def many_of(context: str, single: str, plural: str, count: int, /, **values: Any) -> str:
        said = translations.npgettext(context, single, plural, count)
        return filled(said, {"num": count, **values})

    return {"gettext": one, "ngettext": many, "pgettext": one_of, "npgettext": many_of}
