"""The watch over secrets sees them wherever they are told, and every secret of a test is marked."""

from __future__ import annotations

import ast
import re
import sqlite3
from contextlib import closing
from email.message import EmailMessage

import pytest
from sqlalchemy import text
from sqlmodel import Session

from dunning.core.ports import Envelope
from dunning.inbox import Received, keep
from dunning.store import engine_for
from tests.builders import hours
from tests.secrets import API_KEY, LINKS, MARK, PRODUCT, SIGNING, Watch, findings
from tests.test_tidy import modules, nothing

# They are about how a secret looks or is read, or their secrets guard a sandbox only.
FREE = ("tests/config/", "tests/deploy/", "tests/providers/stripe/", "tests/sandbox/")
SECRET = re.compile(r"\b(?:(?:sk|rk)_(?:test|live)|whsec)_\w{3,}")
# Wrong on purpose, and handed to nobody who keeps it.
MADE_UP = {
    *("whsec_wrong", "whsec_another", "whsec_mine", "whsec_short"),
    *("whsec_cli", "sk_test_cli", "sk_live_abc"),  # told by others, and starred by our pages
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",  # of the standard's own example
}


@pytest.mark.parametrize("secret", [API_KEY, SIGNING, LINKS, PRODUCT])
def test_what_is_found_says_where_and_not_what(secret: str) -> None:
    (found,) = findings("a line", f"the key is {secret} and so on")
    assert found.startswith("a line: …the key is ")
    assert MARK not in found
    assert not list(findings("a line", "the key is ****"))


def test_mail_is_opened() -> None:
    watch, message = Watch(), EmailMessage()
    message["Subject"] = "Your payment"
    message.set_content(f"é {LINKS}", cte="base64")
    message.add_alternative(f"<p>{API_KEY}</p>", subtype="html", cte="quoted-printable")
    watch.mail(message)
    assert [one.partition(":")[0] for one in watch.found()] == [
        "an email's text/plain",
        "an email's text/html",
    ]
    assert watch.found() == []


def test_databases_are_read(migrated_url: str) -> None:
    """In a column of text, and in the bytes of a kept webhook."""
    engine, watch = engine_for(migrated_url), Watch()
    watch.database(migrated_url)
    assert watch.found() == []
    envelope = Envelope(id="evt_1", type="x", created=hours(0), livemode=False)
    with Session(engine) as session:
        keep(session, [Received("stripe", envelope, f"it is {LINKS}".encode())], hours(0))
        session.commit()
    watch.database(migrated_url)
    assert watch.found()
    with Session(engine) as session:
        session.execute(text("DELETE FROM inbox"))
        session.execute(text("UPDATE seen SET source = :told"), {"told": PRODUCT})
        session.commit()
    watch.database(migrated_url)
    assert watch.found()
    # So that the watch over this test itself finds nothing.
    with Session(engine) as session:
        session.execute(text("DELETE FROM seen"))
        session.commit()
    if path := engine.url.database if migrated_url.startswith("sqlite") else None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    engine.dispose()


def test_every_secret_of_a_test_is_marked() -> None:
    wrong = [
        module.at(node, f"{found} carries no mark; tests/secrets.py has secrets to use")
        for module in modules("tests/")
        if not module.path.startswith(FREE)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for found in SECRET.findall(node.value)
        if MARK not in found and found not in MADE_UP
    ]
    nothing(wrong)
