"""The environment, with the `.env` file of the working directory behind it."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dotenv.parser import parse_stream

FILE = ".env"
MAX_BYTES = 1_000_000
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


@dataclass(slots=True)
class Environment:
    """Values by name; `lines` says where in `.env` a value stands, if it does."""

    values: dict[str, str] = field(default_factory=dict, repr=False)
    lines: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def get(self, name: str) -> str:
        """The value without surrounding space. Empty is the same as absent."""
        return self.values.get(name, "").strip()

    def place(self, name: str) -> str:
        """The variable's name for a message, with the line of `.env` it came from."""
        return f"{FILE}:{self.lines[name]}: {name}" if name in self.lines else name


def read_environment(environ: Mapping[str, str], cwd: Path) -> dict[str, str]:
    """The environment with `.env` behind it, as `load_policies` wants it."""
    return join_environment(environ, cwd).values


def join_environment(environ: Mapping[str, str], cwd: Path) -> Environment:
    """Read `.env` if there is one; the real environment wins, even with an empty value."""
    found = Environment()
    path = cwd / FILE
    if path.is_file():
        _read_file(path, found)
    for name, value in environ.items():
        found.values[name] = value
        found.lines.pop(name, None)
    return found


def _read_file(path: Path, found: Environment) -> None:
    with path.open("rb") as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        found.problems.append(f"{FILE}: more than {MAX_BYTES} bytes; expected lines NAME=value")
        return
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        found.problems.append(f"{FILE}: not UTF-8; expected a UTF-8 text file")
        return
    # The parser alone: no `${…}` is filled in, as `$` is a good character of a password.
    for binding in parse_stream(io.StringIO(text)):
        written = binding.original.string
        # The parser counts empty lines ahead of a value as a part of it.
        line = binding.original.line + written[: -len(written.lstrip()) or None].count("\n")
        name, value = binding.key, binding.value
        if binding.error or (name is not None and (value is None or not _NAME.match(name))):
            found.problems.append(f"{FILE}:{line}: cannot be read; expected NAME=value")
        elif name is not None and name in found.values:
            first = found.lines[name]
            found.problems.append(f"{FILE}:{line}: {name}: is set twice; first in line {first}")
        elif name is not None and value is not None:
            found.values[name] = value
            found.lines[name] = line
