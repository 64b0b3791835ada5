"""Where templates lie: ops' folder before ours, one language before all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import CodeType

from babel import Locale, UnknownLocaleError
from jinja2 import BytecodeCache, FileSystemLoader, StrictUndefined, Template, meta, nodes
from jinja2.bccache import Bucket
from jinja2.sandbox import ImmutableSandboxedEnvironment

from dunning.errors import ConfigError
from dunning.messages.catalogues import ROOT, SOURCE
from dunning.messages.forms import HARD_BREAK, Paragraphs, printable
from dunning.messages.values import languages

EMAILS = ROOT / "emails"
TEXTS = ROOT / "texts"
FRAME = frozenset(("shared", "layout.html", "layout.text", "parts.html", "parts.text"))


@dataclass(frozen=True, slots=True)
class Found:
    """A template, and the language it is in; None if it speaks through catalogues."""

    template: Template
    language: Locale | None


class Shelf:
    """The templates of emails in one of their two forms."""

    def __init__(self, folder: Path | None, *, autoescape: bool) -> None:
        self.form = "html" if autoescape else "text"
        ours = (EMAILS, TEXTS)
        self.folders: Sequence[Path] = ours if folder is None else (folder, *ours)
        self._own = frozenset(own_templates(folder)) if folder is not None else frozenset()
        self.environment = environment(self.folders, autoescape=autoescape)
        self._mentioned: dict[str, frozenset[str] | None] = {}

    def find(self, name: str, locale: Locale) -> Found:
        """The best template of this name: ops' for the language, ops' for all, ours."""
        for language in (*languages(locale)[:-1], None, SOURCE):
            path = f"{name}.jinja" if language is None else f"{language}/{name}.jinja"
            if path in self._own:
                known = None if language is None else Locale.parse(language)
                return Found(self.environment.get_template(path), known)
        return Found(self.environment.get_template(f"{name}.jinja"), None)

    def ours(self, name: str) -> Template:
        """What this program has under this name, whatever ops put in front of it."""
        if f"{name}.jinja" not in self._own:
            return self.environment.get_template(f"{name}.jinja")
        return self._built_in.get_template(f"{name}.jinja")

    def mentions(self, template: Template) -> frozenset[str] | None:
        """The words a template asks for; None if it takes in others and nobody can tell."""
        key = str(template.filename)
        if key not in self._mentioned:
            source = Path(key).read_text("utf-8")
            parsed = self.environment.parse(source)
            others = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)
            known = None
            if next(parsed.find_all(others), None) is None:
                known = frozenset(meta.find_undeclared_variables(parsed))
            self._mentioned[key] = known
        return self._mentioned[key]

    @cached_property
    def _built_in(self) -> ImmutableSandboxedEnvironment:
        return environment((EMAILS,), autoescape=self.form == "html")


class _Compiled(BytecodeCache):
    """What templates became: who has several of this program in one process compiles them once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], CodeType] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._known.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        assert bucket.code is not None
        self._known[bucket.key, bucket.checksum] = bucket.code


# The same source becomes something else where what is printed is escaped.
_COMPILED = {True: _Compiled(), False: _Compiled()}


def environment(folders: Sequence[Path], *, autoescape: bool) -> ImmutableSandboxedEnvironment:
    """How templates are read: sandboxed, strict about names, translated as they run."""
    made = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(folders),
        autoescape=autoescape,
        undefined=StrictUndefined,
        finalize=printable,
        extensions=["jinja2.ext.i18n", Paragraphs],
        bytecode_cache=_COMPILED[autoescape],
        auto_reload=False,  # a message does not change while the program runs
    )
    made.newstyle_gettext = True  # type: ignore[attr-defined]  # what i18n adds to it
    made.policies["ext.i18n.trimmed"] = True  # a sentence may go over several lines
    made.globals["br"] = HARD_BREAK
    return made


def own_templates(folder: Path) -> list[str]:
    """The paths of all templates of emails in ops' folder, from there."""
    if not folder.is_dir():
        message = f"no folder of message templates at {folder}"
        raise ConfigError(message)
    found = [*folder.glob("*.jinja"), *folder.glob("*/*.jinja")]
    paths = [path.relative_to(folder) for path in sorted(found)]
    return [str(path) for path in paths if len(path.parts) == 1 or _is_language(path.parts[0])]


def names_in(paths: Sequence[str]) -> set[str]:
    """The messages among some templates."""
    return {Path(path).stem for path in paths} - FRAME


def _is_language(name: str) -> bool:
    try:
        Locale.parse(name)
    except (ValueError, UnknownLocaleError):
        return False
    return True
