"""The tests' own servers and guards do what the other tests rely on."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import psycopg
import pytest
import redis
import sqlalchemy as sa

from tests import guards
from tests.servers import Postgres, Redis, Server, ServerUnavailableError
from tests.sharing import Shared

if TYPE_CHECKING:
    from pathlib import Path

OUTSIDE = ["192.0.2.1", "2001:db8::1", "8.8.8.8", "mail.example.com"]


@pytest.mark.parametrize("_time", ["first", "second"])
def test_a_database_is_real_and_empty_every_time(
    database_url: str, backend: str, _time: str
) -> None:
    engine = sa.create_engine(database_url)
    with engine.begin() as connection:
        assert sa.inspect(connection).get_table_names() == []
        connection.execute(sa.text("CREATE TABLE left_behind (id INTEGER)"))
        assert connection.execute(sa.text("SELECT 40 + 2")).scalar_one() == 42
        assert connection.dialect.name == backend
    engine.dispose()


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_postgresql_keeps_any_text_and_every_commit(database_url: str) -> None:
    with psycopg.connect(database_url.replace("+psycopg", "")) as connection:
        query = "SELECT current_setting('server_encoding'), current_setting('synchronous_commit')"
        assert connection.execute(query).fetchone() == ("UTF8", "on")


def test_redis_is_real_and_empty(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.ping()
        assert client.dbsize() == 0
        client.set("left", "behind")


def test_redis_is_empty_again(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0


def test_a_private_postgresql_keeps_what_was_committed_before_it_was_killed(
    private_postgres: Server,
) -> None:
    url = private_postgres.url.replace("+psycopg", "")
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    private_postgres.kill()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)
    private_postgres.start()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT number FROM kept").fetchone() == (7,)


def test_a_private_redis_forgets_when_killed(private_redis: Server) -> None:
    with redis.Redis.from_url(private_redis.url) as client:
        client.set("hint", "1")
    private_redis.kill()
    private_redis.start()
    with redis.Redis.from_url(private_redis.url) as client:
        assert client.dbsize() == 0


def test_given_servers_are_used_instead(tmp_path: Path) -> None:
    given = {Postgres.override: "postgresql://u@h/d", Redis.override: "redis://h:6379/2"}
    shared = Shared(tmp_path, given, "gw3")
    assert shared.url("postgresql") == "postgresql://u@h/d"
    assert shared.redis_url() == "redis://h:6379/5"
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_cannot_start_says_why_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Redis, "prepare", lambda self: None)
    monkeypatch.setattr(Redis, "command", lambda self: ["sh", "-c", "echo no memory; exit 1"])
    with pytest.raises(ServerUnavailableError, match=r"(?s)no memory.*DUNNING_TEST_REDIS_URL"):
        Redis(tmp_path / "redis").start()


@pytest.mark.parametrize("host", OUTSIDE)
def test_other_machines_are_out_of_reach(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as tcp, pytest.raises(guards.OutsideNetworkError):
        tcp.connect((host, 443))
    with socket.socket(family) as tcp, pytest.raises(guards.OutsideNetworkError):
        tcp.connect_ex((host, 443))
    with (
        socket.socket(family, socket.SOCK_DGRAM) as udp,
        pytest.raises(guards.OutsideNetworkError),
    ):
        udp.sendto(b"query", (host, 53))


def test_names_of_other_machines_are_not_looked_up() -> None:
    with pytest.raises(guards.OutsideNetworkError):
        socket.create_connection(("mail.example.com", 25))
    with pytest.raises(socket.gaierror):
        socket.create_connection(("smtp.invalid", 25))


def test_this_machine_is_within_reach(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(("localhost", server.getsockname()[1])).close()
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(str(tmp_path / "s"))
        server.listen()
        client.connect(str(tmp_path / "s"))


@pytest.mark.parametrize(
    ("host", "near"),
    [
        ("127.8.9.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:192.0.2.1", False),
        ("10.0.0.1", False),
        ("0.0.0.0", False),  # noqa: S104 - only looked at
        ("localhost.example.com", False),
    ],
)
def test_what_counts_as_this_machine(host: str, near: bool) -> None:
    assert guards.is_loopback(host) is near


def test_no_setting_of_the_developer_reaches_a_test() -> None:
    assert [key for key in os.environ if key.startswith(guards.PREFIXES)] == []
