"""Idempotency keys: the first answer is kept for 24 virtual hours and given again."""

from __future__ import annotations

from dataclasses import dataclass

from dunning.sandbox.errors import ApiError, invalid
from dunning.sandbox.world import DAY, World

_LONGEST = 255


@dataclass
class Kept:
    """What is known about one key."""

    method: str
    path: str
    fingerprint: str
    at: int
    request_id: str
    status: int | None = None  # None while the first request is still going on
    body: bytes = b""


class Keys:
    """All keys of one account."""

    def __init__(self) -> None:
        self._kept: dict[str, Kept] = {}

    def begin(
        self, world: World, key: str, method: str, path: str, fingerprint: str, request_id: str
    ) -> Kept | None:
        """None when the request is the first of its key, else the answer to give again."""
        if len(key) > _LONGEST:
            raise invalid(f"Idempotency-Key must be at most {_LONGEST} characters.")
        kept = self._kept.get(key)
        if kept is not None and kept.status is not None and world.now - kept.at >= DAY:
            kept = None
        if kept is None:
            self._kept[key] = Kept(method, path, fingerprint, world.now, request_id)
            return None
        if kept.path != path or kept.method != method:
            raise _mismatch(
                "Keys for idempotent requests can only be used for the same endpoint they were"
                f" first used for ('{kept.path}' vs '{path}'). Try using a key other than"
                f" '{key}' if you meant to execute a different request."
            )
        if kept.fingerprint != fingerprint:
            raise _mismatch(
                "Keys for idempotent requests can only be used with the same parameters they"
                f" were first used with. Try using a key other than '{key}' if you meant to"
                " execute a different request."
            )
        if kept.status is None:
            raise ApiError(
                409,
                "There is currently another in-progress request using this Idempotent Key (that"
                " probably means you submitted twice, and the other request is still going"
                f" through): {key}. Please try again later.",
                code="idempotency_key_in_use",
                stored=False,
            )
        return kept

    def finish(self, key: str, status: int, body: bytes) -> None:
        """Keep the answer."""
        kept = self._kept.get(key)
        if kept is not None:
            kept.status, kept.body = status, body

    def forget(self, key: str) -> None:
        """Execution never began: the key is as good as new."""
        self._kept.pop(key, None)


def _mismatch(message: str) -> ApiError:
    return ApiError(400, message, kind="idempotency_error", stored=False)
