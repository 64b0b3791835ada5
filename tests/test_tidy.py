"""The house rules that no linter knows: sizes, words, clocks, and what the repository may hold."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent

FUNCTION_LINES = 70
MODULE_LINES = 400
LINE_CHARACTERS = 100

TOP_LEVEL = {"README.md", "deploy", "docs", "dunning", "pyproject.toml", "tests"}

# What the core may import: the standard library less what is not pure, and the tree of exceptions.
IMPURE = {
    *("asyncio", "http", "logging", "multiprocessing", "os", "pathlib", "random", "secrets"),
    *("shutil", "smtplib", "socket", "sqlite3", "subprocess", "tempfile", "threading", "time"),
    *("urllib", "uuid"),
}
CORE_MAY_IMPORT = ("dunning.core", "dunning.errors")

# A migration is a flat page that nobody edits later; it takes no input, and DDL no parameters.
MIGRATIONS = "dunning/migrations/versions/"

# Where the machine may be asked for the time; anyone else is handed `now`.
CLOCKS = {"dunning/clock.py"}
ASKS_THE_TIME = re.compile(
    r"(?:^|\.)(?:datetime\.(?:now|utcnow|today)|date\.today|time\.(?:time|time_ns)"
    r"|func\.(?:now|current_timestamp|current_date|localtimestamp))$"
)
SKIPS = re.compile(r"(?:^|\.)pytest\.(?:mark\.(?:skip|skipif|xfail)|skip|xfail|importorskip)$")
RUNS_SQL = re.compile(r"(?:^|\.)(?:text|execute|executemany|executescript|exec_driver_sql)$")

# One word per thing: these mean a case, a retry, involuntary churn and a hold.
OTHER_WORDS = re.compile(r"campaign|recharge|reattempt|passive_?churn|snooze", re.IGNORECASE)

# The letters in brackets keep this file from finding itself.
FOREIGN = re.compile(
    r"(?<![\w.])/wor[k]/|\.\./share[d]|py[p]i\.org|python[h]osted|registry\.npm[j]s|/simple/\s*$",
    re.IGNORECASE | re.MULTILINE,
)


class Module(NamedTuple):
    """A Python file of the repository, read once."""

    path: str
    text: str
    tree: ast.Module

    def at(self, node: ast.AST, what: str) -> str:
        return f"{self.path}:{getattr(node, 'lineno', 1)}: {what}"


@functools.cache
def repository() -> list[str]:
    """Every file that is or would be kept in git; without git, every file that is not hidden."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        names = listed.stdout.splitlines()
    else:
        names = [path.relative_to(ROOT).as_posix() for path in ROOT.rglob("[!.]*")]
        names = [name for name in names if not re.search(r"(^|/)(\.|__pycache__)|^uv\.lock$", name)]
    return sorted(name for name in names if (ROOT / name).is_file())


@functools.cache
def modules(*folders: str) -> list[Module]:
    chosen = folders or ("dunning/", "tests/", "deploy/")
    found = []
    for name in repository():
        if name.endswith(".py") and name.startswith(chosen):
            text = (ROOT / name).read_text(encoding="utf-8")
            found.append(Module(name, text, ast.parse(text)))
    return found


def nodes(*folders: str) -> Iterator[tuple[Module, ast.AST]]:
    for module in modules(*folders):
        for node in ast.walk(module.tree):
            yield module, node


def dotted(node: ast.AST) -> str:
    """`datetime.datetime.now` for an attribute of an attribute; `?` for what has no name."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def imports(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name
        elif isinstance(node, ast.ImportFrom):
            yield node, "." * node.level + (node.module or "")


def nothing(wrong: list[str], advice: str = "these break a rule of the house") -> None:
    """Fail with every breach on a line of its own."""
    assert not wrong, "\n".join([f"{advice}:", *wrong])


def test_functions_are_short() -> None:
    long = []
    for module, node in nodes():
        if module.path.startswith(MIGRATIONS):
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES:
                long.append(module.at(node, f"{node.name} has {lines} lines"))
    nothing(long, f"split what has more than {FUNCTION_LINES} lines")


def test_modules_are_short_and_lines_fit() -> None:
    long = []
    for module in modules():
        lines = module.text.splitlines()
        if len(lines) > MODULE_LINES:
            long.append(f"{module.path}: {len(lines)} lines of at most {MODULE_LINES}")
        for number, line in enumerate(lines, 1):
            if len(line) > LINE_CHARACTERS:
                long.append(f"{module.path}:{number}: {len(line)} characters")
    nothing(long)


def test_every_module_says_what_it_is_for() -> None:
    nothing([module.path for module in modules() if not ast.get_docstring(module.tree)])


def test_every_public_name_of_the_core_is_explained() -> None:
    silent = []
    for module in modules("dunning/core/"):
        for node in module.tree.body:
            kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
            if not isinstance(node, kinds) or node.name.startswith("_"):
                continue
            if not ast.get_docstring(node):
                silent.append(module.at(node, node.name))
    nothing(silent, "say why it is so, the units, and where the rule comes from")


def test_the_core_imports_only_what_is_pure() -> None:
    wrong = []
    for module in modules("dunning/core/", "dunning/errors.py"):
        for node, name in imports(module.tree):
            own = name.startswith(".") or name.startswith(CORE_MAY_IMPORT)
            top = name.partition(".")[0]
            if not own and (top not in sys.stdlib_module_names or top in IMPURE):
                wrong.append(module.at(node, name))
    nothing(wrong)


def test_only_the_clock_asks_the_machine_for_the_time() -> None:
    wrong = []
    for module, node in nodes("dunning/", "tests/"):
        if module.path in CLOCKS:
            continue
        if isinstance(node, ast.Attribute) and ASKS_THE_TIME.search(dotted(node)):
            wrong.append(module.at(node, dotted(node)))
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            hidden = {"sleep", "time", "time_ns"} & {alias.name for alias in node.names}
            wrong += [module.at(node, f"from time import {name}") for name in hidden]
    nothing(wrong, "take `now` as an argument, or a Clock")


def test_no_test_sleeps_or_is_left_out() -> None:
    wrong = []
    for module, node in nodes("tests/"):
        if isinstance(node, ast.Attribute):
            name = dotted(node)
            if name.endswith("time.sleep") or SKIPS.search(name):
                wrong.append(module.at(node, name))
    nothing(wrong, "move a clock instead of sleeping; make the test run instead of skipping")


def is_assembled(node: ast.AST) -> bool:
    """Text put together from parts: an f-string with values, `%`, `+` or `"…".format()`."""
    match node:
        case ast.JoinedStr():
            return any(isinstance(part, ast.FormattedValue) for part in node.values)
        case ast.BinOp(op=ast.Mod() | ast.Add()):
            return any(
                isinstance(side, ast.JoinedStr)
                or (isinstance(side, ast.Constant) and isinstance(side.value, str))
                or is_assembled(side)
                for side in (node.left, node.right)
            )
        case ast.Call(func=ast.Attribute(value=ast.Constant(), attr="format")):
            return True
        case _:
            return False


def test_sql_is_never_assembled_from_text() -> None:
    wrong = [
        module.at(node, ast.unparse(node)[:80])
        for module, node in nodes("dunning/", "tests/")
        if isinstance(node, ast.Call)
        and not module.path.startswith(MIGRATIONS)
        and node.args
        and RUNS_SQL.search(dotted(node.func))
        and is_assembled(node.args[0])
    ]
    nothing(wrong, "pass values as parameters and build statements with SQLAlchemy")


@pytest.mark.parametrize(
    ("code", "assembled"),
    [
        ("f'SELECT {x}'", True),
        ("f'SELECT 1'", False),
        ("'SELECT %s' % x", True),
        ("'SELECT ' + x", True),
        ("x + y + ' LIMIT 1'", True),
        ("'SELECT {}'.format(x)", True),
        ("'SELECT 1 ' 'LIMIT 1'", False),
        ("select(table)", False),
    ],
)
def test_assembled_sql_is_recognised(code: str, assembled: bool) -> None:
    assert is_assembled(ast.parse(code, mode="eval").body) is assembled


def names_given(node: ast.AST) -> list[str]:
    """The names that a piece of code gives to things; it may use those of others."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return [node.name]
        case ast.arg():
            return [node.arg]
        case ast.Name(ctx=ast.Store()):
            return [node.id]
        case ast.Attribute(ctx=ast.Store()):
            return [node.attr]
        case _:
            return []


def test_one_word_is_used_for_one_thing() -> None:
    wrong = [name for name in repository() if OTHER_WORDS.search(name)]
    for module, node in nodes():
        wrong += [module.at(node, name) for name in names_given(node) if OTHER_WORDS.search(name)]
    nothing(wrong, "see the vocabulary in docs/design.md")


def test_nothing_is_said_of_places_the_reader_does_not_have() -> None:
    wrong = []
    for name in repository():
        try:
            text = (ROOT / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        wrong += [f"{name}: {found[0].strip()}" for found in FOREIGN.finditer(text)]
    nothing(wrong)


def test_the_top_level_stays_small() -> None:
    names = {name.partition("/")[0] for name in repository()}
    nothing(sorted({name for name in names if not name.startswith(".")} - TOP_LEVEL))


def test_every_variable_has_its_line_in_the_example() -> None:
    read = set()
    for module in modules("dunning/config"):
        read |= set(re.findall(r"\b(?:DUNNING|STRIPE)_[A-Z0-9_]*[A-Z0-9]\b", module.text))
    example = ROOT / ".env.example"
    text = example.read_text(encoding="utf-8") if example.exists() else ""
    listed = set(re.findall(r"^#?\s*((?:DUNNING|STRIPE)_[A-Z0-9_]+)=", text, re.MULTILINE))
    nothing(sorted(read - listed), "one line each in .env.example")
