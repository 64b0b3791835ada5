"""Ids and secrets that look like Stripe's and depend on the seed alone."""

from __future__ import annotations

import hashlib
from collections import Counter

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class Ids:
    """The n-th id of a kind is a hash of (seed, kind, n).

    One counter per kind, not one shared stream: renewals are made by the sandbox in a fixed order,
    so invoice ids stay the same however a program under test interleaves its own requests.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._counts: Counter[str] = Counter()

    def new(self, prefix: str, length: int = 24) -> str:
        """The next id of this kind, such as `cus_…`."""
        self._counts[prefix] += 1
        return f"{prefix}_{self.token(f'{prefix}/{self._counts[prefix]}', length)}"

    def token(self, what: str, length: int = 24) -> str:
        """A string that only this seed and these words give."""
        digest = hashlib.sha256(f"{self._seed}/{what}".encode()).digest()
        number = int.from_bytes(digest * 2, "big")
        letters = []
        for _ in range(length):
            number, index = divmod(number, len(_ALPHABET))
            letters.append(_ALPHABET[index])
        return "".join(letters)


def draw(*parts: object) -> float:
    """A number in [0, 1) that depends on nothing but the given parts."""
    text = "/".join(str(part) for part in parts)
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:7], "big") / float(1 << 56)
