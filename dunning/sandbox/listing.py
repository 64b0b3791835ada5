"""List pages: limit, cursors, `created` ranges and plain equality filters."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from dunning.sandbox.errors import Obj, invalid
from dunning.sandbox.params import Params
from dunning.sandbox.world import World

PAGE = "limit starting_after ending_before expand"


@dataclass
class Page:
    """One page of kept objects, newest first; rendered by the answering layer."""

    data: list[Obj]
    url: str
    has_more: bool


def in_range(params: Params, name: str) -> Callable[[int | None], bool]:
    """A test for `created=…` or `created[gte]=…` and its sisters."""
    if name not in params:
        return lambda value: True
    if not isinstance(params.data[name], dict):
        exact = params.number(name)
        return lambda value: value == exact
    bounds = params.sub(name)
    bounds.allow(("gt", "gte", "lt", "lte"))
    limits = {key: bounds.number(key) or 0 for key in bounds}

    def inside(value: int | None) -> bool:
        if value is None:
            return False
        return (
            value > limits.get("gt", value - 1)
            and value >= limits.get("gte", value)
            and value < limits.get("lt", value + 1)
            and value <= limits.get("lte", value)
        )

    return inside


def equal(params: Params, *names: str) -> Callable[[Obj], bool]:
    """A test that every given parameter equals the field of the same name."""
    wanted = {name: params.text(name) for name in names if params.text(name) is not None}

    def matches(obj: Obj) -> bool:
        return all(str(obj.get(name)) == value for name, value in wanted.items())

    return matches


def page(
    world: World,
    params: Params,
    url: str,
    objects: Iterable[Obj],
    *tests: Callable[[Obj], bool],
    newest_first: bool = True,
) -> Page:
    """The asked-for page of the objects that pass every test."""
    created = in_range(params, "created")
    kept = [
        obj for obj in objects if created(obj.get("created")) and all(test(obj) for test in tests)
    ]
    if newest_first:
        # Later additions come first even within one second of the virtual clock.
        order = sorted(enumerate(kept), key=lambda pair: (pair[1].get("created", 0), pair[0]))
        kept = [obj for _, obj in reversed(order)]
    return cut(params, url, kept)


def cut(params: Params, url: str, kept: list[Obj]) -> Page:
    """One page of an ordered list."""
    limit = params.number("limit", 10) or 10
    if not 1 <= limit <= 100:
        raise invalid("Invalid limit: must be between 1 and 100", "limit")
    after, before = params.text("starting_after"), params.text("ending_before")
    ids = [obj["id"] for obj in kept]
    if after is not None:
        start = _position(ids, after, "starting_after") + 1
        chosen = kept[start : start + limit]
        return Page(chosen, url, start + limit < len(kept))
    if before is not None:
        end = _position(ids, before, "ending_before")
        start = max(0, end - limit)
        return Page(kept[start:end], url, start > 0)
    return Page(kept[:limit], url, limit < len(kept))


def _position(ids: list[str], key: str, name: str) -> int:
    if key not in ids:
        raise invalid(f"No such object: '{key}'", name, "resource_missing")
    return ids.index(key)
