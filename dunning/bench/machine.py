"""What this machine can do at best: the limits our figures stand beside."""

from __future__ import annotations

import os
import platform
import re
import sqlite3
import subprocess
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from dunning.bench.servers import Postgres, clean_environment

FSYNC_BYTES = 8192
# A row as large as an event.
_INSERT = "INSERT INTO bench_rows (body) VALUES (convert_to(repeat('x', 2500), 'UTF8'));\n"
_TPS = re.compile(r"tps = ([\d.]+)")
OURS = ("dunning", "stripe", "dramatiq", "redis", "sqlalchemy", "psycopg", "starlette", "uvicorn")


def described() -> dict[str, Any]:
    """Which machine this is, and the versions of what is measured."""
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "load_before": round(os.getloadavg()[0], 2),
        "versions": {name: _version(name) for name in OURS},
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "?"


def fsyncs(folder: Path, seconds: float = 1.0) -> int:
    """How often a second a write can be made durable here, one after the other."""
    with tempfile.TemporaryFile(dir=folder) as file:
        page, done, began = b"x" * FSYNC_BYTES, 0, time.perf_counter()
        while (spent := time.perf_counter() - began) < seconds:
            os.pwrite(file.fileno(), page, 0)
            os.fdatasync(file.fileno())
            done += 1
    return round(done / spent)


def pgbench(server: Postgres, *, clients: int, seconds: int) -> float:
    """Commits per second of single-row inserts by so many clients: what the database can do."""
    url = server.url.replace("postgresql+psycopg://", "postgresql://")
    table = "CREATE TABLE IF NOT EXISTS bench_rows (id bigserial PRIMARY KEY, body bytea);"
    _run([server.program("psql"), url, "-q", "-c", table])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "insert.sql")
        file.write_text(_INSERT)
        options = ["-n", "-M", "prepared", "-c", str(clients), "-j", "2", "-T", str(seconds)]
        said = _run([server.program("pgbench"), *options, "-f", str(file), url])
    _run([server.program("psql"), url, "-q", "-c", "DROP TABLE bench_rows"])
    found = _TPS.search(said)
    return float(found[1]) if found else 0.0


def _run(command: list[str]) -> str:
    done = subprocess.run(
        command, env=clean_environment(), capture_output=True, text=True, check=True
    )
    return done.stdout
