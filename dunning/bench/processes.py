"""Starts programs to be measured, with nothing of this process' environment but what they need."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

WAIT_SECONDS = 60.0


def environment(more: dict[str, str]) -> dict[str, str]:
    """What a child needs of ours, and what it is given."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ} | more


def finish(command: list[str], environ: dict[str, str], *, cwd: Path | None = None) -> str:
    """Run a program to its end; what it said. `RuntimeError` when it failed."""
    done = subprocess.run(
        command, cwd=cwd, env=environment(environ), capture_output=True, text=True, check=False
    )
    if done.returncode:
        message = f"{' '.join(command)}: {done.stderr.strip()[-500:]}"
        raise RuntimeError(message)
    return done.stdout


@contextmanager
def running(
    command: list[str], environ: dict[str, str], port: int, *, cwd: Path | None = None
) -> Iterator[psutil.Process]:
    """A server, from when it listens there to the end of the block."""
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=environment(environ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _await(port, process)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    began = time.monotonic()
    while time.monotonic() - began < WAIT_SECONDS and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    message = f"{process.args!r} did not begin to listen"
    raise RuntimeError(message)


def cpu_seconds(processes: Sequence[psutil.Process]) -> float:
    """What these processes and all that they started have used so far."""
    spent = 0.0
    for process in processes:
        for each in (process, *process.children(recursive=True)):
            try:
                times = each.cpu_times()
            except psutil.NoSuchProcess:
                continue
            spent += times.user + times.system
    return spent
