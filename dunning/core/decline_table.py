"""The decline table: what each code means, what we advise, and on whose word.

One reviewed row per code in `declines.csv`; `core.declines` merges what several rows say of one
charge. A policy may bring rows of its own (`Override`): they stand in for ours, and are pinned with
the policy, so that an open case keeps the table it began under.
"""

from __future__ import annotations

import csv
import enum
import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from importlib import resources

from dunning.errors import ConfigError

FILE = "declines.csv"
ANY_CODE = "*"
FALLBACKS = ("any", "visa", "mastercard", "bank_debit_any")  # kinds that must have a `*` row
# Raw answers of a network mean different things per network (82 at Visa is not 82 at Mastercard),
# so without a network whose table we have they say nothing. Likewise Canadian and Australian banks.
RAW_ANSWERS = frozenset(
    ("visa", "mastercard", "bank_debit_ach", "bank_debit_sepa", "bank_debit_bacs")
)
# What a card network or a bank scheme itself says, and not the provider in words of its own.
NETWORKS_OWN = RAW_ANSWERS | {"mastercard_advice", "visa_category"}


class Advice(enum.StrEnum):
    """What a refusal means for this way to pay, from the laxest to the strictest."""

    RETRY = "retry"  # another try may work by itself
    WAIT = "wait"  # another try may work once time has passed: money, limits
    AUTHENTICATE = "authenticate"  # only the customer can finish it, with the same card
    NEW_METHOD = "new_method"  # the details must be corrected or replaced first
    STOP = "stop"  # never again with this way to pay


STRICTNESS: Mapping[Advice, int] = {advice: place for place, advice in enumerate(Advice)}


_MAY_CHARGE = (Advice.RETRY, Advice.WAIT)


def permits_charge(advice: Advice) -> bool:
    """Whether the same way to pay may be charged again without the customer doing anything."""
    return advice in _MAY_CHARGE


@dataclass(frozen=True, slots=True)
class Row:
    """One code of one kind, as reviewed: what it means, what we advise, and on whose word."""

    code: str
    kind: str
    meaning: str
    category: str
    advice: Advice
    wait: timedelta | None
    customer_may_know: bool
    quiet: bool
    tell_ops: bool
    vague: bool
    network_overrides: frozenset[str]  # "kind:code" of network rows that know better
    aliases: tuple[str, ...]
    reason: str
    source: str
    certainty: str  # of the code and its meaning: verified, judgement or unverified
    overridden: bool = False  # a policy's word stands in for ours

    @property
    def name(self) -> str:
        """How `network_overrides` refers to this row."""
        return f"{self.kind}:{self.code}"


# --- the table -----------------------------------------------------------------------------

TRUTH = {"yes": True, "no": False}
_UNITS = {"h": "hours", "d": "days"}
_WAIT = re.compile(r"([1-9][0-9]*)([hd])")
CERTAINTIES = frozenset(("verified", "judgement", "unverified"))
_NEEDED = ("code", "kind", "meaning", "category", "reason", "source")


def read_rows(lines: Iterable[str]) -> tuple[Row, ...]:
    """Parse the table; ConfigError names the code and the fault of the first wrong row."""
    rows = []
    for number, cells in enumerate(csv.DictReader(lines, strict=True), start=1):
        try:
            rows.append(_row(cells))
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise ConfigError(f"{FILE}, row {number} ({cells.get('code')!r}): {error!r}") from error
    _check(rows)
    return tuple(rows)


def _row(cells: Mapping[str, str]) -> Row:
    if None in cells:
        raise ValueError("more cells than columns")
    if empty := [name for name in _NEEDED if not cells[name].strip()]:
        raise ValueError(f"empty: {', '.join(empty)}")
    if cells["certainty"] not in CERTAINTIES:
        raise ValueError(f"certainty {cells['certainty']!r} is not one of {sorted(CERTAINTIES)}")
    return Row(
        code=cells["code"],
        kind=cells["kind"],
        meaning=cells["meaning"],
        category=cells["category"],
        advice=Advice(cells["advice"]),
        wait=read_wait(cells["wait"]),
        customer_may_know=TRUTH[cells["customer_may_know"]],
        quiet=TRUTH[cells["quiet"]],
        tell_ops=TRUTH[cells["tell_ops"]],
        vague=TRUTH[cells["vague"]],
        network_overrides=frozenset(cells["network_overrides"].split()),
        aliases=tuple(cells["aliases"].split()),
        reason=cells["reason"],
        source=cells["source"],
        certainty=cells["certainty"],
    )


def read_wait(text: str) -> timedelta | None:
    """`24h` or `2d` as a span of time; None when nothing is written."""
    if not text:
        return None
    if not (match := _WAIT.fullmatch(text)):
        raise ValueError(f"wait {text!r} is not a number of hours or days such as 24h or 2d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _check(rows: list[Row]) -> None:
    """Refuse what would make merging wrong; the rows are right one by one already."""
    final = {row.name for row in rows if not row.network_overrides}
    seen: set[tuple[str, str]] = set()
    for row in rows:
        for code in (row.code, *row.aliases):
            key = (row.kind, plain(code))
            if key in seen:
                raise ConfigError(f"{FILE}: {row.name} is there twice (as {code!r})")
            seen.add(key)
        if fault := _fault(row, final):
            raise ConfigError(f"{FILE}: {row.name} {fault}")
    if lost := [kind for kind in FALLBACKS if (kind, ANY_CODE) not in seen]:
        raise ConfigError(f"{FILE}: no row for the other codes ({ANY_CODE}) of {', '.join(lost)}")


def _fault(row: Row, final: set[str]) -> str | None:
    mild = row.advice is Advice.RETRY and row.customer_may_know
    if row.vague and (not mild or row.quiet or row.tell_ops):
        # When a better word comes a vague one falls silent; that must never make us laxer.
        return f"is vague, so it may say {Advice.RETRY} and nothing else"
    for name in sorted(row.network_overrides):
        if name not in final or name.partition(":")[0] not in RAW_ANSWERS:
            return f"is overridden by {name}, which is no row of a network, or overridden itself"
    if permits_charge(row.advice) != (row.wait is not None):
        return "needs a wait exactly if it permits a charge"
    return None


@functools.cache
def table() -> tuple[Row, ...]:
    """Every code we know, in the order of the file; read once."""
    text = resources.files(__package__).joinpath(FILE).read_text(encoding="utf-8")
    return read_rows(text.splitlines())


Index = Mapping[tuple[str, str], Row]


@functools.lru_cache(maxsize=64)
def index(overrides: tuple[Override, ...] = ()) -> Index:
    """The rows by kind and code, those of a policy in place of ours."""
    found = {(row.kind, plain(code)): row for row in table() for code in (row.code, *row.aliases)}
    for override in overrides:
        for row in rows_meant(override) or (_new_row(override),):
            changed = _instead(row, override)
            for code in (row.code, *row.aliases):
                found[row.kind, plain(code)] = changed
    return found


def plain(code: str) -> str:
    """One spelling for one code: providers differ in case, blanks, dashes and leading zeros."""
    same = re.sub(r"[\s_-]+", "_", code.strip(" \t\r\n.").casefold())
    return same.zfill(2) if same.isdecimal() else same


# --- a policy's own rows -------------------------------------------------------------------

# Where a code of no known kind is taken to belong: the provider's word for a declined charge.
PLAIN_KIND = "card_decline_code"
OWN_WAIT = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """What a policy file says of a code: `kind` is None for every row the provider's word has."""

    code: str
    advice: Advice
    why: str
    kind: str | None = None
    wait: timedelta | None = None
    source: str | None = None
    category: str | None = None  # what a code without a row of ours is to be taken for

    @property
    def name(self) -> str:
        """The code as the file has it."""
        return f"{self.kind}:{self.code}" if self.kind else self.code


def rows_meant(override: Override) -> tuple[Row, ...]:
    """Our rows that an override stands in for; none: a code that we do not know."""
    code = plain(override.code)
    return tuple(
        row
        for row in table()
        if (row.kind == override.kind if override.kind else row.kind not in NETWORKS_OWN)
        and row.code != ANY_CODE
        and code in {plain(each) for each in (row.code, *row.aliases)}
    )


def _new_row(override: Override) -> Row:
    other = next(row for row in table() if (row.kind, row.code) == ("any", ANY_CODE))
    return replace(
        other,
        code=override.code,
        kind=override.kind or PLAIN_KIND,
        meaning=f"{override.code}, which only the policy file explains",
        category=override.category or other.category,
        aliases=(),
        vague=False,
    )


def _instead(row: Row, override: Override) -> Row:
    """The row with what the policy says; a stricter word is not set aside by a network's code."""
    stricter = STRICTNESS[override.advice] > STRICTNESS[row.advice]
    wait = (override.wait or row.wait or OWN_WAIT) if permits_charge(override.advice) else None
    return replace(
        row,
        advice=override.advice,
        wait=wait,
        reason=override.why,
        category=override.category or row.category,
        source=override.source or "the policy file",
        certainty="judgement",
        vague=row.vague and override.advice is Advice.RETRY,
        network_overrides=frozenset() if stricter else row.network_overrides,
        overridden=True,
    )


def laxer(override: Override) -> tuple[Row, ...]:
    """Our rows that say stop, and that the override would soften."""
    return tuple(
        row
        for row in rows_meant(override)
        if row.advice is Advice.STOP and override.advice is not Advice.STOP
    )


def in_force(overrides: Sequence[Override]) -> tuple[Row, ...]:
    """Every row that decides, in the order of the table, new codes last."""
    return tuple(dict.fromkeys(index(tuple(overrides)).values()))
