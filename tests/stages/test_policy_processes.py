"""Real processes: what is in force changes under them, by a file and by a command."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests

from dunning.config import read_policy_text
from dunning.in_force import hash_of
from tests.secrets import SIGNING, WATCH
from tests.servers import clean_environment
from tests.sharing import ROOT
from tests.stages.kit import eventually
from tests.stages.running import Process

FIRST = read_policy_text(None)[0]
SECOND = FIRST.replace("grace: 14d", "grace: 13d")
THIRD = FIRST.replace("grace: 14d", "grace: 12d")

# Processes start; on a busy machine that takes its time.
pytestmark = pytest.mark.timeout(400)


class Machine:
    """A machine with a policy file and a process of its own, on the one database."""

    def __init__(self, folder: Path, database: str, stack: ExitStack) -> None:
        folder.mkdir()
        self.folder = folder
        self.file = folder / "policies.yaml"
        self.file.write_text(FIRST)
        self.environ = {
            "DUNNING_DATABASE_URL": database,
            "DUNNING_POLICY_FILE": str(self.file),
            "STRIPE_WEBHOOK_SECRET": SIGNING,
        }
        self.process = Process("up", self.environ, folder, "--port", "0")
        stack.callback(self.process.stop)
        self.url = self.process.ready()["health"].removesuffix("/readyz")

    def policy(self) -> Any:
        return requests.get(f"{self.url}/readyz", timeout=30).json()["policy"]

    def goes_by(self, text: str) -> bool:
        return bool(self.policy()["in_force"] == hash_of(text))

    def puts(self, text: str) -> None:
        """Ops put another file there, whole."""
        beside = self.folder / "new.yaml"
        beside.write_text(text)
        beside.replace(self.file)

    def runs(self, *arguments: str) -> str:
        """A command, typed on this machine."""
        done = subprocess.run(
            [sys.executable, "-m", "dunning", *arguments],
            cwd=self.folder,
            env={**clean_environment(), "PYTHONPATH": os.fspath(ROOT), **self.environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )
        WATCH.look("a command", done.stdout + done.stderr)
        assert done.returncode == 0, done.stderr
        return done.stdout


def test_every_process_follows_what_is_in_force(migrated_url: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        one = Machine(tmp_path / "one", migrated_url, stack)
        other = Machine(tmp_path / "other", migrated_url, stack)
        both = (one, other)
        eventually(lambda: all(each.goes_by(FIRST) for each in both), "the first file")

        one.puts(SECOND)
        eventually(lambda: all(each.goes_by(SECOND) for each in both), "a changed file")

        (one.folder / "third.yaml").write_text(THIRD)
        one.runs("policy", "apply", "third.yaml", "--why", "a trial", "--yes")
        eventually(lambda: all(each.goes_by(THIRD) for each in both), "by a command")

        other.runs("policy", "rollback", "--why", "enough", "--yes")
        eventually(lambda: all(each.goes_by(SECOND) for each in both), "back again")

        other.puts(FIRST.replace("do: retry", "do: retyr"))
        eventually(lambda: other.policy()["refused"], "a wrong file is named")
        assert "retyr" in other.policy()["refused"][0]["what"]
        assert all(each.goes_by(SECOND) for each in both)
        told = [line["event"] for line in other.process.logs()]
        assert told.count("policy.refused") == 1
        history = one.runs("policy", "history", "--format", "csv")
        kinds = [line.split(",")[2] for line in history.splitlines()[1:]]
        assert kinds == ["rollback", "apply", "file", "first"]
