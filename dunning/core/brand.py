"""The merchant as customers see it: name, logo, colour, address, and where to ask back."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

DEFAULT_COLOUR = "#1d4ed8"
WHITE, INK = "#ffffff", "#111827"
PAPER, NIGHT = WHITE, "#1d232d"  # what words and buttons stand on, by day and in dark mode
READABLE = 4.5  # WCAG 2.2 AA for words
SEEN = 3.0  # and for the edge of something that can be pressed

Rgb = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Brand:
    """What is not said is left out; the name falls back on the company's."""

    name: str | None = None
    logo_url: str | None = None
    colour: str | None = None  # "#1d4ed8"
    address: tuple[str, ...] = ()
    support_email: str | None = None
    support_url: str | None = None
    support_phone: str | None = None


NO_BRAND = Brand()


@dataclass(frozen=True, slots=True, kw_only=True)
class Palette:
    """A colour and what goes with it, so that everything stays readable."""

    button: str
    label: str  # on the button
    edge: str  # around the button, on paper
    edge_dark: str  # and at night
    link: str
    link_dark: str


@lru_cache(maxsize=256)
def palette(colour: str | None) -> Palette:
    """The merchant's colour as it is on the button, and shades of it where it must be read."""
    base = rgb(colour or DEFAULT_COLOUR)
    label = max((WHITE, INK), key=lambda each: contrast(rgb(each), base))
    return Palette(
        button=as_hex(base),
        label=label,
        edge=as_hex(_towards(base, rgb(INK), rgb(PAPER), SEEN)),
        edge_dark=as_hex(_towards(base, rgb(WHITE), rgb(NIGHT), SEEN)),
        link=as_hex(_towards(base, rgb(INK), rgb(PAPER), READABLE)),
        link_dark=as_hex(_towards(base, rgb(WHITE), rgb(NIGHT), READABLE)),
    )


def rgb(colour: str) -> Rgb:
    """Read "#1d4ed8" or "#14d"; ValueError for anything else."""
    if not re.fullmatch(r"#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})", colour):
        message = f"{colour!r} is not a colour such as {DEFAULT_COLOUR}"
        raise ValueError(message)
    digits = colour[1:] if len(colour) == 7 else "".join(each * 2 for each in colour[1:])
    red, green, blue = (int(digits[at : at + 2], 16) for at in (0, 2, 4))
    return red, green, blue


def as_hex(colour: Rgb) -> str:
    """Write a colour as style sheets do."""
    return "#" + "".join(f"{part:02x}" for part in colour)


def contrast(one: Rgb, other: Rgb) -> float:
    """How far two colours stand apart, from 1 to 21, as WCAG measures it."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: Rgb) -> float:
    def linear(part: int) -> float:
        share = part / 255
        return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(part) for part in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _towards(base: Rgb, end: Rgb, ground: Rgb, wanted: float) -> Rgb:
    """The colour, moved as little as need be towards `end` until it stands out."""
    for step in range(101):
        mixed = _mix(base, end, step)
        if contrast(mixed, ground) >= wanted:
            return mixed
    return end


def _mix(one: Rgb, other: Rgb, percent: int) -> Rgb:
    red, green, blue = (round(a + (b - a) * percent / 100) for a, b in zip(one, other, strict=True))
    return red, green, blue
