"""A client of few words for the receiver: it sends whatever it is told, right or wrong."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.secrets import WATCH

SECONDS = 20.0


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def signed(body: bytes, secret: str, now: datetime, *, scheme: str = "v1") -> dict[str, str]:
    """The header with which Stripe would send this body now."""
    stamp = int(now.timestamp())
    return {"Stripe-Signature": f"t={stamp},{scheme}={signature(body, secret, stamp)}"}


def signature(body: bytes, secret: str, stamp: int) -> str:
    return hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()


class Client:
    """One request, one connection."""

    def __init__(self, port: int) -> None:
        self.port = port

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self.request("GET", path, headers=headers)

    def post(self, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> Answer:
        return self.request("POST", path, body, headers)

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """An ordinary request."""
        lines = {"Host": "localhost", "Connection": "close", **(headers or {})}
        if body is not None and "Transfer-Encoding" not in lines:
            lines = {"Content-Length": str(len(body)), **lines}
        return self.send(head(method, path, lines) + (body or b""))

    def send(self, *parts: bytes) -> Answer:
        """Send these very bytes and read one answer."""
        with self.connect() as line:
            for part in parts:
                try:
                    line.sendall(part)
                except (BrokenPipeError, ConnectionResetError):
                    break  # it has heard enough
            return read_answer(line)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS)


def head(method: str, path: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "surrogateescape")


def read_answer(line: socket.socket) -> Answer:
    """Read one answer; a connection that ends before it is an answer of status 0."""
    data = b""
    try:
        while b"\r\n\r\n" not in data:
            part = line.recv(65536)
            if not part:
                return Answer(0, {}, data)
            data += part
        top, _, body = data.partition(b"\r\n\r\n")
        first, *rest = top.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in rest)}
        length = int(headers.get("content-length", "0"))
        while len(body) < length:
            part = line.recv(65536)
            if not part:
                break
            body += part
    except ConnectionResetError:
        return Answer(0, {}, data)
    WATCH.look("an answer over HTTP", top + body)
    return Answer(int(first.split(" ")[1]), headers, body)
