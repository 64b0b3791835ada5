"""A message to staff as mail (text and HTML) and as the JSON that chat rooms take."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from css_inline import CSSInliner
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from dunning.staff.notice import Notice, Part

FOOT = "Sent by dunning; `staff` in the policy file says what is told, and when."
AGAIN = "It is not known whether this has reached you before."
_COLOURS = {"bad": "#b91c1c", "warning": "#b45309", "good": "#15803d", "plain": "#3f3f46"}
_MARKS = {"bad": "🔴", "warning": "🟠", "good": "🟢", "plain": ""}
# What Slack takes at most: a header, a section, and how many of them.
_HEADER, _SECTION, _BLOCKS = 150, 2_900, 45


def subject(notice: Notice) -> str:
    """The subject of a mail."""
    return f"[dunning] {notice.title}"


def as_text(notice: Notice, *, again: bool = False) -> str:
    """The plain part of a mail: tables in columns."""
    blocks = [notice.title]
    if notice.lead:
        blocks.append(notice.lead)
    for part in notice.parts:
        lines = [part.title] if part.title else []
        lines += _columns(part)
        lines += [part.note] if part.note else []
        blocks.append("\n".join(lines))
    blocks.append(_foot(notice, again=again))
    return "\n\n".join(blocks) + "\n"


def as_html(notice: Notice, *, again: bool = False) -> str:
    """The other part, with its styles on the elements: mail programs drop style sheets."""
    page = _template().render(
        notice=notice, colour=_COLOURS[notice.tone], foot=_foot(notice, again=again)
    )
    return CSSInliner(load_remote_stylesheets=False, keep_style_tags=True).inline(page)


def as_chat(notice: Notice, *, again: bool = False) -> dict[str, Any]:
    """`text` for whoever reads only that (Mattermost, Rocket.Chat), `blocks` for Slack."""
    mark = f"{_MARKS[notice.tone]} ".lstrip()
    told = [_plain(notice.lead)] if notice.lead else []
    sections = [each for part in notice.parts for each in _sections(part)]
    foot = _plain(_foot(notice, again=again))
    title = f"{mark}{notice.title}"
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": _cut(title, _HEADER)}}
    ]
    blocks += [_section(each) for each in (*told, *sections)][:_BLOCKS]
    blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": foot}]})
    return {"text": "\n".join((f"*{_plain(title)}*", *told, *sections)), "blocks": blocks}


def _foot(notice: Notice, *, again: bool) -> str:
    return " ".join(filter(None, (AGAIN if again else "", notice.foot, FOOT)))


def _columns(part: Part) -> list[str]:
    rows = [part.head, *part.rows] if part.head and part.rows else [*part.rows]
    if not rows:
        return []
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        "  "
        + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


# --- chat ------------------------------------------------------------------------------------


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _sections(part: Part) -> list[str]:
    """The part in pieces that are each short enough."""
    lines = [f"*{_plain(part.title)}*"] if part.title else []
    lines += [_line(part, row) for row in part.rows]
    lines += [f"_{_plain(part.note)}_"] if part.note else []
    pieces: list[str] = []
    for line in lines:
        if pieces and len(pieces[-1]) + len(line) < _SECTION:
            pieces[-1] += f"\n{line}"
        else:
            pieces.append(line)
    return pieces


def _line(part: Part, row: tuple[str, ...]) -> str:
    cells = [_plain(cell) for cell in row if cell]
    if len(part.head) == len(row) and len(row) > 3:
        cells = [
            f"{_plain(head)} {_plain(cell)}" if place else _plain(cell)
            for place, (head, cell) in enumerate(zip(part.head, row, strict=True))
            if cell
        ]
    return "• " + " · ".join(cells)


def _plain(text: str) -> str:
    """Text in which nothing is a link, an emphasis or a call to everybody in the room."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # A word joiner behind the mark is not seen, and `@channel` or `*` means nothing any more.
    return re.sub(r"([@*~`])", "\\1\u2060", text)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


@cache
def _template() -> Template:
    folder = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template("notice.html.jinja")
