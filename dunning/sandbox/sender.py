"""Sending webhooks: plain HTTP connections, kept alive, outside the lock."""

from __future__ import annotations

import http.client
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from dunning.sandbox.delivery import Post

_READ_LIMIT = 65_536  # An answer's body means nothing to us; read so much to keep the connection.

Answer = tuple[int | None, str | None]


class Sender:
    """Posts bodies; one connection per thread and host, opened anew when it has died."""

    def __init__(self, timeout: float, concurrency: int) -> None:
        self._timeout = timeout
        self._local = threading.local()
        # Every one that lives, to be closed at the end whatever thread opened it.
        self._opened: set[http.client.HTTPConnection] = set()
        self._pool = ThreadPoolExecutor(concurrency) if concurrency > 1 else None

    def send(self, posts: list[Post]) -> list[Answer]:
        """The status of each answer, or what went wrong, in the order of the posts."""
        if self._pool is None:
            return [self._one(post) for post in posts]
        return list(self._pool.map(self._one, posts))

    def close(self) -> None:
        """Let the threads and the connections go."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        for connection in list(self._opened):
            connection.close()

    def _one(self, post: Post) -> Answer:
        url = urlsplit(post.url)
        key = f"{url.scheme}://{url.netloc}"
        path = f"{url.path or '/'}?{url.query}" if url.query else url.path or "/"
        kept: dict[str, http.client.HTTPConnection] = self._local.__dict__.setdefault("kept", {})
        reused = key in kept
        for fresh in (False, True):
            if fresh and not reused:
                break
            connection = kept.pop(key, None) or self._open(url.scheme, url.netloc)
            try:
                connection.request("POST", path, post.body, post.headers)
                answer = connection.getresponse()
                answer.read(_READ_LIMIT)
            except (OSError, http.client.HTTPException) as error:
                self._close(connection)
                # An idle connection the receiver has closed meanwhile says nothing about the
                # receiver; a time-out does, and must not be sent twice in a row.
                gone = isinstance(error, http.client.RemoteDisconnected | BrokenPipeError)
                if reused and not fresh and (gone or isinstance(error, ConnectionResetError)):
                    continue
                return None, f"{type(error).__name__}: {error}"[:200]
            if answer.will_close:
                self._close(connection)
            else:
                kept[key] = connection
            return answer.status, None
        return None, "connection lost"

    def _close(self, connection: http.client.HTTPConnection) -> None:
        connection.close()
        self._opened.discard(connection)

    def _open(self, scheme: str, netloc: str) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
        connection = kind(netloc, timeout=self._timeout)
        self._opened.add(connection)
        return connection
