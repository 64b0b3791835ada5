"""`message preview`."""

from __future__ import annotations

import pytest

from dunning.messages import TEMPLATES
from tests.cli.conftest import Shell


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_message_can_be_looked_at(shell: Shell, name: str) -> None:
    told = shell("message", "preview", name, "--format", "json").json()
    assert told["template"] == name
    assert told["subject"]
    assert told["html"].startswith("<!doctype html>".upper()) or "<html" in told["html"]
    out = shell("message", "preview", name).out
    assert out.startswith(f"Subject: {told['subject']}\n\n")
    assert told["text"].strip() in out


def test_amount_name_company_and_reason(shell: Shell) -> None:
    shell.env(DUNNING_COMPANY="Acme GmbH")
    out = shell(
        "message", "preview", "payment_failed", "--amount", "1234.5", "--currency", "eur",
        "--name", "Ann", "--locale", "de", "--decline", "insufficient_funds",
    ).out  # fmt: skip
    for words in ("Acme GmbH", "Ann", "1.234,50"):
        assert words in out, words


def test_advice_may_call_for_another_message(shell: Shell) -> None:
    said = shell("message", "preview", "reminder", "--advice", "new_method", "--format", "json")
    assert said.json()["template"] == "new_card_needed"
    assert "new_card_needed is sent instead of reminder" in said.err


def test_html_into_a_file(shell: Shell) -> None:
    shell("message", "preview", "reminder", "--format", "html", "--output", "m.html")
    assert "<html" in (shell.folder / "m.html").read_text()


def test_an_unknown_message_names_the_nearest(shell: Shell) -> None:
    assert "did you mean 'reminder'?" in shell("message", "preview", "remind", code=1).complaint


def test_a_broken_template_is_named_with_its_line(shell: Shell) -> None:
    folder = shell.folder / "mine" / "en"
    folder.mkdir(parents=True)
    (folder / "reminder.jinja").write_text("{% block subject %}{{ amount }\n")
    shell.env(DUNNING_TEMPLATES="mine")
    assert "reminder.jinja:" in shell("message", "preview", "reminder", code=1).complaint
