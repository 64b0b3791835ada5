"""What a step tells the merchant's product leaves with its outcome."""

from __future__ import annotations

from dunning.core.events import StepResult
from dunning.core.ports import Ended
from dunning.store import OutboxRow
from tests.builders import days, declined, failed
from tests.policies import policy, rung
from tests.stages.doing import Bench
from tests.stages.kit import Stage


def test_an_outcome_and_its_call_are_one_transaction(announcing: Stage) -> None:
    announcing.policy = policy(rung("restrict", 1), rung("give_up", 28))
    announcing.tell(failed(), declined())
    bench = Bench(announcing, announces=True)
    bench.begins()
    bench.stage.clock.time = days(1)
    bench.runs()
    rows = sorted(announcing.all(OutboxRow), key=lambda row: row.id or 0)
    assert [row.type for row in rows] == ["case.opened", "access.restricted"]
    bench.stage.clock.time = days(28)
    bench.runs(Ended(result=StepResult.DONE, announce="retry.due"))
    told = sorted(announcing.all(OutboxRow), key=lambda row: row.id or 0)[2:]
    assert [row.type for row in told] == ["case.lost", "retry.due"]
    assert told[1].key == f"{announcing.case().id}/retry.due:give_up:1"
