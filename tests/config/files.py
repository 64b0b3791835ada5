"""Policy files for tests: one that is right, and how to break a line of it."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import dedent

import pytest

from dunning.config import PolicyFile, load_policies
from dunning.core.policy import Policy
from dunning.errors import ConfigError

TEMPLATES = frozenset(("payment_failed", "reminder", "final_notice"))

# The example of the product's own page.
EXAMPLE = """\
version: 1
defaults: {timezone: UTC, retries: ours, send_between: "09:00-18:00"}
policies:
  standard:
    grace: 14d                  # suspension not before this
    window: 28d                 # giving up
    timeline:
      - {at: 0h,  do: email,  template: payment_failed}
      - {at: 1d,  do: retry}
      - {at: 3d,  do: retry,  time: "08:00"}     # the customer's local time
      - {at: 3d,  do: email,  template: reminder}
      - {at: 7d,  do: retry,  on: [payday, weekday]}
      - {at: 10d, do: restrict}
      - {at: 11d, do: email,  template: final_notice}
      - {before: suspend 1d, do: retry}          # once more before the door closes
      - {at: 14d, do: suspend}
      - {at: 21d, do: retry}
      - {at: 28d, do: give_up, subscription: cancel, invoice: uncollectible}
  patient:
    grace: 21d
    window: 31d
    timeline:
      - {at: 0h, do: email, template: payment_failed}
      - {at: 2w, do: retry}
choose:                          # first match wins; the last line must match everything
  - {when: {amount: {at_least: 500 USD}}, policy: patient}
  - {policy: standard}
"""


def load(content: str, environ: Mapping[str, str] | None = None) -> PolicyFile:
    return load_policies(content, filename="p.yaml", environ=environ, known_templates=TEMPLATES)


def text_of(*lines: str, policy: str = "grace: 14d, window: 28d", more: str = "") -> str:
    """A file with one policy of these lines; its timeline begins in line 7, column 9."""
    keys = "\n    ".join(part.strip() for part in policy.split(","))
    timeline = "\n".join(f"      - {line}" for line in lines)
    head = f"version: 1\npolicies:\n  p:\n    {keys}\n    timeline:\n{timeline}\n"
    return head + (dedent(more) or "choose:\n  - {policy: p}\n")


def policy_of(*lines: str, policy: str = "grace: 14d, window: 28d") -> Policy:
    return load(text_of(*lines, policy=policy)).policies["p"]


def refusal(content: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(content)
    return str(caught.value)


def heads(content: str) -> list[str]:
    """The first lines of the problems, without the name of the file."""
    lines = refusal(content).splitlines()
    return [line.removeprefix("p.yaml:") for line in lines if line.startswith("p.yaml:")]
