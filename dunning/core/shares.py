"""Share out what there is room for, so that no source keeps another one waiting."""

from __future__ import annotations

from collections.abc import Mapping


def share_out(window: int, held: Mapping[str, int], wanted: Mapping[str, int]) -> dict[str, int]:
    """How many more each source may have, when all of them together may have `window`.

    What is free is dealt out evenly between those that want more. A little is kept back for each
    of the others: whoever comes when one of them holds nearly everything need not wait for it.
    `held` is what each has already, `wanted` what else it would take; 0 is a source at rest.
    """
    kept = max(window // (4 * len(wanted)), int(window >= 2 * len(wanted))) if wanted else 0
    kept = kept if len(wanted) > 1 else 0
    has = {source: held.get(source, 0) for source in wanted}
    used = sum(max(count, kept) for count in has.values())
    given = dict.fromkeys(wanted, 0)
    active = sorted((s for s in wanted if wanted[s] > 0), key=lambda source: has[source])
    while active:
        # What is kept for those who want more is theirs.
        own = sum(max(kept - has[source], 0) for source in active)
        part = max((window - used + own) // len(active), 1)
        for source in list(active):
            before = max(has[source], kept)
            room = window - (used - before) - has[source]
            more = min(wanted[source] - given[source], part, room)
            if more > 0:
                has[source] += more
                given[source] += more
                used += max(has[source], kept) - before
            if more <= 0 or given[source] == wanted[source]:
                active.remove(source)
    return {source: count for source, count in given.items() if count}
