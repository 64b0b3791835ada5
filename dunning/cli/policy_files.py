"""The policy file a command is about: which one it is, and what is wrong with it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dunning.errors import NotFoundError

if TYPE_CHECKING:
    from dunning.config import PolicyFile
    from dunning.core.policy import Policy

_PROBLEM = re.compile(r"(?P<file>.*?):(?P<line>\d+):(?P<column>\d+): (?P<message>.*)", re.DOTALL)

FileArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="[FILE]",
        help="The file; DUNNING_POLICY_FILE, else the built-in default, if left out.",
        show_default=False,
    ),
]


def load_file(file: Path | None) -> PolicyFile:
    """Read the file with the messages there are; what its sources' variables hold is not asked."""
    from dunning.config import load_policy_file, read_environment
    from dunning.messages import Messages

    environ = read_environment(os.environ, Path.cwd())
    templates = environ.get("DUNNING_TEMPLATES", "").strip()
    if file is None and (named := environ.get("DUNNING_POLICY_FILE", "").strip()):
        file = Path(named)
    names = Messages(Path(templates) if templates else None).names()
    return load_policy_file(file, environ=None, known_templates=names)


def policy_named(file: PolicyFile, name: str) -> Policy:
    """That policy of the file, or the nearest name in the complaint."""
    from dunning.config.problems import nearest

    if name in file.policies:
        return file.policies[name]
    meant = nearest(name, file.policies)
    hint = f". Did you mean '{meant}'?" if meant else ""
    message = f"no policy {name!r} in {file.filename}; it has {', '.join(file.policies)}{hint}"
    raise NotFoundError(message)


def problems(text: str) -> list[dict[str, Any]]:
    """The problems of a file one by one, with their places."""
    found: list[dict[str, Any]] = []
    for line in text.splitlines():
        if line.startswith("    ") and found:
            continue  # the line of the file, and the caret under it
        place = _PROBLEM.fullmatch(line)
        if place is None:
            found.append({"file": None, "line": None, "column": None, "message": line})
        else:
            numbers = {name: int(place[name]) for name in ("line", "column")}
            found.append({"file": place["file"], **numbers, "message": place["message"]})
    return found
