"""Templates of ops' own: found first, checked early, wrong ones named with file and line."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from dunning.errors import ConfigError
from dunning.messages import (
    TEMPLATES,
    TEXTS,
    Messages,
    every_fact,
    few_facts,
)

MESSAGES = Messages()
MINE = """{% block subject %}Dear {{ company }}{% endblock %}
{% block preheader %}x{% endblock %}
{% block body %}
Line one
goes on.

{{ reason }} next.
{% endblock %}
"""


def own(tmp_path: Path, source: str, name: str = "payment_failed") -> Messages:
    (tmp_path / "en").mkdir(exist_ok=True)
    (tmp_path / "en" / f"{name}.jinja").write_text(source, encoding="utf-8")
    return Messages(tmp_path)


def test_a_folder_of_ones_own_comes_first(tmp_path: Path) -> None:
    messages = own(tmp_path, MINE)
    rendered = messages.render(every_fact("payment_failed"))
    assert rendered.subject == "Dear Acme"
    assert rendered.text.startswith("Line one goes on.\n\nThe card has expired. next.\n\n")
    assert re.search(r"<p[^>]*>Line one goes on\.</p>", rendered.html)
    assert messages.render(every_fact("reminder")) == MESSAGES.render(every_fact("reminder"))


def test_a_language_may_have_a_folder_of_its_own(tmp_path: Path) -> None:
    own(tmp_path, MINE)
    (tmp_path / "de").mkdir()
    (tmp_path / "de" / "reminder.jinja").write_text(
        "{% block subject %}Offen: {{ amount }}{% endblock %}"
        "{% block preheader %}Bitte zahlen{% endblock %}"
        "{% block body %}Grüß Gott{% endblock %}",
        encoding="utf-8",
    )
    messages = Messages(tmp_path)
    german = messages.render(replace(every_fact("reminder"), locale="de-AT"))
    assert german.subject == "Offen: € 49,00" or "49,00" in german.subject
    assert 'lang="de"' in german.html
    assert "Grüß Gott" in german.text
    ours = messages.render(replace(every_fact("suspended"), locale="de-AT"))
    assert 'lang="de"' in ours.html
    assert ours.subject.startswith("Ihr Zugang")


def test_a_message_of_ones_own_has_a_name_and_may_have_its_own_html(tmp_path: Path) -> None:
    source = MINE + "{% block html %}<section>{{ customer_name }}</section>{% endblock %}"
    messages = own(tmp_path, source, "loyal_customer")
    assert messages.names() == (*TEMPLATES, *TEXTS, "loyal_customer")
    rendered = messages.render(replace(every_fact("loyal_customer"), customer_name="<b>"))
    assert "<section>&lt;b&gt;</section>" in rendered.html
    assert rendered.text.startswith("Line one")


@pytest.mark.parametrize(
    ("source", "line", "why"),
    [
        (MINE.replace("{{ reason }}", "{{ resaon }}"), 7, "'resaon' is undefined"),
        (MINE.replace("{{ reason }}", "{% if reason"), 7, "end of"),
        (MINE.replace("{{ reason }}", "{{ ''.__class__.__mro__ }}"), 7, "unsafe"),
        (MINE.replace("{{ reason }}", "{{ 1 / 0 }}"), 7, "zero"),
        (MINE.replace("{{ reason }}", "{{ range(10 ** 9) | list }}"), 7, "range"),
        (MINE.replace("block subject", "block title"), 1, "'subject' is missing"),
        (MINE.replace("Line one", "\n\n{{ nope }}"), 6, "'nope' is undefined"),
        (MINE.replace("Line one\n", "Line\r\n\r\n{{ nope }}\r\n"), 6, "'nope' is undefined"),
    ],
)
def test_a_wrong_template_is_named_with_its_line(
    tmp_path: Path, source: str, line: int, why: str
) -> None:
    messages = own(tmp_path, source)
    with pytest.raises(ConfigError) as caught:
        messages.render(every_fact("payment_failed"))
    assert f"{tmp_path}/en/payment_failed.jinja:{line}: " in str(caught.value)
    assert why in str(caught.value)


def test_check_finds_the_fact_that_is_only_sometimes_there(tmp_path: Path) -> None:
    (wrong,) = own(tmp_path, MINE).check()
    assert "payment_failed.jinja:7: a fact that may be missing is printed" in wrong


def test_templates_reach_no_files_but_templates(tmp_path: Path) -> None:
    for name in ("/etc/passwd", "../../../../etc/passwd", "../secret.txt"):
        (tmp_path.parent / "secret.txt").write_text("hunter2", encoding="utf-8")
        messages = own(tmp_path, MINE.replace("{{ reason }}", f"{{% include '{name}' %}}"))
        with pytest.raises(ConfigError, match="no template"):
            messages.render(every_fact("payment_failed"))


def test_folder_names_and_encodings_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no folder"):
        Messages(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r"'payment_faild'; did you mean 'payment_failed'\?"):
        MESSAGES.render(few_facts("payment_faild"))
    with pytest.raises(ConfigError, match="no message template called"):
        MESSAGES.render(few_facts("../en/reminder"))
    messages = own(tmp_path, "")
    (tmp_path / "en" / "payment_failed.jinja").write_bytes(b"{% block subject %}\xff{% endblock %}")
    with pytest.raises(ConfigError, match="UTF-8"):
        messages.render(few_facts("payment_failed"))


def test_a_process_does_not_begin_with_wrong_words(tmp_path: Path) -> None:
    own(tmp_path, MINE.replace("{{ reason }}", "")).refuse_if_wrong()
    wrong = own(tmp_path, MINE.replace("{{ reason }}", "{{ reasom }}"))
    with pytest.raises(ConfigError, match=r"payment_failed\.jinja:7: 'reasom' is undefined"):
        wrong.refuse_if_wrong()


def test_a_message_for_every_language_speaks_through_the_catalogues(tmp_path: Path) -> None:
    source = """{% block subject %}{% trans %}Hello,{% endtrans %}{% endblock %}
{% block preheader %}{% endblock %}
{% block body %}{% trans n=amount %}Our own: {{ n }}{% endtrans %}{% endblock %}
"""
    (tmp_path / "reminder.jinja").write_text(source, encoding="utf-8")
    (tmp_path / "locale").mkdir()
    (tmp_path / "locale" / "de.po").write_text(
        'msgid "Our own: %(n)s"\nmsgstr "Unser: %(n)s"\n', encoding="utf-8"
    )
    messages = Messages(tmp_path)
    german = messages.render(replace(every_fact("reminder"), locale="de"))
    assert german.subject == "Guten Tag,"  # ours fill what ops' catalogue leaves out
    assert german.text.startswith("Unser: 49,00\u00a0$\n")
    assert messages.render(every_fact("reminder")).text.startswith("Our own: $49.00\n")


def test_a_shared_sentence_may_be_changed_alone(tmp_path: Path) -> None:
    (tmp_path / "shared.jinja").write_text(
        "{% block help %}Call {{ company }}.{% endblock %}", encoding="utf-8"
    )
    rendered = Messages(tmp_path).render(every_fact("reminder"))
    assert "Call Acme." in rendered.text
    assert rendered.text.startswith("Hello Ada Lovelace,")


def test_the_layout_of_an_earlier_version_goes_on_working(tmp_path: Path) -> None:
    (tmp_path / "layout.text.jinja").write_text(
        "{{ content }}\n\n{{ help }}\n\n-- {{ br }}{{ company }}{{ br }}{{ why }}\n", "utf-8"
    )
    (tmp_path / "parts.text.jinja").write_text(
        "{% macro strong(words) %}*{{ words }}*{% endmacro %}\n"
        "{% macro button(label, url) %}{{ label }} at {{ url }}{% endmacro %}\n",
        "utf-8",
    )
    messages = Messages(tmp_path)
    assert messages.check() == []
    rendered = messages.render(every_fact("reminder"))
    assert "*$49.00*" in rendered.text
    assert "Pay $49.00 at https://pay.example/i/1" in rendered.text
