"""Text in a drawing: escaped, as wide as it will be at most, cut or folded to fit."""

from __future__ import annotations

import html
import unicodedata

from dunning.cli.output import plain

# Widths of Arial's letters in thousandths of its size, and of the fonts that are made to fit it.
# Whatever is not listed counts as wide as most letters, and East Asian ones as a whole square.
_WIDTHS = {
    **dict.fromkeys("ijl'|", 222),
    **dict.fromkeys(" !,./:;I[]ft\\", 278),
    **dict.fromkeys("()-r`", 333),
    **dict.fromkeys('"*', 390),
    **dict.fromkeys("ckJsvxyz", 500),
    **dict.fromkeys("FTZ&", 650),
    **dict.fromkeys("ABEKPSVXY", 667),
    **dict.fromkeys("CDHNRUw", 722),
    **dict.fromkeys("GOQ", 778),
    **dict.fromkeys("Mm", 833),
    **dict.fromkeys("%W@", 1015),
}
_OTHER, _SQUARE, _UNKNOWN = 556, 1000, 700
# Bold letters, and fonts that are a little wider than Arial.
_ROOM = 1.12
FAMILY = "Arial, Helvetica, 'Liberation Sans', 'Noto Sans', sans-serif"


def escaped(text: str) -> str:
    """Text from outside as SVG and HTML take it: on one line, and never as mark-up."""
    return html.escape(plain(text))


def width(text: str, size: float) -> float:
    """How wide it is at most, in the same unit as `size`."""
    return sum(map(_letter, plain(text))) * size / 1000 * _ROOM


def _letter(letter: str) -> int:
    if letter.isascii():
        return _WIDTHS.get(letter, _OTHER)
    if unicodedata.combining(letter):
        return 0
    return _SQUARE if unicodedata.east_asian_width(letter) in "WFA" else _UNKNOWN


def cut(text: str, size: float, room: float) -> str:
    """As much of it as there is room for, with an ellipsis where some is missing."""
    text = plain(text)
    if width(text, size) <= room:
        return text
    while text and width(text + "…", size) > room:
        text = text[:-1]
    return text.rstrip() + "…"


def folded(text: str, size: float, room: float) -> list[str]:
    """Lines no wider than the room; a word that is wider by itself is cut."""
    lines: list[str] = []
    line = ""
    for word in plain(text).split():
        longer = f"{line} {word}".strip()
        if line and width(longer, size) > room:
            lines.append(line)
            longer = word
        line = cut(longer, size, room)
    return [*lines, line] if line else lines
