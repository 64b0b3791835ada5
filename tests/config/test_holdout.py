"""`holdout` in a policy file: its forms, and what is wrong with others."""

from __future__ import annotations

import pytest

from dunning.config.sentences import describe
from dunning.core.policy import from_data, to_data
from tests.config.files import heads, load

FILE = """
version: 1
policies:
  standard:
    grace: 3d
    window: 5d
    holdout: HOLDOUT
    timeline: [{at: 1d, do: retry}]
  gentle:
    grace: 3d
    window: 5d
    timeline: [{at: 2d, do: retry}]
  mixed:
    grace: 3d
    window: 5d
    holdout: 5%
    timeline: [{at: 2d, do: retry}]
choose: [{policy: standard}]
"""


def text_of(holdout: str) -> str:
    return FILE.replace("HOLDOUT", holdout)


@pytest.mark.parametrize(
    ("written", "share"), [("10%", 1_000), ("2.5 %", 250), ("50%", 5_000), ("0.05%", 5)]
)
def test_a_share(written: str, share: int) -> None:
    holdout = load(text_of(written)).policies["standard"].holdout
    assert holdout is not None
    assert (holdout.share, holdout.policy) == (share, None)


def test_another_policy_walks_them() -> None:
    policies = load(text_of("{share: 10%, policy: gentle, salt: spring-2026}")).policies
    holdout = policies["standard"].holdout
    assert holdout is not None
    assert holdout.instead == policies["gentle"]
    # What is kept names it; the whole of it is no part of this policy.
    assert from_data(to_data(policies["standard"])) == policies["standard"]


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("0%", "'0%' is out of range; expected a share above 0 % and at most 50 %"),
        ("51%", "'51%' is out of range"),
        ("10", "'10' is not a share; expected a share above 0 % and at most 50 %, such as 10%"),
        ("{policy: gentle}", "`share` is missing; expected a share"),
        ("{share: 10%, polcy: gentle}", "'polcy' is not a key here; expected one of policy, salt"),
        ("{share: 10%, policy: gentel}", "no policy 'gentel'; expected one of gentle, mixed"),
        ("{share: 10%, policy: standard}", "would be walked by this very policy"),
        ("{share: 10%, policy: mixed}", "mixed holds customers out itself"),
        ("{share: 10%, salt: a b}", "'a b' is not a salt"),
        ("[10%]", "found a list"),
    ],
)
def test_what_is_wrong_is_said_at_its_place(written: str, problem: str) -> None:
    (found,) = heads(text_of(written))
    assert found.startswith("7:")
    assert problem in found


def test_it_is_said_in_words() -> None:
    policies = load(text_of("{share: 2.5%, policy: gentle}")).policies
    said = "2.5 % of the customers are held out, for comparison: policy gentle walks their cases."
    assert describe(policies["standard"])[-1] == said
    assert describe(policies["mixed"])[-1] == (
        "5 % of the customers are held out, for comparison: no retries and no emails; access and"
        " giving up as above."
    )
