"""The systemd units: by systemdlint, hardened alike, and true of the program they run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from dunning.config.settings import NAMES as VARIABLES
from tests.deploy.reading import DEPLOY, NAMES, refused, stop_seconds

FOLDER = DEPLOY / "systemd"
UNITS = sorted(path.name for path in FOLDER.iterdir() if path.suffix != ".conf")
SERVICES = [name for name in UNITS if name.endswith(".service")]
LASTING = [name for name in SERVICES if "Restart=always" in (FOLDER / name).read_text()]
# systemdlint takes the 7 of 0077 for a right that is given, and asks for delegation of cgroups to
# programs that have none.
MISTAKEN = re.compile(r"\[Security\.(?:UMaskOW|Delegate)\]")
HARDENED = {
    "NoNewPrivileges=yes",
    "CapabilityBoundingSet=",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "ProtectProc=invisible",
    "PrivateTmp=yes",
    "PrivateDevices=yes",
    "PrivateUsers=yes",
    "RestrictNamespaces=yes",
    "RestrictSUIDSGID=yes",
    "LockPersonality=yes",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
    "UMask=0077",
    "User=dunning",
}


def lint(folder: Path) -> list[str]:
    """What systemdlint says of the units of a folder."""
    names = [str(path) for path in sorted(folder.iterdir()) if path.suffix != ".conf"]
    done = subprocess.run(
        [sys.executable, "-m", "systemdlint", "--norootfs", *names],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    lines = (done.stdout + done.stderr).splitlines()
    return [line.removeprefix(f"{folder}/") for line in lines if not MISTAKEN.search(line)]


def setting(name: str, key: str) -> list[str]:
    """Every value of a setting, in order."""
    text = (FOLDER / name).read_text(encoding="utf-8")
    return re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)


def test_systemdlint_finds_nothing() -> None:
    assert lint(FOLDER) == []


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("TimeoutStopSec=40", "TimeoutStopSecs=40"),
        ("Restart=always", "Restart=allways"),
        ("Type=exec", "Type=executable"),
        ("ProtectSystem=strict", "ProtectSystem=very"),
        ("[Service]", "[Sevrice]"),
        ("RestartSec=2", "RestartSec=soon"),
    ],
)
def test_a_mistake_would_be_found(good: str, bad: str, tmp_path: Path) -> None:
    text = (FOLDER / "dunning-web.service").read_text(encoding="utf-8")
    assert good in text
    (tmp_path / "dunning-web.service").write_text(text.replace(good, bad), encoding="utf-8")
    assert lint(tmp_path)


@pytest.mark.parametrize("name", SERVICES)
def test_its_command_and_variables_are_ours(name: str) -> None:
    (start,) = setting(name, "ExecStart")
    program, *arguments = start.split()
    assert program == "/opt/dunning/bin/dunning"
    assert refused(arguments) is None
    text = (FOLDER / name).read_text(encoding="utf-8")
    assert set(NAMES.findall(text)) <= set(VARIABLES)
    assert setting(name, "EnvironmentFile") == ["/etc/dunning/dunning.env"]


@pytest.mark.parametrize("name", SERVICES)
def test_it_is_hardened(name: str) -> None:
    lines = set((FOLDER / name).read_text(encoding="utf-8").splitlines())
    assert lines >= HARDENED


@pytest.mark.parametrize("name", LASTING)
def test_it_comes_back_and_may_stop_in_good_order(name: str) -> None:
    kind = re.split(r"[-@.]", name)[1]
    (seconds,) = setting(name, "TimeoutStopSec")
    assert int(seconds) > stop_seconds(kind)
    assert setting(name, "StartLimitIntervalSec") == ["0"], "it would give up after five starts"
    assert setting(name, "KillSignal") == ["SIGTERM"]


def test_the_kinds_of_process_are_there() -> None:
    assert {re.split(r"[-@.]", name)[1] for name in LASTING} == {"up", "web", "worker", "dispatch"}


def test_units_that_are_named_are_there() -> None:
    for name in UNITS:
        for key in ("Wants", "Requires", "PartOf", "Conflicts", "WantedBy", "Unit"):
            for value in setting(name, key):
                for other in value.split():
                    if other.startswith("dunning"):
                        assert re.sub(r"@.+\.", "@.", other) in UNITS


def test_the_account_is_made() -> None:
    made = (FOLDER / "dunning.sysusers.conf").read_text(encoding="utf-8")
    assert re.search(r"^u dunning ", made, re.MULTILINE)
