"""A proof goes on from the one before, and finds whatever is wrong since."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from sqlalchemy import update

from dunning import statements
from dunning.proving import FULL, ONWARD, prove
from dunning.store import StatementRow, reading
from tests.reports.shop import NOW, Shop, on
from tests.stages.tampering import tamper
from tests.stages.test_closing import close, faults, january


@pytest.fixture
def shop(migrated_url: str) -> Iterator[Shop]:
    """An empty shop."""
    shop = Shop(migrated_url)
    yield shop
    shop.engine.dispose()


def test_a_proof_goes_on_from_the_last_one(shop: Shop) -> None:
    _, still_open = january(shop)
    first = prove(shop.engine, NOW)
    assert (first.kind, first.proof.cases, first.proof.rows) == (FULL, 2, 3)
    again = prove(shop.engine, NOW)
    assert (again.kind, again.since, again.proof.cases, again.proof.holds) == (ONWARD, NOW, 0, True)
    still_open.paid(on(2, 3))
    onward = prove(shop.engine, NOW)
    assert (onward.kind, onward.proof.cases, onward.proof.rows) == (ONWARD, 1, 2)
    assert onward.proof.currencies == prove(shop.engine, NOW, full=True).proof.currencies


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("UPDATE entries SET amount = 1 WHERE credit = 'recovered'", "the facts and the ledger"),
        ("UPDATE entries SET base = key || 'x' WHERE credit = 'recovered'", "takes back|differ"),
        ("UPDATE rollups SET amount = amount + 1", "what was added to the sum is not"),
        ("UPDATE cases SET amount_at_risk = 9", "open cases say 9"),
        ("DELETE FROM cases", "entries without a case"),
        ("UPDATE entries SET place = 2", "not numbered from 1 on without a gap"),
        ("UPDATE entries SET key = (SELECT min(key) FROM entries)", "a key is there twice"),
    ],
)
def test_what_is_wrong_since_the_last_proof_is_found(shop: Shop, change: str, words: str) -> None:
    assert prove(shop.engine, NOW).proof.holds
    january(shop)
    tamper(shop, change)
    found = prove(shop.engine, NOW)
    assert found.kind == ONWARD
    said = "\n".join(what for _, what in found.proof.faults)
    assert any(word in said for word in words.split("|")), said
    # A proof that fails is nothing to go on from.
    assert not prove(shop.engine, NOW).proof.holds


def test_what_was_changed_before_the_last_proof_is_found_by_a_full_one(shop: Shop) -> None:
    january(shop)
    assert prove(shop.engine, NOW).proof.holds
    tamper(shop, "UPDATE entries SET how = 'link' WHERE credit = 'recovered'")
    assert prove(shop.engine, NOW).proof.holds
    assert not prove(shop.engine, NOW, full=True).proof.holds


def test_a_statement_of_the_first_form_is_proved_as_it_was_written(shop: Shop) -> None:
    january(shop)
    close(shop, "2026-01")
    with reading(shop.engine) as session:
        content = statements.content_of(session, "2026-01", form=1)
    assert "form" not in json.loads(content)
    first = {"content": content, "digest": statements.digest_of(content)}
    tamper(shop, update(StatementRow).values(first))
    close(shop, "2026-02")
    assert faults(shop) == []
    tamper(shop, "UPDATE entries SET amount = 1 WHERE place = 1")
    assert "2026-01, entries_digest" in "\n".join(faults(shop))
