"""Every key of the policy file, and every condition, is in a story that walks it end to end."""

from __future__ import annotations

import re
from pathlib import Path

from dunning.config import policy_file, rungs
from dunning.core.choosing import LABELS

STORIES = Path(__file__).parent.parent / "scenarios"


def test_every_key_is_in_a_story() -> None:
    told = "\n".join(path.read_text() for path in STORIES.glob("test_*.py"))
    lines = (*rungs.COMMON_KEYS, *(key for keys in rungs.STEP_KEYS.values() for key in keys))
    keys = {*policy_file.TOP_KEYS, *policy_file.POLICY_KEYS, *lines, *LABELS}
    assert {key for key in keys if not re.search(rf"\b{key}: ?", told)} == set()
