"""Takes a foreign message apart: bounded in size, depth and number of parts, never in doubt.

The standard library's parser would follow a hostile message as deep as it goes; of a bounce only
the first levels matter, and a part that is cut off is read as far as it is there.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

# A report and the headers that it returns come first; a returned letter may be cut off.
MOST_BYTES: Final = 256 * 1024
_MOST_HEAD = 64 * 1024
_MOST_FIELDS = 500
_DEPTH = 6
_PARTS = 40

_BLANK = re.compile(rb"\r?\n[ \t]*\r?\n")
_FIELD = re.compile(r"([!-9;-~]{1,80})[ \t]*:(.*)", re.DOTALL)
_BOUNDARY = re.compile(
    r';\s*boundary\s*=\s*(?:"([^"\r\n]{1,200})"|([^\s;"]{1,200}))', re.IGNORECASE
)

# By name in small letters; of a field that is there twice, the first.
Fields = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Part:
    """A part that has no parts: its own fields, what kind it is, and its decoded content."""

    fields: Fields
    kind: str
    content: bytes

    @property
    def text(self) -> str:
        """The content as text, whatever it claims to be written in."""
        return decoded(self.content)


def fields_of(block: bytes) -> Fields:
    """The fields of a head, or of a block of a report; what is none is passed over."""
    found: dict[str, str] = {}
    unfolded = re.sub(rb"\r?\n[ \t]+", b" ", block[:_MOST_HEAD])
    for line in unfolded.splitlines()[:_MOST_FIELDS]:
        if match := _FIELD.match(decoded(line)):
            found.setdefault(match[1].lower(), match[2].strip())
    return found


def head_of(message: bytes) -> Fields:
    """The fields at the beginning of a message."""
    return fields_of(_split(message)[0])


def parts_of(message: bytes) -> list[Part]:
    """Every part without parts of its own, in order, as far as the bounds go."""
    found: list[Part] = []
    for part in _walk(message[:MOST_BYTES], "text/plain", _DEPTH):
        found.append(part)
        if len(found) == _PARTS:
            break
    return found


def blocks_of(text: bytes) -> Iterator[Fields]:
    """The blocks of fields of a delivery status: about the message, then for each recipient."""
    for block in _BLANK.split(text.lstrip(b"\r\n"))[:_MOST_FIELDS]:
        if fields := fields_of(block.lstrip(b"\r\n")):
            yield fields


def decoded(content: bytes) -> str:
    """Bytes as text: UTF-8 if they are, else each byte for itself."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _walk(entity: bytes, usual: str, depth: int) -> Iterator[Part]:
    head, body = _split(entity)
    fields = fields_of(head)
    told = fields.get("content-type", usual)
    kind = told.partition(";")[0].strip().lower()
    boundary = _BOUNDARY.search(told)
    if kind.startswith("multipart/") and boundary and depth:
        inner = "message/rfc822" if kind == "multipart/digest" else "text/plain"
        for part in _between(body, boundary[1] or boundary[2]):
            yield from _walk(part, inner, depth - 1)
        return
    encoding = fields.get("content-transfer-encoding", "").strip().lower()
    yield Part(fields, kind, _plain(body, encoding))


def _split(entity: bytes) -> tuple[bytes, bytes]:
    if entity[:1] == b"\n" or entity[:2] == b"\r\n":
        return b"", entity  # a part without fields begins with an empty line
    end = _BLANK.search(entity, 0, _MOST_HEAD)
    return (entity[: end.start()], entity[end.end() :]) if end else (entity, b"")


def _between(body: bytes, boundary: str) -> list[bytes]:
    mark = re.escape(boundary.rstrip().encode("utf-8", "replace"))
    line = re.compile(rb"(?:\A|\r?\n)--" + mark + rb"(--)?[ \t]*(?:\r?\n|\Z)")
    found: list[bytes] = []
    start: int | None = None
    for match in line.finditer(body):
        if start is not None:
            found.append(body[start : match.start()])
        if match[1] or len(found) > _PARTS:
            return found
        start = match.end()
    if start is not None:
        found.append(body[start:])
    return found


def _plain(body: bytes, encoding: str) -> bytes:
    if encoding == "base64":
        kept = re.sub(rb"[^A-Za-z0-9+/]", b"", body)
        return binascii.a2b_base64(kept[: len(kept) // 4 * 4] + _padding(kept))
    return binascii.a2b_qp(body) if encoding == "quoted-printable" else body


def _padding(kept: bytes) -> bytes:
    rest = kept[len(kept) // 4 * 4 :]
    return rest + b"=" * (4 - len(rest)) if len(rest) > 1 else b""
