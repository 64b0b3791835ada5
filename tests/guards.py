"""What tests run behind: an environment without the developer's settings, and no way outside."""

from __future__ import annotations

import ipaddress
import os
import socket
from typing import Any

PREFIXES = ("DUNNING_", "STRIPE_")
OURS = "DUNNING_TEST_"


class OutsideNetworkError(RuntimeError):
    """A test tried to reach another machine. Not an OSError: the program survives those."""


def scrub_environment() -> dict[str, str]:
    """Remove every setting of the program; return those that are meant for the tests."""
    found = {key: value for key, value in os.environ.items() if key.startswith(PREFIXES)}
    for key in found:
        del os.environ[key]
    return {key: value for key, value in found.items() if key.startswith(OURS)}


def is_loopback(host: object) -> bool:
    if isinstance(host, bytes):
        host = host.decode("ascii", errors="replace")
    if not isinstance(host, str):
        return host is None
    if host in {"", "localhost", "localhost.localdomain", "ip6-localhost"}:
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return address.is_loopback or (mapped is not None and mapped.is_loopback)


def check_address(address: Any) -> None:
    """Refuse an internet address of another machine; UNIX sockets have a path, not a tuple."""
    if isinstance(address, tuple) and not is_loopback(address[0]):
        raise OutsideNetworkError(f"tests reach only this machine, not {address[0]}")


def guard_sockets() -> None:
    """From now on, Python code of this process connects, sends and looks up names only at home."""
    real_connect, real_connect_ex = socket.socket.connect, socket.socket.connect_ex
    real_sendto, real_lookup = socket.socket.sendto, socket.getaddrinfo

    def connect(self: socket.socket, address: Any) -> None:
        check_address(address)
        real_connect(self, address)

    def connect_ex(self: socket.socket, address: Any) -> int:
        check_address(address)
        return real_connect_ex(self, address)

    def sendto(self: socket.socket, data: bytes, *rest: Any) -> int:
        check_address(rest[-1])
        return real_sendto(self, data, *rest)

    def getaddrinfo(host: Any, *args: Any, **named: Any) -> Any:
        if isinstance(host, str) and host.rstrip(".").endswith(".invalid"):
            # Reserved for names that never exist: tests may ask what happens then.
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if not is_literal(host):
            check_address((host,))
        return real_lookup(host, *args, **named)

    for owner, name, guarded in (
        (socket.socket, "connect", connect),
        (socket.socket, "connect_ex", connect_ex),
        (socket.socket, "sendto", sendto),
        (socket, "getaddrinfo", getaddrinfo),
    ):
        setattr(owner, name, guarded)


def is_literal(host: object) -> bool:
    """An address in figures: looking it up asks nobody."""
    try:
        ipaddress.ip_address(str(host).partition("%")[0])
    except ValueError:
        return False
    return True
