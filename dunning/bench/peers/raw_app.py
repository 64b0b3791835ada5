"""As little as can be: the server, the body, the HMAC. Nothing is kept."""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import Any

SECRET = os.environ["BENCH_SECRET"].encode()
HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"2")]


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The signature is right, or it is not."""
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        part = await receive()
        body += part.get("body", b"")
        more = part.get("more_body", False)
    signed = dict(scope["headers"]).get(b"stripe-signature", b"")
    fields = dict(each.split(b"=", 1) for each in signed.split(b",") if b"=" in each)
    expected = hmac.new(SECRET, fields.get(b"t", b"") + b"." + body, hashlib.sha256).hexdigest()
    good = hmac.compare_digest(expected.encode(), fields.get(b"v1", b""))
    await send({"type": "http.response.start", "status": 200 if good else 400, "headers": HEADERS})
    await send({"type": "http.response.body", "body": b"{}"})
