"""The picture as a page of its own for phones, desks and paper, with a table of the same."""

from __future__ import annotations

from dunning.cli.drawing.shapes import STYLE
from dunning.cli.drawing.story import Mark, Story
from dunning.cli.drawing.tall import tall
from dunning.cli.drawing.text import FAMILY, escaped
from dunning.cli.drawing.wide import wide

_STYLE = f"""
*{{box-sizing:border-box}}
body{{margin:0 auto;padding:16px;max-width:992px;background:var(--paper);color:var(--ink);
font:16px/1.5 {FAMILY};overflow-wrap:anywhere}}
h1{{font-size:1.4rem;line-height:1.25;margin:.5rem 0 1rem}}
h2{{font-size:1.1rem;margin:2rem 0 .5rem}}
dl{{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:0 0 1.5rem}}
dt,th,.soft{{color:var(--soft)}}dd{{margin:0}}
figure{{margin:0}}svg{{display:block;max-width:100%;height:auto}}
.tall{{display:none}}
table{{border-collapse:collapse;width:100%}}caption{{text-align:left}}
th,td{{text-align:left;vertical-align:top;padding:.4rem .75rem .4rem 0;
border-bottom:1px solid var(--line)}}
th,td:nth-child(-n+2){{white-space:nowrap}}
tr.skipped td{{color:var(--soft)}}
footer{{margin-top:1.5rem;font-size:.9rem}}
@media screen and (max-width:940px){{
.wide{{display:none}}.tall{{display:block}}
}}
@media screen and (max-width:720px){{
thead{{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}}
table,tbody,tr,td,caption{{display:block}}tr{{border-bottom:1px solid var(--line);padding:.5rem 0}}
td{{border:0;padding:0}}td:nth-child(-n+4){{display:inline;white-space:normal}}
td:nth-child(1)::before{{content:"day "}}td:nth-child(1)::after{{content:" · "}}
td:nth-child(2)::after{{content:"\\a";white-space:pre}}td:nth-child(3){{font-weight:bold}}
td:nth-child(4)::before{{content:" · "}}
dl{{display:block}}dd{{margin:0 0 .5rem}}
}}
@page{{size:A4 landscape;margin:12mm}}
@media print{{body{{max-width:none;padding:0;font-size:11pt}}tr,figure{{break-inside:avoid}}
.wide{{width:100%}}}}
"""
# Nothing is loaded from anywhere, and no script runs: the browser is told to see to it.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def page(story: Story) -> str:
    """The whole page in one file."""
    title = escaped(story.title)
    facts = "".join(f"<dt>{escaped(n)}</dt><dd>{escaped(v)}</dd>" for n, v in story.facts)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{STYLE}{_STYLE}</style>
</head>
<body>
<main>
<h1>{title}</h1>
<dl>{facts}</dl>
<figure>
{wide(story, alone=False)}
{tall(story)}
</figure>
<h2>The same as a list</h2>
<table>
<caption class="soft">Times are the customer's.</caption>
<thead><tr>{_cells("th scope='col'", "th", _HEADS)}</tr></thead>
<tbody>
{"".join(map(_row, story.marks))}</tbody>
</table>
<p>{escaped(story.end)}.</p>
</main>
<footer class="soft">Nobody was charged and nothing was sent: this is what would be done.</footer>
</body>
</html>
"""


_HEADS = ("Day", "Local time", "Step", "Result", "What, or why not")


def _cells(begin: str, end: str, texts: tuple[str, ...]) -> str:
    return "".join(f"<{begin}>{escaped(text)}</{end}>" for text in texts)


def _row(mark: Mark) -> str:
    result = {"skipped": "left out"}.get(mark.state, mark.state)
    cells = _cells("td", "td", (str(mark.number), mark.when, mark.name, result, mark.told))
    return f'<tr class="{mark.state}">{cells}</tr>\n'
