"""What we ask to be sent is what we understand, and is in the README."""

from __future__ import annotations

from pathlib import Path

from dunning.providers.stripe.normalise import RULES
from dunning.providers.stripe.subscribe import EVENTS, NOTICE_EVENTS

ASKED = (*EVENTS, *NOTICE_EVENTS)
README = Path(__file__).parents[3] / "README.md"


def test_every_event_asked_for_is_understood() -> None:
    assert set(ASKED) <= set(RULES)
    assert len(set(ASKED)) == len(ASKED)


def test_the_readme_names_each_of_them() -> None:
    text = README.read_text(encoding="utf-8")
    assert [name for name in ASKED if name not in text] == []
