"""How a page of reports looks: light, dark, on a phone and on paper."""

from __future__ import annotations

import re

_LIGHT = """--paper:#ffffff;--card:#f5f7f9;--ink:#1b1f24;--soft:#57606a;
--line:#d6dde3;--grid:#e6ebef;
--c1:#1f5fa8;--c2:#2e8b57;--c3:#17868c;--c4:#7a4fb5;--c5:#d08a1e;--c6:#6c8ebf;--c7:#b3402f;
--c8:#98a2ad;--c9:#a8588a"""
_DARK = """--paper:#14181d;--card:#1c222a;--ink:#e8ebef;--soft:#a9b3be;
--line:#3b444e;--grid:#2a323b;
--c1:#6ea8ee;--c2:#63c08a;--c3:#4fc0c6;--c4:#b493e6;--c5:#eeb455;--c6:#8fa9cf;--c7:#ee8373;
--c8:#7f8a96;--c9:#d98cbb"""
_SERIES = "\n".join(f".chart .c{n},.legend .c{n}{{fill:var(--c{n})}}" for n in range(1, 10))
_FAMILY = "Arial, Helvetica, 'Liberation Sans', 'Noto Sans', sans-serif"

STYLE = f"""
:root{{color-scheme:light dark;{_LIGHT}}}
@media (prefers-color-scheme:dark){{:root{{{_DARK}}}}}
*{{box-sizing:border-box}}
body{{margin:0 auto;padding:24px 20px 48px;max-width:1000px;background:var(--paper);
color:var(--ink);font:16px/1.5 {_FAMILY};overflow-wrap:break-word}}
h1{{font-size:1.75rem;line-height:1.2;margin:0 0 .25rem}}
h2{{font-size:1.25rem;line-height:1.3;margin:0 0 .25rem}}
h3{{font-size:1rem;margin:1.25rem 0 .25rem}}
header p{{margin:0 0 1.5rem}}
.soft{{color:var(--soft)}}
section{{margin:0 0 3rem}}
.filters{{margin:0 0 .75rem;font-size:.9rem}}
.tiles{{list-style:none;margin:0 0 2.5rem;padding:0;display:grid;gap:12px;
grid-template-columns:repeat(3,1fr)}}
.tiles li{{background:var(--card);border:1px solid var(--line);border-radius:8px;
padding:12px 14px;display:flex;flex-direction:column}}
.tiles .name{{font-size:.9rem;color:var(--soft)}}
.tiles .value{{font-size:1.3rem;line-height:1.35;font-weight:bold;
font-variant-numeric:tabular-nums}}
.tiles .soft{{font-size:.8rem;line-height:1.35;margin-top:auto;padding-top:6px}}
figure{{margin:0 0 1.25rem}}
figcaption{{font-weight:bold;margin:0 0 .25rem}}
.legend{{list-style:none;margin:0 0 .25rem;padding:0;display:flex;flex-wrap:wrap;gap:2px 16px;
font-size:.875rem}}
.legend svg{{vertical-align:-1px}}
.chart{{display:block;max-width:100%;height:auto}}
.chart text{{font:12px {_FAMILY};fill:var(--ink)}}
.chart .end{{text-anchor:end}}.chart .mid{{text-anchor:middle}}
.chart .grid{{stroke:var(--grid)}}.chart .axis{{stroke:var(--soft)}}
.chart rect{{stroke:var(--paper);stroke-width:1}}
{_SERIES}
.faded{{fill-opacity:.35;stroke-dasharray:3 2}}
.chart .faded{{stroke:var(--c1)}}
.narrow{{display:none}}
.scroll{{overflow-x:auto;margin:0 0 2rem}}
.scroll:focus-visible{{outline:2px solid var(--c1);outline-offset:2px}}
table{{border-collapse:collapse;width:100%;font-size:.9rem;font-variant-numeric:tabular-nums}}
th,td{{text-align:left;padding:.35rem .9rem .35rem 0;border-bottom:1px solid var(--line);
white-space:nowrap;font-weight:normal;vertical-align:top}}
thead th{{color:var(--soft);font-size:.85rem;border-bottom:2px solid var(--line);
vertical-align:bottom}}
tfoot th,tfoot td{{font-weight:bold;border-bottom:0}}
.num{{text-align:right}}
.summary caption{{text-align:left;font-weight:bold;font-size:1rem;padding:0 0 .25rem}}
.summary td:nth-child(2){{font-weight:bold}}
.summary th:first-child{{width:34%}}
.note{{font-size:.85rem;margin:-1.5rem 0 2rem}}
th:last-child,td:last-child{{padding-right:0}}
.hidden{{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}}
.meaning{{font-size:.875rem;border-top:2px solid var(--line);padding-top:1.5rem}}
.meaning dl{{columns:2;column-gap:2rem;margin:0}}
.meaning div{{break-inside:avoid;padding:0 0 .5rem}}
dt{{font-weight:bold}}dd{{margin:0}}
footer{{font-size:.85rem}}
@media screen and (max-width:640px){{
body{{padding:16px 14px 32px}}h1{{font-size:1.4rem}}
.wide{{display:none}}.narrow{{display:block}}
.meaning dl{{columns:1}}
.tiles{{grid-template-columns:1fr 1fr}}.tiles .value{{font-size:1.1rem}}
.summary{{font-size:.8rem}}.summary th{{white-space:normal}}
.summary th:not(:last-child){{padding-right:.5rem}}
}}
@page{{size:A4;margin:14mm 14mm 18mm}}
@media print{{
:root{{{_LIGHT}}}
body{{max-width:none;padding:0;font-size:10pt}}
table,thead th{{font-size:8pt}}th,td{{padding:.15rem .5rem .15rem 0}}
.scroll{{overflow:visible}}
h1{{font-size:18pt}}h2{{font-size:13pt}}
figure,tr,.tiles li{{break-inside:avoid}}
h2,h3,figcaption,.legend,.filters,thead,caption{{break-after:avoid}}
tfoot{{display:table-row-group}}tbody:has(+ tfoot) tr:last-child{{break-after:avoid}}
figure{{margin:0 0 .5rem}}section{{margin:0 0 1.5rem}}.scroll{{margin:0 0 1rem}}
.meaning{{font-size:8pt}}.summary{{break-inside:avoid}}.note{{margin:-.75rem 0 1rem}}
.chart,.legend svg,.tiles li{{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
.chart.wide{{width:100%}}
.tiles{{grid-template-columns:repeat(3,1fr)}}.tiles .value{{font-size:12pt}}
}}
"""


def paper(title: str) -> str:
    """What stands at the foot of each sheet: what it is, and which page of how many."""
    text = re.sub(r"[^A-Za-z0-9 .,-]", lambda one: f"\\{ord(one[0]):x} ", title)
    small = f"font:8pt {_FAMILY};color:#57606a"
    return (
        f'@page{{@bottom-left{{content:"{text}";{small}}}'
        f'@bottom-right{{content:counter(page) " / " counter(pages);{small}}}}}'
    )
