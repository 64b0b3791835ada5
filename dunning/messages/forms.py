"""Make the text part and the HTML part out of one body, and explain templates that are wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from jinja2 import Template, TemplateNotFound, TemplateSyntaxError, UndefinedError
from jinja2.ext import Extension

from dunning.errors import ConfigError

# Marks that templates may contain and values may not; whitespace to Jinja, like a line end.
HARD_BREAK = "\u2028"
PARAGRAPH_END = "\u2029"
_BLOCK_TAGS = ("<table", "<p", "<div", "<h1", "<h2", "<h3", "<ul", "<ol", "<hr", "<!--")


class Paragraphs(Extension):
    """Mark the empty lines of a template as the ends of its paragraphs.

    Only those: a line that comes out empty because its `{% if %}` is false must not part a
    sentence from the next, which is what splitting the finished text at empty lines would do.
    """

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        """Put a mark on every empty line; their number, and so that in errors, stays."""
        return re.sub(r"^[ \t\r]*$", PARAGRAPH_END, source, flags=re.MULTILINE)


def as_text(rendered: str) -> str:
    """The paragraphs with empty lines between them."""
    joined = "\n\n".join(_paragraphs(rendered)) + "\n"
    return re.sub(f" ?{HARD_BREAK} ?", "\n", joined)


_SPACES = re.compile("[ \t\r\n\u00a0\u2007\u202f]+")


def plain(rendered: str) -> str:
    """The same as a text to a phone: one line, with spaces that every phone's alphabet has."""
    paragraphs = (_SPACES.sub(" ", each).strip(" ") for each in _paragraphs(rendered))
    return " ".join(filter(None, paragraphs)).replace(HARD_BREAK, " ")


def as_html(rendered: str) -> str:
    """Put `<p>` around the paragraphs that are not a block of HTML already."""
    return "\n".join(
        piece if piece.startswith(_BLOCK_TAGS) else f"<p>{piece}</p>"
        for piece in _paragraphs(rendered)
    )


def _paragraphs(rendered: str) -> list[str]:
    """The paragraphs of a body, each on one line, as mail programs wrap by themselves."""
    pieces = rendered.split(PARAGRAPH_END)
    lines = (re.sub(r"[ \t\r\n]+", " ", piece).strip(" ") for piece in pieces)
    # Japanese and Chinese put nothing between two sentences.
    return [re.sub(r"(?<=[。！？]) ", "", line) for line in lines if line]


# --- templates that are wrong ----------------------------------------------------------------


def printable(value: object) -> object:
    """Refuse to print a fact that is missing; the alternative is a mail that says "None"."""
    if value is None:
        message = "a fact that may be missing is printed; ask {% if … %} first"
        raise UndefinedError(message)
    return value


@contextmanager
def explained(folders: Sequence[Path]) -> Iterator[None]:
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
