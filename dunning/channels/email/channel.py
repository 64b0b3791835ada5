"""The channel: sends letters through one mail server, from many threads, over kept connections.

What the server surely has not taken is sent again over another connection, once the one that broke
was an old one. What it may have taken is never sent again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from email.errors import MessageError
from functools import partial
from typing import TYPE_CHECKING

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_base, wait_exponential_jitter

from dunning.channels.email.address import AddressError, one_line, parsed
from dunning.channels.email.body import Written, written
from dunning.channels.email.pool import Line, Pool, hang_up
from dunning.channels.email.server import AwayError, RefusedError, fault, reply_text, server_of
from dunning.channels.email.talk import Broken, Told, deliver
from dunning.core.ports import Bounced, Letter, SendOutcome, Sent, Unsent

if TYPE_CHECKING:
    from dunning.channels.email.turns import Turns

_CONNECT_ATTEMPTS = 3
CONNECTIONS = 8


class EmailChannel:
    """Sends letters through one SMTP server; safe to use from many threads.

    `smtp://host:25` is plain, `smtp+starttls://host:587` demands TLS, `smtps://host:465` is TLS
    from the first byte; `user:password@` before the host logs in. Over `smtp://` a password
    still goes through TLS whenever a server on another machine offers it.
    """

    name = "email"

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 20,
        wait: wait_base | None = None,
        sleep: Callable[[float], None] = time.sleep,
        steady: Callable[[], float] = time.monotonic,
        connections: int = CONNECTIONS,
        turns: Turns | None = None,
    ) -> None:
        self._server = server_of(url)
        self._timeout = timeout
        self._turns = turns
        retrying = Retrying(
            stop=stop_after_attempt(_CONNECT_ATTEMPTS),
            wait=wait or wait_exponential_jitter(multiplier=0.5, max=5),
            sleep=sleep,
            retry=retry_if_exception_type(AwayError),
            reraise=True,
        )
        connect = partial(retrying, self._server.connect, timeout)
        self._pool = Pool(connect, most=connections, patience=timeout, steady=steady)

    def send(self, letter: Letter) -> SendOutcome:
        """Send one letter and say how it ended; nothing is raised."""
        try:
            recipient = parsed(letter.to)
        except AddressError as error:
            return Bounced(why=f"the address cannot be written to: {error}")
        try:
            made = written(letter, recipient)
        except (MessageError, ValueError) as error:
            return Unsent(why=f"the letter cannot be written: {one_line(str(error))}")
        if self._turns and (full := self._turns.why_not(made.domain)):
            return Unsent(why=full, full=True)
        return self._send(made)

    def check(self) -> str | None:
        """Connect, say hello and log in; None when all is well, else what is wrong."""
        try:
            connection = self._server.connect(self._timeout)
        except RefusedError as error:
            return str(error)
        try:
            code, reply = connection.noop()
        except OSError as error:
            return f"{self._server!r} went away after the greeting: {fault(error)}"
        finally:
            hang_up(connection)
        return None if code == 250 else f"{self._server!r} answered {reply_text(code, reply)}"

    def close(self) -> None:
        """Let go of the connections."""
        self._pool.close()

    def _send(self, made: Written) -> SendOutcome:
        copies = made.copies
        while True:
            try:
                line = self._pool.take()
            except RefusedError as error:
                return Unsent(why=str(error))
            was_new = line.is_new
            ended = self._over(line, made, copies)
            if isinstance(ended, Told):
                return ended.outcome
            # Nothing was taken. An old connection says nothing of the server, nor does one that
            # broke over somebody else's address: of either there are only so many.
            if ended.at_copy:
                copies = ()
            elif was_new:
                return Unsent(why=ended.why)

    def _over(self, line: Line, made: Written, copies: tuple[str, ...]) -> Told | Broken:
        try:
            ended = deliver(line.connection, made, copies)
        except BaseException:
            self._pool.drop(line)
            raise
        if isinstance(ended, Told) and ended.usable:
            self._pool.give(line, clean=isinstance(ended.outcome, Sent))
        else:
            self._pool.drop(line)
        return ended
