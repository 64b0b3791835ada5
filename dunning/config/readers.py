"""Readers of single settings: text -> value, or Wrong with what is wrong and what is expected."""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from urllib.parse import urlsplit

from dunning.config import stripe_keys
from dunning.config.addresses import wrong_mailbox, wrong_page, wrong_url
from dunning.config.problems import expected_one_of, quoted
from dunning.config.secret import HiddenUrl, Secret, Url
from dunning.core.mail_rates import MailRates
from dunning.core.phones import wrong_sender

Network = IPv4Network | IPv6Network

LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("auto", "console", "json")
MIN_SECRET = 32
# As the Standard Webhooks have it: whsec_ and the base64 of a key of this many bytes.
SIGNING_KEY_BYTES = (24, 64)
# Nobody on the internet comes from these: whoever does is a proxy of one's own.
PRIVATE_NETWORKS: tuple[Network, ...] = tuple(
    map(
        ip_network,
        (
            *("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"),
            *("::1/128", "fc00::/7", "fe80::/10"),
        ),
    )
)


class Wrong(ValueError):
    """The sentence to put behind the variable's name. Never holds a secret."""


def _refuse(message: str | None) -> None:
    if message:
        raise Wrong(message)


def path(value: str) -> Path:
    if value.startswith("~"):
        raise Wrong("begins with ~, which only a shell replaces; expected the whole path")
    if "\0" in value:
        raise Wrong("has a control character in it; expected a path")
    return Path(value)


def line(value: str) -> str:
    if len(value) > 200 or not value.isprintable():
        raise Wrong("is too long or has line breaks; expected one line of at most 200 characters")
    return value


def on_off(value: str) -> bool:
    if value.lower() not in ("on", "off"):
        raise Wrong(f"{quoted(value)} is neither; expected on or off")
    return value.lower() == "on"


def mailbox(value: str) -> str:
    _refuse(wrong_mailbox(value))
    return value


def address(value: str) -> str:
    _refuse(wrong_mailbox(value, named=False))
    return value


def addresses(value: str) -> tuple[str, ...]:
    """Addresses of mail with commas between, each once."""
    found = tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
    for each in found:
        _refuse(wrong_mailbox(each, named=False))
    if not 0 < len(found) <= 10:
        raise Wrong("names none, or more than 10; expected addresses with commas between")
    return found


def mail_rates(value: str) -> MailRates:
    """`20/s,gmail.com=5/s`: all together, and to single domains."""
    whole: float | None = None
    own: dict[str, float] = {}
    for part in (part.strip() for part in value.split(",") if part.strip()):
        name, equals, rate = part.rpartition("=")
        if equals:
            (domain,) = hosts(name.strip()) or ("",)
            own[domain] = _rate(rate.strip())
        elif whole is not None:
            raise Wrong("says twice how many in all; expected such as 20/s,gmail.com=5/s")
        else:
            whole = _rate(part)
    return MailRates(whole=whole, domains=own)


def _rate(text: str) -> float:
    found = re.fullmatch(r"([0-9]{1,5})/([sm])", text)
    if found is None or int(found[1]) == 0:
        raise Wrong(f"{quoted(text)} is not a rate; expected such as 20/s or 300/m")
    return int(found[1]) / (1 if found[2] == "s" else 60)


def mail_secret(value: str) -> Secret:
    if not 16 <= len(value) <= 200 or not value.isprintable():
        raise Wrong("is not a signing key; expected the one that the mail service shows")
    return Secret(value)


def mail_login(value: str) -> Secret:
    """USER:PASSWORD, as the mail service shows it when it calls."""
    user, colon, password = value.partition(":")
    if not colon or not user or len(password) < 16 or not value.isascii():
        raise Wrong("is not a login; expected USER:PASSWORD with 16 or more characters behind it")
    return Secret(value)


def page(value: str) -> str:
    """The base of web pages, without the slash at its end."""
    _refuse(wrong_page(value, "https://billing.example.com"))
    return value.rstrip("/")


def database_url(value: str) -> Url:
    """SQLite in a file, or PostgreSQL, which always goes through psycopg 3."""
    scheme, _, rest = value.partition("://")
    scheme = scheme.lower()
    example = "postgresql://USER:PASSWORD@localhost:5432/dunning"
    if scheme in {"sqlite", "sqlite+pysqlite"}:
        file = rest.partition("?")[0]
        if not file.startswith("/") or file in {"/", "/:memory:"}:
            raise Wrong("names no file; expected one such as sqlite:////var/lib/dunning/dunning.db")
        return Url(f"sqlite://{rest}")
    if scheme in {"postgres", "postgresql", "postgresql+psycopg"}:
        # A socket's folder may stand in for the host: postgresql:///dunning?host=/run/postgresql
        if not rest.startswith("/"):
            _refuse(wrong_url(value, (scheme,), example))
        return Url(f"postgresql+psycopg://{rest}")
    raise Wrong(f"is neither SQLite nor PostgreSQL; expected one such as {example}")


def broker_url(value: str) -> Url:
    _refuse(wrong_url(value, ("redis", "rediss", "amqp", "amqps"), "redis://localhost:6379/0"))
    return Url(value)


def smtp_url(value: str) -> Url:
    _refuse(
        wrong_url(
            value, ("smtp", "smtp+starttls", "smtps"), "smtp://USER:PASSWORD@mail.example.com:587"
        )
    )
    return Url(value)


def sms_url(value: str) -> Url:
    example = "twilio://ACCOUNT_SID:AUTH_TOKEN@api.twilio.com"
    _refuse(wrong_url(value, ("twilio", "twilio+http"), example))
    return Url(value)


def sms_sender(value: str) -> str:
    if wrong := wrong_sender(value):
        raise Wrong(f"{quoted(value)} cannot send texts; {wrong}")
    return value


def webhook_url(value: str) -> Url:
    _refuse(wrong_url(value, ("http", "https"), "https://app.example.com/dunning"))
    return Url(value)


def secret_keys(value: str) -> tuple[Secret, ...]:
    parts = stripe_keys.split(value)
    if not parts or any(len(part) < MIN_SECRET for part in parts):
        what = "holds one that is" if len(parts) > 1 else "is"
        raise Wrong(f"{what} shorter than {MIN_SECRET} characters; expected a long random text")
    return tuple(map(Secret, parts))


def networks(value: str) -> tuple[Network, ...]:
    """Networks such as 10.0.0.0/8, or single addresses; `none` for none of them."""
    if value.strip().lower() == "none":
        return ()
    parts = stripe_keys.split(value)
    try:
        found = tuple(ip_network(part) for part in parts)
    except ValueError:
        found = ()
    if not found:
        raise Wrong("is no list of networks; expected such as 10.0.0.0/8, 192.0.2.7, or none")
    return found


def hidden_url(value: str) -> HiddenUrl:
    """An address that is a secret as a whole; over plain http only within one's own network."""
    _refuse(wrong_url(value, ("http", "https"), "https://hooks.slack.com/services/…"))
    host = urlsplit(value).hostname or ""
    own = "." not in host or host.endswith((".internal", ".local", ".lan", ".test"))
    if value.lower().startswith("http:") and not own and not _is_private(host):
        raise Wrong("is plain http to the internet; expected https://")
    return HiddenUrl(value)


def _is_private(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return not address.is_global and not address.is_link_local


def secret_key(value: str) -> Secret:
    if len(value) < MIN_SECRET:
        raise Wrong(f"is shorter than {MIN_SECRET} characters; expected a long random text")
    return Secret(value)


def secrets(value: str) -> tuple[Secret, ...]:
    parts = stripe_keys.split(value)
    if not parts or not all(_is_signing_key(part) for part in parts):
        least, most = SIGNING_KEY_BYTES
        expected = f"expected whsec_ and the base64 of {least} to {most} random bytes"
        raise Wrong(f"is not a signing secret; {expected}")
    return tuple(Secret(part) for part in parts)


def _is_signing_key(text: str) -> bool:
    text = text.removeprefix("whsec_")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        return False
    return SIGNING_KEY_BYTES[0] <= len(key) <= SIGNING_KEY_BYTES[1]


def api_key(value: str) -> Secret:
    _refuse(stripe_keys.wrong_key(value))
    return Secret(value)


def webhook_secrets(value: str) -> tuple[Secret, ...]:
    parts = stripe_keys.split(value)
    if not parts:
        raise Wrong("holds only commas; expected the webhook endpoint's signing secret, whsec_…")
    for part in parts:
        _refuse(stripe_keys.wrong_webhook_secret(part))
    return tuple(Secret(part) for part in parts)


def mode(value: str) -> bool:
    return stripe_keys.MODES[_word(value, tuple(stripe_keys.MODES), "a mode")]


def log_level(value: str) -> str:
    return _word(value, LOG_LEVELS, "a level")


def log_format(value: str) -> str:
    return _word(value, LOG_FORMATS, "a format")


def _word(value: str, words: tuple[str, ...], noun: str) -> str:
    lower = value.lower()
    if lower not in words:
        raise Wrong(f"{quoted(value)} is not {noun}; {expected_one_of(words, value)}")
    return lower


def listener(value: str) -> tuple[str, int]:
    """`127.0.0.1:9102`, `[::1]:9102`; a port alone would say nothing of who may ask."""
    host, _, port = value.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    fits = re.fullmatch(r"[0-9]{1,5}", port) and int(port) <= 65_535
    if not fits or not re.fullmatch(r"[0-9A-Za-z.:-]+", host):
        raise Wrong(f"{quoted(value)} is not an address; expected host and port: 127.0.0.1:9102")
    return host, int(port)


def hosts(value: str) -> tuple[str, ...]:
    """Names of machines with commas between, in small letters."""
    found = tuple(part.strip().lower() for part in value.split(",") if part.strip())
    for name in found:
        if not re.fullmatch(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z][a-z0-9-]+", name):
            raise Wrong(f"{quoted(name)} is not a domain; expected such as billing.example.com")
    return found


def number(least: int, most: int) -> Callable[[str], int]:
    """A reader of whole numbers within bounds."""

    def read(value: str) -> int:
        expected = f"expected a whole number from {least} to {most}"
        if not (value.isascii() and value.isdigit()):
            raise Wrong(f"{quoted(value)} is not a number; {expected}")
        if len(value) > 12 or not least <= int(value) <= most:
            raise Wrong(f"{quoted(value)} is out of range; {expected}")
        return int(value)

    return read
