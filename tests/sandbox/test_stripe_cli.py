"""The official Stripe CLI drives the sandbox: `stripe trigger` makes the event it promises.

With DUNNING_TEST_STRIPE_CLI naming the program, or `stripe` on the PATH, the real one is run;
without it the requests it sends are sent from a recording, so that nothing is skipped.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dunning.sandbox import Sandbox
from tests.sandbox.cli_requests import TRIGGERS
from tests.sandbox.helpers import call
from tests.sharing import Shared

KEY = "sk_test_1234567890"  # the CLI wants twelve characters or more
NEW_YEAR_2020 = 1_577_836_800  # where the CLI's test clocks begin
# Two triggers are named after what they do, not after the event.
EVENTS = {
    "subscription.payment_failed": "invoice.payment_failed",
    "subscription.payment_succeeded": "invoice.payment_succeeded",
}


@pytest.fixture(scope="module")
def cli(servers: Shared) -> str | None:
    return servers.overrides.get("DUNNING_TEST_STRIPE_CLI") or shutil.which("stripe")


@pytest.fixture(scope="module")
def shared_sandbox() -> Iterator[Sandbox]:
    made = Sandbox(seed=3, start=NEW_YEAR_2020)
    with made.serve():
        yield made


def _happened(sandbox: Sandbox, kind: str, since: int) -> bool:
    """Some events come from the clock's own thread, a moment later."""

    def there() -> bool:
        return any(event.type == kind for event in sandbox.world.events[since:])

    with sandbox.world.changed:
        return sandbox.world.changed.wait_for(there, timeout=10)


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_a_trigger_makes_its_event(
    trigger: str, shared_sandbox: Sandbox, cli: str | None, tmp_path: Path
) -> None:
    since = len(shared_sandbox.world.events)
    if trigger == "test_helpers.test_clock.ready":
        # This one moves time; give it the beginning it expects.
        fresh = Sandbox(seed=3, start=NEW_YEAR_2020)
        with fresh.serve():
            _pull(fresh, trigger, cli, tmp_path)
            assert _happened(fresh, trigger, 0)
        return
    _pull(shared_sandbox, trigger, cli, tmp_path)
    assert _happened(shared_sandbox, EVENTS.get(trigger, trigger), since)


def _pull(sandbox: Sandbox, trigger: str, cli: str | None, home: Path) -> None:
    if cli is None:
        _replay(sandbox, trigger)
        return
    environment = {"HOME": str(home), "XDG_CONFIG_HOME": str(home), "PATH": os.environ["PATH"]}
    command = [cli, "trigger", trigger, "--api-key", KEY, "--api-base", sandbox.url]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _replay(sandbox: Sandbox, trigger: str) -> None:
    answers: dict[str, Any] = {}
    for step in TRIGGERS[trigger]:
        path = "/v1/" + _filled(step.path, answers)
        form = {name: _filled(value, answers) for name, value in step.form.items()}
        if step.method == "GET":
            query = "&".join(f"{name}={value}" for name, value in form.items())
            reply = call(sandbox.url, "GET", f"{path}?{query}")
        else:
            reply = call(sandbox.url, step.method, path, form)
        assert reply.status == step.status, reply
        answers[step.name] = reply.body
        sandbox.settle()


def _filled(text: str, answers: dict[str, Any]) -> str:
    def value(match: re.Match[str]) -> str:
        name, _, field = match[1].partition(".")
        answer = answers[name]
        if field.isdigit():
            return str(answer["data"][int(field)]["id"])
        return str(answer[field or "id"])

    return re.sub(r"\{([\w.]+)\}", value, text)
