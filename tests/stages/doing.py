"""Actions made up for tests: they answer as they are told, and keep what they were asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from dunning.core.events import StepKind, StepResult
from dunning.core.ports import Doing, Ended, PutOff, Said
from dunning.executor import Executor
from dunning.schedule import Claim, claim_due
from dunning.store import StepRow
from tests.builders import T0
from tests.policies import policy, rung
from tests.stages.kit import Stage

Answer = Ended | PutOff | Exception | Callable[[Doing], Ended | PutOff]
LEASE = timedelta(minutes=2)
DONE = Ended(result=StepResult.DONE, why="done")
DECLINED = Ended(result=StepResult.DECLINED, why="declined: insufficient_funds")

RETRIES = policy(rung("retry", 1), rung("retry", 2), rung("give_up", 28))
LETTERS = policy(rung("email", 0, template="payment_failed"), rung("give_up", 28))
SAID = Said(
    template="payment_failed",
    recipient="ann@example.com",
    locale="en",
    subject="Your payment",
    state="sent",
    reference="<1@example.com>",
)


class Acting:
    """One action for every kind of step: gives the next of its answers, DONE after the last."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.answers: list[Answer] = []
        self.asked: list[Doing] = []
        self.rows: list[StepRow] = []  # the step as the database had it when it was acted on

    def act(self, doing: Doing) -> Ended | PutOff:
        self.asked.append(doing)
        with self._stage.writing() as session:  # nobody else holds a transaction open
            self.rows.append(session.get_one(StepRow, doing.step.key))
        answer = self.answers.pop(0) if self.answers else DONE
        if isinstance(answer, Exception):
            raise answer
        return answer(doing) if callable(answer) else answer

    @property
    def keys(self) -> list[str]:
        return [doing.step.key.partition("/")[2] for doing in self.asked]


class Bench:
    """An executor on a stage, with its doubles."""

    def __init__(self, stage: Stage, *, announces: bool = False) -> None:
        self.stage = stage
        self.stage.clock.time = T0
        self.acting = Acting(stage)
        self.executor = Executor(
            stage.engine,
            stage.clock,
            stage.book,
            dict.fromkeys(StepKind, self.acting),
            announces=announces,
        )

    def claim(self) -> Claim:
        """Take the one case that is due."""
        (claim,) = self.claims()
        return claim

    def claims(self) -> Sequence[Claim]:
        with self.stage.writing() as session:
            now = self.stage.clock.now()
            return claim_due(session, now, limit=10, lease=LEASE, sources=["stripe"])

    def runs(self, answer: Answer | None = None) -> str | None:
        """Claim what is due and run its next step; the name of the step."""
        if answer is not None:
            self.acting.answers.append(answer)
        key = self.executor.run(self.claim())
        return key and key.partition("/")[2]

    def begins(self) -> None:
        """Past the first look at the provider, which every case begins with."""
        assert self.runs() == "reconcile:open"
        self.acting.asked.clear()
        self.acting.rows.clear()

    def step(self, name: str) -> StepRow:
        with self.stage.writing() as session:
            return session.get_one(StepRow, f"{self.stage.case().id}/{name}")

    def steps(self) -> dict[str, tuple[str, str | None]]:
        return {
            row.key.partition("/")[2]: (row.state, row.result) for row in self.stage.all(StepRow)
        }


Begin = Callable[..., Bench]


def dies(_doing: Doing) -> Ended:
    """The process ends in the middle of the act."""
    raise KeyboardInterrupt


def until(bench: Bench) -> timedelta:
    at = bench.stage.case().next_at
    assert at is not None
    return at - bench.stage.clock.now()
