"""Reads a bounce or a complaint that came as an email: RFC 3464, RFC 5965, and bare ones."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Final

from dunning.channels.returned.mime import Fields, Part, blocks_of, fields_of, head_of, parts_of
from dunning.core.returned import Fate, Returned, plainly, says_that_it_failed, weigh

_STATUS_PARTS = frozenset(("message/delivery-status", "message/global-delivery-status"))
_RETURNED = frozenset(
    (*("message/rfc822", "message/global"), *("text/rfc822-headers", "message/global-headers"))
)
_COMPLAINTS = frozenset(("abuse", "fraud", "opt-out", "opt-out-list", "other", "virus"))
_ID = re.compile(r"<([^<>\s\"]{3,300}@[^<>\s\"]{1,255})>")
_ADDRESS = re.compile(r"[^\s<>,;:\"()\[\]]{1,64}@[^\s<>,;:\"()\[\]]{1,255}")
# Where a bare bounce shows the head of what it returns.
_SHOWN_ID = re.compile(r"^[> \t|]*Message-ID:[ \t]*(<[^<>\s]+>)", re.IGNORECASE | re.MULTILINE)
_DAEMON = re.compile(r"mailer-daemon|postmaster|mail delivery (?:sub)?system", re.IGNORECASE)
_SUBJECT = re.compile(
    r"undeliver|delivery (?:status|failure|has failed)|failure notice|returned mail"
    r"|mail delivery failed|could not be delivered|unzustellbar|non remis|no entregado",
    re.IGNORECASE,
)
_MOST_RECIPIENTS: Final = 20


def read(message: bytes) -> list[Returned]:
    """What this email says of ours; nothing when it is no bounce and no complaint.

    Never raises, whatever the bytes are.
    """
    head, parts = head_of(message), parts_of(message)
    name = head.get("message-id") or hashlib.sha256(message).hexdigest()
    ids = _ids_in(parts)
    status = next((part for part in parts if part.kind in _STATUS_PARTS), None)
    if status is not None:
        return list(_bounces(status, name, ids, _words(parts)))
    feedback = next((part for part in parts if part.kind == "message/feedback-report"), None)
    if feedback is not None:
        return list(_complaints(feedback, name, ids, parts))
    return list(_bare(head, parts, name, ids))


def _bounces(status: Part, name: str, ids: Sequence[str], words: str) -> Iterator[Returned]:
    for number, block in enumerate(_recipients(status)):
        if number == _MOST_RECIPIENTS:
            return
        code = _code(block.get("status", ""))
        said = _typed(block.get("diagnostic-code", "")) or words
        fate = weigh(block.get("action", "failed"), code, said)
        if fate is None:
            continue
        named = (block.get("original-recipient", ""), block.get("final-recipient", ""))
        addresses = _addresses(*map(_typed, named))
        yield Returned(
            key=_key(name, *addresses, fate.value),
            fate=fate,
            why=plainly(_typed(block.get("diagnostic-code", "")) or code or "not delivered"),
            addresses=addresses,
            message_ids=tuple(ids),
            status=code,
        )


def _recipients(status: Part) -> Iterator[Fields]:
    for block in blocks_of(status.content):
        if "final-recipient" in block or "original-recipient" in block:
            yield block


def _complaints(
    feedback: Part, name: str, ids: Sequence[str], parts: Sequence[Part]
) -> Iterator[Returned]:
    fields: dict[str, str] = {}
    for block in blocks_of(feedback.content):
        fields = {**block, **fields}
    kind = fields.get("feedback-type", "abuse").strip().lower()
    if kind not in _COMPLAINTS:
        return  # "not-spam" and what nobody has heard of
    told = [_typed(fields.get(each, "")) for each in ("original-rcpt-to", "removal-recipient")]
    addresses = _addresses(*told) or _addresses(*_shown(parts, "to"))
    yield Returned(
        key=_key(name, *addresses, Fate.COMPLAINT.value),
        fate=Fate.COMPLAINT,
        why=plainly(f"reported as {kind} ({fields.get('user-agent', 'by a mail program')})"),
        addresses=addresses,
        message_ids=tuple(ids),
    )


def _bare(head: Fields, parts: Sequence[Part], name: str, ids: Sequence[str]) -> Iterator[Returned]:
    """A bounce in plain words; an answer of a person or of a holiday is none."""
    words = _words(parts)
    daemon = _DAEMON.search(head.get("from", ""))
    if not (daemon or _SUBJECT.search(head.get("subject", ""))) or not says_that_it_failed(words):
        return
    shown = [each[1:-1] for each in _SHOWN_ID.findall(words)[:5]]
    answered = [found for key in ("in-reply-to", "references") for found in _ids(head.get(key, ""))]
    known = tuple(dict.fromkeys([*ids, *shown, *answered]))
    addresses = _addresses(head.get("x-failed-recipients", ""))
    fate = weigh("failed", None, words)
    if fate is not None and (known or addresses):
        yield Returned(
            key=_key(name, *addresses, fate.value),
            fate=fate,
            why=plainly(_telling(words)),
            addresses=addresses,
            message_ids=known,
        )


# --- words of a report -----------------------------------------------------------------------


def _ids_in(parts: Sequence[Part]) -> list[str]:
    """The Message-IDs of what is returned."""
    return [found for text in _shown(parts, "message-id") for found in _ids(text)][:10]


def _shown(parts: Sequence[Part], field: str) -> list[str]:
    heads = [
        head_of(part.content) if part.kind.startswith("message/") else fields_of(part.content)
        for part in parts
        if part.kind in _RETURNED
    ]
    return [head[field] for head in heads if field in head]


def _ids(text: str) -> list[str]:
    return [str(found) for found in _ID.findall(text)[:10]]


def _words(parts: Sequence[Part]) -> str:
    texts = [part.text for part in parts if part.kind in {"text/plain", "text/html"}]
    return "\n".join(texts)[:20_000]


def _telling(words: str) -> str:
    """The line that says what went wrong."""
    return next((line for line in words.splitlines() if says_that_it_failed(line)), words[:300])


def _typed(value: str) -> str:
    """`rfc822; ann@example.com` without its type."""
    return value.partition(";")[2].strip() if ";" in value else value.strip()


def _code(text: str) -> str | None:
    found = re.match(r"[245]\.\d{1,3}\.\d{1,3}", text.strip())
    return found[0] if found else None


def _addresses(*texts: str) -> tuple[str, ...]:
    found = [str(one) for text in texts for one in _ADDRESS.findall(text[:2_000])[:5]]
    return tuple(dict.fromkeys(found))


def _key(*parts: str) -> str:
    return hashlib.sha256("\x00".join(parts).encode("utf-8", "replace")).hexdigest()[:40]
