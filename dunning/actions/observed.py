"""Acts as another action does, and says so: ids on every line, time and ending as numbers."""

from __future__ import annotations

from dunning import log, metrics
from dunning.core.ports import Action, Doing, Ended, PutOff


class Observed:
    """An action whose adapters' lines carry the case and the step they were said for."""

    def __init__(self, inner: Action) -> None:
        self._inner = inner

    def act(self, doing: Doing) -> Ended | PutOff:
        """Act, and count what became of it."""
        kind = doing.step.kind.value
        metrics.step_began((doing.now - doing.step.due_at).total_seconds())
        about = log.about(source=doing.case.source, case=doing.case.id, step=doing.step.key)
        with about, metrics.acting(kind):
            outcome = self._inner.act(doing)
        if isinstance(outcome, Ended):
            metrics.step_ended(kind, outcome.result.value)
        else:
            metrics.step_ended(kind, "put_off", unknown=outcome.unknown)
        return outcome
