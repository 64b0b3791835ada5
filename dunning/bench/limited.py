"""A provider that answers slowly and refuses what is too much; run as a program.

It takes 100 requests in any second, 25 at one endpoint, as Stripe does in live mode, and counts.
`GET /counts` tells how many it answered, refused, and saw in its fullest second.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter, defaultdict, deque

import uvloop

ACCOUNT = 100
ENDPOINT = 25
ANSWER_SECONDS = 0.3


class Limits:
    """What came in during the last second, altogether and by endpoint."""

    def __init__(self) -> None:
        self.account: deque[float] = deque()
        self.endpoints: defaultdict[str, deque[float]] = defaultdict(deque)
        self.counts: Counter[str] = Counter()
        self.most = 0

    def takes(self, path: str) -> bool:
        """Whether this request is within the limits, counted if it is."""
        now = time.monotonic()
        lanes = ((self.account, ACCOUNT), (self.endpoints[path], ENDPOINT))
        for lane, _ in lanes:
            while lane and lane[0] <= now - 1:
                lane.popleft()
        good = all(len(lane) < most for lane, most in lanes)
        if good:
            for lane, _ in lanes:
                lane.append(now)
            self.most = max(self.most, len(self.account))
        self.counts["answered" if good else "refused"] += 1
        return good

    def told(self) -> bytes:
        """What was counted, as JSON."""
        return json.dumps({**self.counts, "most_in_a_second": self.most}).encode()


async def serve(port: int) -> None:
    """Answer until killed."""
    limits = Limits()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readline():
            path = head.split()[1].decode()
            while await reader.readline() not in (b"\r\n", b""):
                pass
            if path == "/counts":
                status, body = "200 OK", limits.told()
            elif limits.takes(path):
                await asyncio.sleep(ANSWER_SECONDS)
                status, body = "200 OK", b'{"object": "thing"}'
            else:
                status, body = "429 Too Many Requests", b'{"error": {"code": "rate_limit"}}'
            start = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
            writer.write(f"{start}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
