"""Who is held out is shown wherever a case is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dunning.cases import CaseBook
from dunning.core.holdout import Holdout, draw
from dunning.core.policy import Policy
from tests.builders import CUSTOMER, SOURCE
from tests.cli.conftest import Books, Shell
from tests.policies import STANDARD

GENTLE = replace(STANDARD, name="gentle")


def holding_out(holdout: Holdout, *, held_out: bool) -> Policy:
    """A policy whose salt puts the customer into this group."""
    for number in range(100):
        policy = replace(STANDARD, holdout=replace(holdout, salt=f"salt{number}"))
        drawn = draw(policy, SOURCE, CUSTOMER)
        if drawn is not None and drawn.held_out is held_out:
            return policy
    raise AssertionError("a hundred salts, and all of them for the other group")


@pytest.mark.parametrize(
    ("holdout", "held_out", "listed", "words"),
    [
        (
            Holdout(share=1_000),
            True,
            "standard (held out)",
            "held out, as 10 % of standard are: no retries and no emails of ours",
        ),
        (
            Holdout(share=250, policy="gentle", instead=GENTLE),
            True,
            "gentle (held out of standard)",
            "held out, as 2.5 % of standard are: walked by gentle",
        ),
        (
            Holdout(share=1_000),
            False,
            "standard",
            "treated, while 10 % of standard are held out",
        ),
    ],
)
def test_a_case_says_its_group(
    shell: Shell, books: Books, holdout: Holdout, held_out: bool, listed: str, words: str
) -> None:
    policy = holding_out(holdout, held_out=held_out)
    books.book = CaseBook(choose=lambda _: policy)
    case = books.failing()
    assert f"  {listed}  " in shell("cases", "list").out
    assert words in " ".join(shell("cases", "show", case).out.split())
    assert words in " ".join(shell("cases", "explain", case).out.split())
    (told,) = shell("cases", "list", "--format", "json").json()
    group = "held_out" if held_out else "treated"
    assert (told["holdout_of"], told["holdout_group"]) == ("standard", group)
