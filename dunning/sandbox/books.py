"""The sandbox's own books: who paid what and when, kept apart from anything a program writes."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from dunning.sandbox.errors import Obj


@dataclass
class Books:
    """Movements as they happened, folded only when somebody asks."""

    entries: list[Obj] = field(default_factory=list)

    def write(
        self, what: str, at: int, invoice: str | None, currency: str, **facts: object
    ) -> None:
        """Append one movement."""
        self.entries.append(
            {"what": what, "at": at, "invoice": invoice, "currency": currency, **facts}
        )

    def report(self) -> Obj:
        """Per invoice and per currency; amounts in minor units, never added across currencies."""
        invoices: dict[str, Obj] = {}
        loose: list[Obj] = []
        for entry in self.entries:
            key = entry["invoice"]
            if key is None:
                loose.append(entry)
                continue
            if key not in invoices:
                invoices[key] = _blank(key, entry)
            _fold(invoices[key], entry)
        for line in invoices.values():
            _derive(line)
        return {
            "currencies": _per_currency(invoices.values()),
            "invoices": invoices,
            "without_invoice": loose,
        }


def _blank(key: str, entry: Obj) -> Obj:
    return {
        "invoice": key,
        "currency": entry["currency"],
        "customer": None,
        "subscription": None,
        "amount_due": 0,
        "finalized_at": None,
        "amount_paid": 0,
        "paid_at": None,
        "paid_by": None,
        "payments": [],
        "attempts": [],
        "successful_charges": 0,
        "refunded": 0,
        "disputed": 0,
        "credited": 0,
        "voided_at": None,
        "uncollectible_at": None,
        "first_failed_at": None,
        "amount_remaining": 0,
        "at_risk": 0,
    }


_KEPT = ("at", "amount", "by", "how", "charge", "key", "payment_method")
_TRIED = ("at", "amount", "by", "how", "charge", "key", "payment_method", "decline_code", "outcome")


def _fold(line: Obj, entry: Obj) -> None:
    what, amount = entry["what"], entry.get("amount", 0)
    if what == "due":
        line["amount_due"] += amount
        line["customer"] = entry["customer"]
        line["subscription"] = entry["subscription"]
        line["finalized_at"] = line["finalized_at"] or entry["at"]
    elif what == "attempt":
        line["attempts"].append({name: entry.get(name) for name in _TRIED})
        failed = entry["outcome"] not in ("succeed", "processing")
        if failed and line["first_failed_at"] is None:
            line["first_failed_at"] = entry["at"]
    elif what == "overdue":
        line["first_failed_at"] = line["first_failed_at"] or entry["at"]
    elif what == "paid":
        line["payments"].append({name: entry.get(name) for name in _KEPT})
        line["amount_paid"] += amount
        line["successful_charges"] += 1 if entry.get("charge") else 0
        line["paid_at"] = entry["at"]
        line["paid_by"] = entry["by"]
    elif what in ("refunded", "disputed", "credited"):
        line[what] += amount
    elif what == "voided":
        line["voided_at"] = entry["at"]
    elif what == "uncollectible":
        line["uncollectible_at"] = entry["at"]


def _derive(line: Obj) -> None:
    remaining = max(0, line["amount_due"] - line["amount_paid"] - line["credited"])
    line["amount_remaining"] = 0 if line["voided_at"] else remaining
    line["at_risk"] = line["amount_remaining"] if line["first_failed_at"] else 0
    if line["amount_remaining"]:
        line["paid_at"], line["paid_by"] = None, None


def _per_currency(lines: object) -> dict[str, Obj]:
    sums: dict[str, Obj] = defaultdict(
        lambda: {
            "invoices": 0,
            "amount_due": 0,
            "amount_paid": 0,
            "paid_by": {"api": 0, "customer": 0, "stripe": 0},
            "failed_then_paid": 0,
            "refunded": 0,
            "disputed": 0,
            "credited": 0,
            "amount_remaining": 0,
            "voided": 0,
            "uncollectible": 0,
        }
    )
    for line in lines:  # type: ignore[attr-defined]
        total = sums[line["currency"]]
        total["invoices"] += 1
        names = ("amount_due", "amount_paid", "refunded", "disputed", "credited")
        for name in (*names, "amount_remaining"):
            total[name] += line[name]
        for payment in line["payments"]:
            total["paid_by"][payment["by"]] += payment["amount"]
        if line["first_failed_at"] is not None:
            total["failed_then_paid"] += line["amount_paid"]
        if line["voided_at"]:
            total["voided"] += line["amount_due"] - line["amount_paid"]
        if line["uncollectible_at"] and line["amount_remaining"]:
            total["uncollectible"] += line["amount_remaining"]
    return dict(sums)
