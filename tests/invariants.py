"""What holds at the end of every story, whatever happened in it: the auditor says."""

from __future__ import annotations

from dunning.simulation.auditor import Arrived, Evidence, audit
from dunning.simulation.journal import written_at
from tests.world import World


def check(world: World) -> None:
    """Fail with everything that does not hold. `world.leaves` names what a story leaves behind."""
    unlisted = world.happened()
    assert unlisted == [], f"{unlisted} happened, and the story says nothing of it"
    evidence = Evidence(
        books=world.sandbox.books()["invoices"],
        mails=[
            Arrived(str(message["Message-ID"]), written=written_at(str(message["Date"])))
            for message in world.mailbox.messages
        ],
        told=list(world.product.calls),
        leaves=frozenset(world.leaves),
    )
    breaches = audit(world.program.engine, evidence)
    assert not breaches, "\n".join(breaches)
