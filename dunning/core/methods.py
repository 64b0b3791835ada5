"""How news of the customer's ways to pay merge into a case; commutative, as all of `core.merge`."""

from __future__ import annotations

from dataclasses import replace

from dunning.core.events import MethodChanged, MethodNews
from dunning.core.facts import Case, Saved
from dunning.core.merge import latest, put_merged

_GONE = (MethodNews.REMOVED, MethodNews.MANDATE_GONE)


def with_method(case: Case, event: MethodChanged) -> Case:
    """Take news of the customer's ways to pay."""
    if event.method and event.news not in _GONE:
        case = replace(case, saved=put_merged(case.saved, _saved(event, event.method), _merge))
    match event.news:
        case MethodNews.NEW:
            known = (case.method_at, case.method or "")
            if case.method_at is None or (event.at, event.method or "") > known:
                return replace(case, method=event.method, method_at=event.at)
            return case
        case MethodNews.SAVED:
            return case
        case MethodNews.CHANGED:
            return replace(case, method_fixed_at=latest(case.method_fixed_at, event.at))
        case MethodNews.NETWORK_UPDATED:
            updates = tuple(sorted({*case.network_updates, event.at}))
            fixed_at = latest(case.method_fixed_at, event.at)
            return replace(case, method_fixed_at=fixed_at, network_updates=updates)
        case MethodNews.REMOVED | MethodNews.MANDATE_GONE:
            gone = dict(case.methods_gone)
            name = event.method or ""
            gone[name] = max(gone.get(name, event.at), event.at)
            return replace(case, methods_gone=tuple(sorted(gone.items())))


def _saved(event: MethodChanged, method: str) -> Saved:
    return Saved(
        id=method,
        at=event.at,
        since=event.at,
        type=event.method_type,
        fingerprint=event.fingerprint,
        off_session=event.off_session,
    )


def _merge(known: Saved, heard: Saved) -> Saved:
    return Saved(
        id=known.id,
        at=max(known.at, heard.at),
        since=min(known.since, heard.since),
        type=max(known.type or "", heard.type or "") or None,
        fingerprint=max(known.fingerprint or "", heard.fingerprint or "") or None,
        off_session=known.off_session or heard.off_session,
    )
