"""`.env.example` lists what the program reads, in the program's own words."""

from __future__ import annotations

import re
from pathlib import Path

from dunning.config import load_settings
from dunning.config.settings import VARIABLES

EXAMPLE = Path(__file__).resolve().parents[2] / ".env.example"


def test_it_lists_exactly_the_variables_each_with_a_comment() -> None:
    lines = []
    for variable in VARIABLES:
        quote = '"' if " " in variable.example else ""
        lines.append(f"#{variable.name}={quote}{variable.example}{quote}  # {variable.about}")
    text = EXAMPLE.read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if re.match(r"#?\s*[A-Z_]+=", line)] == lines


def test_as_it_is_it_changes_nothing(tmp_path: Path) -> None:
    before = load_settings({}, tmp_path)
    (tmp_path / ".env").write_bytes(EXAMPLE.read_bytes())
    assert load_settings({}, tmp_path) == before


def test_every_line_can_be_taken_into_use(tmp_path: Path) -> None:
    text = re.sub(r"(?m)^#([A-Z_]+=)", r"\1", EXAMPLE.read_text(encoding="utf-8"))
    # The one that needs a secret, which an example does not have.
    text = text.replace(
        "DUNNING_PRODUCT_WEBHOOK_SECRET=", "DUNNING_PRODUCT_WEBHOOK_SECRET=" + "x" * 32
    )
    (tmp_path / ".env").write_text(text, encoding="utf-8")
    (tmp_path / "policies.yaml").write_text("")
    (tmp_path / "templates").mkdir()
    settings = load_settings({}, tmp_path)
    assert settings.mail_from == "Billing <billing@example.com>"
    assert (settings.secret_keys, settings.stripe_api_key) == ((), None)


def test_it_holds_no_secrets() -> None:
    assert not re.search(r"(sk|rk|whsec)_\w", EXAMPLE.read_text(encoding="utf-8"))
