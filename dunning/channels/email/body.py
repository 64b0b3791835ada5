"""A letter as the bytes that go over the wire, with the addresses of its envelope.

The headers are written by the standard library, which lets no line into a value. The body is put
together here: always quoted-printable, since a link that holds "=3D" and is sent as it is lies at
the mercy of every relay and mail program that decodes what was never encoded. The same letter is
the same bytes each time.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from email import policy
from email.headerregistry import Address
from functools import lru_cache
from typing import Final
from urllib.parse import quote

from dunning.channels.email.address import (
    ATOM_TEXT,
    NAME_LENGTH,
    AddressError,
    ascii_domain,
    one_line,
    own_address,
    parsed,
)
from dunning.core.ports import Attachment, Letter

_SUBJECT_LENGTH = 150
_HEADER_LENGTH = 900
_OWN_HEADERS = frozenset(
    (
        *("from", "sender", "to", "cc", "bcc", "reply-to", "return-path", "subject", "message-id"),
        *("mime-version", "auto-submitted", "content-type", "content-transfer-encoding"),
    )
)
_OURS = {"From": "sender", "Reply-To": "reply address"}
_UNSUBSCRIBE: Final = "list-unsubscribe"
_ONE_CLICK: Final = "list-unsubscribe-post"
# RFC 2369 and 8058: addresses in angle brackets; one click needs an https one.
_URIS = re.compile(r"<(?:https://|mailto:)[!-;=?-~]+>(?:, ?<(?:https://|mailto:)[!-;=?-~]+>)*")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_FILE_TYPE = re.compile(r"[a-z]+/[a-z0-9.+-]+")


@dataclass(frozen=True, slots=True)
class Written:
    """A letter as it goes over the wire; `copies` get it as well, and are named nowhere in it."""

    sender: str
    recipient: str
    body: bytes
    copies: tuple[str, ...] = ()

    @property
    def domain(self) -> str:
        """Where it goes."""
        return self.recipient.rpartition("@")[2].lower()


def written(letter: Letter, recipient: Address) -> Written:
    """Write it; `ValueError` says what about it cannot be written."""
    sender = own_address("sender", letter.sender)
    utf8 = not (sender.addr_spec + recipient.addr_spec).isascii()
    parts = _with_files(letter) if letter.attachments else _parts(letter)
    body = _head(letter, sender, recipient, utf8=utf8) + b"MIME-Version: 1.0\r\n" + parts
    return Written(sender.addr_spec, recipient.addr_spec, body, _copies(letter, recipient))


def _head(letter: Letter, sender: Address, recipient: Address, *, utf8: bool) -> bytes:
    name = one_line(letter.to_name or "", NAME_LENGTH)
    lines = [
        _own_line("From", letter.sender, utf8),
        _line("To", Address(name, recipient.username, recipient.domain), utf8),
        _own_line("Reply-To", letter.reply_to, utf8) if letter.reply_to else b"",
        _line("Subject", one_line(letter.subject, _SUBJECT_LENGTH), utf8),
        _line("Message-ID", message_id(letter.id, sender.domain), utf8),
        b"Auto-Submitted: auto-generated\r\n",  # no out-of-office replies, please
    ]
    named = {header.lower(): value for header, value in letter.headers.items()}
    for header, value in letter.headers.items():
        if not re.fullmatch(r"[A-Za-z0-9-]+", header) or header.lower() in _OWN_HEADERS:
            raise ValueError(f"the header {header!r} may not be set")
        _check_unsubscribing(header.lower(), value, named)
        if header.lower() == _UNSUBSCRIBE:
            # Folding would write a long address as encoded words, which is none any more.
            lines.append(f"{header}: {value}\r\n".encode())
        else:
            lines.append(_line(header, one_line(value, _HEADER_LENGTH), utf8))
    return b"".join(lines)


def _line(header: str, value: str | Address, utf8: bool) -> bytes:
    rules = policy.SMTPUTF8 if utf8 else policy.SMTP
    return rules.fold_binary(*rules.header_store_parse(header, value))


@lru_cache(maxsize=256)
def _own_line(header: str, text: str, utf8: bool) -> bytes:
    """Our own address, which is in every letter and dear to write."""
    return _line(header, own_address(_OURS[header], text), utf8)


def _check_unsubscribing(header: str, value: str, named: dict[str, str]) -> None:
    """What a mail program makes a button of must be right, or not be there."""
    if header == _UNSUBSCRIBE and (len(value) > _HEADER_LENGTH or not _URIS.fullmatch(value)):
        raise ValueError("List-Unsubscribe is not a list of <https://…> and <mailto:…>")
    if header == _ONE_CLICK and (
        value != "List-Unsubscribe=One-Click" or "<https://" not in named.get(_UNSUBSCRIBE, "")
    ):
        raise ValueError("List-Unsubscribe-Post needs an https address in List-Unsubscribe")


def _parts(letter: Letter) -> bytes:
    """Plain text first, the page after it: mail programs show the last one that they can."""
    boundary = _boundary(letter, b"=_")
    texts = ((b"plain", letter.text), (b"html", letter.html))
    parts = [
        b"--" + boundary + b"\r\nContent-Type: text/" + kind + b'; charset="utf-8"\r\n'
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + quoted_printable(text)
        for kind, text in texts
    ]
    head = b'Content-Type: multipart/alternative; boundary="' + boundary
    return b"".join((head, b'"\r\n\r\n', *parts, b"--", boundary, b"--\r\n"))


def _with_files(letter: Letter) -> bytes:
    """The text and the page as one part, and each file after them."""
    # Nor is "=_" at the beginning of a line of base64.
    boundary = _boundary(letter, b"=_files_")
    files = [
        b"--" + boundary + b"\r\n" + _file_head(each) + base64_lines(each.content)
        for each in letter.attachments
    ]
    head = b'Content-Type: multipart/mixed; boundary="' + boundary
    whole = (b"--", boundary, b"\r\n", _parts(letter), *files)
    return b"".join((head, b'"\r\n\r\n', *whole, b"--", boundary, b"--\r\n"))


def _boundary(letter: Letter, mark: bytes) -> bytes:
    """What parts end with; quoted-printable text has no "=_", so no line of a part can be it."""
    digest = hashlib.sha256(letter.id.encode("utf-8", "replace")).hexdigest()[:32]
    return mark + digest.encode()


def _file_head(file: Attachment) -> bytes:
    if not _FILE_NAME.fullmatch(file.name) or not _FILE_TYPE.fullmatch(file.type):
        raise ValueError(f"the file {file.name!r} cannot be attached under that name and type")
    return (
        f'Content-Type: {file.type}; name="{file.name}"\r\n'
        "Content-Transfer-Encoding: base64\r\n"
        f'Content-Disposition: attachment; filename="{file.name}"\r\n\r\n'
    ).encode()


def base64_lines(content: bytes) -> bytes:
    """Lines of 76 characters that end in CRLF."""
    return base64.encodebytes(content).replace(b"\n", b"\r\n")


def quoted_printable(text: str) -> bytes:
    """Lines of at most 76 characters that end in CRLF; nothing in them but ASCII."""
    lines = re.sub("\r\n|\r|\n", "\r\n", text)
    if not lines.endswith("\r\n"):
        lines += "\r\n"
    return binascii.b2a_qp(lines.encode("utf-8", "replace"), istext=True)


def _copies(letter: Letter, recipient: Address) -> tuple[str, ...]:
    """Who else gets it; who is the customer as well gets it once."""
    found = []
    for text in letter.bcc:
        try:
            found.append(parsed(text).addr_spec)
        except AddressError as error:
            raise ValueError(f"a copy cannot be sent: {error}") from None
    others = [each for each in found if each.lower() != recipient.addr_spec.lower()]
    return tuple(dict.fromkeys(others))


def message_id(letter_id: str, domain: str) -> str:
    """The letter's id as a Message-ID: the same each time, so that a second sending shows."""
    local, at, own_domain = letter_id.strip().strip("<>").rpartition("@")
    if not at:
        local, own_domain = own_domain, domain
    return f"<{quote(local, safe=ATOM_TEXT)}@{ascii_domain(own_domain)}>"
