"""What there is to translate: the sentences of all templates, as a catalogue to fill in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from babel import Locale
from babel.messages.catalog import Catalog
from babel.messages.pofile import write_po

from dunning.messages.catalogues import (
    FOLDER,
    ROOT,
    SOURCE,
    CatalogueFile,
    Catalogues,
    is_translated,
)
from dunning.messages.reasons import all_reasons
from dunning.messages.shelf import environment

_WIDTH = 98
_ABOUT = """\
Words of the emails and pages in one language. Names such as %(amount)s stand for
values: keep them as they are, wherever they fit into the sentence. What is left
empty is sent in English."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """One thing to translate, and the file it stands in."""

    id: str
    plural: str | None
    context: str | None
    file: str


def sentences(folder: Path | None = None) -> Iterator[Sentence]:
    """Everything to translate in our templates and in ops' folder."""
    made = environment((ROOT,), autoescape=False)
    for root in (ROOT, *((folder,) if folder else ())):
        paths = [path for path in sorted(root.rglob("*.jinja")) if path.parent.name != FOLDER]
        for path in paths:
            found = made.extract_translations(path.read_text("utf-8"))  # type: ignore[attr-defined]
            for _, function, said in found:
                words = (said,) if isinstance(said, str) else tuple(filter(None, said))
                context, words = _apart(function, words)
                plural = words[1] if len(words) > 1 else None
                yield Sentence(words[0], plural, context, str(path.relative_to(root)))
    for reason in all_reasons():
        yield Sentence(reason, None, None, "reasons.toml")


def _apart(function: str, words: tuple[str, ...]) -> tuple[str | None, tuple[str, ...]]:
    """The context of a sentence, and the sentence."""
    if function in {"pgettext", "npgettext"}:
        return words[0], words[1:]
    return None, words


def empty(locale: Locale, folder: Path | None = None) -> Catalog:
    """A catalogue with every sentence and no translation."""
    catalog = Catalog(locale=locale)
    for each in sentences(folder):
        id_ = each.id if each.plural is None else (each.id, each.plural)
        catalog.add(id_, context=each.context, locations=[(each.file, 0)])
    return catalog


def filled(locale: Locale, known: Sequence[CatalogueFile], folder: Path | None = None) -> Catalog:
    """The same with every translation there is; the first of those who know one is taken."""
    catalog = empty(locale, folder)
    for file in known:
        for message in file.messages:
            wanted = catalog.get(message.id, context=message.context)
            if wanted is not None and not is_translated(wanted):
                wanted.string = message.string
                wanted.flags = message.flags
    return catalog


def missing(catalog: Catalog) -> tuple[int, int]:
    """How many sentences have no translation, and how many there are."""
    messages = [message for message in catalog if message.id]
    return sum(not is_translated(message) for message in messages), len(messages)


def known_files(folder: Path | None = None) -> dict[str, list[CatalogueFile]]:
    """Every catalogue by its language, ops' before ours; English is always among them."""
    found = Catalogues((ROOT,) if folder is None else (folder, ROOT))
    by_code: dict[str, list[CatalogueFile]] = {code: [] for code in found.languages()}
    for code, paths in found.files.items():
        by_code[code] = [CatalogueFile(path) for path in paths]
    return by_code


def language_state(
    code: str, files: Sequence[CatalogueFile], folder: Path | None = None
) -> dict[str, int]:
    """How many sentences there are in a language, and how many of them ops wrote."""
    lacking, every = missing(filled(Locale.parse(code), files, folder))
    own = [file for file in files if not file.path.is_relative_to(ROOT)]
    yours = sum(is_translated(each) for file in own for each in file.messages)
    translated = every if code == SOURCE else every - lacking
    return {"translated": translated, "sentences": every, "yours": yours}


def as_text(catalog: Catalog) -> str:
    """The catalogue as a `.po` file that changes only where its words do."""
    file = BytesIO()
    write_po(file, catalog, width=_WIDTH, omit_header=True, include_lineno=False)
    plurals = f"nplurals={catalog.num_plurals}; plural={catalog.plural_expr};"
    head = {
        "Language": str(catalog.locale),
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Transfer-Encoding": "8bit",
        "Plural-Forms": plurals,
    }
    lines = [f"# {line}" for line in _ABOUT.splitlines()]
    lines += ['msgid ""', 'msgstr ""', *(f'"{name}: {said}\\n"' for name, said in head.items())]
    return "\n".join(lines) + "\n\n" + file.getvalue().decode("utf-8").rstrip("\n") + "\n"
