"""Help, usage errors, exit codes, pipes, and what a command must not load."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dunning import __version__
from dunning.cli.app import ORDER, command
from dunning.cli.entry import redacted
from tests.cli.conftest import Books, Shell
from tests.secrets import MARK


def every_command() -> list[list[str]]:
    found: list[list[str]] = [[]]
    for name, one in command().commands.items():
        found.append([name])
        found += [[name, under] for under in getattr(one, "commands", {})]
    return found


@pytest.mark.parametrize("path", every_command(), ids=" ".join)
def test_every_command_has_a_help_text(shell: Shell, path: list[str]) -> None:
    said = shell(*path, "--help")
    assert "Usage: dunning" in said.out
    assert said.err == ""


def test_every_command_is_in_the_order() -> None:
    assert set(ORDER) == set(command().commands)


def test_alone_it_shows_what_a_newcomer_needs_first(shell: Shell) -> None:
    said = shell()
    places = [said.out.index(f"│ {name} ") for name in ORDER]
    assert places == sorted(places)
    assert "dunning demo" in said.out


def test_the_version(shell: Shell) -> None:
    assert shell("--version").out == f"dunning {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["frob"], "No such command 'frob'"),
        (["cases", "lst"], "No such command 'lst'"),
        (["cases", "list", "--stat", "x"], "--state"),
        (["cases", "list", "--state", "opn"], "'opn' is not one of"),
        (["cases", "show"], "Missing argument 'ID'"),
        (["cases", "hold", "case_x"], "Missing option '--why'"),
        (["up", "--port", "70000"], "less than or equal to 65535"),
        (["inbox", "replay"], "name the webhooks, or say --parked"),
        (["report", "lost", "--format", "xlsx"], "--output FILE.xlsx"),
        (["report", "lost", "--output", "x"], "choose --format csv, html, json or xlsx"),
        (["report", "lost", "--since", "soon"], "'soon' is no day"),
        (["report", "lost", "--currency", "euro"], "not a currency: 'euro'"),
        (["policy", "preview", "--amount", "many"], "not a number: 'many'"),
        (["policy", "preview", "--amount", "0"], "0 is not above zero"),
        (["policy", "preview", "--amount", "1", "--timezone", "Mars"], "no time zone"),
        (["policy", "preview", "--amount", "1", "--failed-at", "x"], "'x' is no time"),
        (["message", "preview", "reminder", "--advice", "pray"], "'pray' is not one of"),
        (["sandbox", "--secret", "whsec_1"], "--webhook, which is not given"),
        (["sandbox", "--webhook", "localhost"], "begins with http://"),
    ],
    ids=lambda each: "-".join(each) if isinstance(each, list) else "",
)
def test_a_mistake_on_the_command_line_is_one_line_and_exit_2(
    shell: Shell, arguments: list[str], words: str
) -> None:
    said = shell(*arguments, code=2)
    assert words in said.complaint
    assert "--help`)" in said.complaint
    assert said.out == ""


def test_a_fault_of_ours_is_one_line_until_debug_is_asked_for(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object) -> None:
        raise ZeroDivisionError(f"sk_test_{MARK}ABC and postgresql://u:{MARK}@host")

    monkeypatch.setattr("dunning.cli.opening.load", broken)
    monkeypatch.setattr("dunning.cli.message.load", broken)
    said = shell("message", "preview", "reminder", code=1)
    assert said.complaint.startswith("ZeroDivisionError: ")
    assert "--debug" in said.complaint
    traced = shell("message", "preview", "reminder", "--debug", code=1)
    assert traced.err.startswith("Traceback")
    shell.env(DUNNING_LOG_LEVEL="debug")
    assert shell("message", "preview", "reminder", code=1).err.startswith("Traceback")


def test_a_key_in_a_message_is_starred() -> None:
    assert (
        redacted("sk_live_abc pi_1_secret_2 x://u:p@h") == "sk_**** pi_1_secret_**** x://u:****@h"
    )


# --- processes of their own ------------------------------------------------------------------


def typed(
    folder: Path, *arguments: str, code: str = "", **env: str
) -> subprocess.CompletedProcess[str]:
    begin = ["-c", code] if code else ["-m", "dunning", *arguments]
    return subprocess.run(
        [sys.executable, *begin],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path.cwd()), **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "arguments", [["--help"], ["policy", "check"], ["policy", "preview", "--amount", "49"]]
)
def test_what_needs_no_database_does_not_load_one(tmp_path: Path, arguments: list[str]) -> None:
    code = (
        "import sys\nfrom dunning.cli.entry import run\n"
        f"assert run({arguments!r}) == 0\n"
        "heavy = {'sqlmodel', 'sqlalchemy', 'stripe', 'dramatiq', 'uvicorn', 'alembic'}\n"
        "sys.exit(sorted(heavy & sys.modules.keys()) or None)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode == 0


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_a_reader_that_has_enough_ends_it_without_a_word(
    books: Books, migrated_url: str, form: str
) -> None:
    books.failing()
    process = subprocess.Popen(
        [sys.executable, "-m", "dunning", "cases", "list", "--format", form],
        cwd=Path(__file__).parents[2],
        env={"PATH": os.environ["PATH"], "DUNNING_DATABASE_URL": migrated_url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (141, "")
