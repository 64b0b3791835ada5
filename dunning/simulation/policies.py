"""Short policies for simulated worlds: every kind of step within days, so that a life is quick."""

from __future__ import annotations

from dataclasses import dataclass

HOUR, DAY = 3_600, 86_400


@dataclass(frozen=True, slots=True)
class Short:
    """A policy, how often it is drawn, and when its timeline does something."""

    weight: int
    text: str
    moments: tuple[int, ...]
    length: int  # of its window, in seconds


_BRISK = """
version: 1
defaults: {retries: ours}
policies:
  brisk:
    grace: 2d
    window: 4d
    timeline:
      - {at: 0h, do: email, template: payment_failed}
      - {at: 6h, do: retry}
      - {at: 1d, do: retry}
      - {at: 1d, do: email, template: reminder}
      - {before: suspend 6h, do: retry}
      - {at: 2d, do: suspend, collection: keep_as_draft}
      - {at: 3d, do: retry}
      - {at: 4d, do: give_up, subscription: cancel, invoice: uncollectible}
choose: [{policy: brisk}]
"""
_GENTLE = """
version: 1
defaults: {timezone: America/New_York, retries: ours, send_between: "09:00-18:00"}
policies:
  gentle:
    grace: 3d
    window: 5d
    timeline:
      - {at: 0h, do: email, template: payment_failed}
      - {at: 1d, do: retry, time: "02:30"}
      - {at: 1d, do: restrict}
      - {at: 2d, do: email, template: final_notice}
      - {before: suspend 12h, do: retry}
      - {at: 3d, do: suspend, collection: go_on}
      - {at: 5d, do: give_up, subscription: keep, invoice: void}
choose: [{policy: gentle}]
"""
_HAMMER = """
version: 1
defaults: {retries: ours}
policies:
  hammer:
    grace: 36h
    window: 2d
    timeline:
      - {at: 0h, do: email, template: payment_failed}
      - {at: 3h, do: retry}
      - {at: 6h, do: retry}
      - {at: 9h, do: retry}
      - {at: 12h, do: retry}
      - {at: 15h, do: retry}
      - {at: 18h, do: retry}
      - {at: 21h, do: retry}
      - {at: 24h, do: retry}
      - {at: 27h, do: retry}
      - {at: 36h, do: suspend}
      - {at: 2d, do: give_up, subscription: cancel, invoice: keep}
choose: [{policy: hammer}]
"""
_SIGNAL = """
version: 1
defaults: {retries: signal}
policies:
  signal:
    grace: 1d
    window: 3d
    timeline:
      - {at: 0h, do: email, template: payment_failed}
      - {at: 12h, do: retry}
      - {at: 1d, do: restrict}
      - {at: 2d, do: suspend, collection: void}
      - {at: 3d, do: give_up, subscription: cancel, invoice: uncollectible}
choose: [{policy: signal}]
"""

POLICIES = {
    "brisk": Short(60, _BRISK, tuple(h * HOUR for h in (0, 6, 24, 42, 48, 72, 96)), 4 * DAY),
    "gentle": Short(25, _GENTLE, tuple(h * HOUR for h in (0, 12, 24, 48, 60, 72, 120)), 5 * DAY),
    "hammer": Short(10, _HAMMER, tuple(h * HOUR for h in (0, 3, 9, 18, 24, 27, 36, 48)), 2 * DAY),
    "signal": Short(5, _SIGNAL, tuple(h * HOUR for h in (0, 12, 24, 48, 72)), 3 * DAY),
}
