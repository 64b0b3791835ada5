"""What somebody hostile, or a sender gone mad, would post: as data, each with a line of why."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dunning.clock import SystemClock
from tests.adversarial.server import HOOK, OLD_HOOK
from tests.providers.stripe.bodies import event, invoice, raw
from tests.secrets import MARK
from tests.stages.kit import named
from tests.web.client import head, signature, signed

LIMIT = 1_048_576
PATH = "/webhooks/stripe"


def failed(name: str, **fields: Any) -> dict[str, Any]:
    """A failed payment of an invoice of its own."""
    return named(event("invoice.payment_failed", invoice(**{"id": f"in_{name}", **fields})), name)


def with_word(name: str, text: bytes) -> bytes:
    """A failed payment with these very bytes where the amount stands."""
    body = json.dumps(failed(name, amount_remaining=424_242)).encode()
    assert body.count(b"424242") == 1
    return body.replace(b"424242", text)


def deep(depth: int) -> bytes:
    nested = b'"x": ' + b"[" * depth + b"]" * depth + b', "data"'
    return raw(failed("deep")).replace(b'"data"', nested, 1)


# --- poisoned payloads, signed by the real secret ----------------------------------------------

# Refused with 400: there is nothing in them that could be kept under a name.
REFUSED: dict[str, bytes] = {
    "the parser stops half-way": raw(failed("half"))[:300],
    "NaN, which is no JSON": with_word("nan", b"NaN"),
    "Infinity, which is no JSON": with_word("inf", b"-Infinity"),
    "brackets 10,000 deep": deep(10_000),
    "brackets 400,000 deep": deep(400_000),
    "an integer of 5,000 digits": with_word("digits", b"9" * 5_000),
    "NUL in the id, which PostgreSQL cannot keep": raw(failed("nul") | {"id": "evt_\0"}),
    "a lone surrogate in the id": raw(failed("lone") | {"id": "evt_\ud800"}),
    "a NUL in the type": raw(failed("type") | {"type": "invoice.\0"}),
    "an id of a megabyte": raw(failed("long") | {"id": "x" * 900_000}),
    "bytes that are no UTF-8": raw(failed("latin")).replace(b"made-up", b"\xff\xfe"),
    "a byte order mark": b"\xef\xbb\xbf" + raw(failed("bom")),
    "a list of events": raw([failed("list")]),
    "a created of the year 33658": raw(failed("far") | {"created": 10**12}),
    "created as a string": raw(failed("word") | {"created": "1790000000"}),
    "true for an id": raw(failed("true") | {"id": True}),
    "a bomb in gzip, never unpacked": gzip.compress(b" " * 60_000_000),
}  # fmt: skip

# Kept, since the envelope is sound and the provider signed it; then parked or handled, never lost.
KEPT: dict[str, bytes] = {
    "1e308 for an amount": with_word("e308", b"1e308"),
    "1e400, which Python reads as infinity": with_word("e400", b"1e400"),
    "a fraction of a cent": with_word("fraction", b"4900.5"),
    "an amount beyond 64 bits": with_word("bits", str(2**63).encode()),
    "an amount of 400 digits": with_word("wide", b"7" * 400),
    "a negative amount": with_word("minus", b"-4900"),
    "an integer as a string": with_word("string", b'"4900"'),
    "a list for an amount": with_word("items", b"[4900]"),
    "true for an amount": with_word("bool", b"true"),
    "a currency nobody knows": raw(failed("money", currency="zzz")),
    "a currency of a megabyte": raw(failed("rich", currency="x" * 900_000)),
    "a NUL in the customer": raw(failed("who", customer="cus_\0")),
    "a lone surrogate in the name": raw(failed("name", customer_name="\ud800")),
    "a NUL in the name": raw(failed("nulname", customer_name="A\0B")),
    "a name of a megabyte": raw(failed("longname", customer_name="A" * 900_000)),
    "a NUL in the invoice's id": raw(failed("nulid", id="in_\0")),
    "an invoice that is a list": raw(failed("aslist") | {"data": {"object": []}}),
    "no invoice at all": raw(failed("none") | {"data": {}}),
    "null everywhere": raw(failed("nulls", **dict.fromkeys(invoice()))),
    "lines 300 deep": raw(failed("lines", lines=json.loads("[" * 300 + "]" * 300))),
    "a time before the big bang": raw(failed("old", created=-(10**15))),
    "fields nobody knows": raw(failed("new", surprise={"a": [1, {"b": None}]})),
    "a type nobody knows": raw(failed("kind") | {"type": "invoice.exploded"}),
}  # fmt: skip

# --- signatures ----------------------------------------------------------------------------------

BODY = raw(failed("forged"))


@dataclass(frozen=True)
class Forged:
    """A signature header that no honest sender of ours would make."""

    why: str
    header: Callable[[int], str | None]  # of the present second
    body: bytes = BODY


def right(now: int) -> str:
    return signature(BODY, HOOK, now)


def of(secret: str, body: bytes = BODY, *, off: int = 0) -> Callable[[int], str]:
    return lambda now: f"t={now + off},v1={signature(body, secret, now + off)}"


def reencoded(body: bytes) -> bytes:
    return json.dumps(json.loads(body), separators=(",", ":")).encode()


FORGED = [
    Forged("no header at all", lambda _now: None),
    Forged("an empty header", lambda _now: ""),
    Forged("another secret", of(f"whsec_{MARK}somebodyElse")),
    Forged("the secret without its prefix", of(HOOK.removeprefix("whsec_"))),
    Forged("no secret, which some libraries take for a key", of("")),
    Forged("the secret of another source", of(f"whsec_{MARK}OfTheOtherSource")),
    Forged("301 seconds old", of(HOOK, off=-301)),
    Forged("a day old", of(HOOK, off=-86_400)),
    Forged("made ahead of time", of(HOOK, off=400)),
    Forged("a time beyond all numbers", lambda _now: "t=" + "9" * 400 + ",v1=00"),
    Forged("a negative time", lambda _now: f"t=-1,v1={signature(BODY, HOOK, -1)}"),
    Forged("no time", lambda now: f"v1={right(now)}"),
    Forged("two times", lambda now: f"t={now},t={now - 1},v1={right(now)}"),
    Forged("two signatures, both wrong", lambda now: f"t={now},v1={'0' * 64},v1={'f' * 64}"),
    Forged("v0 alone, of tests only", lambda now: f"t={now},v0={right(now)}"),
    Forged("the right one in capitals", lambda now: f"t={now},v1={right(now).upper()}"),
    Forged("the right one less its end", lambda now: f"t={now},v1={right(now)[:-1]}"),
    Forged("the right one and more", lambda now: f"t={now},v1={right(now)}0"),
    Forged("64 KB of signatures", lambda now: f"t={now}" + f",v1={'0' * 64}" * 950),
    Forged("letters beyond ASCII", lambda now: f"t={now},v1=é{'0' * 63}"),
    Forged("digits of another script", lambda now: f"t=١٢٣,v1={right(now)}"),
    Forged("of the same JSON written otherwise", of(HOOK, reencoded(BODY))),
    Forged("of the body less one byte", of(HOOK, BODY[:-1])),
    Forged("of nothing", of(HOOK, b"")),
]  # fmt: skip


def rolled(name: str) -> list[tuple[str, bytes, dict[str, str]]]:
    """While a secret is rolled: by the old one, by the new one, by both."""
    now = SystemClock().now()
    stamp = int(now.timestamp())
    found = []
    for number, secret in enumerate((OLD_HOOK, HOOK)):
        body = raw(failed(f"{name}{number}"))
        found.append((f"secret {number}", body, signed(body, secret, now)))
    body = raw(failed(f"{name}2"))
    both = ",".join(f"v1={signature(body, secret, stamp)}" for secret in (OLD_HOOK, HOOK))
    found.append(("both", body, {"Stripe-Signature": f"t={stamp},v0=x,{both}"}))
    return found


# --- HTTP ------------------------------------------------------------------------------------

HOST = b"Host: x\r\n"
# The second request, which must never be seen: its answer would hold this word.
HIDDEN = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
SEEN = b"dunning_build_info"


def post(*lines: bytes, then: bytes = b"") -> bytes:
    return b"POST " + PATH.encode() + b" HTTP/1.1\r\n" + HOST + b"".join(
        line + b"\r\n" for line in lines
    ) + b"\r\n" + then  # fmt: skip


CHUNKED = b"Transfer-Encoding: chunked"
LAST = b"0\r\n\r\n"
SMUGGLED: dict[str, bytes] = {
    "a size and chunks": post(b"Content-Length: 4", CHUNKED, then=LAST + HIDDEN),
    "chunks and a size": post(CHUNKED, b"Content-Length: 4", then=LAST + HIDDEN),
    "two sizes that differ": post(b"Content-Length: 0", b"Content-Length: 40", then=HIDDEN),
    "two sizes in one line": post(b"Content-Length: 0, 40", then=HIDDEN),
    "a size with a sign": post(b"Content-Length: +0", then=HIDDEN),
    "a size below nothing": post(b"Content-Length: -1", then=HIDDEN),
    "a size in hexadecimal": post(b"Content-Length: 0x0", then=HIDDEN),
    "a size beyond 64 bits": post(b"Content-Length: 18446744073709551616", then=HIDDEN),
    "chunked twice": post(CHUNKED, CHUNKED, then=LAST + HIDDEN),
    "chunked and then not": post(b"Transfer-Encoding: chunked, identity", then=LAST + HIDDEN),
    "a coding nobody knows": post(b"Transfer-Encoding: xchunked", then=LAST + HIDDEN),
    "a coding and a control character": post(b"Transfer-Encoding: \x0bchunked", then=LAST + HIDDEN),
    "a space before the colon": post(b"Transfer-Encoding : chunked", then=LAST + HIDDEN),
    "a header that begins with a space": post(b" Content-Length: 0", then=HIDDEN),
    "a folded header": post(b"X: a\r\n Content-Length: 0", then=HIDDEN),
    "line ends without a return": post().replace(b"\r\n", b"\n") + HIDDEN,
    "one line end without a return": post(b"X: a\nContent-Length: 0", then=HIDDEN),
    "a return without a line end": post(b"X: a\rContent-Length: 0", then=HIDDEN),
    "NUL in a header": post(b"X: a\0b", b"Content-Length: 0", then=HIDDEN),
    "a header without a name": post(b": x", then=HIDDEN),
    "a header without a colon": post(b"GET /metrics HTTP/1.1", then=b""),
    "a chunk's size with a sign": post(CHUNKED, then=b"+1\r\nx\r\n" + LAST + HIDDEN),
    "a chunk's size with 0x": post(CHUNKED, then=b"0x1\r\nx\r\n" + LAST + HIDDEN),
    "a chunk's size beyond 64 bits": post(CHUNKED, then=b"f" * 17 + b"\r\nx\r\n" + LAST + HIDDEN),
    "a chunk longer than it says": post(CHUNKED, then=b"1\r\nxGET /metrics HTTP/1.1\r\n\r\n"),
    "a chunk's size of letters": post(CHUNKED, then=b"zz\r\nx\r\n" + LAST + HIDDEN),
    "no version, as in 1991": b"GET /metrics\r\n\r\n",
    "a version to come": b"GET /metrics HTTP/3.7\r\n" + HOST + b"\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a handshake of TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 60,
    "a method nobody knows": b"BREW /metrics HTTP/1.1\r\n" + HOST + b"\r\n",
    "a method with a space before it": b" GET /metrics HTTP/1.1\r\n" + HOST + b"\r\n",
    "a tab between the words": b"GET\t/metrics\tHTTP/1.1\r\n" + HOST + b"\r\n",
    "a tunnel": b"CONNECT /metrics:80 HTTP/1.1\r\n" + HOST + b"\r\n",
    "letters beyond ASCII in the path": "GET /métrics HTTP/1.1\r\n".encode() + HOST + b"\r\n",
}  # fmt: skip

# Not found, or refused; none of them leads to a source.
PATHS = [
    *("/webhooks", "/webhooks/", "//webhooks/stripe", "/webhooks//stripe", "/webhooks/stripe/"),
    *("/webhooks/../webhooks/stripe", "/webhooks/%2e%2e/stripe", "/%2e/webhooks/stripe"),
    *("/webhooks/stripe%00", "/webhooks/stripe%00.json", "/webhooks/%73tripe%2f"),
    *("/webhooks/stripe%20", "/webhooks/STRIPE", "/webhooks/ｓｔｒｉｐｅ", "/webhooks/stripé"),
    *("/webhooks/%EF%BD%93tripe", "/webhooks/%C0%AFstripe", "/webhooks/stripe;a=b", "/webhooks/*"),
    *("/webhooks/__class__", "/webhooks/' OR 1=1--", "/webhooks/" + "a" * 60_000, "*", "stripe"),
    *("/r/\u202e", "/webhooks/s%0dx", "/pay/..%2f..%2fetc%2fpasswd", "/pay/%00"),
    *("/pay/rcv_pay_" + "a" * 20 + "_" + "a" * 26, "/pay/rcv_pay_"),
]  # fmt: skip


def bare(method: str, path: str) -> bytes:
    """A request line with these very letters, right or wrong."""
    length = {"Content-Length": "0"} if method == "POST" else {}
    lines = head(method, "/", {"Host": "x", "Connection": "close", **length})
    return lines.replace(b" / ", b" " + path.encode("utf-8", "surrogateescape") + b" ", 1)
