"""Decline code -> Advice, with the reason; the strictest source wins.

The knowledge is data, one reviewed row per code in `declines.csv`; this module reads it and merges
what several sources said of one charge: the provider's decline code, outcome and error code, its
advice code, and for Visa, Mastercard and bank debits the network's own answer.

How rows are merged:
* the strictest advice wins, and the longest wait; every word that spoke is named in `sources`;
* a `vague` row (`card_declined`) speaks only when nothing better does;
* `network_overrides` names network codes that know better than the row: when one of them came,
  the row is set aside. This is the only way a further source can make a verdict laxer;
* kind `any` code `*` stands for a code without a row; Visa, Mastercard and bank debits have `*`
  rows of their own. Such a code is never an error: all these lists are open.
"""

from __future__ import annotations

import csv
import enum
import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from importlib import resources

from dunning.core.events import Decline
from dunning.errors import ConfigError

FILE = "declines.csv"
ANY_CODE = "*"
FALLBACKS = ("any", "visa", "mastercard", "bank_debit_any")  # kinds that must have a `*` row


class Advice(enum.StrEnum):
    """What a refusal means for this way to pay, from the laxest to the strictest."""

    RETRY = "retry"  # another try may work by itself
    WAIT = "wait"  # another try may work once time has passed: money, limits
    AUTHENTICATE = "authenticate"  # only the customer can finish it, with the same card
    NEW_METHOD = "new_method"  # the details must be corrected or replaced first
    STOP = "stop"  # never again with this way to pay


STRICTNESS: Mapping[Advice, int] = {advice: place for place, advice in enumerate(Advice)}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do about one declined charge, and who said so."""

    advice: Advice
    reason: str  # for ops: what the bank said and what follows
    sources: tuple[str, ...]  # every word that spoke: "decline_code insufficient_funds"
    wait: timedelta | None  # not before this long after the attempt; None if no try is allowed
    customer_may_know: bool  # False: say only that the payment was declined
    quiet: bool  # True: no messages at all
    tell_ops: bool  # a person should look
    mapped: bool  # False: a code had no row of its own
    category: str = ""  # what kind of refusal it is, as the table has it; empty: nobody said


UNKNOWN = Verdict(
    advice=Advice.RETRY,
    reason="Nobody said why the charge failed. Until somebody does, the tries are a day apart.",
    sources=(),
    wait=timedelta(hours=24),
    customer_may_know=True,
    quiet=False,
    tell_ops=False,
    mapped=True,
)
"""For a failed charge whose decline nobody told us, as invoice webhooks often do not."""


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
            key = (row.kind, _plain(code))
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
        if name not in final or name.partition(":")[0] not in _RAW_ANSWERS:
            return f"is overridden by {name}, which is no row of a network, or overridden itself"
    if permits_charge(row.advice) != (row.wait is not None):
        return "needs a wait exactly if it permits a charge"
    return None


@functools.cache
def table() -> tuple[Row, ...]:
    """Every code we know, in the order of the file; read once."""
    text = resources.files(__package__).joinpath(FILE).read_text(encoding="utf-8")
    return read_rows(text.splitlines())


@functools.cache
def _index() -> Mapping[tuple[str, str], Row]:
    return {(row.kind, _plain(code)): row for row in table() for code in (row.code, *row.aliases)}


def _plain(code: str) -> str:
    """One spelling for one code: providers differ in case, blanks, dashes and leading zeros."""
    plain = re.sub(r"[\s_-]+", "_", code.strip(" \t\r\n.").casefold())
    return plain.zfill(2) if plain.isdecimal() else plain


# --- which words were said, and where each is looked up -------------------------------------

_BANK_KINDS = {
    "us_bank_account": "bank_debit_ach",
    "ach_debit": "bank_debit_ach",
    "sepa_debit": "bank_debit_sepa",
    "bacs_debit": "bank_debit_bacs",
    "acss_debit": "bank_debit_any",
    "au_becs_debit": "bank_debit_any",
    "nz_bank_account": "bank_debit_any",
}
# A name is looked up in each kind in turn; raw bank codes may come as a decline code too.
_NAMES = (
    "card_decline_code",
    "charge_outcome_reason",
    "lpm_decline_code",
    "api_error_code",
    "bank_debit_any",
    "bank_debit_ach",
    "bank_debit_sepa",
    "bank_debit_bacs",
)
# Raw answers of a network mean different things per network (82 at Visa is not 82 at Mastercard),
# so without a network whose table we have they say nothing. Likewise Canadian and Australian banks.
_RAW_ANSWERS = frozenset(
    ("visa", "mastercard", "bank_debit_ach", "bank_debit_sepa", "bank_debit_bacs")
)
_ADVICE_KINDS = {"mastercard": "mastercard_advice", "visa": "visa_category"}


@dataclass(frozen=True, slots=True)
class _Heard:
    """One word somebody said, and the row that explains it."""

    word: str
    row: Row

    @property
    def known(self) -> bool:
        return self.row.code != ANY_CODE


def _heard(decline: Decline) -> Iterator[_Heard]:
    """Every word of the decline with its row; a code without a row gets the `*` of its kind."""
    bank = _BANK_KINDS.get(_plain(decline.method_type or ""))
    network = _plain(decline.network or "").replace("_", "")
    own = (bank, "bank_debit_any") if bank else ()
    other = "bank_debit_any" if bank else "any"
    raw = bank or network
    advice = _ADVICE_KINDS.get(network, "")
    spoken = (
        ("decline_code", decline.code, (*own, *_NAMES), other),
        ("outcome_reason", decline.outcome_reason, ("charge_outcome_reason", *own, *_NAMES), other),
        ("error_code", decline.error_code, (*own, "api_error_code", *_NAMES), "any"),
        ("outcome_type", decline.outcome_type, ("outcome_type",), "any"),
        ("advice_code", decline.advice_code, ("advice_code",), "any"),
        (
            f"{decline.method_type if bank else network} code",
            _said(decline.network_code, raw in _RAW_ANSWERS),
            (raw,),
            raw,
        ),
        (f"{network} advice", _said(decline.network_advice_code, bool(advice)), (advice,), "any"),
    )
    for label, code, kinds, fallback in spoken:
        if code and (plain := _plain(code)):
            yield _Heard(f"{label} {code.strip()}", _find(plain, kinds, fallback))


def _said(code: str | None, understood: bool) -> str | None:
    return code if understood else None


def _find(plain: str, kinds: tuple[str, ...], fallback: str) -> Row:
    index = _index()
    for kind in kinds:
        if plain != ANY_CODE and (row := index.get((kind, plain))):
            return row
    other = fallback if fallback in FALLBACKS else "bank_debit_any"
    return index[other, ANY_CODE]


# --- the verdict ---------------------------------------------------------------------------


def permits_charge(advice: Advice) -> bool:
    """Whether the same way to pay may be charged again without the customer doing anything."""
    return advice in (Advice.RETRY, Advice.WAIT)


def advise(decline: Decline) -> Verdict:
    """Merge everything said about a declined charge. Never raises, whatever the codes are.

    `wait` counts from the attempt. Sources of the rules are in the rows; that the strictest wins
    is ours, since each network fines the merchant who heeds only another's milder word.
    """
    heard = tuple(_heard(decline))
    if not heard:
        return UNKNOWN
    names = {one.row.name for one in heard}
    overridden = tuple(one for one in heard if one.row.network_overrides & names)
    speaking = _speaking([one for one in heard if one not in overridden])
    strictest = max(speaking, key=lambda one: STRICTNESS[one.row.advice])
    advice = strictest.row.advice
    slowest = max(speaking, key=lambda one: one.row.wait or timedelta(0))
    wait = slowest.row.wait if permits_charge(advice) else None
    unknown = tuple(one for one in heard if not one.known)
    return Verdict(
        advice=advice,
        reason=_reason(strictest, slowest if wait else None, unknown),
        sources=_sources(speaking, overridden),
        wait=wait,
        customer_may_know=all(one.row.customer_may_know for one in speaking),
        quiet=any(one.row.quiet for one in speaking),
        tell_ops=any(one.row.tell_ops for one in speaking),
        mapped=not unknown,
        category=strictest.row.category,
    )


def _speaking(heard: list[_Heard]) -> tuple[_Heard, ...]:
    """Leave out the vague ones, unless there is nothing else."""
    return tuple(one for one in heard if not one.row.vague) or tuple(heard)


def _sources(speaking: Iterable[_Heard], overridden: Iterable[_Heard]) -> tuple[str, ...]:
    return (
        *(one.word for one in speaking),
        *(f"{one.word} (set aside: the network's code knows better)" for one in overridden),
    )


def _reason(strictest: _Heard, slowest: _Heard | None, unknown: tuple[_Heard, ...]) -> str:
    row = strictest.row
    parts = [f"{row.meaning} ({strictest.word}). {row.reason}"]
    if slowest and slowest.row is not row and slowest.row.wait:
        hours = slowest.row.wait // timedelta(hours=1)
        parts.append(f"Not before {hours} h after the try ({slowest.word}).")
    if unknown:
        words = ", ".join(one.word for one in unknown)
        parts.append(f"Unknown: {words}; add a row to dunning/core/{FILE}.")
    return " ".join(parts)
