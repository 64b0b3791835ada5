"""One PostgreSQL for a whole test run, and a Redis for each of its processes.

The first process that needs a server starts a keeper (this file, run as a program), which stops
the server and removes its files when the run ends, however it ends: the keeper waits for a lock
that the kernel frees with the process that holds it.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import psutil

from tests.servers import (
    STOP_SECONDS,
    Postgres,
    Redis,
    Server,
    ServerUnavailableError,
    everyone_may_enter,
    locked,
    scratch_folder,
)

if TYPE_CHECKING:
    from typing import Self

ROOT = Path(__file__).resolve().parent.parent
SWEEPER = "sweeper"
PRIVATE = "private"
MEMORY = Path("/dev/shm")
# Much more than the servers of a run ever need at once, which is not a quarter of it.
PLENTY = 8 * 1024**3
KINDS: dict[str, type[Server]] = {"postgresql": Postgres, "redis": Redis}


class Shared:
    """The servers of one test run, started when first asked for."""

    def __init__(self, folder: Path, overrides: dict[str, str], member: str) -> None:
        self.folder = folder
        self.overrides = overrides
        self.member = member
        self._private_numbers = itertools.count(1)

    @classmethod
    def from_worker(cls, told: dict[str, str]) -> Self:
        """The same servers, in a process of a parallel run."""
        return cls(Path(told["servers"]), json.loads(told["overrides"]), told["workerid"])

    def to_worker(self) -> dict[str, str]:
        return {"servers": str(self.folder), "overrides": json.dumps(self.overrides)}

    def url(self, kind: str, *, own: bool = False) -> str:
        """The address of the run's one server, or of one that only this process uses."""
        server = KINDS[kind]
        if server.override in self.overrides:
            return self.overrides[server.override]
        answer = self._once(kind, f"{kind}-{self.member}" if own else kind)
        if "error" in answer:
            raise ServerUnavailableError(answer["error"])
        return answer["url"]

    def _once(self, kind: str, name: str = "") -> dict[str, str]:
        """What a keeper of this name said when it was started, now or by another process."""
        name = name or kind
        with locked(self.folder / f"{name}.lock"):
            state = self.folder / f"{name}.json"
            if not state.exists():
                state.write_text(json.dumps(self._start_keeper(kind, name)))
            answer: dict[str, str] = json.loads(state.read_text())
        return answer

    def redis_url(self) -> str:
        """A Redis that no other process of the run uses, or a numbered part of the given one."""
        url = self.url("redis", own=True)
        if Redis.override not in self.overrides:
            return url
        address = urlsplit(url)
        first = int(address.path.strip("/") or 0)
        number = first + int(self.member.removeprefix("gw") if self.member != "main" else 0)
        return urlunsplit(address._replace(path=f"/{number}"))

    def start_private(self, kind: type[Server]) -> Server:
        """A started server that the caller stops, even where others use a given one."""
        self._once(SWEEPER)
        number = next(self._private_numbers)
        server = kind(self.folder / f"{PRIVATE}-{self.member}-{number}")
        server.start()
        return server

    def _start_keeper(self, kind: str, name: str) -> dict[str, str]:
        command = [sys.executable, "-m", __name__, kind, name, str(self.folder)]
        with (self.folder / f"{name}.log").open("wb") as log:
            keeper = subprocess.Popen(  # it outlives this process; the lock ends it
                command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        assert keeper.stdout is not None
        with keeper.stdout as pipe:
            line = pipe.readline()
        keeper.returncode = 0  # not ours to wait for: no warning when the object goes
        if line:
            answer: dict[str, str] = json.loads(line)
            return answer
        why = (self.folder / f"{name}.log").read_text(errors="replace").strip()
        return {"error": str(KINDS[kind].unavailable(why)) if kind in KINDS else why}

    def failures(self) -> list[str]:
        """What could not be started, for the last lines of the run."""
        states = [json.loads(path.read_text()) for path in sorted(self.folder.glob("*.json"))]
        return sorted({state["error"] for state in states if "error" in state})


class Run:
    """The life of the shared servers: from the first process of a test run to its end."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="dunning-tests-", dir=roomiest()))
        self.folder.chmod(0o711)
        self._alive = (self.folder / "alive").open("w")
        fcntl.flock(self._alive, fcntl.LOCK_EX)

    def end(self) -> None:
        """Let the keepers stop their servers and wait until they have."""
        self._alive.close()
        remove(self.folder)


def roomiest() -> str:
    """Memory, where there is plenty: a database for each test is files that come and soon go.

    To make one takes a fifth of the time that it takes on a disk. Programs must run there too.
    """
    if not (MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and everyone_may_enter(MEMORY)):
        return scratch_folder()
    about = os.statvfs(MEMORY)
    free = min(about.f_bavail * about.f_frsize, psutil.virtual_memory().available)
    runs_programs = not about.f_flag & os.ST_NOEXEC
    return str(MEMORY) if runs_programs and free >= PLENTY else scratch_folder()


def remove(folder: Path) -> None:
    """Remove the files of a run once its keepers, which hold a lock each, are done."""
    for held in folder.glob("*.keeper"):
        with contextlib.suppress(FileNotFoundError), locked(held):
            pass
    shutil.rmtree(folder, ignore_errors=True)


def keep(kind: str, name: str, folder: Path) -> None:
    """Run one server until the test run that asked for it is over."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    server = KINDS[kind](folder / name)
    with locked(folder / f"{name}.keeper"), (folder / "alive").open() as alive:
        try:
            server.start()
        except (ServerUnavailableError, OSError) as failure:
            shutil.rmtree(server.folder, ignore_errors=True)
            say({"error": str(failure)})
            return
        try:
            say({"url": server.url})
            fcntl.flock(alive, fcntl.LOCK_SH)  # granted when the test run lets go
        finally:
            server.stop()
            shutil.rmtree(server.folder, ignore_errors=True)
    remove(folder)  # a test run that was killed could not


def sweep(folder: Path) -> None:
    """Wait for the end of the test run, then stop private servers that a killed test left."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with locked(folder / f"{SWEEPER}.keeper"), (folder / "alive").open() as alive:
        say({})
        fcntl.flock(alive, fcntl.LOCK_SH)
        mark = str(folder / PRIVATE)
        left = [
            process
            for process in psutil.process_iter(["cmdline"])
            if any(mark in word for word in process.info["cmdline"] or [])
        ]
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGINT)  # to either server: stop now, in order
        psutil.wait_procs(left, STOP_SECONDS)
    remove(folder)


def say(answer: dict[str, str]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    what, called, where = sys.argv[1:]
    if what == SWEEPER:
        sweep(Path(where))
    else:
        keep(what, called, Path(where))
