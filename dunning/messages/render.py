"""Find a message's template and make an email of it, or a text. See templates/README.md."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from babel import Locale
from css_inline import CSSInliner
from jinja2 import Template, TemplateSyntaxError
from markupsafe import Markup

from dunning.core.steps import TEXT, is_text
from dunning.errors import ConfigError
from dunning.messages.catalogues import (
    ROOT,
    SOURCE,
    Catalogues,
    Translations,
    words_for_templates,
)
from dunning.messages.facts import Facts
from dunning.messages.forms import PARAGRAPH_END, as_html, as_text, explained, plain
from dunning.messages.reasons import words_for
from dunning.messages.samples import every_kind
from dunning.messages.segments import Segments, segments
from dunning.messages.shelf import Shelf, names_in, own_templates
from dunning.messages.values import locale_of, one_line, words

TEMPLATES: tuple[str, ...] = (
    "payment_failed",
    "new_card_needed",
    "action_required",
    "reminder",
    "final_notice",
    "suspended",
    "recovered",
    "payment_failed_by_hand",
    "reminder_by_hand",
    "final_notice_by_hand",
    "suspended_by_hand",
    "card_expiring",
    "card_expiring_soon",
    "renewal_notice",
    "new_link",
)

# Short texts to a phone; each says what the email of the same name says at length.
TEXTS: tuple[str, ...] = tuple(
    f"{TEXT}{name}"
    for name in (
        "payment_failed",
        "new_card_needed",
        "action_required",
        "reminder",
        "final_notice",
        "suspended",
    )
)
# More parts than this read as a mistake; the provider takes 1600 letters.
MOST_SEGMENTS = 8

_SUBJECT_LENGTH = 150
_COMPANY_LENGTH = 30  # in a text
# Pieces of parts.*.jinja that need nothing but their arguments come before the sentences.
_PIECES = ("strong", "mail", "link", "contacts", "button", "details", "invoice_table")


@dataclass(frozen=True, slots=True)
class Rendered:
    """One message, ready to be put into a letter."""

    subject: str
    text: str
    html: str
    language: str = "en"  # as mail headers write it: "pt-BR"


@dataclass(frozen=True, slots=True)
class Short:
    """One text, ready to be sent to a phone."""

    body: str
    segments: Segments
    language: str = "en"


class Messages:
    """The templates of this program, with those of `folder` in front of them."""

    def __init__(self, folder: Path | None = None) -> None:
        self._has_own = folder is not None  # ours are rendered by the tests
        self._text = Shelf(folder, autoescape=False)
        self._html = Shelf(folder, autoescape=True)
        self.catalogues = Catalogues((ROOT,) if folder is None else (folder, ROOT))
        # Remote stylesheets would make rendering depend on the network.
        self._inliner = CSSInliner(load_remote_stylesheets=False)
        paths = [] if folder is None else own_templates(folder)
        self._folders = {path.parts[0] for each in paths if len((path := Path(each)).parts) > 1}
        own = names_in(paths)
        self._names = (*TEMPLATES, *TEXTS, *sorted(own - {*TEMPLATES, *TEXTS}))

    def names(self) -> tuple[str, ...]:
        """Every message there is, texts among them: ours, then those only the folder has."""
        return self._names

    def languages(self) -> tuple[str, ...]:
        """Every language that messages come in: by a catalogue, or by templates of ops' own."""
        return tuple(sorted({*self.catalogues.languages(), *self._folders}))

    def render(self, facts: Facts) -> Rendered:
        """Write the message; ConfigError with file and line when its template is wrong."""
        self._known(facts.template, text=False)
        locale = locale_of(facts.locale)
        with explained(self._text.folders):
            found = self._text.find(facts.template, locale)
            same = self._html.find(facts.template, locale).template
            spoken = self._spoken(facts, locale, found.language)
            text = _Part(self._text, found.template, spoken)
            html = _Part(self._html, same, spoken)
            subject = one_line(text.block("subject"), _SUBJECT_LENGTH)
            preheader = one_line(text.block("preheader"), _SUBJECT_LENGTH)
            return Rendered(
                subject=subject,
                text=as_text(text.framed(text.body())),
                html=self._inliner.inline(
                    html.framed(html.body(), subject=subject, preheader=preheader)
                ),
                language=spoken.words["language"],
            )

    def text(self, facts: Facts) -> Short:
        """Write the text; ConfigError with file and line when its template is wrong."""
        self._known(facts.template, text=True)
        locale = locale_of(facts.locale)
        with explained(self._text.folders):
            found = self._text.find(facts.template, locale)
            spoken = self._spoken(facts, locale, found.language)
            said = words_for_templates(spoken.translations, autoescape=False)
            company = str(spoken.words["company"])[:_COMPANY_LENGTH].rstrip()
            body = plain(found.template.render({**spoken.words, **said, "company": company}))
        counted = segments(body)
        if not body or counted.count > MOST_SEGMENTS:
            what = f"takes {counted}; at most {MOST_SEGMENTS} are sent" if body else "says nothing"
            message = f"{found.template.filename}: {facts.template} {what}"
            raise ConfigError(message)
        return Short(body, counted, spoken.words["language"])

    def _known(self, name: str, *, text: bool) -> None:
        names = tuple(each for each in self._names if is_text(each) is text)
        if name not in names:
            raise ConfigError(_unknown_template(name, names))

    def _spoken(self, facts: Facts, locale: Locale, language: Locale | None) -> _Spoken:
        """The words of a message whose template is in this language, or in all of them."""
        translations = self.catalogues.for_(language or locale)
        language = language or Locale.parse(self.catalogues.language_of(locale))
        known = words(facts, locale, language)
        known["reason"] = _reason(facts, known["reason"], translations)
        known["language"] = str(language).replace("_", "-")
        known["direction"] = language.text_direction
        sides = ("left", "right") if language.text_direction == "ltr" else ("right", "left")
        known["start"], known["end"] = sides
        return _Spoken(locale, language, translations, known)

    def refuse_if_wrong(self) -> None:
        """Before a process begins: ConfigError if ops' templates or catalogues are wrong."""
        if self._has_own and (wrong := self.check()):
            raise ConfigError("\n".join(wrong))

    def check(self) -> list[str]:
        """Render every message in every language, with all facts and few; say what is wrong."""
        wrong = self.catalogues.check()
        if wrong:
            return wrong
        for name in self._names:
            for language in self.catalogues.languages():
                kinds = every_kind(name, language)
                # A translation that is wrong is found above; templates are the same in all.
                for facts in kinds if language == SOURCE else islice(kinds, 2):
                    try:
                        (self.text if is_text(name) else self.render)(facts)
                    except ConfigError as error:
                        wrong.append(str(error))
        return list(dict.fromkeys(wrong))


@dataclass(frozen=True, slots=True)
class _Spoken:
    """What is said, in which language; the same for both forms."""

    locale: Locale
    language: Locale
    translations: Translations
    words: dict[str, Any]


class _Part:
    """One message in one of its two forms."""

    def __init__(self, shelf: Shelf, template: Template, spoken: _Spoken) -> None:
        self._shelf = shelf
        self._locale = spoken.locale
        self._template = template
        self._layout = shelf.find(f"layout.{shelf.form}", spoken.locale).template
        escaped = shelf.form == "html"
        self._words = {
            **shelf.environment.globals,  # so that each block may share this one dict
            **spoken.words,
            **words_for_templates(spoken.translations, autoescape=escaped),
        }
        self._add_shared()

    def _add_shared(self) -> None:
        """Make the pieces and the sentences that all messages share known to the template."""
        names = (f"parts.{self._shelf.form}", "shared")
        parts, shared = (self._with_ours(name) for name in names)
        blocks = {block: each for each in reversed(shared) for block in each.blocks}
        hint = blocks.pop("link_hint")
        self._words["link_hint"] = self._run(hint, "link_hint")
        for source in reversed(parts):
            pieces = source.make_module(self._words)
            known = {name: getattr(pieces, name) for name in _PIECES if hasattr(pieces, name)}
            self._words.update(known)
        wanted = [self._shelf.mentions(each) for each in (self._template, self._layout, *shared)]
        for sentence, template in blocks.items():
            if any(words is None or sentence in words for words in wanted):
                self._words[sentence] = self._run(template, sentence)

    def _with_ours(self, name: str) -> list[Template]:
        """Ops' template of this name and ours behind it: theirs may lack what is newer."""
        found = self._shelf.find(name, self._locale).template
        ours = self._shelf.ours(name)
        return [ours] if found is ours else [found, ours]

    def block(self, name: str) -> str:
        """One block of the message."""
        return self._run(self._template, name)

    def body(self) -> str:
        """The body: the block made for this form if the template has one, else `body`."""
        if self._shelf.form in self._template.blocks:
            return self.block(self._shelf.form)
        body = self.block("body")
        return body if self._shelf.form == "text" else self._safe(as_html(body))

    def framed(self, content: str, **more: str) -> str:
        """The content inside the layout."""
        page = self._layout.render({**self._words, **more, "content": content})
        return page.replace(PARAGRAPH_END, "") if self._shelf.form == "html" else page

    def _run(self, template: Template, block: str) -> str:
        if block not in template.blocks:
            message = f"the block {block!r} is missing"
            raise TemplateSyntaxError(message, 1, template.name, template.filename)
        context = template.new_context(self._words, shared=True)
        return self._safe("".join(template.blocks[block](context)).strip())

    def _safe(self, rendered: str) -> str:
        """Mark what a template made as HTML, so that it is not escaped a second time."""
        return Markup(rendered) if self._shelf.form == "html" else rendered  # noqa: S704


def _reason(facts: Facts, given: Any, translations: Translations) -> str | None:
    """Why it failed, in the language of the message; words that are in no catalogue stay."""
    said = given or words_for(facts.cause)
    return translations.gettext(said) if said else None


def _unknown_template(name: str, names: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}"
    return f"no message template called {name!r}; {hint}"
