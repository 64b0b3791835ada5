"""The mail server: its URL, how a connection to it is opened, and what refusals mean."""

from __future__ import annotations

import smtplib
import socket
import ssl
from dataclasses import dataclass
from functools import cache
from urllib.parse import unquote, urlsplit

from dunning.channels.email.address import one_line
from dunning.errors import ConfigError

_PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
_LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))
_own_name = cache(socket.getfqdn)  # smtplib would look it up anew for every connection


class RefusedError(Exception):
    """The server cannot be used as it stands: nothing went out."""


class AwayError(RefusedError):
    """The same, but it may pass within seconds."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where the mail goes. Its text form leaves the login out."""

    host: str
    port: int
    scheme: str
    user: str | None
    password: str | None

    def __repr__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"

    def connect(self, timeout: float) -> smtplib.SMTP:
        """Open a connection that is ready for a letter."""
        connection: smtplib.SMTP | None = None
        try:
            connection = self._open(timeout)
            connection.ehlo_or_helo_if_needed()
            self._secure(connection)
            # Short words and their answers: waiting to fill a packet only delays them.
            if connection.sock is not None:
                connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.user is not None:
                connection.login(self.user, self.password or "")
        except OSError as error:  # SMTPException is one too
            if connection is not None:
                connection.close()
            raise self._refusal(error) from None
        return connection

    def _open(self, timeout: float) -> smtplib.SMTP:
        host, port = self.host, self.port
        if self.scheme == "smtps":
            tls = ssl.create_default_context()
            return smtplib.SMTP_SSL(host, port, _own_name(), timeout=timeout, context=tls)
        return smtplib.SMTP(host, port, _own_name(), timeout=timeout)

    def _secure(self, connection: smtplib.SMTP) -> None:
        demanded = self.scheme == "smtp+starttls"
        wise = self.user is not None and self.host not in _LOOPBACK
        if demanded or (wise and self.scheme == "smtp" and connection.has_extn("starttls")):
            connection.starttls(context=ssl.create_default_context())
            connection.ehlo()

    def _refusal(self, error: OSError) -> RefusedError:
        """Say what went wrong; a reply to a login is left out, as servers quote from it."""
        server = repr(self)
        match error:
            case smtplib.SMTPAuthenticationError():
                why = f"{server} refused the login ({error.smtp_code})"
                return AwayError(why) if error.smtp_code < 500 else RefusedError(why)
            case smtplib.SMTPNotSupportedError():
                return RefusedError(f"{server} does not offer what is needed: {error}")
            case ssl.SSLCertVerificationError():
                why = f"the certificate of {server} is not trusted: {error.verify_message}"
                return RefusedError(why)
            case smtplib.SMTPResponseException() if error.smtp_code >= 500:
                return RefusedError(f"{server} refused us: {fault(error)}")
            case _ if is_timeout(error):  # waited long enough already
                return RefusedError(f"{server} did not answer in time")
            case _:
                return AwayError(f"{server} cannot be reached: {fault(error)}")


def server_of(url: str) -> Server:
    """Read the URL; what is wrong with it is said without repeating it."""
    expected = "expected smtp://, smtp+starttls:// or smtps:// with a host"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        message = f"the SMTP URL cannot be read; {expected}"
        raise ConfigError(message) from None
    if parts.scheme not in _PORTS or not host:
        message = f"the SMTP URL is not one; {expected}"
        raise ConfigError(message)
    user = unquote(parts.username) if parts.username else None
    password = unquote(parts.password) if parts.password else None
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        message = "the SMTP URL goes on after the host; in a password write / ? # as %2F %3F %23"
        raise ConfigError(message)
    if not (user or "").isascii() or not (password or "").isascii():
        message = "the login in the SMTP URL has letters beyond ASCII, which SMTP cannot carry"
        raise ConfigError(message)
    return Server(host, port or _PORTS[parts.scheme], parts.scheme, user, password)


# --- what it said -----------------------------------------------------------------------------


def reply_text(code: int, reply: bytes) -> str:
    """An answer as one line."""
    return f"{code} {one_line(reply.decode('utf-8', 'replace'))}".strip()


def fault(error: OSError) -> str:
    """What broke, as one line."""
    if isinstance(error, smtplib.SMTPResponseException):
        reply = error.smtp_error
        return reply_text(error.smtp_code, reply if isinstance(reply, bytes) else reply.encode())
    return "no answer in time" if is_timeout(error) else one_line(str(error))


def is_timeout(error: OSError) -> bool:
    """Whether it was waited for in vain."""
    # smtplib reports a timeout as a connection closed, while handling the timeout.
    return isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError)
