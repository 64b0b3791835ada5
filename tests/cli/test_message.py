"""`message preview`."""

from __future__ import annotations

import pytest

from dunning.messages import TEMPLATES
from dunning.messages.extraction import sentences
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


def test_a_renewal_notice_has_the_links_of_the_real_one(shell: Shell) -> None:
    shell.env(DUNNING_PUBLIC_URL="https://billing.acme.example")
    told = shell("message", "preview", "renewal_notice", "--format", "json").json()
    for way in ("subscription", "stop"):
        link = f"https://billing.acme.example/pay/example-card/{way}"
        assert link in told["text"]
        assert link in told["html"]
    for name in ("reminder", "card_expiring"):
        assert "/stop" not in shell("message", "preview", name).out
    shell("message", "preview", "renewal_notice", "--gallery", "g.html", "--locale", "en")
    assert "/pay/example-card/stop" in (shell.folder / "g.html").read_text("utf-8")


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


def test_the_gallery_shows_every_email_in_every_language(shell: Shell) -> None:
    told = shell("message", "preview", "--gallery", "all.html")
    page = (shell.folder / "all.html").read_text("utf-8")
    for name in TEMPLATES:
        assert page.count(f'data-name="{name}"') >= 11
    for language in ("en", "pt-BR", "ja", "pl"):
        assert f'data-language="{language}"' in page
    for cause in ("funds", "expired", "authenticate", "bank_debit", "several invoices"):
        assert f'data-cause="{cause}"' in page
    assert page.count("<details ") == int(told.err.split(": ")[1].split()[0])
    assert page.count("<script") == 2
    assert "src=" not in page.partition("<body>")[2].partition("</main>")[0]


def test_the_gallery_may_be_of_one_email_or_language(shell: Shell) -> None:
    shell("message", "preview", "reminder", "--gallery", "one.html", "--locale", "sv")
    page = (shell.folder / "one.html").read_text("utf-8")
    assert 'data-name="reminder"' in page
    assert 'data-name="suspended"' not in page
    assert 'data-language="en"' not in page
    assert "Påminnelse" in page
    said = shell("message", "preview", "remind", "--gallery", "x.html", code=1)
    assert "did you mean 'reminder'?" in said.complaint


def test_the_brand_of_the_policy_file_is_shown(shell: Shell) -> None:
    (shell.folder / "policy.yaml").write_text(
        "version: 1\nbrand: {name: Zenith, colour: '#0f766e', support: {phone: '+44 1234'}}\n"
        "policies:\n  standard:\n    grace: 9d\n    window: 9d\n"
        "    timeline: [{at: 1d, do: retry}]\n"
    )
    shell.env(DUNNING_POLICY_FILE="policy.yaml")
    told = shell("message", "preview", "reminder", "--format", "json").json()
    assert "Zenith" in told["subject"]
    assert "#0f766e" in told["html"]
    assert "+44 1234" in told["text"]


def test_a_person_adds_a_language_without_touching_code(shell: Shell) -> None:
    (shell.folder / "mine" / "locale").mkdir(parents=True)
    shell.env(DUNNING_TEMPLATES="mine")
    path = "mine/locale/fi.po"
    told = shell("message", "catalogue", "--locale", "fi", "--output", path)
    every = len({(each.id, each.context) for each in sentences()})
    assert f"0 of {every} sentences" in told.err
    file = shell.folder / path
    text = file.read_text("utf-8")
    file.write_text(
        text.replace('msgid "Hello,"\nmsgstr ""', 'msgid "Hello,"\nmsgstr "Hei,"'), "utf-8"
    )
    languages = {
        row["language"]: row for row in shell("message", "languages", "--format", "json").json()
    }
    assert languages["fi"] == {
        "language": "fi", "name": "Finnish", "translated": 1, "sentences": every, "yours": 1,
    }  # fmt: skip
    assert all(row["translated"] == every for code, row in languages.items() if code != "fi")
    again = shell("message", "catalogue", "--locale", "fi")
    assert 'msgstr "Hei,"' in again.out
    out = shell("message", "preview", "reminder", "--locale", "fi", "--name", "http://x").out
    assert out.partition("\n\n")[2].startswith("Hei,")
    assert (
        "is not a language such as fi"
        in shell("message", "catalogue", "--locale", "finnish", code=2).err
    )


def test_a_wrong_catalogue_is_named_with_its_line(shell: Shell) -> None:
    (shell.folder / "mine" / "locale").mkdir(parents=True)
    (shell.folder / "mine" / "locale" / "fi.po").write_text(
        'msgid "Pay %(amount)s"\nmsgstr "Maksa %(sum)s"\n'
    )
    shell.env(DUNNING_TEMPLATES="mine")
    said = shell("message", "preview", "reminder", code=1).complaint
    assert "fi.po:1: the translation of 'Pay %(amount)s' has %(sum)s" in said
