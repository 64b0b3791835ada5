"""HTTP as uvicorn speaks it, with bounds: on a head's length, on a request's time, on connections.

What is wrong below the application is refused here, in the form that all refusals have. The bounds
of a body's size are in `bodies`; between two requests uvicorn hangs up by itself.
"""

from __future__ import annotations

import asyncio
import resource
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from dunning import metrics
from dunning.web.bodies import WHOLE
from dunning.web.problems import Answer, refusal

if TYPE_CHECKING:
    from dunning.web.webhooks import Headers, Prompt

SPOKEN: Final = ("1.1", "1.0")
HEAD_BYTES: Final = 128 * 1024
# A sender whose request line and headers have not come by then is cut off.
HEAD_SECONDS = 10.0
# So much later its body must have come, even where the answer was given long before.
BODY_SECONDS = 12.0
# Files that are not connections: the database, the log, the broker.
OTHER_FILES: Final = 128
MOST_FILES: Final = 65_536

NOT_HTTP: Final = refusal(400, "bad_request", "this is not HTTP as we speak it", connection="close")
HEAD_TOO_LONG: Final = refusal(431, "head_too_long", "the headers are too long", connection="close")
FULL: Final = refusal(
    503, "unavailable", "too many connections; come again", retry_after="5", connection="close"
)


def make_room() -> None:
    """Let this process hold as many connections as the machine allows it to."""
    with suppress(ValueError, OSError):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    most_connections.cache_clear()


@cache
def most_connections() -> int:
    """Beyond these, one more could not even be told so."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = MOST_FILES if soft == resource.RLIM_INFINITY else min(soft, MOST_FILES)
    return max(files - OTHER_FILES, OTHER_FILES)


class _Exchange:
    """A request on the short way, as uvicorn looks at requests under way: without a coroutine."""

    message_event = asyncio.Event()  # nobody waits for it

    def __init__(self, protocol: BoundedProtocol, *, keep_alive: bool) -> None:
        self._protocol = protocol
        self.keep_alive = keep_alive  # uvicorn takes it back when the server is to stop
        self.disconnected = False
        self.response_complete = False

    def reply(self, given: Answer) -> None:
        """Send the answer, if there is still somebody to hear it."""
        protocol, self.response_complete = self._protocol, True
        if not protocol.transport.is_closing():
            usual = protocol.server_state.default_headers
            close = given.closes or not self.keep_alive
            protocol.transport.write(given.written(usual, close=close))
            if close:
                protocol.transport.close()
        protocol.on_response_complete()


class BoundedProtocol(HttpToolsProtocol):
    """One connection; without bounds its headers would be kept for as long as they come.

    A webhook that comes in one piece, as nearly all do, goes the short way: it is handed over at
    once and answered when it is durable. Anything else is a coroutine of the application.
    """

    # Who takes the request of which the head is here, and its body so far.
    _taker: Prompt | None = None
    _body = b""
    # A request on the short way that is whole.
    _whole: tuple[Prompt, Headers, bytes, _Exchange] | None = None
    _head: int | None = 0  # bytes of a head so far; None: its end has come
    _under_way = False  # a request has begun and has not come whole
    _began = 0.0
    _deadline: asyncio.TimerHandle | None = None

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._prompt: dict[bytes, Prompt] = getattr(self.app, "prompt", {})

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a first request, not for ever."""
        super().connection_made(transport)
        if len(self.connections) > most_connections():
            self._refuse(FULL)
        else:
            self._await_the_rest()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing comes any more."""
        self._request_is_over()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]
        """The sender has said all it has to say; it still gets the answer to what was whole."""
        whole = self._head is None and self._deadline is None
        if not whole or self.cycle.response_complete:
            return False
        self.cycle.keep_alive = False
        return True

    def data_received(self, data: bytes) -> None:
        """Take in what came; refuse what is not HTTP, and a head that does not end."""
        self._unset_keepalive_if_required()
        if self.transport.is_closing():
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # to another protocol, which we do not speak: the answer comes in this one
        except httptools.HttpParserError:
            self._refuse(NOT_HTTP)
            self._taker, self._body = None, b""
            self._take_whole()  # what came before is a request all the same
            return
        self._take_whole()
        if self._taker is not None:
            self._take_the_long_way()
        # Nearly all come whole, with their head or at once after it: those need no deadline.
        if self._under_way and self._deadline is None:
            self._await_the_rest()
        if self._head is not None and self._deadline is not None:
            self._head += len(data)
            if self._head > HEAD_BYTES and not self.transport.is_closing():
                self._refuse(HEAD_TOO_LONG)

    def on_message_begin(self) -> None:
        """A request begins, the first of the connection or another one."""
        if self._deadline is None:
            self._head = 0
        self._under_way = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """From here on the body is bounded by who reads it, and by time."""
        self._head = None
        if self.parser.get_http_version() not in SPOKEN:
            raise ValueError  # the parser turns it into an error of its own
        self._taker = self._who_takes_it()
        if self._taker is None:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Some of the body is here."""
        if self._taker is None:
            super().on_body(body)
        else:
            self._body += body

    def on_message_complete(self) -> None:
        """The whole request is here."""
        self._request_is_over()
        if self._taker is not None:
            exchange = _Exchange(self, keep_alive=self.parser.should_keep_alive())
            self.cycle = exchange  # type: ignore[assignment]
            self._whole = self._taker, self.headers, self._body, exchange
            self._taker, self._body = None, b""
            return
        self.scope[WHOLE] = True  # type: ignore[typeddict-unknown-key]
        super().on_message_complete()

    def _who_takes_it(self) -> Prompt | None:
        """Who takes this request on the short way; None if anything about it is unusual."""
        taker = self._prompt.get(self.url)
        if (
            taker is None
            or self.parser.get_method() != b"POST"
            or self.parser.get_http_version() != "1.1"
            or self.parser.should_upgrade()
            or self.expect_100_continue
            or self.flow.write_paused
            # Another one is under way: answers go in the order of the requests.
            or not getattr(self.cycle, "response_complete", True)
        ):
            return None
        return taker

    def _take_whole(self) -> None:
        # Not within the parser, which would take an error of ours for one of the sender.
        if self._whole is not None:
            (take, headers, body, exchange), self._whole = self._whole, None
            take(headers, body, exchange.reply)

    def _take_the_long_way(self) -> None:
        """The rest of it is still to come."""
        body, self._taker, self._body = self._body, None, b""
        super().on_headers_complete()
        if body:
            super().on_body(body)

    def _await_the_rest(self) -> None:
        self._began = self.loop.time()
        self._deadline = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def _too_slow(self) -> None:
        left = self._began + HEAD_SECONDS + BODY_SECONDS - self.loop.time()
        if self._head is None and left > 0:
            self._deadline = self.loop.call_later(left, self.transport.close)
        else:
            self.transport.close()

    def _request_is_over(self) -> None:
        self._under_way = False
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, given: Answer) -> None:
        """Say no, and hang up."""
        metrics.not_http(given.status)
        self.transport.write(given.written(self.server_state.default_headers, close=True))
        self.transport.close()
