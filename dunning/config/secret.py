"""Secrets and addresses that may hold one: shown as **** wherever they are printed."""

from __future__ import annotations

import hmac
import re
from typing import NoReturn, Self
from urllib.parse import unquote

from dunning.redaction import HIDDEN, hide

# Up to the last `@`: a password that should have been percent-encoded must not show either.
_USERINFO = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://)([^:/@?#]*)(:.*)?@", re.DOTALL)
_SECRET_QUERY = re.compile(
    r"([?&;][^=&;#]*(?:pass|secret|token|key|sig|auth)[^=&;#]*=)([^&;#]*)", re.IGNORECASE
)
# What Stripe's keys and signing secrets look like; somebody will paste one in the wrong place.
_STRIPE_SECRET = re.compile(r"\b((?:sk|rk|whsec)_)[A-Za-z0-9_+/=-]+")
# `api_key: value` in a file. Names of variables may show; the values they stand for may not.
_SECRET_FIELD = re.compile(
    r"""((?:key|secrets?|passw(?:or)?d|token)(?:_env)?["']?\s*[:=]\s*)"""
    r"""(\[[^\]\n]*\]?|"[^"\n]*"?|'[^'\n]*'?|[^\s,}\]#][^,}\]#\n]*)""",
    re.IGNORECASE,
)
_VARIABLE_NAMES = re.compile(r"""[\s\[\]"',]*(?:[A-Z][A-Z0-9_]*[\s\[\]"',]*)*\Z""")


class Secret:
    """A value that only `reveal` gives out; it cannot be printed, formatted or pickled."""

    __slots__ = ("_hidden",)

    def __init__(self, value: str) -> None:
        self._hidden = value
        self._hide(value)

    def _hide(self, value: str) -> None:
        """Whatever a library may say about it: no line of the log will hold it."""
        hide(value)
        for part in value.split("_", 1)[1:] if value.startswith("whsec_") else ():
            hide(part)

    def reveal(self) -> str:
        """The value itself, for the one call that needs it."""
        return self._hidden

    def __repr__(self) -> str:
        return f"{type(self).__name__}({HIDDEN})"

    def __str__(self) -> str:
        return HIDDEN

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._hidden.encode(), other._hidden.encode())

    def __hash__(self) -> int:
        return hash(self._hidden)

    # Copies are the same object, so that dataclasses.replace and asdict work.
    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __getstate__(self) -> NoReturn:
        raise TypeError("a secret is not written down")

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret is not written down")


class Url(Secret):
    """An address that may hold a password; it prints without it."""

    __slots__ = ()

    def _hide(self, value: str) -> None:
        # The address itself may be said; what is secret in it may not, as it is or unquoted.
        userinfo = _USERINFO.match(value)
        hidden = [(userinfo[3] or "").removeprefix(":")] if userinfo else []
        hidden += [found[2] for found in _SECRET_QUERY.finditer(value)]
        for each in hidden:
            hide(each)
            hide(unquote(each))

    def __repr__(self) -> str:
        return f"Url({safe_url(self._hidden)})"

    def __str__(self) -> str:
        return safe_url(self._hidden)


class HiddenUrl(Secret):
    """An address whose path is the secret, such as that of a chat room's webhook."""

    __slots__ = ()

    def _hide(self, value: str) -> None:
        hide(value)
        _, _, path = value.partition("://")[2].partition("/")
        hide(path)


def safe_url(url: str) -> str:
    """The address as it may be shown: password and tokens replaced, in doubt too much of it."""
    shown = _USERINFO.sub(_hide_password, url)
    return mask(_SECRET_QUERY.sub(rf"\g<1>{HIDDEN}", shown))


def _hide_password(found: re.Match[str]) -> str:
    scheme, user, password = found.groups()
    return f"{scheme}{user}:{HIDDEN}@" if password else f"{scheme}{user}@"


def mask(text: str) -> str:
    """The text with everything that looks like a Stripe secret starred, at the same length."""
    return _STRIPE_SECRET.sub(lambda m: m[1] + "*" * (len(m[0]) - len(m[1])), text)


def mask_fields(line: str) -> str:
    """A line of a file with the values of keys, secrets and passwords starred, same length."""
    return mask(_SECRET_FIELD.sub(_hide_field, line))


def _hide_field(found: re.Match[str]) -> str:
    name, value = found.groups()
    return name + (value if _VARIABLE_NAMES.match(value) else "*" * len(value))
