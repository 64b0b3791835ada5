"""A mail server that takes everything and keeps nothing; run as a program.

It is as fast as an event loop in Python can be, so that what is measured is who sends.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import uvloop

_ANSWERS = {
    b"EHLO": b"250-localhost\r\n250-SIZE 33554432\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n",
    b"HELO": b"250 localhost\r\n",
    b"MAIL": b"250 2.1.0 ok\r\n",
    b"RCPT": b"250 2.1.5 ok\r\n",
    b"DATA": b"354 go on\r\n",
    b"RSET": b"250 2.0.0 ok\r\n",
    b"NOOP": b"250 2.0.0 ok\r\n",
}
_END = b"\r\n.\r\n"


class Talk(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._heard = bytearray()
        self._in_letter = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one by its methods
        self._transport.write(b"220 localhost ready\r\n")

    def data_received(self, data: bytes) -> None:
        """Answer each word, and each letter with its dot."""
        assert self._transport is not None
        self._heard += data
        while True:
            end = _END if self._in_letter else b"\r\n"
            at = self._heard.find(end)
            if at < 0:
                return
            said = bytes(self._heard[:at])
            del self._heard[: at + len(end)]
            if self._in_letter:
                self._in_letter = False
                self._transport.write(b"250 2.0.0 ok: taken\r\n")
                continue
            word = said[:4].upper()
            if word == b"QUIT":
                self._transport.close()
                return
            self._in_letter = word == b"DATA"
            self._transport.write(_ANSWERS.get(word, b"500 5.5.1 what?\r\n"))


async def serve(port: int) -> None:
    """Answer until killed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Talk, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
