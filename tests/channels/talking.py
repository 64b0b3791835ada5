"""A mail server that says OK to everything but what a test has it say, and remembers each word."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence

OK = b"250 2.0.0 ok"
# By word (MAIL, RCPT, DATA, and `end` for the dot) the answers one by one; None hangs up.
Answers = Mapping[str, Sequence[bytes | None]]


class Talking:
    """What it was told so far, over however many connections."""

    def __init__(self, answers: Answers) -> None:
        self.connections = 0
        self.words: list[str] = []
        self.taken = 0  # letters that came whole
        self.recipients: list[list[str]] = []  # of each letter that came whole
        self._answers = {word: list(each) for word, each in answers.items()}
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def where(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(30)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with self._lock:
                    self.connections += 1
                    self._open.append(connection)
                    self._threads.append(
                        threading.Thread(target=self._talk, args=(connection,), daemon=True)
                    )
                    self._threads[-1].start()

    def _answer(self, word: str, usual: bytes) -> bytes | None:
        with self._lock:
            waiting = self._answers.get(word)
            return waiting.pop(0) if waiting else usual

    def _talk(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as heard:
            connection.sendall(b"220 hello\r\n")
            to: list[str] = []
            while line := heard.readline():
                word = line[:4].decode("latin-1").strip().upper()
                self.words.append(word)
                answer = self._answer(word, b"354 go" if word == "DATA" else OK)
                if word == "QUIT" or answer is None:
                    return
                if word in {"MAIL", "RSET"}:
                    to = []
                if word == "RCPT" and answer.startswith(b"25"):
                    to.append(line.decode("latin-1").partition("<")[2].partition(">")[0])
                connection.sendall(answer + b"\r\n")
                if answer.startswith(b"421"):
                    return
                if (
                    word == "DATA"
                    and answer.startswith(b"354")
                    and not self._letter(connection, heard, to)
                ):
                    return

    def _letter(self, connection: socket.socket, heard: object, to: list[str]) -> bool:
        while (line := heard.readline()) != b".\r\n":  # type: ignore[attr-defined]
            if not line:
                return False
        with self._lock:
            self.taken += 1
            self.recipients.append(list(to))
        answer = self._answer("end", OK)
        if answer is None:
            return False
        connection.sendall(answer + b"\r\n")
        return True


@contextlib.contextmanager
def talking(answers: Answers) -> Iterator[Talking]:
    server = Talking(answers)
    try:
        yield server
    finally:
        server.close()
