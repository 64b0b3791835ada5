"""Request parameters: Stripe's bracketed form encoding, and typed reading of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from dunning.sandbox.errors import ApiError, Obj, invalid, missing_param, unknown_param

_NAME = re.compile(r"^([^\[\]]+)((?:\[[^\[\]]*\])*)$")
_DEPTH = 12  # Nothing Stripe accepts nests deeper; a limit on everything.


def nested(pairs: Iterable[tuple[str, str]]) -> Obj:
    """`items[0][price]=x` and `expand[]=y` as nested dicts and lists."""
    root: Obj = {}
    for name, value in pairs:
        match = _NAME.match(name)
        if match is None:
            raise invalid(f"Invalid parameter name: {name}", name)
        path = [match[1], *re.findall(r"\[([^\[\]]*)\]", match[2])]
        if len(path) > _DEPTH:
            raise invalid(f"Parameter nested too deeply: {name}", match[1])
        _place(root, path, value)
    return {name: _listed(value) for name, value in root.items()}


def _place(node: Obj, path: list[str], value: str) -> None:
    for index, raw in enumerate(path):
        segment = raw or str(len(node))  # `a[]` appends
        if index == len(path) - 1:
            node[segment] = value
            return
        child = node.get(segment)
        if not isinstance(child, dict):
            child = {}
            node[segment] = child
        node = child


def _listed(value: Any) -> Any:
    """Dicts whose keys are all numbers were lists on the way in."""
    if not isinstance(value, dict):
        return value
    inner = {name: _listed(child) for name, child in value.items()}
    if inner and all(name.isdigit() for name in inner):
        return [inner[name] for name in sorted(inner, key=int)]
    return inner


class Params:
    """The parameters of one request, read by type; a wrong type is Stripe's 400."""

    def __init__(self, data: Obj, prefix: str = "") -> None:
        self.data = data
        self._prefix = prefix

    def __iter__(self) -> Iterator[str]:
        return iter(self.data)

    def __contains__(self, name: str) -> bool:
        return name in self.data

    def allow(self, names: Iterable[str]) -> None:
        """Refuse whatever is not named."""
        allowed = set(names)
        for name in self.data:
            if name not in allowed:
                raise unknown_param(self._full(name))

    def _full(self, name: str) -> str:
        return f"{self._prefix}[{name}]" if self._prefix else name

    def text(self, name: str, default: str | None = None) -> str | None:
        """A string; empty means unset, as Stripe reads it."""
        value = self.data.get(name, default)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            raise invalid(f"Invalid string: {value}", self._full(name))
        return value

    def need(self, name: str) -> str:
        """A string that must be there."""
        value = self.text(name)
        if value is None:
            raise missing_param(self._full(name))
        return value

    def number(self, name: str, default: int | None = None) -> int | None:
        """A whole number."""
        value = self.data.get(name)
        if value is None or value == "":
            return default
        try:
            return int(str(value))
        except ValueError:
            raise ApiError(
                400,
                f"Invalid integer: {value}",
                code="parameter_invalid_integer",
                param=self._full(name),
                stored=False,
            ) from None

    def flag(self, name: str, default: bool = False) -> bool:
        """True or false."""
        value = self.data.get(name)
        if value is None or value == "":
            return default
        text = str(value).lower()
        if text in ("true", "1"):
            return True
        if text in ("false", "0"):
            return False
        raise invalid(f"Invalid boolean: {value}", self._full(name))

    def choice(self, name: str, allowed: Iterable[str], default: str | None = None) -> str | None:
        """One word of a list."""
        value = self.text(name, default)
        options = list(allowed)
        if value is not None and value not in options:
            raise invalid(
                f"Invalid {self._full(name)}: must be one of {', '.join(options)}",
                self._full(name),
            )
        return value

    def sub(self, name: str) -> Params:
        """A nested hash; empty when absent."""
        value = self.data.get(name)
        if value is None or value == "":
            return Params({}, self._full(name))
        if not isinstance(value, dict):
            raise invalid("Invalid object", self._full(name))
        return Params(value, self._full(name))

    def items(self, name: str) -> list[Params]:
        """A nested list of hashes."""
        value = self.data.get(name)
        if value is None or value == "":
            return []
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            raise invalid("Invalid array", self._full(name))
        return [Params(entry, f"{self._full(name)}[{n}]") for n, entry in enumerate(value)]

    def words(self, name: str) -> list[str]:
        """A nested list of strings."""
        value = self.data.get(name)
        if value is None or value == "":
            return []
        if isinstance(value, str):
            return [value]
        if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
            raise invalid("Invalid array", self._full(name))
        return [str(entry) for entry in value]


def merge_metadata(obj: Obj, params: Params, name: str = "metadata") -> None:
    """Stripe merges metadata key by key; an empty value removes the key, an empty hash all."""
    if name not in params:
        return
    if params.data[name] == "":
        obj[name] = {}
        return
    given = params.sub(name)
    merged = dict(obj.get(name) or {})
    for key in given:
        value = given.text(key)
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = value
    obj[name] = merged
