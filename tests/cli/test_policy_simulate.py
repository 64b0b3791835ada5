"""`policy simulate`: on history and on the sandbox, as people and programs read it."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from dunning.cli.policy_files import load_file
from dunning.cli.policy_sandbox import read_mix
from dunning.demo.compare import World, compare
from tests.builders import AMOUNT, days, paid
from tests.cli.conftest import Books, Shell

FILE = """
version: 1
policies:
  standard:
    grace: 3d
    window: 5d
    timeline:
      - {at: 1d, do: retry}
      - {at: 2d, do: email, template: reminder}
      - {at: 3d, do: suspend}
      - {at: 5d, do: give_up}
"""


@pytest.fixture
def file(shell: Shell) -> str:
    """A policy file to try."""
    path = shell.folder / "new.yaml"
    path.write_text(FILE, encoding="utf-8")
    return str(path)


def test_on_history_for_programs(shell: Shell, books: Books, file: str) -> None:
    books.failing()
    books.take(paid(days(1)))
    shell.at(days(60))
    told = shell(
        "policy", "simulate", file, "--on", "history", "--seed", "5", "--format", "json"
    ).json()
    assert (told["simulation"], told["seed"]) == ("history", 5)
    assert told["cases"] == {
        "walked": 1,
        "young": 0,
        "open": 0,
        "adopted": 0,
        "by_hand": 0,
        "provider": 0,
    }
    rows = {row["figure"]: row for row in told["rows"]}
    assert (rows["recovered"]["really"], rows["recovered"]["currency"]) == (AMOUNT, "usd")
    # One case is no basis for a number, whatever its interval.
    assert rows["recovered"]["estimate"] is None
    assert told["not_enough"]["usd"].startswith("not enough data yet: needs about 29 more cases")
    assert (rows["charges"]["at_most"], rows["emails"]["at_most"]) == (1, 2)  # and of suspension
    assert {"known", "estimate", "interval", "thin", "check"} <= told["definitions"].keys()
    assert "nobody tried" in " ".join(told["cannot_be_known"])


def test_on_history_for_people(shell: Shell, books: Books, file: str) -> None:
    books.failing()
    shell.at(days(60))
    out = shell("policy", "simulate", file, "--on", "history").out
    assert "0 cases on record" in out
    assert "told apart: 1 case still open" in out
    assert "Not enough data yet" in out
    books.take(paid(days(1)))
    out = shell("policy", "simulate", file, "--on", "history").out
    assert "49.00 USD" in out
    assert "Not enough data yet: needs about 29 more cases" in out
    assert "What cannot be known" in out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--on", "history", "--mix", "lost_card=1"), "is for --on sandbox"),
        (("--on", "sandbox", "--since", "2026-01-01"), "is for --on history"),
        (("--on", "sandbox", "--mix", "lost_crd=1"), "'lost_crd' is not in the made-up world"),
        (("--on", "sandbox", "--mix", "lost_card"), "is no mix"),
        (("--on", "nothing"), "nothing"),
    ],
)
def test_what_is_asked_wrongly(
    shell: Shell, file: str, options: tuple[str, ...], words: str
) -> None:
    assert words in shell("policy", "simulate", file, *options, code=2).err


def test_a_mix_is_shares_of_one() -> None:
    assert read_mix(None) is None
    assert read_mix("insufficient_funds=60, expired_card=20") == {
        "insufficient_funds": 0.75,
        "expired_card": 0.25,
    }
    with pytest.raises(typer.BadParameter, match="each code once"):
        read_mix("lost_card=1,lost_card=2")


def test_two_files_live_in_the_same_world(tmp_path: Path) -> None:
    other = tmp_path / "new.yaml"
    other.write_text(FILE, encoding="utf-8")
    said: list[str] = []
    world = World(customers=24, days=9, seed=3, mix={"insufficient_funds": 1.0})
    told = compare(load_file(None), load_file(other), world, said.append)
    assert len(said) == 2
    assert "not what you will recover" in told["warning"]
    sides: dict[str, dict[str, int]] = {"present": {}, "other": {}}
    for row in told["rows"]:
        for name, sums in sides.items():
            sums[row["figure"]] = sums.get(row["figure"], 0) + row[name]
    # Whose renewals fail does not hang on the policy; what is done about it does.
    assert sides["present"]["cases"] == sides["other"]["cases"] > 0
    assert sides["present"]["failed"] == sides["other"]["failed"]
    assert sides["other"]["suspensions"] > sides["present"]["suspensions"] == 0
    assert sides["present"]["emails"] > sides["other"]["emails"]
