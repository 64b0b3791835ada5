"""Calling Stripe with the patience of seconds: the same request again, under the same key.

Minutes and days of patience belong to the lease and the policy. What may be repeated here:

* reading: whatever did not answer;
* setting a state (pause, cancel, void): the same, as doing it twice changes nothing;
* charging: only what certainly was not begun, or is still being worked on under our key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from dunning.providers.stripe.outcomes import (
    Ending,
    Obj,
    StripeDownError,
    StripeRefusedError,
    failure,
    read_trouble,
)
from dunning.providers.stripe.sdk import in_background, plain

if TYPE_CHECKING:
    from stripe import StripeObject, StripeResponse
    from tenacity import RetryCallState, Retrying

TRIES = 3
BUDGET_SECONDS = 8.0
LONGEST_WAIT_SECONDS = 5.0  # a longer Retry-After is left to the lease

_READING = frozenset((Ending.NOT_SENT, Ending.LOST, Ending.BROKEN, Ending.LIMITED, Ending.BUSY))
_CHARGING = frozenset((Ending.NOT_SENT, Ending.LIMITED, Ending.BUSY))

Ask = Callable[[], "StripeObject | StripeResponse"]
AskUnder = Callable[[str | None], "StripeObject"]


class Calls:
    """Every request goes through here and fails only with `StripeDown` or `StripeRefused`."""

    def __init__(self, sleep: Callable[[float], None], *, background: bool = False) -> None:
        self._sleep = sleep
        self._once = _once_in_background if background else _once

    def read(self, ask: Ask) -> Obj:
        """Ask for something; nothing changes, so any failure of the line is tried again."""
        return self._retrying(_READING)(self._once, ask)

    def charge(self, ask: Ask) -> Obj:
        """Move money: repeated only while it is certain that this request did not.

        Once Stripe has said that an earlier request under the key is still running, a later
        "not sent" no longer means that nothing happens.
        """
        running: list[StripeDownError] = []

        def note(state: RetryCallState) -> None:
            exc = state.outcome.exception() if state.outcome else None
            if isinstance(exc, StripeDownError) and exc.trouble.ending is Ending.BUSY:
                running.append(exc)

        try:
            return self._retrying(_CHARGING, after=note)(self._once, ask)
        except StripeDownError as exc:
            if running and exc.trouble.ending in _CHARGING:
                raise running[-1] from exc
            raise

    def put(self, ask: AskUnder, key: str) -> Obj:
        """Set a state, under our key so that the events it causes can be recognised as ours.

        Stripe replays a 500 for as long as it remembers the key, and refuses other parameters.
        Setting a state twice is harmless, so then the key is given up and not the request.
        """
        keys: list[str | None] = [key]

        def once() -> StripeObject:
            return ask(keys[-1])

        def note(state: RetryCallState) -> None:
            exc = state.outcome.exception() if state.outcome else None
            if isinstance(exc, StripeDownError) and exc.trouble.ending is Ending.BROKEN:
                keys.append(None)

        try:
            return self._retrying(_READING, after=note)(self._once, once)
        except StripeRefusedError as exc:
            if exc.trouble.ending is not Ending.MISMATCH:
                raise
        return self.read(partial(ask, None))

    def pages(
        self, ask: Callable[[str | None], StripeObject | StripeResponse]
    ) -> Iterator[list[Obj]]:
        """Page by page; `ask` gets the last id of the page before."""
        cursor: str | None = None
        while True:
            page = self.read(partial(ask, cursor))
            data: list[Obj] = page["data"]
            yield data
            if not page.get("has_more") or not data:
                return
            cursor = data[-1]["id"]

    def _retrying(
        self, again: frozenset[Ending], after: Callable[[RetryCallState], None] | None = None
    ) -> Retrying:
        from tenacity import Retrying, retry_if_exception, stop_after_attempt, stop_before_delay
        from tenacity.after import after_nothing

        return Retrying(
            retry=retry_if_exception(lambda exc: _worth_it(exc, again)),
            stop=stop_after_attempt(TRIES) | stop_before_delay(BUDGET_SECONDS),
            wait=_wait,
            sleep=self._sleep,
            after=after or after_nothing,
            reraise=True,
        )


def _once(ask: Ask) -> Obj:
    try:
        return plain(ask())
    except Exception as exc:
        trouble = read_trouble(exc)
        if trouble is None:
            raise
        raise failure(trouble) from exc


def _once_in_background(ask: Ask) -> Obj:
    with in_background():
        return _once(ask)


def _worth_it(exc: BaseException, again: frozenset[Ending]) -> bool:
    if not isinstance(exc, StripeDownError):
        return False
    trouble = exc.trouble
    patient = (trouble.retry_after or 0.0) <= LONGEST_WAIT_SECONDS
    return trouble.ending in again and trouble.may_retry and patient


def _wait(state: RetryCallState) -> float:
    """What Stripe asked for, else 0.5 s, 1 s and so on with jitter, so that a herd spreads out."""
    from tenacity import wait_random_exponential

    exc = state.outcome.exception() if state.outcome else None
    asked = exc.trouble.retry_after if isinstance(exc, StripeDownError) else None
    return float(wait_random_exponential(multiplier=0.5, max=4)(state)) + (asked or 0.0)
