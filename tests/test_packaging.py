"""What set-up installs is pinned exactly, and images get the same, with hashes."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
RENEW = "run: uv run deploy/refresh_pins.py --keep"
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
ADDRESS = re.compile(r"py[p]i\.|python[h]osted|/simple\b|index-url|find-links|uv\.index")


def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def exact(requirements: list[str]) -> dict[str, str]:
    """Name and version of requirements that allow one version only."""
    pins: dict[str, str] = {}
    for line in requirements:
        name, equals, version = line.partition("==")
        assert equals, f"{line} is not exact; {RENEW}"
        assert re.fullmatch(r"[0-9][0-9A-Za-z.!+]*", version), line
        pins[canonicalize_name(name.partition("[")[0])] = version
    return pins


def constraints() -> dict[str, str]:
    return exact(pyproject()["tool"]["uv"]["constraint-dependencies"])


def exported() -> dict[str, str]:
    """Name and version of every line of the list for images; each must carry hashes."""
    text = (ROOT / "deploy" / "requirements.txt").read_text(encoding="utf-8")
    pins: dict[str, str] = {}
    for entry in text.replace("\\\n", " ").splitlines():
        if entry.strip() and not entry.startswith("#"):
            requirement = Requirement(HASH.sub("", entry))
            assert HASH.search(entry), f"{requirement.name} has no hash; {RENEW}"
            pins[canonicalize_name(requirement.name)] = str(requirement.specifier)[2:]
    return pins


def installed_closure(requirements: list[str]) -> dict[str, str]:
    """Everything these bring along on this machine, with its version."""
    found: dict[str, str] = {}
    seen: set[str] = set()
    waiting = [Requirement(each) for each in requirements]
    while waiting:
        needed = waiting.pop()
        if str(needed) in seen:
            continue
        seen.add(str(needed))
        distribution = importlib.metadata.distribution(needed.name)
        found[canonicalize_name(needed.name)] = distribution.version
        for line in distribution.requires or []:
            further = Requirement(line)
            extras = needed.extras or {""}
            marker = further.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(further)
    return found


def test_everything_installed_is_pinned_and_as_pinned() -> None:
    data = pyproject()
    installed = installed_closure(
        data["project"]["dependencies"] + data["dependency-groups"]["dev"]
    )
    pinned = constraints()
    wrong = {name: version for name, version in installed.items() if pinned.get(name) != version}
    assert wrong == {}, f"not pinned, or another version installed; {RENEW}"


def test_images_install_what_the_tests_ran_with() -> None:
    pinned = constraints()
    wrong = {name: version for name, version in exported().items() if pinned.get(name) != version}
    assert wrong == {}, f"deploy/requirements.txt and pyproject.toml disagree; {RENEW}"


def test_images_install_all_that_the_program_needs_and_no_tools() -> None:
    data = pyproject()
    names = set(exported())
    needed = set(installed_closure(data["project"]["dependencies"]))
    assert needed - names == set(), RENEW
    tools = {canonicalize_name(Requirement(each).name) for each in data["dependency-groups"]["dev"]}
    assert names & (tools - needed) == set()


def test_the_build_is_pinned() -> None:
    data = pyproject()
    pinned = exact(data["tool"]["uv"]["build-constraint-dependencies"])
    assert exact(data["build-system"]["requires"]).items() <= pinned.items()


@pytest.mark.parametrize("name", ["pyproject.toml", "deploy/requirements.txt"])
def test_no_address_of_a_registry_is_written_down(name: str) -> None:
    assert ADDRESS.findall((ROOT / name).read_text(encoding="utf-8")) == []


def test_no_version_of_a_direct_dependency_is_left_open() -> None:
    data = pyproject()["project"]
    optional = [each for group in data["optional-dependencies"].values() for each in group]
    for line in data["dependencies"] + optional:
        assert Requirement(line).specifier, line
