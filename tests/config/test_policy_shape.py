"""Policy files whose shape is wrong: YAML that is none, missing parts, empty values, limits."""

from __future__ import annotations

import re

import pytest

from dunning.config.conditions import BOUND_KEYS, CHOICE_KEYS
from dunning.config.sources import SOURCE_KEYS
from tests.config.files import heads, load, text_of

TAIL = "\nchoose: [{policy: p}]"

WHOLE = [
    ("", "1:1: the file is empty; expected `version: 1` and `policies:`"),
    ("# nothing\n", "1:1: the file is empty"),
    ("- a\n", ("1:1: expected keys and values with books, brand, choose, declines, defaults,"
     " limits, policies, segments, sources, staff, value, version;"
     " found a list")),
    ("retry\n", ("1:1: expected keys and values with books, brand, choose, declines, defaults,"
     " limits, policies, segments, sources, staff, value, version;"
     " found 'retry'")),
    ("version: 1\n", "1:1: `policies` is missing; expected names with grace, window and timeline"),
    ("version: 1\npolicies: {}\n", "2:11: policies: 0 policies; expected 1 to 200"),
    ("version: 1\npolicies: [a]\n", "2:11: policies: expected keys and values; found a list"),
    ("version: 1\npolicies:\n  p:\n", "3:3: policies.p: expected keys and values with access,"),
    ("version: 1\npolicies:\n  p: {}" + TAIL, ("3:6: policies.p: `grace` is missing; expected when"
     " suspension may come, such as 14d")),
    ("version: 1\npolicies:\n  p: {}" + TAIL, ("3:6: policies.p: `window` is missing; expected when"
     " the case is given up, such as 28d")),
    ("version: 1\npolicies:\n  p: {}" + TAIL, "3:6: policies.p: `timeline` is missing; expected a"),
    ("version: 1\npolicies:\n  p: {timeline: []}" + TAIL, ("3:17: policies.p.timeline: an empty"
     " list; expected steps")),
    ("version: 1\npolicies:\n  p: {timeline: {at: 1d}}" + TAIL, ("3:17: policies.p.timeline:"
     " expected a list of steps, each after a `-`; found keys and values")),
    ("version: 1\npolicies: {p: {}, q: {}}\n", ("1:1: `choose` is missing; expected a list that"
     " ends with `- {policy: standard}`")),
    ("version: 1\npolicies: {p: {}}\nchoose: []\n", "3:9: choose: an empty list; expected lines"),
    ("version: 1\npolicies: {p: {}}\nchoose: p\n", ("3:9: choose: expected a list of lines such as"
     " {policy: standard}, each after a `-`; found 'p'")),
    ("version: 1\npolicies: {p: {}}\nchoose: [p]\n", ("3:10: choose.0: expected keys and values"
     " with policy, when; found 'p'")),
    ("version: 1\npolicies: {p: {}}\nchoose: [{when: p, policy: p}]\n", ("3:17: choose.0.when:"
     " expected keys and values with amount, by_hand,")),
    ("version: 1\nsources: [stripe]\n", "2:11: sources.0: expected keys and values with api_key"),
    (text_of("{before: give_up 0h, do: give_up}"),
     "7:18: policies.p.timeline.0.before: give_up cannot be placed by itself"),
    (text_of("{before: give_up 0h, do: suspend}", "{before: suspend 0h, do: give_up}"),
     "8:18: policies.p.timeline.1.before: in the end suspend is placed by this very step"),
    # What YAML itself refuses, or should.
    ("a:\n\tb: 1\n", "2:1: a tab; YAML is indented with spaces"),
    ("version: 1\nversion: 1\n", "2:1: version: 'version' is given twice; first in line 1"),
    ("policies:\n  p: {grace: 1d, grace: 2d}\n", ("2:18: policies.p.grace: 'grace' is given twice;"
     " first in line 2")),
    ("policies:\n  p: {}\n  'p': {}\n", "3:3: policies.p: 'p' is given twice; first in line 2"),
    ("version: !int 1\n", "1:10: version: the tag '!int' is not allowed; remove it"),
    ("version: !!python/object/apply:os.system [ls]\n", ("1:10: version: the tag"
     " '!!python/object/apply:os.system' is not allowed; remove it")),
    ("version: !!binary aGk=\n", "1:10: version: the tag '!!binary' is not allowed; remove it"),
    ("{[a]: 1}\n", "1:2: a key must be a word, not a list or a table"),
    ("a: *none\n", "1:4: not YAML: found undefined alias 'none'"),
    ("policies: &p {p: *p}\n", "1:11: policies.p: an anchor that contains itself"),
    ("policies: &p {<<: *p}\n", "1:11: policies.<<: an anchor that contains itself"),
    ("version: 1\n<<: 5\n", "2:1: <<: expected an alias of a table, such as *standard"),
    ("version: 1\n---\nversion: 1\n", "2:1: a second document; expected one, without `---`"),
    ("a: b: c\n", "1:5: a colon out of place; is the indentation right, or are quotes missing?"),
    ("a: {b: 1\n", "2:1: not YAML while parsing a flow mapping: expected ',' or '}', but got"),
    ("a: 'b\n", "2:1: not YAML while scanning a quoted scalar: found unexpected end of stream"),
    ("a: 1\nb: \x00\n", "2:4: a control character, which YAML forbids"),
    ("\x1b", "1:1: a control character, which YAML forbids"),
    ("[" * 5000, "1:1: nested too deeply; a policy file has six levels"),
    ("{a: " * 5000, "1:1: nested too deeply; a policy file has six levels"),
    # Limits.
    (text_of(*(f"{{at: {i}h, do: retry}}" for i in range(61))),
     "7:7: policies.p.timeline: 61 steps; at most 60 are allowed"),
    ("version: 1\npolicies: {" + ", ".join(f"p{i}: {{}}" for i in range(201)) + "}",
     "2:11: policies: 201 policies; expected 1 to 200"),
    ("version: 1\npolicies: {p: {}}\nchoose: [" + "{policy: p}," * 501 + "]",
     "3:9: choose: 501 lines such as {policy: standard}; at most 500 are allowed"),
    (text_of("{at: 0h, do: retry}", policy="grace: 0d, window: 0d"),
     "5:13: policies.p.window: 0h; expected more than 0h, at most 365d"),
    ("version: 1\npolicies: {" + "p" * 61 + ": {}}",
     "2:12: policies." + "p" * 61 + ": 'pppppp"),
    ("version: " + "1" * 300, "1:10: version: '" + "1" * 59 + "…' is too long or not plain text"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "problem"), WHOLE, ids=[f"{i} {text[:30]!r}" for i, (text, _) in enumerate(WHOLE)]
)
def test_the_whole_is_wrong(content: str, problem: str) -> None:
    assert [head for head in heads(content) if head.startswith(problem)], heads(content)


EMPTY = [
    "defaults: {timezone: }", "defaults: {retries: }", "defaults: {send_between: }",
    "policies: {p: {grace: }}", "policies: {p: {timeline: }}", "policies: {p: {timeline: [~]}}",
    "policies: {p: {timeline: [{at: 0h, do: retry, time: }]}}",
    "policies: {p: {timeline: [{at: 0h, do: retry, on: null}]}}",
    "policies: {p: {timeline: [{at: 0h, do: retry, on: [~]}]}}",
    "policies: {p: {timeline: [{before: , do: retry}]}}",
    "policies: {p: {timeline: [{at: 0h, do: email, template: }]}}",
    "choose: ", "choose: [~]", "choose: [{policy: ''}]", "choose: [{when: }]",
    *(f"choose: [{{when: {{{key}: }}}}]" for key in CHOICE_KEYS),
    *(f"choose: [{{when: {{amount: {{{key}: }}}}}}]" for key in BOUND_KEYS),
    "choose: [{when: {metadata: {a: }}}]",
    "sources: ", "sources: [~]", *(f"sources: [{{{key}: }}]" for key in SOURCE_KEYS),
]  # fmt: skip


@pytest.mark.parametrize("content", EMPTY)
def test_nothing_where_something_must_be(content: str) -> None:
    """No key is taken as absent because its value is."""
    whole = f"version: 1\npolicies: {{p: {{}}}}\n{content}\n"
    if content.startswith("policies"):
        whole = f"version: 1\n{content}\n"
    line = whole.count("\n")
    found = [head for head in heads(whole) if re.search("empty|nothing|0 pairs", head)]
    assert [head for head in found if head.startswith(f"{line}:")], heads(whole)


def test_the_longest_timeline_is_fine() -> None:
    lines = [f"{{at: {i}h, do: retry}}" for i in range(60)]
    assert len(load(text_of(*lines)).policies["p"].timeline) == 60
