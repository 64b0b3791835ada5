"""Branches: other charges and emails while the bank's last answer means something else."""

from __future__ import annotations

from typing import Any

import pytest

from tests.scenarios.conftest import Begin

OPENED = "product case.opened"
TEXT = """
version: 1
policies:
  standard:
    grace: 14d
    window: 28d
    timeline:
      - {{at: 0h, do: email, template: payment_failed}}
      - {{at: 1d, do: retry}}
      - {{at: 3d, do: retry}}
      - {{at: 10d, do: restrict}}
      - {{at: 14d, do: suspend}}
    branches:
      {branch}:
        - {{at: 1h, do: email, template: reminder}}
        - {{at: 2d, do: retry}}
        - {{before: suspend 1d, do: email, template: final_notice}}
"""
# A decline of each meaning; what becomes of the branch's only charge.
BRANCHES = {
    "hard_decline": ("lost_card", "hard_decline.retry:1 skipped"),
    "authentication": ("authentication_required", "authentication.retry:1 skipped"),
    "data_to_fix": ("expired_card", "data_to_fix.retry:1 skipped"),
    "funds": ("insufficient_funds", "funds.retry:1 declined"),
    "issuer_unavailable": ("processing_error", "issuer_unavailable.retry:1 declined"),
    "unknown": ("do_not_honor", "unknown.retry:1 declined"),
}
SAID = {
    "hard_decline": "new_card_needed",
    "data_to_fix": "new_card_needed",
    "authentication": "action_required",
}


@pytest.mark.parametrize("branch", BRANCHES)
def test_a_branch_has_its_own_charges_and_emails_and_the_doors_of_the_timeline(
    begin: Begin, branch: str
) -> None:
    code, tried = BRANCHES[branch]
    world = begin(policy=TEXT.format(branch=branch))
    world.failing(code, times=9, at_once=[OPENED])
    world.passes(hours=1.1, expect=[f"email {SAID.get(branch, 'reminder')}"])
    world.passes(days=3, expect=[tried])
    doors: list[Any] = ["restrict:1", "product access.restricted", "email final_notice"]
    suspended = ["suspend:1", "product access.suspended", "email suspended"]
    world.passes(days=11, expect=[*doors, *suspended])


@pytest.mark.parametrize("branch", ["funds", "hard_decline"])
def test_another_answer_of_the_bank_leads_into_a_branch_or_out_of_it(
    begin: Begin, branch: str
) -> None:
    """The first charge of the timeline is answered otherwise than the failure was."""
    world = begin(policy=TEXT.format(branch=branch))
    ann = world.failing("do_not_honor", times=1, at_once=[OPENED, "email payment_failed"])
    code, tried = BRANCHES[branch]
    world.declines(ann, code, times=9)
    said = f"email {SAID.get(branch, 'reminder')}"
    # The email is late and said at once; the charge of the second day is still to come.
    world.passes(days=1.1, expect=["retry:1 declined", said])
    world.passes(days=3, expect=[tried])
    assert world.step(ann, f"{branch}.retry:1").why


def test_a_new_card_leads_back_to_the_timeline(begin: Begin) -> None:
    world = begin(policy=TEXT.format(branch="hard_decline"))
    ann = world.failing("lost_card", times=1, at_once=[OPENED])
    world.passes(days=2.5, expect=["email new_card_needed", "hard_decline.retry:1 skipped"])
    world.declines(ann, "do_not_honor", times=9)
    method = world.stripe.v1.payment_methods.attach("pm_card_mastercard", {"customer": ann.id})
    world.stripe.v1.customers.update(
        ann.id, {"invoice_settings": {"default_payment_method": method.id}}
    )
    happened = world.passes(hours=1)
    assert [one for one in happened if "retry:card" in one]
    assert "retry:1 skipped" in happened  # its moment lay before the card came
    world.passes(days=1.5, expect=["retry:2 declined"])
