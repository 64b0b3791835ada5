"""What a planted bug is, and the worlds in which it might show."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from dunning.actions.looking import Looked
from dunning.core.facts import Case
from dunning.core.ports import View
from dunning.core.status import status
from dunning.simulation.script import write

Patch = Callable[[Any, str, Any], None]
Plant = Callable[[Patch], None]


@dataclass(frozen=True)
class Bug:
    """A bug, and the worlds in which it might show: those whose script holds these words."""

    plant: Plant
    words: tuple[str, ...]

    def seeds(self) -> Iterator[int]:
        """The seeds worth playing, from the first."""
        for seed in itertools.count():
            script = write(seed)
            text = "\n".join([f"policy={script.policy}", *map(str, script.happenings)])
            if all(re.search(word, text) for word in self.words):
                yield seed


BUGS: dict[str, Bug] = {}


def bug(*words: str) -> Callable[[Plant], Plant]:
    """Put a bug on the list, under its function's name."""

    def put(function: Plant) -> Plant:
        BUGS[function.__name__] = Bug(function, words)
        return function

    return put


def unseen(case: Case) -> Looked:
    """What a look would show that hears nothing new."""
    assert case.bill is not None
    view = View(bill=case.bill, events=(), method=case.method)
    return Looked(view=view, case=case, status=status(case), events=())
