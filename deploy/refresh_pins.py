"""Renew the exact versions of everything that set-up installs.

    uv run deploy/refresh_pins.py            # the newest versions that pyproject.toml allows
    uv run deploy/refresh_pins.py --keep     # the pinned ones, after a change of dependencies

Writes the pin lists in pyproject.toml and the hashed deploy/requirements.txt for images. Both
hold names, versions and hashes, never the address of a package registry. Then: uv run pytest.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = "# Written by deploy/refresh_pins.py: what a running dunning needs, with hashes.\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--keep", action="store_true", help="keep the versions pinned now")
    keep = parser.parse_args().keep
    pyproject = ROOT / "pyproject.toml"
    text = pyproject.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "dunning").mkdir()
        for needed in ("README.md", "dunning/__init__.py"):
            shutil.copy(ROOT / needed, folder / needed)
        before = text if keep else with_pins(with_pins(text, "pins", []), "build pins", [])
        (folder / "pyproject.toml").write_text(before, encoding="utf-8")
        after = with_pins(text, "build pins", build_pins(folder, before))
        after = with_pins(after, "pins", locked_pins(folder))
        requirements = exported(folder)
    pyproject.write_text(after, encoding="utf-8")
    (ROOT / "deploy" / "requirements.txt").write_text(HEADER + requirements, encoding="utf-8")


def uv(folder: Path, *arguments: str) -> str:
    program = os.environ.get("UV", "uv")  # `uv run` says where it is itself
    done = subprocess.run(
        [program, "--quiet", *arguments], cwd=folder, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout


def locked_pins(folder: Path) -> list[str]:
    """Every package of every supported Python and system, as uv would lock it."""
    uv(folder, "lock")
    packages = tomllib.loads((folder / "uv.lock").read_text(encoding="utf-8"))["package"]
    versions = sorted((each["name"], each["version"]) for each in packages)
    names = [name for name, _ in versions]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SystemExit(f"one version must do for every Python and system: {', '.join(twice)}")
    return [f"{name}=={version}" for name, version in versions if name != "dunning"]


def build_pins(folder: Path, pyproject: str) -> list[str]:
    requires = tomllib.loads(pyproject)["build-system"]["requires"]
    (folder / "build.in").write_text("\n".join(requires), encoding="utf-8")
    options = ("--universal", "--no-header", "--no-annotate", "--python-version", "3.11")
    lines = uv(folder, "pip", "compile", "build.in", *options).splitlines()
    return sorted(line.partition(";")[0].strip() for line in lines if "==" in line)


def exported(folder: Path) -> str:
    """The closure of the program itself, RabbitMQ included, without tools for development."""
    return uv(
        folder,
        *("export", "--no-emit-project", "--no-dev", "--extra", "rabbitmq", "--no-header"),
        *("--no-annotate", "--format", "requirements-txt"),
    )


def with_pins(text: str, what: str, pins: list[str]) -> str:
    """Replace the list between the two comments that mark it."""
    marked = re.compile(rf"(# {what}: begin\n[a-z-]+ = \[).*?(\]\n# {what}: end\n)", re.DOTALL)
    lines = "".join(f'    "{pin}",\n' for pin in pins)
    replaced, count = marked.subn(
        lambda found: found[1] + ("\n" + lines if pins else "") + found[2], text
    )
    if count != 1:
        raise SystemExit(f"pyproject.toml has no list marked '# {what}: begin'")
    return replaced


if __name__ == "__main__":
    main()
