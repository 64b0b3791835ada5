"""The table of routes: method, path, accepted parameters, kind of answer, and who answers."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from dunning.sandbox.errors import Obj
from dunning.sandbox.listing import Page
from dunning.sandbox.params import Params
from dunning.sandbox.world import World


@dataclass(frozen=True)
class Call:
    """One request on its way through a handler."""

    world: World
    params: Params
    path: dict[str, str]
    version: str


Handler = Callable[[Call], Obj | Page]


@dataclass(frozen=True)
class Route:
    """One line of the API."""

    method: str
    template: str
    pattern: re.Pattern[str]
    allowed: frozenset[str]
    returns: str  # the kind of object, `list:kind`, or `` when nothing can be expanded
    handler: Handler
    raw: bool = field(default=False)  # the answer is already rendered


ROUTES: list[Route] = []
_BY_SHAPE: defaultdict[tuple[str, int], list[Route]] = defaultdict(list)


def route(
    method: str, template: str, returns: str, allowed: str = "", *, raw: bool = False
) -> Callable[[Handler], Handler]:
    """Register a handler; `expand` is accepted everywhere."""
    pattern = re.compile("^" + re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template) + "$")
    names = frozenset(allowed.split()) | {"expand"}

    def keep(handler: Handler) -> Handler:
        made = Route(method, template, pattern, names, returns, handler, raw)
        ROUTES.append(made)
        _BY_SHAPE[method, template.count("/")].append(made)
        return handler

    return keep


def find(method: str, path: str) -> tuple[Route, dict[str, str]] | None:
    """The route of a request; fixed words win over placeholders because they are shorter."""
    best: tuple[Route, dict[str, str]] | None = None
    for candidate in _BY_SHAPE.get((method, path.count("/")), ()):
        match = candidate.pattern.match(path)
        if match is None:
            continue
        if best is None or len(match.groupdict()) < len(best[1]):
            best = (candidate, match.groupdict())
    return best
