"""A drawer of a desk: what is stored of a table, what a batch has made of it, and the draft."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")
Fetch = Callable[[Collection[Key]], Mapping[Key, Value]]


class Drawer(Generic[Key, Value]):
    """What is known of one table: as stored, as the batch has it, and the present draft."""

    def __init__(self, fetch: Fetch[Key, Value] | None = None) -> None:
        self._fetch = fetch
        self._stored: dict[Key, Value | None] = {}
        self._present: dict[Key, Value] = {}
        self._draft: dict[Key, Value] = {}

    def load(self, keys: Iterable[Key]) -> None:
        """Read what is not known yet, all of it at once."""
        missing = dict.fromkeys(key for key in keys if key not in self._stored)
        if missing and self._fetch is not None:
            found = self._fetch(missing)
            self._stored.update({key: found.get(key) for key in missing})

    def assume(self, key: Key, value: Value | None = None) -> None:
        """Take it that this is what is stored; None: that there is nothing."""
        self._stored[key] = value

    def get(self, key: Key) -> Value | None:
        """The value as it is now; read by itself if nobody foresaw that it would be asked for."""
        for layer in (self._draft, self._present):
            if key in layer:
                return layer[key]
        self.load((key,))
        return self._stored.get(key)

    def stored(self, key: Key) -> Value | None:
        """The value as the database has it."""
        return self._stored.get(key)

    def put(self, key: Key, value: Value) -> None:
        """Change the draft."""
        self._draft[key] = value

    def add(self, key: Key, value: Value) -> None:
        """Put a value where none is known."""
        known = key in self._draft or key in self._present
        if not known and self._stored.get(key) is None:
            self._draft[key] = value

    def values(self) -> Iterator[Value]:
        """Everything in the drawer, as it is now."""
        for value in {**self._stored, **self._present, **self._draft}.values():
            if value is not None:
                yield value

    def changes(self) -> Mapping[Key, Value]:
        """What is to be written, in the order in which it came about."""
        return self._present

    def keep(self) -> None:
        """Make the draft part of the batch."""
        if self._draft:
            self._present.update(self._draft)
            self._draft.clear()

    def drop(self) -> None:
        """Forget the draft."""
        self._draft.clear()
