"""Every crash point there is in the program, read from its source."""

from __future__ import annotations

import ast

from tests.sharing import ROOT


def points() -> list[str]:
    """The names given to `crashpoints.reach`, each of which must be a literal."""
    found = set()
    for path in sorted((ROOT / "dunning").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("crashpoints.reach"):
                (name,) = node.args
                assert isinstance(name, ast.Constant), f"{path}: {ast.unparse(node)}"
                found.add(str(name.value))
    return sorted(found)
