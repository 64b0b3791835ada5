"""A receiver carries nothing that it does not need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.secrets import API_KEY, SIGNING

_RECEIVER = f"""
import sys
from pathlib import Path
from dunning.config import load_settings
from dunning.processes import web_server
from dunning.wiring import assemble
from dunning.broker import build_broker
from dunning.worker import Work
given = {{
    "DUNNING_DATABASE_URL": "sqlite:///receiver.db",
    "STRIPE_API_KEY": "{API_KEY}",
    "STRIPE_WEBHOOK_SECRET": "{SIGNING}",
}}
program = assemble(load_settings(given, Path.cwd()), environ=given)
web_server(program, Work(program, build_broker(None)), "127.0.0.1", 0)
assert program.sources["stripe"].provider is not None
program.close()
print(*(name for name in ("stripe", "requests", "alembic") if name in sys.modules))
"""


def test_a_receiver_with_a_key_does_without_the_sdk(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _RECEIVER]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
