"""The parts of a drawing: symbols, labels, colours for light, dark and paper."""

from __future__ import annotations

from dunning.cli.drawing.story import Mark
from dunning.cli.drawing.text import FAMILY, escaped

NAME, SMALL = 13, 12  # sizes of letters

_LIGHT = """--paper:#ffffff;--ink:#1b1f24;--soft:#57606a;--line:#c9d1d9;
--full:#cfe9d6;--on-full:#0f4a24;--restricted:#fbe3a7;--on-restricted:#5c3d00;
--suspended:#f3c6c0;--on-suspended:#6b130a;--charge:#b3261e;--mail:#1f5fa8;--door:#5b2a86"""
_DARK = """--paper:#14181d;--ink:#e8ebef;--soft:#a9b3be;--line:#3b444e;
--full:#1d4a2d;--on-full:#cdeed7;--restricted:#5a430d;--on-restricted:#fbe7b2;
--suspended:#5f211b;--on-suspended:#fbd5cf;--charge:#ff8a80;--mail:#8ab8f5;--door:#cfa8f0"""
STYLE = f"""
:root{{color-scheme:light dark;{_LIGHT}}}
@media (prefers-color-scheme:dark){{:root{{{_DARK}}}}}
@media print{{:root{{{_LIGHT}}}}}
.drawing text{{font-family:{FAMILY};font-size:{NAME}px;fill:var(--ink);paint-order:stroke;
stroke:var(--paper);stroke-width:4px;stroke-linejoin:round}}
.drawing .paper{{fill:var(--paper)}}
.drawing .title{{font-size:18px;font-weight:bold}}
.drawing .lane{{font-weight:bold}}
.drawing .small{{font-size:{SMALL}px;fill:var(--soft)}}
.drawing .line{{stroke:var(--line);fill:none}}
.drawing .leader{{stroke:var(--soft);fill:none}}
.drawing .full{{fill:var(--full)}}.drawing .restricted{{fill:var(--restricted)}}
.drawing .suspended{{fill:var(--suspended)}}
.drawing text.on-full,.drawing text.on-restricted,.drawing text.on-suspended{{stroke:none}}
.drawing .on-full{{fill:var(--on-full)}}.drawing .on-restricted{{fill:var(--on-restricted)}}
.drawing .on-suspended{{fill:var(--on-suspended)}}
.drawing .charge{{fill:var(--charge);stroke:var(--charge)}}
.drawing .mail{{fill:var(--mail);stroke:var(--mail)}}
.drawing .door{{fill:var(--door);stroke:var(--door)}}
.drawing .inside{{fill:none;stroke:var(--paper);stroke-width:1.6;stroke-linecap:round}}
.drawing .skipped{{fill:var(--paper);stroke:var(--soft);stroke-dasharray:2 2}}
.drawing .through{{stroke:var(--door);stroke-dasharray:2 5;fill:none}}
.drawing text.gone{{fill:var(--soft)}}
"""
LEVELS = {"full": "full access", "restricted": "restricted", "suspended": "suspended"}
COLOURS = {"Charges": "charge", "Emails": "mail", "Calls": "mail", "Doors": "door", "Ahead": "door"}


def at(number: float) -> str:
    """A coordinate: no more digits than it takes."""
    return f"{number:.1f}".removesuffix(".0")


def symbol(mark: Mark, x: float, y: float) -> str:
    """The sign of a mark, by its shape as well as by its colour."""
    title = f"<title>{escaped(f'{mark.name}, {mark.when}: {mark.what}')}</title>"
    skipped = mark.state == "skipped"
    kind = "skipped" if skipped else COLOURS[mark.lane]
    return f'<g transform="translate({at(x)} {at(y)})">{title}{_shape(mark, kind)}</g>'


def _shape(mark: Mark, kind: str) -> str:
    inside = "" if kind == "skipped" else _INSIDE.get(mark.lane, "")
    match mark.lane:
        case "Charges":
            return f'<circle r="7" class="{kind}"/>{inside}'
        case "Emails":
            return f'<rect x="-9" y="-6" width="18" height="12" rx="2" class="{kind}"/>{inside}'
        case "Calls":
            return f'<path d="M0 -8L8 6L-8 6Z" class="{kind}"/>'
        case _:
            return f'<path d="M0 -8L8 0L0 8L-8 0Z" class="{kind}"/>{inside}'


_INSIDE = {
    "Charges": '<path d="M-3 -3L3 3M-3 3L3 -3" class="inside"/>',
    "Emails": '<path d="M-6 -3L0 2L6 -3" class="inside"/>',
}


def called(mark: Mark) -> str:
    """Its name in a picture where signs tell what kind of step it is."""
    name = mark.name.removeprefix("email ")
    return f"{name}, left out" if mark.state == "skipped" else name


def words(x: float, y: float, text: str, kind: str = "", more: str = "") -> str:
    """A line of text whose letters stand on `y`."""
    about = f' class="{kind}"' if kind else ""
    return f'<text x="{at(x)}" y="{at(y)}"{about}{more}>{escaped(text)}</text>'


def whole(
    body: str, *, name: str, width: float, height: float, title: str, desc: str, left: float = 0
) -> str:
    """The drawing around its parts, said in words for those who do not see it."""
    box = " ".join(map(at, (left, 0, width, height)))
    size = f'width="{at(width)}" height="{at(height)}" viewBox="{box}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="drawing {name}" {size} role="img"'
        f' aria-labelledby="{name}-title {name}-desc"><title id="{name}-title">{escaped(title)}'
        f'</title><desc id="{name}-desc">{escaped(desc)}</desc>{body}</svg>'
    )


def legend(marks: list[Mark]) -> list[tuple[Mark, str]]:
    """A sign of each sort there is, and what it means."""
    seen: dict[tuple[str, str], tuple[Mark, str]] = {}
    for mark in marks:
        skipped = mark.state == "skipped"
        says = {
            "Charges": "charge, declined",
            "Emails": "email",
            "Calls": "call to the product",
            "Ahead": "what the notice tells of",
        }
        text = f"{mark.lane.lower().removesuffix('s')} left out" if skipped else says.get(mark.lane)
        key = (mark.lane, "skipped" if skipped else "done")
        seen.setdefault(key, (mark, text or "restrict, suspend, give up"))
    return list(seen.values())
