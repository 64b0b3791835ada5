"""Starts `dunning web`, `worker` and `dispatch` as processes of their own, and reads their logs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.secrets import WATCH
from tests.servers import clean_environment
from tests.sharing import ROOT
from tests.stages.kit import PATIENCE


class Process:
    """One process of the program, logging JSON."""

    program: tuple[str, ...] = ("-m", "dunning")
    patience = PATIENCE

    def __init__(self, kind: str, environ: Mapping[str, str], folder: Path, *options: str) -> None:
        self.kind = kind
        self.lines: list[str] = []
        self._ready = threading.Event()
        self._process = subprocess.Popen(
            [sys.executable, *self.program, kind, *options],
            cwd=folder,
            env={
                **clean_environment(),
                "PYTHONPATH": str(ROOT),
                "PYTHONUNBUFFERED": "1",
                "DUNNING_LOG_FORMAT": "json",
                **environ,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as pipe:
            for line in pipe:
                self.lines.append(line.rstrip("\n"))
                if ".started" in line:
                    self._ready.set()
        self._ready.set()

    def ready(self) -> dict[str, Any]:
        """Wait for the line that says it has started; what it says."""
        assert self._ready.wait(self.patience), self.said()
        for told in self.logs():
            if told.get("event") == f"{self.kind}.started":
                return told
        raise AssertionError(self.said())

    def logs(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in list(self.lines) if line.startswith("{")]

    def said(self) -> str:
        return "\n".join(self.lines)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Tell it to end; its exit code."""
        if self._process.poll() is None:
            self._process.send_signal(how)
        try:
            code = self._process.wait(self.patience)
        finally:
            self._process.kill()
            self._reader.join(self.patience)
            WATCH.look(f"dunning {self.kind}", self.said())
        return code


@contextmanager
def running(environ: Mapping[str, str], folder: Path) -> Iterator[dict[str, Process]]:
    """The three kinds of process, started."""
    with ExitStack() as stack:
        kinds = {
            "web": ("--port", "0"),
            "worker": ("--threads", "2"),
            "dispatch": (),
        }
        started = {}
        for kind, options in kinds.items():
            started[kind] = Process(kind, environ, folder, *options)
            stack.callback(started[kind].stop)
        for process in started.values():
            process.ready()
        yield started
