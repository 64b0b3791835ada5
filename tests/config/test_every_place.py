"""Whatever is wrong in a policy file, the problem names the line it is in."""

from __future__ import annotations

import re

import pytest

from dunning.cli.policy_templates import ready
from dunning.config import load_policies
from dunning.errors import ConfigError
from dunning.messages import Messages

# A key or a value: a word that YAML would not read as anything else.
WORD = re.compile(r"(?<=[\s{\[,\"])[A-Za-z0-9][\w.-]*(?=[\s,}\]:\"]|$)")
PLACE = re.compile(r"p\.yaml:(\d+):(\d+): ")
NAMES = Messages(None).names()
# The two that have every kind of key between them.
FILES = {each.name: each.text for each in ready() if each.name in ("default", "high_value")}


def problems(content: str) -> list[tuple[int, int]]:
    """The places that are named, or none when the file is read."""
    try:
        load_policies(content, filename="p.yaml", environ=None, known_templates=NAMES)
    except ConfigError as error:
        heads = [line for line in str(error).splitlines() if not line.startswith("    ")]
        places = [PLACE.match(line) for line in heads if not line.startswith("… and")]
        assert all(places), heads
        return [(int(place[1]), int(place[2])) for place in places if place]
    return []


@pytest.mark.parametrize("name", FILES)
def test_a_wrong_word_is_found_in_its_line(name: str) -> None:
    lines = FILES[name].splitlines()
    refused = 0
    for number, line in enumerate(lines, 1):
        plain = line.split(" #", 1)[0]
        if plain.startswith("#"):
            continue
        for word in WORD.finditer(plain):
            wrong = f"{plain[: word.start()]}zz@{plain[word.end() :]}"
            found = problems("\n".join([*lines[: number - 1], wrong, *lines[number:]]) + "\n")
            assert not found or number in {place[0] for place in found}, (wrong, found)
            refused += bool(found)
    assert refused > 50
