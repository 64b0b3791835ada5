"""`up`, `web`, `worker`, `dispatch`, `sandbox` and `demo`, started and stopped as people do."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from dunning.broker import patient
from dunning.sandbox.sandbox import Sandbox
from tests.cli.conftest import Books, Shell
from tests.secrets import MARK, SIGNING, WATCH

ROOT = Path(__file__).parents[2]


class Process:
    """A command that goes on until it is stopped."""

    def __init__(self, folder: Path, arguments: tuple[str, ...], env: dict[str, str]) -> None:
        self.told: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "dunning", *arguments],
            cwd=folder,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(ROOT),
                "PYTHONUNBUFFERED": "1",
                **env,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def until(self, words: str) -> str:
        """Read on until a line has these words; the whole text so far."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.told.append(line)
            if words in line:
                return "".join(self.told)
        raise AssertionError(f"never said {words!r}:\n{''.join(self.told)}")

    def stop(self, number: signal.Signals) -> tuple[int, str]:
        """The exit code after this signal, and all that was said."""
        self._process.send_signal(number)
        return self.ended()

    def ended(self) -> tuple[int, str]:
        """The exit code, and all that was said."""
        out, _ = self._process.communicate(timeout=60)
        said = "".join(self.told) + (out or "")
        assert "Traceback" not in said, said
        WATCH.look("a command", said)
        return self._process.returncode, said

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


@contextmanager
def started(folder: Path, *arguments: str, **env: str) -> Iterator[Process]:
    process = Process(folder, arguments, env)
    try:
        yield process
    finally:
        process.kill()


def test_up_with_only_a_webhook_secret_decides_and_shows(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with started(
        tmp_path, "up", "--port", "0", "--data", str(data), STRIPE_WEBHOOK_SECRET=SIGNING
    ) as process:
        said = process.until("cases list")
        assert "decides and shows, does not act: no API key" in said
        assert f"sqlite:///{data}/dunning.db" in said
        assert "emails" in said
        (health,) = re.findall(r"http://\S+/readyz", said)
        assert requests.get(health, timeout=10).json()["ready"] is True
        assert process.stop(signal.SIGTERM)[0] == 0


def test_up_beside_a_sandbox_acts_on_its_clock(tmp_path: Path) -> None:
    sandbox = Sandbox(seed=1)
    with (
        sandbox.serve() as url,
        started(
            tmp_path, "up", "--port", "0", "--sandbox", url, STRIPE_WEBHOOK_SECRET=SIGNING
        ) as process,
    ):
        said = process.until("cases list")
        assert "acts, in test mode" in said
        assert "by its clock it is 2026-01-01 00:00 UTC" in said
        assert process.stop(signal.SIGINT)[0] == 0


def test_up_says_what_is_missing(shell: Shell) -> None:
    complaint = shell("up", code=1).complaint
    assert "set STRIPE_WEBHOOK_SECRET" in complaint
    assert "Add endpoint" in complaint
    assert not (shell.folder / "dunning-data").exists()


def test_the_sandbox_and_a_live_key_are_refused(shell: Shell) -> None:
    shell.env(STRIPE_API_KEY=f"rk_live_{MARK}", STRIPE_WEBHOOK_SECRET=SIGNING)
    for command in ("up", "web", "worker", "dispatch"):
        complaint = shell(command, "--sandbox", "http://127.0.0.1:9", code=1).complaint
        assert "the sandbox together with a live key" in complaint


def test_a_port_that_is_taken(shell: Shell) -> None:
    shell.env(STRIPE_WEBHOOK_SECRET=SIGNING)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert "cannot listen on" in shell("up", "--port", port, code=1).complaint
        assert "cannot listen on" in shell("sandbox", "--port", port, code=1).complaint


@pytest.mark.parametrize("command", ["web", "worker", "dispatch"])
def test_apart_they_need_a_broker_and_tables(
    database_url: str, tmp_path: Path, command: str
) -> None:
    env = {"STRIPE_WEBHOOK_SECRET": SIGNING, "DUNNING_DATABASE_URL": database_url}
    options = ["--port", "0"] if command == "web" else []
    with started(tmp_path, command, *options, **env) as process:
        code, said = process.ended()
        assert (code, said.count("\n")) == (1, 1)
        assert "DUNNING_BROKER_URL is not set" in said
    env["DUNNING_BROKER_URL"] = f"redis://:{MARK}@127.0.0.1:9/0"
    with started(tmp_path, command, *options, **env) as process:
        code, said = process.ended()
        assert (code, said.count("\n")) == (1, 1)
        assert "dunning migrate" in said


def test_web_worker_and_dispatch(
    books: Books, migrated_url: str, redis_url: str, tmp_path: Path
) -> None:
    env = {
        "STRIPE_WEBHOOK_SECRET": SIGNING,
        "DUNNING_DATABASE_URL": migrated_url,
        "DUNNING_BROKER_URL": redis_url,
    }
    for command, words in (
        (("web", "--port", "0"), "/webhooks/stripe"),
        (("worker", "--threads", "2"), "2 threads"),
        (("dispatch", "--window", "9"), "at most 9 cases at once"),
    ):
        with started(tmp_path, *command, **env) as process:
            process.until("policies")
            code, said = process.stop(signal.SIGTERM)
            assert (code, words in said) == (0, True), said


def test_logs_as_json_have_no_banner(tmp_path: Path) -> None:
    with started(
        tmp_path, "up", "--port", "0", STRIPE_WEBHOOK_SECRET=SIGNING, DUNNING_LOG_FORMAT="json"
    ) as process:
        said = process.until("up.started")
        assert all(json.loads(line)["event"] for line in said.splitlines())
        assert process.stop(signal.SIGTERM)[0] == 0


def test_the_sandbox_says_how_it_is_used(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    with started(
        tmp_path, "sandbox", "--port", port, "--webhook", "http://127.0.0.1:9/webhooks/stripe",
        "--secret", "whsec_mine", "--start", "2026-05-01",
    ) as process:  # fmt: skip
        said = process.until("GET books")
        for words in (
            "2026-05-01 00:00 UTC",
            "whsec_mine",
            f"dunning up --sandbox http://127.0.0.1:{port}",
            "pm_card_chargeCustomerFail",
            "charges/next",
        ):
            assert words in said, words
        assert process.stop(signal.SIGINT)[0] == 0


def test_demo_is_handed_what_was_asked(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def run(**options: Any) -> int:
        asked.append(options)
        return 1 if options["once"] else 0

    monkeypatch.setitem(sys.modules, "dunning.demo", types.SimpleNamespace(run=run))
    shell("demo")
    shell(
        "demo", "--customers", "5", "--days", "9", "--seed", "3", "--format", "json", "--once",
        "--data", "d", code=1,
    )  # fmt: skip
    assert asked == [
        {"customers": 200, "days": 45, "seed": 7, "format": "table", "once": False, "data": None},
        {"customers": 5, "days": 9, "seed": 3, "format": "json", "once": True, "data": Path("d")},
    ]


NO_RABBITMQ = """
import sys
sys.modules["pika"] = None
from dunning.cli import main
sys.argv = ["dunning", "worker"]
main()
"""


@pytest.mark.parametrize("backend", ["postgresql"])
def test_rabbitmq_without_its_package_says_what_to_install(
    migrated_url: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", NO_RABBITMQ],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "DUNNING_DATA": str(tmp_path),
            "DUNNING_DATABASE_URL": migrated_url,
            "DUNNING_BROKER_URL": f"amqp://guest:{MARK}@127.0.0.1:9/",
            "STRIPE_WEBHOOK_SECRET": SIGNING,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    WATCH.look("dunning worker", done.stdout + done.stderr)
    assert done.returncode == 1
    assert "install dunning[rabbitmq]" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("amqp://u:p@h:5672/v", "socket_timeout=5.0"),
        ("amqps://h/?socket_timeout=9&heartbeat=30", "socket_timeout=9"),
    ],
)
def test_rabbitmq_is_not_waited_for_without_end(url: str, asked: str) -> None:
    patiently = patient(url)
    assert patiently.startswith(url.partition("?")[0])
    assert asked in patiently
    assert "blocked_connection_timeout=5.0" in patiently
    assert patient(patiently) == patiently
