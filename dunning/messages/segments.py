"""How many parts a text is sent and paid for in: GSM 03.38 where it suffices, else UCS-2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# GSM 03.38: the letters of the basic alphabet, and those that take an escape before them.
_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_ESCAPED = frozenset("^{}\\[~]|€\f")
GSM, UCS2 = "GSM-7", "UCS-2"
# Letters of a text that goes in one part, and of each part of a longer one, which has a header.
_ALONE = {GSM: 160, UCS2: 70}
_JOINED = {GSM: 153, UCS2: 67}


@dataclass(frozen=True, slots=True)
class Segments:
    """In how many parts a text goes, and in which alphabet."""

    count: int
    alphabet: str
    letters: int  # as the alphabet counts them

    def __str__(self) -> str:
        parts = "1 part" if self.count == 1 else f"{self.count} parts"
        return f"{parts}, {self.letters} letters in {self.alphabet}"


def segments(text: str) -> Segments:
    """Count as phone networks do: one letter beyond GSM-7 makes the whole text UCS-2."""
    alphabet = GSM if all(each in _BASIC or each in _ESCAPED for each in text) else UCS2
    sizes = [_size(each, alphabet) for each in text]
    letters = sum(sizes)
    if letters <= _ALONE[alphabet]:
        return Segments(1, alphabet, letters)
    return Segments(_packed(sizes, _JOINED[alphabet]), alphabet, letters)


def _size(letter: str, alphabet: str) -> int:
    if alphabet == GSM:
        return 2 if letter in _ESCAPED else 1
    return 2 if ord(letter) > 0xFFFF else 1


def _packed(sizes: Sequence[int], room: int) -> int:
    """No letter is cut in two at the end of a part."""
    parts, left = 1, room
    for size in sizes:
        if size > left:
            parts, left = parts + 1, room
        left -= size
    return parts
