"""All messages in all languages and for all causes, as one page that needs nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from dunning.cli.output import write_file
from dunning.core.steps import is_text
from dunning.errors import ConfigError

if TYPE_CHECKING:
    from dunning.messages import Facts, Messages, Rendered

PHONE, DESKTOP = 390, 680
_STYLE = """
body { margin: 0; font: 15px/1.5 system-ui, sans-serif; background: #fff; color: #1f2733; }
header { position: sticky; top: 0; background: #fff; border-bottom: 1px solid #d6dae1;
  padding: 10px 20px; z-index: 1; }
h1 { font-size: 18px; margin: 0 16px 0 0; display: inline; }
label { margin-right: 14px; }
main { padding: 8px 20px 60px; }
details { border-bottom: 1px solid #e2e5ea; }
summary { padding: 9px 0; cursor: pointer; }
summary b { display: inline-block; min-width: 13em; }
summary i { display: inline-block; min-width: 9em; color: #5b6472; font-style: normal; }
.parts { display: flex; flex-wrap: wrap; gap: 16px; padding: 6px 0 22px; align-items: start; }
iframe { border: 1px solid #c3c8d0; border-radius: 10px; height: 760px; background: #fff; }
pre { flex: 1 1 320px; max-width: 46em; margin: 0; padding: 14px; background: #f3f4f6;
  border-radius: 10px; white-space: pre-wrap; overflow-wrap: anywhere; }
@media (prefers-color-scheme: dark) {
  body, header { background: #14181f; color: #e6e9ee; } pre { background: #1d232d; }
  header, details { border-color: #333b48; } summary i { color: #a4adba; }
}
"""
_SCRIPT = """
const mails = JSON.parse(document.getElementById("mails").textContent);
const rows = [...document.querySelectorAll("details")];
for (const row of rows) row.addEventListener("toggle", () => {
  const parts = row.querySelector(".parts");
  if (!row.open || parts.querySelector("iframe") || !mails[row.dataset.at]) return;
  for (const width of [DESKTOP, PHONE]) {
    const frame = document.createElement("iframe");
    frame.sandbox = "";
    frame.width = width;
    frame.title = width + " pixels wide";
    frame.srcdoc = mails[row.dataset.at];
    parts.prepend(frame);
  }
});
const picks = [...document.querySelectorAll("select")];
const sift = () => rows.forEach(row => {
  row.hidden = picks.some(pick => pick.value && row.dataset[pick.name] !== pick.value);
});
picks.forEach(pick => pick.addEventListener("change", sift));
"""


@dataclass(frozen=True, slots=True)
class Shown:
    """One email of the gallery."""

    name: str
    language: str
    cause: str
    subject: str  # of a text: in how many parts it is sent
    text: str
    html: str | None


def write_gallery(
    path: Path, messages: Messages, base: Facts, name: str | None, locale: str | None
) -> int:
    """Write the page; how many emails are on it."""
    if name is not None and name not in messages.names():
        messages.render(replace(base, template=name))  # says which there are
    names = messages.names() if name is None else (name,)
    languages = messages.languages() if locale is None else (locale,)
    shown = [
        each
        for template in names
        for language in languages
        for each in _kinds(messages, replace(base, template=template, locale=language))
    ]
    write_file(path, _page(shown))
    return len(shown)


def _kinds(messages: Messages, facts: Facts) -> Iterator[Shown]:
    """The email for each cause that makes a difference, for several invoices, and with little."""
    from dunning.messages import CAUSES, few_facts
    from dunning.messages.samples import INVOICES, linked

    facts = linked(facts)
    few = replace(few_facts(facts.template), company=facts.company, brand=facts.brand)
    kinds = {"": facts} | {cause: replace(facts, cause=cause) for cause in CAUSES}
    kinds["several invoices"] = replace(facts, invoices=INVOICES)
    kinds["little is known"] = replace(few, locale=facts.locale, amount=facts.amount)
    seen: set[str] = set()
    for cause, each in kinds.items():
        shown = _shown(messages, each, cause)
        if shown.text not in seen:
            seen.add(shown.text)
            yield shown


def _shown(messages: Messages, facts: Facts, cause: str) -> Shown:
    if is_text(facts.template):
        short = messages.text(facts)
        told = (str(short.segments), short.body, None)
        return Shown(facts.template, short.language, cause, *told)
    one: Rendered = messages.render(facts)
    return Shown(facts.template, one.language, cause, one.subject, one.text, one.html)


def _page(shown: list[Shown]) -> str:
    if not shown:
        message = "no email to show"
        raise ConfigError(message)
    rows = "\n".join(_row(number, each) for number, each in enumerate(shown))
    # "<" as \u003c: nothing in an email can end the script it is carried in.
    mails = json.dumps([each.html for each in shown]).replace("<", "\\u003c")
    picks = " ".join(
        _pick(label, key, [getattr(each, key) for each in shown])
        for label, key in (("Message", "name"), ("Language", "language"), ("Cause", "cause"))
    )
    script = _SCRIPT.replace("DESKTOP", str(DESKTOP)).replace("PHONE", str(PHONE))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Emails</title><style>{_STYLE}</style></head><body>\n"
        f"<header><h1>{len(shown)} messages</h1>{picks}</header>\n<main>\n{rows}\n</main>\n"
        f'<script type="application/json" id="mails">{mails}</script>\n'
        f"<script>{script}</script>\n</body></html>\n"
    )


def _row(number: int, each: Shown) -> str:
    known = {"at": str(number), "name": each.name, "language": each.language, "cause": each.cause}
    data = " ".join(f'data-{key}="{escape(value)}"' for key, value in known.items())
    subject = escape(each.subject)
    return (
        f"<details {data}><summary><b>{escape(each.name)}</b> <i>{escape(each.language)}</i>"
        f' <i>{escape(each.cause)}</i> <span lang="{escape(each.language)}">{subject}</span>'
        f'</summary><div class="parts"><pre lang="{escape(each.language)}">'
        f"{escape(each.text)}</pre></div></details>"
    )


def _pick(label: str, key: str, values: list[str]) -> str:
    options = "".join(f"<option>{escape(each)}</option>" for each in dict.fromkeys(values) if each)
    every = '<option value="">all</option>'
    return f'<label>{label} <select name="{key}">{every}{options}</select></label>'
