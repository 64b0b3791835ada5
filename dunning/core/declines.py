"""Decline code -> Advice, with the reason; the strictest source wins.

The knowledge is data, one reviewed row per code in `declines.csv`; this module reads it and merges
what several sources said of one charge: the provider's decline code, outcome and error code, its
advice code, and for Visa, Mastercard and bank debits the network's own answer.

How rows are merged:
* the strictest advice wins, and the longest wait; every word that spoke is named in `sources`;
* a `vague` row (`card_declined`) speaks only when nothing better does;
* `network_overrides` names network codes that know better than the row: when one of them came,
  the row is set aside. This is the only way a further source can make a verdict laxer;
* what a policy says of a code (`Override`) stands in for the row, and then merges like any other;
* kind `any` code `*` stands for a code without a row; Visa, Mastercard and bank debits have `*`
  rows of their own. Such a code is never an error: all these lists are open.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from dunning.core.decline_table import (
    ANY_CODE,
    CERTAINTIES,
    FALLBACKS,
    FILE,
    NETWORKS_OWN,
    RAW_ANSWERS,
    STRICTNESS,
    TRUTH,
    Advice,
    Index,
    Override,
    Row,
    index,
    permits_charge,
    plain,
    read_rows,
    read_wait,
    table,
)
from dunning.core.events import Decline

__all__ = [
    "ANY_CODE",
    "CERTAINTIES",
    "FALLBACKS",
    "FILE",
    "STRICTNESS",
    "TRUTH",
    "UNKNOWN",
    "Advice",
    "Heard",
    "Override",
    "Row",
    "Verdict",
    "advise",
    "permits_charge",
    "read_rows",
    "read_wait",
    "table",
    "words_of",
]


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
    forbidden: bool = False  # the network or scheme itself says never: nobody overrides that
    network_wait: timedelta | None = None  # the part of `wait` that the network itself asked for
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
_ADVICE_KINDS = {"mastercard": "mastercard_advice", "visa": "visa_category"}


@dataclass(frozen=True, slots=True)
class Heard:
    """One word somebody said, and the row that explains it."""

    word: str
    row: Row

    @property
    def known(self) -> bool:
        return self.row.code != ANY_CODE


def words_of(decline: Decline, rows: Index) -> Iterator[Heard]:
    """Every word of the decline with its row; a code without a row gets the `*` of its kind."""
    bank = _BANK_KINDS.get(plain(decline.method_type or ""))
    network = plain(decline.network or "").replace("_", "")
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
            _said(decline.network_code, raw in RAW_ANSWERS),
            (raw,),
            raw,
        ),
        (f"{network} advice", _said(decline.network_advice_code, bool(advice)), (advice,), "any"),
    )
    for label, code, kinds, fallback in spoken:
        if code and (same := plain(code)):
            yield Heard(f"{label} {code.strip()}", _find(rows, same, kinds, fallback))


def _said(code: str | None, understood: bool) -> str | None:
    return code if understood else None


def _find(rows: Index, code: str, kinds: tuple[str, ...], fallback: str) -> Row:
    for kind in kinds:
        if code != ANY_CODE and (row := rows.get((kind, code))):
            return row
    other = fallback if fallback in FALLBACKS else "bank_debit_any"
    return rows[other, ANY_CODE]


# --- the verdict ---------------------------------------------------------------------------


def advise(decline: Decline, overrides: tuple[Override, ...] = ()) -> Verdict:
    """Merge everything said about a declined charge. Never raises, whatever the codes are.

    `overrides` are what the policy of the case says of some codes.

    `wait` counts from the attempt. Sources of the rules are in the rows; that the strictest wins
    is ours, since each network fines the merchant who heeds only another's milder word.
    """
    heard = tuple(words_of(decline, index(overrides)))
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
        forbidden=any(
            one.row.advice is Advice.STOP and one.row.kind in NETWORKS_OWN for one in speaking
        ),
        network_wait=_asked_for(speaking) if wait else None,
        category=strictest.row.category,
    )


def _asked_for(speaking: Iterable[Heard]) -> timedelta | None:
    """The wait that a network named; what only spaces the tries of a vague answer is ours."""
    named = [
        one.row.wait
        for one in speaking
        if one.row.kind in _ADVICE_KINDS.values() and one.row.advice is Advice.WAIT and one.row.wait
    ]
    return max(named, default=None)


def _speaking(heard: list[Heard]) -> tuple[Heard, ...]:
    """Leave out the vague ones, unless there is nothing else."""
    return tuple(one for one in heard if not one.row.vague) or tuple(heard)


def _sources(speaking: Iterable[Heard], overridden: Iterable[Heard]) -> tuple[str, ...]:
    return (
        *(one.word for one in speaking),
        *(f"{one.word} (set aside: the network's code knows better)" for one in overridden),
    )


def _reason(strictest: Heard, slowest: Heard | None, unknown: tuple[Heard, ...]) -> str:
    row = strictest.row
    parts = [f"{row.meaning} ({strictest.word}). {row.reason}"]
    if slowest and slowest.row is not row and slowest.row.wait:
        hours = slowest.row.wait // timedelta(hours=1)
        parts.append(f"Not before {hours} h after the try ({slowest.word}).")
    if unknown:
        words = ", ".join(one.word for one in unknown)
        parts.append(f"Unknown: {words}; `declines` in the policy file can say what it means.")
    return " ".join(parts)
