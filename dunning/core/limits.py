"""What card networks and bank schemes allow per card and window.

Networks fine the merchant for asking too often, whoever pressed the button, so every attempt on
the card counts: ours, the provider's, the customer's own. The numbers are data with their sources,
one reviewed row each in `limits.csv`. Where networks allow more than is wise, the house ceiling is
reached first. A policy may set the house ceiling and add limits of its own; it loosens none.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import resources

from dunning.core.decline_table import CERTAINTIES, TRUTH, read_wait
from dunning.core.events import Attempt, AttemptStatus
from dunning.errors import ConfigError

FILE = "limits.csv"
HOUSE = "house ceiling"
KINDS = ("attempts", "declines")
ROLLING, ORIGINAL = "rolling", "original"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """At most `count` attempts of a kind within `window`; one more is not made.

    `kind` is "declines" (the bank said no) or "attempts" (every try that has not brought the
    money, so also those in process or waiting for the customer). `network` and `method_type` say
    whom it binds; None is everybody. `counted` from "rolling": in any window of that length, on
    this card; from the "original": so many tries of this one debt, none of them later than the
    window after the first.
    """

    name: str
    kind: str
    count: int
    window: timedelta
    source: str
    certainty: str  # verified, judgement or unverified
    network: str | None = None
    method_type: str | None = None
    same_amount: bool = False  # only attempts of the amount asked for
    in_a_row: bool = False  # a success starts the count afresh
    counted: str = ROLLING
    who: str = "everybody"  # whose attempts count
    note: str = ""

    @property
    def is_house(self) -> bool:
        """Whether it is our own caution, and no network's rule."""
        return self.name == HOUSE


@dataclass(frozen=True, slots=True)
class Blocked:
    """No charge before `until`; None is never for this debt on this account."""

    until: datetime | None
    why: str


# --- the table -----------------------------------------------------------------------------

_NEEDED = ("name", "kind", "count", "window", "who", "source")


def read_limits(lines: Iterable[str]) -> tuple[Limit, ...]:
    """Parse the table; ConfigError names the row and its fault."""
    found: dict[str, Limit] = {}
    for number, cells in enumerate(csv.DictReader(lines, strict=True), start=1):
        try:
            limit = _limit(cells)
            if limit.name in found:
                raise ValueError("a name that is there twice")
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise ConfigError(f"{FILE}, row {number} ({cells.get('name')!r}): {error!r}") from error
        found[limit.name] = limit
    if HOUSE not in found:
        raise ConfigError(f"{FILE}: no row {HOUSE!r}")
    return tuple(found.values())


def _limit(cells: Mapping[str, str]) -> Limit:
    if None in cells:
        raise ValueError("more cells than columns")
    if empty := [name for name in _NEEDED if not cells[name].strip()]:
        raise ValueError(f"empty: {', '.join(empty)}")
    for name, words in (
        ("kind", KINDS),
        ("counted", (ROLLING, ORIGINAL)),
        ("certainty", CERTAINTIES),
        # Networks that count some tries apart are met by counting all of them: the stricter way.
        ("who", ("everybody",)),
    ):
        if cells[name] not in words:
            raise ValueError(f"{name} {cells[name]!r} is not one of {sorted(words)}")
    count, window = int(cells["count"]), read_wait(cells["window"])
    if count < 1 or window is None:
        raise ValueError("a count below one, or no window")
    return Limit(
        name=cells["name"],
        kind=cells["kind"],
        count=count,
        window=window,
        source=cells["source"],
        certainty=cells["certainty"],
        network=cells["network"] or None,
        method_type=cells["method_type"] or None,
        same_amount=TRUTH[cells["same_amount"]],
        in_a_row=TRUTH[cells["in_a_row"]],
        counted=cells["counted"],
        who=cells["who"],
        note=cells["note"],
    )


@functools.cache
def built_in() -> tuple[Limit, ...]:
    """Every limit we know, in the order of the file; read once."""
    text = resources.files(__package__).joinpath(FILE).read_text(encoding="utf-8")
    return read_limits(text.splitlines())


def in_force(own: Sequence[Limit]) -> tuple[Limit, ...]:
    """The limits with a policy's own: its house ceiling in place of ours, the others beside all."""
    if not own:
        return built_in()
    replaced = any(limit.is_house for limit in own)
    return (*own, *(limit for limit in built_in() if not (replaced and limit.is_house)))


# --- counting ------------------------------------------------------------------------------

_LATER_WINS = {status: place for place, status in enumerate(AttemptStatus)}
_NEVER = datetime.max.replace(tzinfo=UTC)


def allowed(
    history: Sequence[Attempt],
    *,
    network: str | None,
    method_type: str | None,
    amount: int,
    now: datetime,
    debt: Collection[str] | None = None,
    limits: Sequence[Limit] | None = None,
) -> Blocked | None:
    """Whether a charge of `amount` (minor units) at `now` (aware) keeps every limit; None if so.

    `history` is every attempt on this card or account by anyone, in any order; reports of the
    same try count once. `debt`: the ids of those that were for the debt at hand; all, if None.
    An attempt exactly as old as the window is outside it. When several limits are reached the one
    that lasts longest is told.
    """
    attempts = _once_each(history)
    found = [
        blocked
        for limit in (built_in() if limits is None else limits)
        if _binds(limit, network, method_type)
        and (blocked := _reached(limit, attempts, amount, now, debt))
    ]
    return max(found, key=lambda one: one.until or _NEVER, default=None)


def _binds(limit: Limit, network: str | None, method_type: str | None) -> bool:
    return (limit.network is None or limit.network == _plain(network)) and (
        limit.method_type is None or limit.method_type == _plain(method_type)
    )


def _plain(name: str | None) -> str:
    return (name or "").strip().casefold()


def _once_each(history: Iterable[Attempt]) -> list[Attempt]:
    """One attempt per id, oldest first; where reports differ the later status is believed."""
    best: dict[str, Attempt] = {}
    for attempt in history:
        known = best.get(attempt.id)
        if known is None or _rank(attempt) > _rank(known):
            best[attempt.id] = attempt
    return sorted(best.values(), key=lambda attempt: (attempt.at, attempt.id))


def _rank(attempt: Attempt) -> tuple[int, datetime]:
    return _LATER_WINS[attempt.status], attempt.at


def _reached(
    limit: Limit,
    attempts: Sequence[Attempt],
    amount: int,
    now: datetime,
    debt: Collection[str] | None,
) -> Blocked | None:
    """What this limit says, if it is reached."""
    if limit.counted == ORIGINAL:
        own = [one for one in attempts if debt is None or one.id in debt]
        return _spent(limit, _counted(limit, own, amount), now)
    counted = [one.at for one in _counted(limit, attempts, amount) if one.at > now - limit.window]
    if len(counted) < limit.count:
        return None
    until = counted[-limit.count] + limit.window
    why = (
        f"{limit.name}: {len(counted)} {limit.kind} within {_span(limit.window)}, and"
        f" {limit.count} are allowed; the next is possible at {until.isoformat()}"
    )
    return Blocked(until, why)


def _spent(limit: Limit, counted: Sequence[Attempt], now: datetime) -> Blocked | None:
    """Whether this debt has had its tries, or its time, since the original entry."""
    if len(counted) >= limit.count:
        most = f"{len(counted)} {limit.kind} of this debt, and {limit.count} are allowed"
        return Blocked(None, f"{limit.name}: {most}; no further one is")
    if counted and now > counted[0].at + limit.window:
        first = f"the original entry of {counted[0].at.isoformat()}"
        return Blocked(None, f"{limit.name}: more than {_span(limit.window)} after {first}")
    return None


def _counted(limit: Limit, attempts: Sequence[Attempt], amount: int) -> list[Attempt]:
    """The attempts this limit counts, oldest first."""
    counted: list[Attempt] = []
    for attempt in attempts:
        if limit.same_amount and attempt.amount != amount:
            continue
        if attempt.status is AttemptStatus.SUCCEEDED:
            counted = [] if limit.in_a_row else counted
        elif limit.kind == "attempts" or attempt.status is AttemptStatus.DECLINED:
            counted.append(attempt)
    return counted


def _span(window: timedelta) -> str:
    return f"{window.days} days" if window.days > 1 else f"{window // timedelta(hours=1)} hours"
