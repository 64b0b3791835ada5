"""Find a message's template and make subject, text and HTML of it. See templates/README.md."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from babel import Locale
from css_inline import CSSInliner
from jinja2 import Template, TemplateSyntaxError
from markupsafe import Markup

from dunning.errors import ConfigError
from dunning.messages.catalogues import (
    TEMPLATES as FOLDER,
)
from dunning.messages.catalogues import (
    Catalogues,
    Translations,
    words_for_templates,
)
from dunning.messages.facts import Facts
from dunning.messages.forms import PARAGRAPH_END, as_html, as_text, explained
from dunning.messages.reasons import words_for
from dunning.messages.samples import every_kind
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

_SUBJECT_LENGTH = 150
# Pieces of parts.*.jinja that need nothing but their arguments come before the sentences.
_PIECES = ("strong", "mail", "link", "contacts", "button", "details", "invoice_table")


@dataclass(frozen=True, slots=True)
class Rendered:
    """One message, ready to be put into a letter."""

    subject: str
    text: str
    html: str
    language: str = "en"  # as mail headers write it: "pt-BR"


class Messages:
    """The templates of this program, with those of `folder` in front of them."""

    def __init__(self, folder: Path | None = None) -> None:
        self._text = Shelf(folder, autoescape=False)
        self._html = Shelf(folder, autoescape=True)
        self.catalogues = Catalogues((FOLDER,) if folder is None else (folder, FOLDER))
        # Remote stylesheets would make rendering depend on the network.
        self._inliner = CSSInliner(load_remote_stylesheets=False)
        own = set() if folder is None else names_in(own_templates(folder))
        self._names = (*TEMPLATES, *sorted(own - set(TEMPLATES)))

    def names(self) -> tuple[str, ...]:
        """Every message there is: the built-in ones, then those only the folder has."""
        return self._names

    def render(self, facts: Facts) -> Rendered:
        """Write the message; ConfigError with file and line when its template is wrong."""
        if facts.template not in self._names:
            raise ConfigError(_unknown_template(facts.template, self._names))
        with explained(self._text.folders):
            text = _Part(self._text, self.catalogues, facts)
            html = _Part(self._html, self.catalogues, facts)
            subject = one_line(text.block("subject"), _SUBJECT_LENGTH)
            preheader = one_line(text.block("preheader"), _SUBJECT_LENGTH)
            return Rendered(
                subject=subject,
                text=as_text(text.framed(text.body())),
                html=self._inliner.inline(
                    html.framed(html.body(), subject=subject, preheader=preheader)
                ),
                language=text.language,
            )

    def check(self) -> list[str]:
        """Render every message in every language with all facts and with few; say what is wrong."""
        wrong = self.catalogues.check()
        if wrong:
            return wrong
        for name in self._names:
            for language in self.catalogues.languages():
                for facts in every_kind(name, language):
                    try:
                        self.render(facts)
                    except ConfigError as error:
                        wrong.append(str(error))
        return list(dict.fromkeys(wrong))


class _Part:
    """One message in one of its two forms."""

    def __init__(self, shelf: Shelf, catalogues: Catalogues, facts: Facts) -> None:
        self._shelf = shelf
        self._locale = locale_of(facts.locale)
        found = shelf.find(facts.template, self._locale)
        self._template = found.template
        spoken = found.language or Locale.parse(catalogues.language_of(self._locale))
        translations = catalogues.for_(found.language or self._locale)
        self.language = str(spoken).replace("_", "-")
        self._words = words(facts, self._locale, spoken)
        self._words.update(words_for_templates(translations, autoescape=shelf.form == "html"))
        self._words["reason"] = _reason(facts, self._words["reason"], translations)
        ltr = spoken.text_direction == "ltr"
        self._words["language"] = self.language
        self._words["direction"] = spoken.text_direction
        self._words["start"], self._words["end"] = ("left", "right") if ltr else ("right", "left")
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
        for sentence, template in blocks.items():
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
        layout = self._shelf.find(f"layout.{self._shelf.form}", self._locale).template
        page = layout.render({**self._words, **more, "content": content})
        return page.replace(PARAGRAPH_END, "") if self._shelf.form == "html" else page

    def _run(self, template: Template, block: str) -> str:
        if block not in template.blocks:
            message = f"the block {block!r} is missing"
            raise TemplateSyntaxError(message, 1, template.name, template.filename)
        context = template.new_context(self._words)
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
