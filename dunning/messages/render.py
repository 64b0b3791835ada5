"""Find a message's template and make subject, text and HTML of it. See templates/README.md."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from babel import Locale
from css_inline import CSSInliner
from jinja2 import (
    FileSystemLoader,
    StrictUndefined,
    Template,
    TemplateNotFound,
    TemplateSyntaxError,
    UndefinedError,
)
from jinja2.ext import Extension
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from dunning.errors import ConfigError
from dunning.messages.facts import Facts, every_fact, few_facts
from dunning.messages.values import languages, locale_of, one_line, words

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
)

_BUILT_IN = Path(__file__).parent.parent / "templates"
_SUBJECT_LENGTH = 150
# Marks that templates may contain and values may not; whitespace to Jinja, like a line end.
_HARD_BREAK = "\u2028"
_PARAGRAPH_END = "\u2029"
_BLOCK_TAGS = ("<table", "<p", "<div", "<h1", "<h2", "<h3", "<ul", "<ol", "<hr", "<!--")


@dataclass(frozen=True, slots=True)
class Rendered:
    """One message, ready to be put into a letter."""

    subject: str
    text: str
    html: str


class Messages:
    """The templates of this program, with those of `folder` in front of them."""

    def __init__(self, folder: Path | None = None) -> None:
        if folder is not None and not folder.is_dir():
            message = f"no folder of message templates at {folder}"
            raise ConfigError(message)
        self._folders = [_BUILT_IN] if folder is None else [folder, _BUILT_IN]
        self._text = self._environment(autoescape=False)
        self._html = self._environment(autoescape=True)
        # Remote stylesheets would make rendering depend on the network.
        self._inliner = CSSInliner(load_remote_stylesheets=False)
        found = {path.stem for each in self._folders for path in each.glob("*/*.jinja")}
        self._names = (*TEMPLATES, *sorted(found - {"shared", *TEMPLATES}))

    def names(self) -> tuple[str, ...]:
        """Every message there is: the built-in ones, then those only the folder has."""
        return self._names

    def render(self, facts: Facts) -> Rendered:
        """Write the message; ConfigError with file and line when its template is wrong."""
        if facts.template not in self._names:
            raise ConfigError(_unknown_template(facts.template, self._names))
        locale = locale_of(facts.locale)
        with _explained(self._folders):
            text = _Part(self._text, facts.template, locale, words(facts, locale))
            html = _Part(self._html, facts.template, locale, words(facts, locale))
            subject = one_line(text.block("subject"), _SUBJECT_LENGTH)
            preheader = one_line(text.block("preheader"), _SUBJECT_LENGTH)
            return Rendered(
                subject=subject,
                text=_as_text(text.framed(text.body())),
                html=self._inliner.inline(
                    html.framed(html.body(), subject=subject, preheader=preheader)
                ),
            )

    def check(self) -> list[str]:
        """Render every message with every fact and with as few as can be; say what is wrong."""
        wrong: list[str] = []
        for name in self._names:
            for facts in (every_fact(name), few_facts(name)):
                try:
                    self.render(facts)
                except ConfigError as error:
                    wrong.append(str(error))
        return list(dict.fromkeys(wrong))

    def _environment(self, *, autoescape: bool) -> ImmutableSandboxedEnvironment:
        environment = ImmutableSandboxedEnvironment(
            loader=FileSystemLoader(self._folders),
            autoescape=autoescape,
            undefined=StrictUndefined,
            finalize=_printable,
            extensions=[_Paragraphs],
            auto_reload=False,  # a message does not change while the program runs
        )
        environment.globals["br"] = _HARD_BREAK
        return environment


class _Paragraphs(Extension):
    """Mark the empty lines of a template as the ends of its paragraphs.

    Only those: a line that comes out empty because its `{% if %}` is false must not part a
    sentence from the next, which is what splitting the finished text at empty lines would do.
    """

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        """Put a mark on every empty line; their number, and so that in errors, stays."""
        return re.sub(r"^[ \t\r]*$", _PARAGRAPH_END, source, flags=re.MULTILINE)


class _Part:
    """One message in one of its two forms."""

    def __init__(
        self,
        environment: ImmutableSandboxedEnvironment,
        name: str,
        locale: Locale,
        known: Mapping[str, Any],
    ) -> None:
        self._environment = environment
        self._languages = languages(locale)
        self._template = self._find(name)
        self._words = dict(known)
        self._form = "html" if environment.autoescape else "text"
        language = Locale.parse(str(self._template.name).partition("/")[0])
        self._words["language"] = str(language).replace("_", "-")
        self._words["direction"] = language.text_direction
        self._words["start"] = "left" if language.text_direction == "ltr" else "right"
        self._add_shared()

    def _add_shared(self) -> None:
        """Make the pieces and the sentences that all messages share known to the template."""
        shared = self._find("shared")
        source = self._environment.get_template(f"parts.{self._form}.jinja")
        self._words["link_hint"] = self._run(shared, "link_hint")
        pieces = source.make_module(self._words)
        for piece in ("strong", "mail", "button", "details"):
            self._words[piece] = getattr(pieces, piece)
        for sentence in ("greeting", "help", "why"):
            self._words[sentence] = self._run(shared, sentence)

    def block(self, name: str) -> str:
        """One block of the message."""
        return self._run(self._template, name)

    def body(self) -> str:
        """The body: the block made for this form if the template has one, else `body`."""
        if self._form in self._template.blocks:
            return self.block(self._form)
        body = self.block("body")
        return body if self._form == "text" else self._safe(_as_html(body))

    def framed(self, content: str, **more: str) -> str:
        """The content inside the layout."""
        layout = self._environment.get_template(f"layout.{self._form}.jinja")
        page = layout.render({**self._words, **more, "content": content})
        return page.replace(_PARAGRAPH_END, "") if self._form == "html" else page

    def _find(self, name: str) -> Template:
        return self._environment.select_template(
            [f"{language}/{name}.jinja" for language in self._languages]
        )

    def _run(self, template: Template, block: str) -> str:
        if block not in template.blocks:
            message = f"the block {block!r} is missing"
            raise TemplateSyntaxError(message, 1, template.name, template.filename)
        context = template.new_context(self._words)
        return self._safe("".join(template.blocks[block](context)).strip())

    def _safe(self, rendered: str) -> str:
        """Mark what a template made as HTML, so that it is not escaped a second time."""
        return Markup(rendered) if self._environment.autoescape else rendered  # noqa: S704


# --- text and HTML out of one body -----------------------------------------------------------


def _paragraphs(rendered: str) -> list[str]:
    """The paragraphs of a body, each on one line, as mail programs wrap by themselves."""
    pieces = rendered.split(_PARAGRAPH_END)
    return [line for piece in pieces if (line := re.sub(r"[ \t\r\n]+", " ", piece).strip(" "))]


def _as_text(rendered: str) -> str:
    joined = "\n\n".join(_paragraphs(rendered)) + "\n"
    return re.sub(f" ?{_HARD_BREAK} ?", "\n", joined)


def _as_html(rendered: str) -> str:
    """Put `<p>` around the paragraphs that are not a block of HTML already."""
    return "\n".join(
        piece if piece.startswith(_BLOCK_TAGS) else f"<p>{piece}</p>"
        for piece in _paragraphs(rendered)
    )


# --- templates that are wrong ----------------------------------------------------------------


def _printable(value: object) -> object:
    """Refuse to print a fact that is missing; the alternative is a mail that says "None"."""
    if value is None:
        message = "a fact that may be missing is printed; ask {% if … %} first"
        raise UndefinedError(message)
    return value


@contextmanager
def _explained(folders: list[Path]) -> Iterator[None]:
    """Turn whatever a template does wrong into one line that names its file and line."""
    try:
        yield
    except TemplateNotFound as error:
        message = f"no template {error.name} in {', '.join(str(folder) for folder in folders)}"
        raise ConfigError(message) from None
    except TemplateSyntaxError as error:
        message = f"{error.filename or error.name}:{error.lineno}: {error.message}"
        raise ConfigError(message) from None
    except UnicodeDecodeError:
        message = f"a template in {folders[0]} is not UTF-8; save it as UTF-8"
        raise ConfigError(message) from None
    except Exception as error:
        where = _place(error)
        if where is None:
            raise  # not from inside a template: ours to mend
        message = f"{where}: {error}"
        raise ConfigError(message) from None


def _place(error: Exception) -> str | None:
    """File and line of the innermost template in a traceback."""
    place = None
    trace = error.__traceback__
    while trace is not None:
        template = trace.tb_frame.f_globals.get("__jinja_template__")
        if isinstance(template, Template):
            line = template.get_corresponding_lineno(trace.tb_lineno)
            place = f"{template.filename or template.name}:{line}"
        trace = trace.tb_next
    return place


def _unknown_template(name: str, names: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}"
    return f"no message template called {name!r}; {hint}"
