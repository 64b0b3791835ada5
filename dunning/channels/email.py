"""Send letters over SMTP; the only module that speaks it.

One letter, one connection, one recipient. Before the server was handed the letter, nothing went
out; once it was and the line broke, it may have, and nobody may send it again blindly.
"""

from __future__ import annotations

import re
import smtplib
import socket
import ssl
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email import policy
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from functools import cache
from urllib.parse import quote, unquote, urlsplit

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_base, wait_exponential_jitter

from dunning import crashpoints
from dunning.core.ports import Bounced, Doubtful, Letter, SendOutcome, Sent, Unsent
from dunning.errors import ConfigError

_PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
_LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))
_CONNECT_ATTEMPTS = 3
_NAME_LENGTH = 60
_SUBJECT_LENGTH = 150
_REPLY_LENGTH = 200
_HEADER_LENGTH = 900
_JOINERS = "\u200c\u200d"  # invisible, but Persian, Indic scripts and emoji need them
_ATOM_TEXT = "!#$&'*+-/=?^_`{|}~."  # in a local part besides letters and digits; % apart
_LOGIN_CODES = frozenset((530, 534, 535, 538))  # about our own login, never about an address
_OWN_HEADERS = frozenset(
    (
        *("from", "sender", "to", "cc", "bcc", "reply-to", "return-path", "subject", "message-id"),
        *("mime-version", "auto-submitted", "content-type", "content-transfer-encoding"),
    )
)
_own_name = cache(socket.getfqdn)  # smtplib would look it up anew for every letter


class _AddressError(ValueError):
    """This is not one email address."""


class _RefusedError(Exception):
    """The server cannot be used as it stands: nothing went out."""


class _AwayError(_RefusedError):
    """The same, but it may pass within seconds."""


@dataclass(frozen=True, slots=True)
class _Server:
    """Where the mail goes. Its text form leaves the login out."""

    host: str
    port: int
    scheme: str
    user: str | None
    password: str | None

    def __repr__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class _Written:
    """A letter as it goes over the wire, with the addresses of its envelope."""

    sender: str
    recipient: str
    body: bytes


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
    ) -> None:
        self._server = _server(url)
        self._timeout = timeout
        self._retrying = Retrying(
            stop=stop_after_attempt(_CONNECT_ATTEMPTS),
            wait=wait or wait_exponential_jitter(multiplier=0.5, max=5),
            sleep=sleep,
            retry=retry_if_exception_type(_AwayError),
            reraise=True,
        )

    def send(self, letter: Letter) -> SendOutcome:
        """Send one letter and say how it ended; nothing is raised."""
        try:
            recipient = _address(letter.to)
        except _AddressError as error:
            return Bounced(why=f"the address cannot be written to: {error}")
        try:
            written = _written(letter, recipient)
        except (MessageError, ValueError) as error:
            return Unsent(why=f"the letter cannot be written: {_one_line(str(error))}")
        try:
            connection = self._retrying(self._connect)
        except _RefusedError as error:
            return Unsent(why=str(error))
        with _hanging_up(connection):
            return _deliver(connection, written)

    def check(self) -> str | None:
        """Connect, say hello and log in; None when all is well, else what is wrong."""
        try:
            connection = self._connect()
        except _RefusedError as error:
            return str(error)
        with _hanging_up(connection):
            try:
                code, reply = connection.noop()
            except OSError as error:
                return f"{self._server!r} went away after the greeting: {_fault(error)}"
        return None if code == 250 else f"{self._server!r} answered {_reply(code, reply)}"

    def _connect(self) -> smtplib.SMTP:
        """Open a connection that is ready for a letter."""
        connection: smtplib.SMTP | None = None
        try:
            connection = self._open()
            connection.ehlo_or_helo_if_needed()
            self._secure(connection)
            if self._server.user is not None:
                connection.login(self._server.user, self._server.password or "")
        except OSError as error:  # SMTPException is one too
            if connection is not None:
                connection.close()
            raise self._refusal(error) from None
        return connection

    def _open(self) -> smtplib.SMTP:
        host, port = self._server.host, self._server.port
        if self._server.scheme == "smtps":
            tls = ssl.create_default_context()
            return smtplib.SMTP_SSL(host, port, _own_name(), timeout=self._timeout, context=tls)
        return smtplib.SMTP(host, port, _own_name(), timeout=self._timeout)

    def _secure(self, connection: smtplib.SMTP) -> None:
        demanded = self._server.scheme == "smtp+starttls"
        wise = self._server.user is not None and self._server.host not in _LOOPBACK
        if demanded or (wise and self._server.scheme == "smtp" and connection.has_extn("starttls")):
            connection.starttls(context=ssl.create_default_context())
            connection.ehlo()

    def _refusal(self, error: OSError) -> _RefusedError:
        """Say what went wrong; a reply to a login is left out, as servers quote from it."""
        server = repr(self._server)
        match error:
            case smtplib.SMTPAuthenticationError():
                why = f"{server} refused the login ({error.smtp_code})"
                return _AwayError(why) if error.smtp_code < 500 else _RefusedError(why)
            case smtplib.SMTPNotSupportedError():
                return _RefusedError(f"{server} does not offer what is needed: {error}")
            case ssl.SSLCertVerificationError():
                why = f"the certificate of {server} is not trusted: {error.verify_message}"
                return _RefusedError(why)
            case smtplib.SMTPResponseException() if error.smtp_code >= 500:
                return _RefusedError(f"{server} refused us: {_fault(error)}")
            case _ if _is_timeout(error):  # waited long enough already
                return _RefusedError(f"{server} did not answer in time")
            case _:
                return _AwayError(f"{server} cannot be reached: {_fault(error)}")


# --- one letter over one connection ----------------------------------------------------------


def _deliver(connection: smtplib.SMTP, letter: _Written) -> SendOutcome:
    """MAIL, RCPT and DATA one by one: smtplib's own sendmail hides which of them failed."""
    options = []
    if not (letter.sender + letter.recipient).isascii():
        if not connection.has_extn("smtputf8"):
            why = "the mail server takes no addresses with letters beyond ASCII"
            return Bounced(why=why) if letter.sender.isascii() else Unsent(why=why)
        options = ["SMTPUTF8", "BODY=8BITMIME"]
    try:
        code, reply = connection.mail(letter.sender, options)
        if code != 250:
            # Whatever is wrong with our own address is no fault of the customer's.
            return Unsent(why=f"the sender was refused: {_reply(code, reply)}")
        code, reply = connection.rcpt(letter.recipient)
        if code not in {250, 251}:
            return _refused("the recipient was refused", code, reply)
        crashpoints.reach("mail.data")
        code, reply = connection.docmd("DATA")
        if code != 354:
            return _refused("the letter was refused", code, reply)
    except OSError as error:
        return Unsent(why=f"the connection broke before the letter was sent: {_fault(error)}")
    return _hand_over(connection, letter.body)


def _hand_over(connection: smtplib.SMTP, body: bytes) -> SendOutcome:
    """Send the body. From its first byte on, a broken line or an odd answer leaves a doubt."""
    stuffed = re.sub(rb"(?m)^\.", b"..", body)
    end = b".\r\n" if body.endswith(b"\r\n") else b"\r\n.\r\n"
    try:
        connection.send(stuffed + end)
        code, reply = connection.getreply()
    except OSError as error:
        return Doubtful(why=f"the connection broke after the letter was sent: {_fault(error)}")
    if 200 <= code < 300:
        crashpoints.reach("mail.accepted")
        return Sent(reference=_reply(code, reply))
    if code < 400:
        return Doubtful(why=f"the server's answer makes no sense: {_reply(code, reply)}")
    return _refused("the letter was refused", code, reply)


def _refused(what: str, code: int, reply: bytes) -> SendOutcome:
    why = f"{what}: {_reply(code, reply)}"
    final = 500 <= code < 600 and code not in _LOGIN_CODES
    return Bounced(why=why) if final else Unsent(why=why)


@contextmanager
def _hanging_up(connection: smtplib.SMTP) -> Iterator[None]:
    """Say goodbye, and do not wait to hear it: the outcome is known and wants to be written."""
    try:
        yield
    finally:
        with suppress(OSError):
            connection.putcmd("QUIT")
        connection.close()


def _reply(code: int, reply: bytes) -> str:
    return f"{code} {_one_line(reply.decode('utf-8', 'replace'))}".strip()


def _fault(error: OSError) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        reply = error.smtp_error
        return _reply(error.smtp_code, reply if isinstance(reply, bytes) else reply.encode())
    return "no answer in time" if _is_timeout(error) else _one_line(str(error))


def _is_timeout(error: OSError) -> bool:
    # smtplib reports a timeout as a connection closed, while handling the timeout.
    return isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError)


# --- the letter as bytes ---------------------------------------------------------------------


def _written(letter: Letter, recipient: Address) -> _Written:
    sender = _own_address("sender", letter.sender)
    message = EmailMessage(policy=policy.SMTP)
    message["From"] = sender
    name = _one_line(letter.to_name or "", _NAME_LENGTH)
    message["To"] = Address(name, recipient.username, recipient.domain)
    if letter.reply_to:
        message["Reply-To"] = _own_address("reply address", letter.reply_to)
    message["Subject"] = _one_line(letter.subject, _SUBJECT_LENGTH)
    message["Message-ID"] = _message_id(letter.id, sender.domain)
    message["Auto-Submitted"] = "auto-generated"  # no out-of-office replies, please
    for header, value in letter.headers.items():
        if not re.fullmatch(r"[A-Za-z0-9-]+", header) or header.lower() in _OWN_HEADERS:
            problem = f"the header {header!r} may not be set"
            raise ValueError(problem)
        message[header] = _one_line(value, _HEADER_LENGTH)
    # Quoted-printable always: sent as it is, a link holding "=3D" is at the mercy of every
    # relay and mail program that decodes what was never encoded.
    message.set_content(letter.text, cte="quoted-printable")
    message.add_alternative(letter.html, subtype="html", cte="quoted-printable")
    ascii_only = (sender.addr_spec + recipient.addr_spec).isascii()
    body = message.as_bytes(policy=policy.SMTP if ascii_only else policy.SMTPUTF8)
    return _Written(sender.addr_spec, recipient.addr_spec, body)


def _message_id(letter_id: str, domain: str) -> str:
    """The letter's id as a Message-ID: the same each time, so that a second sending shows."""
    local, at, own_domain = letter_id.strip().strip("<>").rpartition("@")
    if not at:
        local, own_domain = own_domain, domain
    return f"<{quote(local, safe=_ATOM_TEXT)}@{_ascii_domain(own_domain)}>"


def _one_line(text: str, limit: int = _REPLY_LENGTH) -> str:
    """One line without control characters and direction marks, at most `limit` long.

    Nor can it pass for an encoded word (`=?utf-8?q?=0D=0A?=`), which mail programs, and the
    email package itself, would decode into what was kept out here.
    """
    kept = []
    for character in text:
        category = unicodedata.category(character)
        if category in {"Cc", "Zl", "Zp"}:
            kept.append(" ")
        elif category not in {"Cf", "Cs", "Co"} or character in _JOINERS:
            kept.append(character)
    line = " ".join("".join(kept).split()).replace("=?", "= ?")
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


# --- addresses -------------------------------------------------------------------------------


def _address(text: str) -> Address:
    """Exactly one address; what could be read as two, or as a header, is refused."""
    local, at, domain = text.strip(" ").rpartition("@")
    if not at or not local:
        raise _AddressError("it is not an email address")
    if not all(_is_letter(character) or character in _ATOM_TEXT + "%" for character in local):
        raise _AddressError("it has characters that no address has")
    address = Address(username=unicodedata.normalize("NFC", local), domain=_ascii_domain(domain))
    if len(local.encode()) > 64 or len(address.addr_spec) > 254:
        raise _AddressError("it is too long")
    return address


def _own_address(which: str, text: str) -> Address:
    """`Acme <billing@acme.example>`, or the address alone, as the merchant configured it."""
    found = re.fullmatch(r"(?:([^<>\r\n\0]*)<)?([^<>\r\n\0]+?)>?\s*", text)
    try:
        if found is None:
            raise _AddressError("it is not an email address")
        address = _address(found[2])
    except _AddressError as error:
        message = f"the {which} is unusable: {error}"
        raise ValueError(message) from None
    name = _one_line(found[1] or "", _NAME_LENGTH).strip('"')
    return Address(name, address.username, address.domain)


def _is_letter(character: str) -> bool:
    return unicodedata.category(character)[0] in "LNM"


def _ascii_domain(domain: str) -> str:
    """The domain as the mail system writes it: `straße.example` is `xn--strae-oqa.example`.

    Python's own `idna` codec follows the rules of 2003 and would make that `strasse.example`,
    which belongs to somebody else.
    """
    return ".".join(_ascii_label(label) for label in domain.rstrip(".").split("."))


def _ascii_label(label: str) -> str:
    allowed = all(character == "-" or _is_letter(character) for character in label)
    written = label
    if not label.isascii() and allowed:
        folded = unicodedata.normalize("NFC", label.lower())
        written = "xn--" + folded.encode("punycode").decode("ascii")
    if not allowed or not 0 < len(written) < 64 or written[0] == "-" or written[-1] == "-":
        raise _AddressError("what follows the @ is not a domain")
    return written


def _server(url: str) -> _Server:
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
    return _Server(host, port or _PORTS[parts.scheme], parts.scheme, user, password)
