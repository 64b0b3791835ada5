"""Other programs that do a part of the same work, each in an environment of its own.

The scripts beside this file run there, with their own libraries and none of ours.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

FOLDER = Path(__file__).parent
INSTALL_SECONDS = 300


class PeerUnavailableError(Exception):
    """A peer could not be installed here; its ratios are not measured."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A program to compare with: what to install, at which versions."""

    name: str
    packages: tuple[str, ...]

    @property
    def versions(self) -> str:
        """What is measured, for the report."""
        return ", ".join(self.packages)

    def python(self) -> str:
        """The interpreter of its environment, which is made on the first call."""
        folder = _cache() / f"{self.name}-{crc32(self.versions.encode()):08x}"
        python, done = folder / "bin" / "python", folder / "installed"
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.parent.mkdir(parents=True, exist_ok=True)
            self._install(folder, python)
            done.write_text(self.versions)
        return str(python)

    def _install(self, folder: Path, python: Path) -> None:
        uv = os.environ.get("UV") or shutil.which("uv")
        try:
            if uv:
                _run([uv, "venv", "-q", "--python", sys.executable, str(folder)])
                _run([uv, "pip", "install", "-q", "--python", str(python), *self.packages])
            else:
                venv.create(folder, with_pip=True)
                _run([str(python), "-m", "pip", "install", "-q", *self.packages])
        except (OSError, subprocess.SubprocessError) as error:
            shutil.rmtree(folder, ignore_errors=True)
            why = getattr(error, "stderr", None) or str(error)
            message = f"{self.name} could not be installed: {str(why).strip()[-200:]}"
            raise PeerUnavailableError(message) from None


def _run(command: list[str]) -> None:
    # Elsewhere than in a checkout, whose own pins would hold for the peer as well.
    subprocess.run(
        command, cwd=_cache(), check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS
    )


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home, "dunning-bench")


DJ_STRIPE = Peer("dj-stripe", ("dj-stripe==2.11.0", "gunicorn==27.0.1", "psycopg[binary]==3.3.9"))
FASTAPI = Peer(
    "fastapi",
    (
        "fastapi==0.165.0",
        "stripe==16.1.0",
        "uvicorn[standard]==0.54.0",
        "psycopg[binary,pool]==3.3.9",
    ),
)
PROCRASTINATE = Peer("procrastinate", ("procrastinate==3.10.0",))
CELERY = Peer("celery", ("celery[redis]==5.7.0",))
PGQUEUER = Peer("pgqueuer", ("pgqueuer[asyncpg]==1.6.0",))
HUEY = Peer("huey", ("huey==3.5.4",))
APSCHEDULER = Peer("apscheduler", ("apscheduler==3.11.3", "sqlalchemy==2.1.9"))
