"""SQL and templates in every field that somebody outside fills: data stays data."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from sqlalchemy import inspect
from sqlmodel import select

from dunning.store import CaseRow, CustomerRow, reading
from tests.adversarial import corpus
from tests.adversarial.server import ROOT, Server, up
from tests.providers.stripe.bodies import raw
from tests.secrets import SIGNING

SQL = [
    "'; DROP TABLE inbox; --",
    "' OR '1'='1",
    "1); DELETE FROM cases; --",
    "x' UNION SELECT body FROM inbox --",
    'x"; DROP TABLE entries; --',
    "\\'; DROP TABLE steps; --",
    "%s %(x)s :name ? $1 {0}",
    "{{ 7*7 }}{% include '/etc/passwd' %}",
]
# Every field of an invoice that ends up in a row, or is searched for.
FIELDS = ("id", "customer", "customer_name", "customer_email", "number", "currency", "metadata")
# Each takes whatever is written behind it; none may find or harm what it does not name.
FILTERS = (
    ("cases", "list", "--customer"),
    ("cases", "list", "--policy"),
    ("cases", "list", "--source"),
    ("cases", "show"),
    ("inbox", "list", "--source"),
    ("inbox", "show"),
    ("report", "at-risk", "--currency"),
    ("report", "at-risk", "--policy"),
    ("report", "at-risk", "--source"),
    ("report", "lost", "--source"),
    ("report", "recovered", "--currency"),
)


def hostile(field: str, number: int, text: str) -> bytes:
    value: object = {"plan": text, text: "x"} if field == "metadata" else text
    name = f"{field}{number}"
    return raw(corpus.failed(name, **{"id": f"in_{name}", field: value}))


# Many commands in one process: each by itself would mostly wait for imports.
COMMANDS = """
import json, sys
from dunning.cli import main
told = []
for words in json.loads(sys.argv[1]):
    sys.argv = ["dunning", *words]
    try:
        code = main()
    except SystemExit as left:
        code = left.code
    told.append(code)
    print("====", flush=True)
print(json.dumps(told))
"""


def asked(server: Server, folder: Path, commands: list[list[str]]) -> list[str]:
    """What each command says; each ends in good order, if with a complaint."""
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, json.dumps(commands)],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "DUNNING_DATABASE_URL": server.engine.url.render_as_string(hide_password=False),
            "STRIPE_WEBHOOK_SECRET": SIGNING,
        },
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    *told, codes = done.stdout.split("====\n")
    assert len(told) == len(commands), done.stderr
    assert {code or 0 for code in json.loads(codes)} <= {0, 1, 2}
    return told


def test_sql_in_a_field_is_stored_as_it_was_written(migrated_url: str, tmp_path: Path) -> None:
    with up(migrated_url, tmp_path, DUNNING_LOG_LEVEL="warning") as server:
        tables = sorted(inspect(server.engine).get_table_names())
        for field in FIELDS:
            for number, text in enumerate(SQL):
                assert server.hook(hostile(field, number, text)).status == 200
        # As an event's own name: refused where it holds a space, kept as a name otherwise.
        for text in SQL:
            body = raw(corpus.failed("x") | {"id": text})
            assert server.hook(body).status in (200, 400)
        rows = server.settled()
        assert set(rows) >= {f"{field}{n}" for field in FIELDS for n in range(len(SQL))}
        assert all(
            json.loads(rows[f"customer_name{n}"].body)["data"]["object"]["customer_name"] == text
            for n, text in enumerate(SQL)
        )
        assert sorted(inspect(server.engine).get_table_names()) == tables
        with reading(server.engine) as session:
            cases = session.exec(select(CaseRow)).all()
            customers = {row.id for row in session.exec(select(CustomerRow)).all()}
        assert {row.invoice for row in cases} >= {f"in_customer_name{n}" for n in range(len(SQL))}
        kept = {text for text in SQL if text in customers} | {row.customer for row in cases}
        parked = [n for n in range(len(SQL)) if rows[f"customer{n}"].state == "parked"]
        assert kept >= {text for n, text in enumerate(SQL) if n not in parked}
        commands = [[*words, text] for words in FILTERS for text in SQL[:2]]
        for command, told in zip(commands, asked(server, tmp_path, commands), strict=True):
            assert "in_customer_name0" not in told, command
        assert sorted(inspect(server.engine).get_table_names()) == tables
        assert len(server.rows()) == len(rows)
