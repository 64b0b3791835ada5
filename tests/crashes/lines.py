"""A line between a program and a server that is slow, or is cut in the middle of a commit."""

from __future__ import annotations

import random
import socket
import threading
from collections import Counter
from contextlib import suppress
from typing import Self

CHUNK = 65_536
COMMIT = b"COMMIT\x00"  # how a client of PostgreSQL says it
# How the receiver does, whose one statement is its own commit: in words, and when it is prepared.
KEEP, BIND = b"INTO inbox", b"B"


class Line:
    """A TCP proxy. Each connection has a thread for either direction.

    `delay`: so many seconds pass before anything the client says goes on. `cut_share`: of so
    many commits the connection is cut, in turn before the server hears of it and after it has
    answered; the client cannot tell which. `cuts` counts both.
    `away`: whoever calls is hung up on.
    """

    def __init__(self, port: int) -> None:
        self.delay = 0.0
        self.cut_share = 0.0
        self.keeps = False  # it is the receiver's line
        self.away = False
        self.cuts: Counter[str] = Counter()
        self._server = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        # By chance: whoever begins anew after each cut must not be cut at the same place again.
        self._chance = random.Random(7)
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._open: set[socket.socket] = set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._over.set()
        # Without a shutdown the thread would wait on for somebody to call.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            left = list(self._open)
        _hang_up(*left)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        try:
            if self.away:
                raise ConnectionRefusedError
            server = socket.create_connection(("127.0.0.1", self._server))
        except OSError:
            client.close()  # nobody is there, and nobody is heard of
            return
        with self._lock:
            self._open |= {client, server}
        answered = threading.Event()
        losing = threading.Event()  # the answer to a commit is to be lost
        threading.Thread(
            target=self._back, args=(client, server, losing, answered), daemon=True
        ).start()
        try:
            self._forth(client, server, losing, answered)
        finally:
            _hang_up(client, server)
            with self._lock:
                self._open -= {client, server}

    def _forth(
        self,
        client: socket.socket,
        server: socket.socket,
        losing: threading.Event,
        answered: threading.Event,
    ) -> None:
        with suppress(OSError):
            while said := client.recv(CHUNK):
                if self.delay:
                    self._over.wait(self.delay)
                how = self._cut(said)
                if how == "before":
                    return
                if how == "after":
                    losing.set()
                server.sendall(said)
                if how == "after":
                    answered.wait(30)
                    return

    def _cut(self, said: bytes) -> str:
        keeps = self.keeps and (KEEP in said or said[:1] == BIND)
        commits = COMMIT in said or keeps
        if not self.cut_share or not commits:
            return ""
        with self._lock:
            if self._chance.random() > self.cut_share:
                return ""
            how = ("before", "after")[self.cuts.total() % 2]
            self.cuts[how] += 1
        return how

    def _back(
        self,
        client: socket.socket,
        server: socket.socket,
        losing: threading.Event,
        answered: threading.Event,
    ) -> None:
        with suppress(OSError):
            while said := server.recv(CHUNK):
                if losing.is_set():
                    answered.set()  # what was committed is committed, and nobody hears of it
                    return
                client.sendall(said)
        answered.set()
        _hang_up(client, server)


def _hang_up(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
