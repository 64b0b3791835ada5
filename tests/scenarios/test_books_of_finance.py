"""The calendar of finance: what the policy file says of it, the reports go by."""

from __future__ import annotations

from dunning.cli.opening import Reading
from dunning.cli.report_options import asked
from dunning.reports import recovered, snapshot
from tests.scenarios.conftest import Begin
from tests.world import AT_ONCE

POLICY = """
version: 1
books: {timezone: Pacific/Kiritimati, fiscal_year_start: february, report_day: 3}
policies:
  standard:
    grace: 20d
    window: 25d
    timeline:
      - {at: 0h, do: email, template: payment_failed}
      - {at: 1d, do: retry}
"""


def test_reports_go_by_the_calendar_of_the_books(begin: Begin) -> None:
    world = begin(policy=POLICY)
    world.failing(at_once=AT_ONCE)
    world.passes(days=1, expect=["retry:1 paid", "product case.recovered", "email recovered"])
    with snapshot(world.program.engine) as session:
        view = Reading(session, world.now, world.program.settings)
        scope = asked(["year"], None, None, None, None, None).scope(view)
        [row] = recovered(session, world.now, scope).rows
    year = world.now.year if world.now.month >= 2 else world.now.year - 1
    assert row["year"] == f"FY{year}/{(year + 1) % 100:02}"
    assert scope.zone == "Pacific/Kiritimati"
