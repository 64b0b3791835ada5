"""Settings out of a `.env` file: what it may hold, and what wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from dunning.config import Secret, load_settings, read_environment
from dunning.errors import ConfigError

LIVE = "sk_live_51HunterHunter"
TEST = "sk_test_51HunterHunter"
KEY = "k" * 31 + "!"
SIGNING = "0123456789abcdef" * 2


def problems(cwd: Path, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_settings(environ, cwd)
    return str(caught.value).splitlines()


def test_the_file_stands_behind_the_environment(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "# ours\nDUNNING_LOG_LEVEL=debug # why\nexport DUNNING_COMPANY='A # B'\n"
        "DUNNING_LEASE_SECONDS=30\nDUNNING_SMTP_URL=  # not yet\nOTHER=1\n",
        encoding="utf-8-sig",
    )
    settings = load_settings({"DUNNING_LEASE_SECONDS": "40"}, tmp_path)
    assert (settings.log_level, settings.company) == ("debug", "A # B")
    assert settings.lease_seconds == 40
    assert settings.smtp_url is None
    environ = read_environment({"DUNNING_LEASE_SECONDS": "40"}, tmp_path)
    assert (environ["OTHER"], environ["DUNNING_LEASE_SECONDS"]) == ("1", "40")


def test_an_empty_variable_hides_the_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DUNNING_COMPANY=A\n")
    assert load_settings({"DUNNING_COMPANY": ""}, tmp_path).company is None


def test_dollars_in_the_file_stay(tmp_path: Path) -> None:
    secret = "a$b${HOME}c" * 4
    (tmp_path / ".env").write_text(f"DUNNING_SECRET_KEY={secret}\n")
    assert load_settings({"HOME": "/x"}, tmp_path).secret_keys == (Secret(secret),)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\nDUNNING_LOG_LEVEL=loud\n", ".env:2: DUNNING_LOG_LEVEL: 'loud' is not a level"),
        (b"DUNNING_DATABSE_URL=x\n", ".env:1: DUNNING_DATABSE_URL: there is no such variable."),
        (b"DUNNING_COMPANY\n", ".env:1: cannot be read; expected NAME=value"),
        (b"# a\nDUNNING_COMPANY: hunter\n", ".env:2: cannot be read; expected NAME=value"),
        (b"A=1\nDUNNING_COMPANY='hunter\n", ".env:2: cannot be read"),
        (b"DUNNING_COMPANY=A\n\nDUNNING_COMPANY=B\n",
         ".env:3: DUNNING_COMPANY: is set twice; first in line 1"),
        ("DUNNING_COMPANY=A\n".encode("utf-16"), ".env: not UTF-8; expected a UTF-8 text file"),
        (b"#" * 1_000_001, ".env: more than 1000000 bytes"),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
def test_a_file_that_is_wrong(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(content)
    (problem,) = problems(tmp_path)
    assert problem.startswith(message)
    assert "hunter" not in problem
