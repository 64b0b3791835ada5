"""`simulate`: seeded worlds full of faults, played by the program's own code and audited."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from dunning.cli.output import heading, say

if TYPE_CHECKING:
    from dunning.simulation.many import Summary
    from dunning.simulation.run import Outcome


def simulate(
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="How many worlds.")] = 100,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Only this one, with its trace.")
    ] = None,
    first: Annotated[int, typer.Option("--first", min=0, help="The first seed.")] = 0,
    only: Annotated[
        str | None,
        typer.Option("--only", metavar="N,N", help="With --seed: nothing but these happenings."),
    ] = None,
    pairs: Annotated[
        bool, typer.Option("--pairs", help="Short stories with two deaths, at all pairs of points.")
    ] = False,
    pair: Annotated[
        str | None,
        typer.Option("--pair", metavar="STORY/POINT/POINT", help="Only this one, with its trace."),
    ] = None,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes.")] = 2,
    format: Annotated[
        str, typer.Option("--format", metavar="text|json", help="How to print.")
    ] = "text",
) -> None:
    """Play worlds in which everything breaks, and have them audited.

    Each seed is a few days of a few customers: cards fail, people pay or dispute, requests get
    lost, processes die, clocks are wrong. The program's own code runs beside a simulated Stripe,
    in one thread and on a virtual clock, so a seed always plays the same. A seed that breaks a
    promise is shrunk to what is needed and printed.

    Example: dunning simulate --seeds 500; dunning simulate --seed 17; dunning simulate --pairs
    """
    if format not in ("text", "json"):
        message = f"{format!r} is no format; expected text or json"
        raise typer.BadParameter(message, param_hint="--format")
    if seed is not None:
        raise typer.Exit(_one(seed, only))
    if pair is not None:
        raise typer.Exit(_pair(pair))
    if pairs:
        raise typer.Exit(_pairs(workers, as_json=format == "json"))
    raise typer.Exit(_many(range(first, first + seeds), workers, as_json=format == "json"))


def _many(seeds: range, workers: int, *, as_json: bool) -> int:
    from dunning.simulation.many import play_all

    def progress(summary: Summary) -> None:
        if summary.seeds % 25 == 0:
            failing = f", {len(summary.failing)} failing" if summary.failing else ""
            pace = f"{summary.a_second:.1f} a second{failing}"
            print(f"{summary.seeds} of {len(seeds)} worlds, {pace}", file=sys.stderr)

    summary = play_all(seeds, workers=workers, progress=progress)
    if as_json:
        sys.stdout.write(json.dumps(summary.data(), indent=2) + "\n")
    else:
        _show(summary)
    if summary.failing:
        _explain(min(summary.failing), sys.stderr if as_json else sys.stdout)
    return 1 if summary.failing else 0


def _pairs(workers: int, *, as_json: bool) -> int:
    from dunning.simulation.pairs import Pairs, play_pairs

    def progress(pairs: Pairs) -> None:
        failing = f", {len(pairs.failing)} failing" if pairs.failing else ""
        print(f"{pairs.played} pairs{failing}", file=sys.stderr)

    found = play_pairs(workers=workers, progress=progress)
    if as_json:
        sys.stdout.write(json.dumps(found.data(), indent=2) + "\n")
        return 1 if found.failing else 0
    say(
        f"{found.played} of {found.known} pairs played, {len(found.distinct)} different ones, of "
        f"{len(found.points)} points; {found.worlds} worlds, {len(found.failing)} failing"
    )
    say(f"points that no story comes by: {', '.join(found.never_reached) or 'none'}")
    for name, breaches in sorted(found.failing.items()):
        say(f"dunning simulate --pair '{name}': {breaches[0]}")
    return 1 if found.failing else 0


def _pair(words: str) -> int:
    from dunning.simulation.pairs import STORIES, parse_pair, play_pair

    parsed = parse_pair(words)
    if parsed is None:
        message = f"{words!r} is no pair; expected STORY/POINT/POINT, of {', '.join(STORIES)}"
        raise typer.BadParameter(message, param_hint="--pair")
    return _tell(play_pair(*parsed), words)


def _one(seed: int, only: str | None) -> int:
    from dunning.simulation.run import play

    kept = None if only is None else [int(word) for word in only.split(",") if word.strip()]
    return _tell(play(seed, kept), f"seed {seed}")


def _tell(outcome: Outcome, name: str) -> int:
    for line in outcome.trace:
        if not line.endswith(" feeder"):
            print(line)
    for breach in outcome.breaches:
        print(f"BREACH {breach}")
    print(f"{name}: {outcome.turns} turns, trace {outcome.digest}")
    return 1 if outcome.breaches else 0


def _show(summary: Summary) -> None:
    say(
        f"{summary.seeds} worlds, {summary.turns} turns, {summary.seconds:.0f} s, "
        f"{summary.a_second:.1f} worlds a second; {len(summary.failing)} failing"
    )
    for title, counts in (
        ("Killed at", summary.killed),
        ("Faults", summary.struck),
        ("Endings", summary.endings),
    ):
        heading(title)
        say(", ".join(f"{name} {count}" for name, count in counts.most_common()) or "none")


def _explain(seed: int, out: object) -> None:
    from dunning.simulation.shrink import command, shrink, words

    kept, outcome = shrink(seed)
    for line in words(seed, kept, outcome):
        print(line, file=out)  # type: ignore[call-overload]
    print(f"play it again: {command(seed)}", file=out)  # type: ignore[call-overload]
    print(f"or only what is needed: {command(seed, kept)}", file=out)  # type: ignore[call-overload]
