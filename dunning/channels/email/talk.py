"""One letter over one connection, word by word: what was surely not taken, and what may be.

smtplib's own `sendmail` hides which of MAIL, RCPT and DATA failed. Until the dot that ends the
letter has left, the server has nothing; from then on a broken line leaves a doubt.
"""

from __future__ import annotations

import re
import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from dunning import crashpoints
from dunning.channels.email.body import Written
from dunning.channels.email.server import fault, reply_text
from dunning.core.addresses import is_dead, status_in
from dunning.core.ports import Bounced, Doubtful, SendOutcome, Sent, Unsent

log = structlog.get_logger(__name__)

_LOGIN_CODES = frozenset((530, 534, 535, 538))  # about our own login, never about an address
_CLOSING: Final = 421  # the server is about to hang up, whatever it was asked
_TAKEN = frozenset((250, 251))


@dataclass(frozen=True, slots=True)
class Told:
    """How it ended. `usable`: the connection may carry another letter."""

    outcome: SendOutcome
    usable: bool


@dataclass(frozen=True, slots=True)
class Broken:
    """The connection is of no use, and the server has surely not taken the letter.

    `at_copy`: it broke over the address of a copy.
    """

    why: str
    at_copy: bool = False


class _ClosingError(Exception):
    """The server says that it hangs up."""


def deliver(connection: smtplib.SMTP, letter: Written, copies: Sequence[str] = ()) -> Told | Broken:
    """Hand one letter over, to its recipient and to `copies`."""
    options = []
    if not (letter.sender + letter.recipient).isascii():
        if not connection.has_extn("smtputf8"):
            why = "the mail server takes no addresses with letters beyond ASCII"
            own = not letter.sender.isascii()
            return Told(Unsent(why=why) if own else Bounced(why=why), usable=True)
        options = ["SMTPUTF8", "BODY=8BITMIME"]
    try:
        code, reply = connection.mail(letter.sender, options)
        if code != 250:
            # Whatever is wrong with our own address is no fault of the customer's.
            why = f"the sender was refused: {reply_text(code, reply)}"
            return Broken(why) if code == _CLOSING else Told(Unsent(why=why), usable=True)
        code, reply = connection.rcpt(letter.recipient)
        if code not in _TAKEN:
            return _refused("the recipient was refused", code, reply, of_address=True)
        if broken := _copy(connection, copies, utf8=bool(options)):
            return broken
        crashpoints.reach("mail.data")
        code, reply = connection.docmd("DATA")
        if code != 354:
            return _refused("the letter was refused", code, reply)
        _say(connection, letter.body)
    except OSError as error:
        return Broken(f"the connection broke before the letter was sent: {fault(error)}")
    return _settled(connection)


def _copy(connection: smtplib.SMTP, copies: Sequence[str], *, utf8: bool) -> Broken | None:
    """Name those who get a copy; whoever is refused does without."""
    for address in copies:
        if not address.isascii() and not utf8:
            log.warning("mail.copy_refused", why="its address has letters beyond ASCII")
            continue
        try:
            code, reply = connection.rcpt(address)
        except OSError as error:
            return Broken(f"the connection broke over a copy: {fault(error)}", at_copy=True)
        if code == _CLOSING:
            return Broken(f"a copy was refused: {reply_text(code, reply)}", at_copy=True)
        if code not in _TAKEN:
            log.warning("mail.copy_refused", why=reply_text(code, reply))
    return None


def _say(connection: smtplib.SMTP, body: bytes) -> None:
    """Send the letter but for its dot, and the dot only to a server that is still there."""
    connection.send(re.sub(rb"(?m)^\.", b"..", body))
    sock = connection.sock
    if sock is None:
        raise OSError("the connection was closed")
    patience = sock.gettimeout()
    sock.settimeout(0)
    try:
        # It has nothing to say before the dot: a word now is a refusal, an end is an end.
        early = sock.recv(1)
    except (BlockingIOError, ssl.SSLWantReadError):
        sock.settimeout(patience)
    else:
        raise OSError("the server spoke too early" if early else "the server hung up")
    connection.send(b".\r\n" if body.endswith(b"\r\n") else b"\r\n.\r\n")


def _settled(connection: smtplib.SMTP) -> Told:
    """What the server says once it has the dot."""
    try:
        code, reply = connection.getreply()
    except OSError as error:
        why = f"the connection broke after the letter was sent: {fault(error)}"
        return Told(Doubtful(why=why), usable=False)
    if 200 <= code < 300:
        crashpoints.reach("mail.accepted")
        return Told(Sent(reference=reply_text(code, reply)), usable=True)
    if code < 400:
        why = f"the server's answer makes no sense: {reply_text(code, reply)}"
        return Told(Doubtful(why=why), usable=False)
    ended = _refused("the letter was refused", code, reply)
    return ended if isinstance(ended, Told) else Told(Unsent(why=ended.why), usable=False)


def _refused(what: str, code: int, reply: bytes, *, of_address: bool = False) -> Told | Broken:
    why = f"{what}: {reply_text(code, reply)}"
    if code == _CLOSING:
        return Broken(why)
    if 500 <= code < 600 and code not in _LOGIN_CODES:
        dead = of_address and is_dead(status_in(why))
        return Told(Bounced(why=why, dead=dead), usable=True)
    return Told(Unsent(why=why), usable=400 <= code < 600)
