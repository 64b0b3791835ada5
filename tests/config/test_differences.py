"""What differs between two policy files, said of every kind of key."""

from __future__ import annotations

from dunning.config.differences import differences
from tests.config.files import load

OLD = """\
version: 1
# a comment
segments: {vip: {tag: vip}}
declines:
  do_not_honor: {advice: wait, wait: 2d, why: x}
limits:
  - {name: house ceiling, attempts: 6}
policies:
  standard:
    grace: 14d
    window: 28d
    timeline:
      - {at: 0h, do: email, template: payment_failed}
      - {at: 5d, do: retry, when: {decline: funds}}
      - {at: 14d, do: suspend}
      - {at: 28d, do: give_up, subscription: cancel}
    branches:
      funds:
        - {at: 2d, do: retry, on: payday}
choose:
  - {when: {segment: vip}, policy: standard}
  - {policy: standard}
"""

CHANGES = (
    ("tag: vip", "tag: [vip, gold]", "segment vip: from 'a tag is vip' to 'a tag is vip or gold'"),
    ("wait: 2d", "wait: 3d", "declines.do_not_honor: wait from 2d to 3d"),
    ("attempts: 6", "attempts: 5", "limits.house ceiling: count from 6 to 5"),
    (
        "decline: funds",
        "decline: [funds, unknown]",
        (
            "retry at 5d: when from 'the meaning of the last decline is funds'"
            " to 'the meaning of the last decline is funds or unknown'"
        ),
    ),
    ("at: 2d, do", "at: 3d, do", "branch funds, retry: moved from 2d to 3d"),
    ("cancel", "pause", "give_up at 28d: subscription from cancel to pause"),
    ("grace: 14d", "grace: 13d", "grace: from 14d to 13d"),
    (
        "when: {segment: vip}",
        "when: {country: DE}",
        "choose: line 1 is new: the country is DE: standard",
    ),
)


def texts(new: str) -> list[str]:
    return [one.text for one in differences(load(OLD), load(new))]


def test_each_key_is_said_alone_and_by_its_name_in_the_file() -> None:
    for was, now, text in CHANGES:
        assert OLD.count(was) == 1, was
        found = texts(OLD.replace(was, now))
        assert text in found
        # A line of `choose` goes and comes; all else is one change.
        assert len(found) == (2 if "choose" in text else 1), found


def test_comments_and_spaces_are_no_difference() -> None:
    assert texts(OLD.replace("# a comment", "# another\n")) == []
