"""Addresses that are not written to any more: marked by bounces, complaints and people, on record.

A mark stands until a person clears it, with a reason. Marking one that is marked changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import structlog
from sqlalchemy import Select, bindparam, select
from sqlmodel import Session, col

from dunning.core.addresses import normalised
from dunning.errors import NotFoundError
from dunning.store import BadAddressRow, insert_into

log = structlog.get_logger(__name__)

KINDS: Final = ("bounce", "complaint", "refused", "hand")
US: Final = "dunning"


def is_bad(session: Session, address: str) -> BadAddressRow | None:
    """The mark on this address, if it bears one: nobody should write to it."""
    return session.scalar(_MARKED_SO, {"address": normalised(address)})


def why_bad(session: Session, address: str) -> str | None:
    """Why nobody should write to this address, in words; None when all is well."""
    row = is_bad(session, address)
    return f"{row.address} is marked bad since {row.since:%Y-%m-%d}: {row.why}" if row else None


def mark(
    session: Session,
    address: str,
    *,
    kind: str,
    why: str,
    now: datetime,
    by: str = US,
    reference: str | None = None,
) -> bool:
    """Mark an address bad; whether it was not so before."""
    values = {
        "address": normalised(address),
        "since": now,
        "kind": kind,
        "why": why,
        "by": by,
        "reference": reference,
    }
    new = insert_into(session, BadAddressRow).values(**values)
    made = session.execute(new.on_conflict_do_nothing().returning(col(BadAddressRow.id))).first()
    if made is not None:
        # For ops: somebody has to ask the customer for an address that works.
        log.warning("address.bad", kind=kind, why=why, by=by, reference=reference)
    return made is not None


def clear(session: Session, address: str, *, by: str, why: str, now: datetime) -> BadAddressRow:
    """Take the mark off; `NotFoundError` when there is none."""
    row = is_bad(session, address)
    if row is None:
        message = (
            f"{normalised(address)} is not marked; `dunning addresses list` shows those that are"
        )
        raise NotFoundError(message)
    row.cleared_at, row.cleared_by, row.cleared_why = now, by, why
    session.add(row)
    session.flush()
    return row


def marks(session: Session, *, cleared: bool = False) -> Sequence[BadAddressRow]:
    """The marks, newest first; those that were cleared as well, if asked for."""
    query = select(BadAddressRow) if cleared else _marked()
    return session.scalars(query.order_by(col(BadAddressRow.id).desc())).all()


def last_cleared(session: Session, address: str) -> datetime | None:
    """When a person last said that this address is good after all."""
    query = select(col(BadAddressRow.cleared_at)).where(
        col(BadAddressRow.address) == normalised(address),
        col(BadAddressRow.cleared_at).is_not(None),
    )
    return session.scalar(query.order_by(col(BadAddressRow.cleared_at).desc()).limit(1))


def _marked() -> Select[BadAddressRow]:
    return select(BadAddressRow).where(col(BadAddressRow.cleared_at).is_(None))


_MARKED_SO = _marked().where(col(BadAddressRow.address) == bindparam("address"))
