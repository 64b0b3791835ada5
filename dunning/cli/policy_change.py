"""`policy plan`, `apply`, `rollback`, `history`, `show`: change what is in force, seeing first."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dunning.cli import plan_page
from dunning.cli.opening import Opened, opened
from dunning.cli.options import (
    ByOption,
    DataOption,
    FormatOption,
    PageFormatOption,
    SourceOption,
    WhyOption,
    author,
    usage,
)
from dunning.cli.output import (
    Format,
    PageFormat,
    console,
    csv_list,
    is_terminal,
    json_page,
    say,
)
from dunning.cli.policy_diff import in_force
from dunning.cli.policy_diff import show as show_differences
from dunning.cli.policy_files import FileArgument, load_file
from dunning.cli.words import count_text
from dunning.errors import ConfigError, NotFoundError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from dunning.acts import Person
    from dunning.changing import Moved, Order
    from dunning.config import PolicyFile
    from dunning.config.differences import Difference
    from dunning.foreseen import Asked, Outcome, Target

PolicyOption = Annotated[
    list[str] | None,
    typer.Option("--policy", metavar="NAME", help="Only cases under this one; may be repeated."),
]
AgainOption = Annotated[
    bool,
    typer.Option(
        "--choose-again",
        help="Let `choose` pick the policy of each open case anew, instead of the same name.",
    ),
]
OpenCasesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--open-cases",
        metavar="none|all|POLICY",
        help="Which open cases go along: none (if left out), all, or those of a policy.",
    ),
]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
ToOption = Annotated[
    str | None,
    typer.Option("--to", metavar="HASH", help="Back to this text; the one before, if left out."),
]
PatienceOption = Annotated[
    int,
    typer.Option("--patience", metavar="SECONDS", help="Wait so long for charges under way."),
]


# --- plan --------------------------------------------------------------------------------------


def plan(
    file: FileArgument = None,
    policy: PolicyOption = None,
    source: SourceOption = None,
    choose_again: AgainOption = False,
    form: FormatOption = Format.TABLE,
    data: DataOption = None,
) -> None:
    """Show what a file would change for the cases now open, if they were moved to it. Nothing is.

    Each open case is planned under the version it has and under the one it would get: how many
    charges, emails and suspensions more or fewer, sooner or later, and who would lose access
    sooner.

    Example: dunning policy plan policies.yaml
    """
    from dunning.foreseen import Asked, target_of

    loaded = load_file(file)
    with opened(data) as here:
        asked = Asked(
            now=here.now(),
            policies=tuple(policy) if policy else None,
            source=source,
            choose_again=choose_again,
        )
        found = look(here.engine, target_of(loaded.policies, loaded.choices, loaded.terms), asked)
    match form:
        case Format.JSON:
            json_page(plan_page.as_json(found, asked, loaded.filename))
        case Format.CSV:
            csv_list(plan_page.KEYS, plan_page.kinds(found))
        case Format.TABLE:
            plan_page.show(found, f"If open cases went on under {loaded.filename}")


def look(engine: Engine, target: Target, asked: Asked) -> Outcome:
    """Plan the open cases in one unmoving view, with the progress for a person who waits."""
    from dunning.planning import look as look_into
    from dunning.reports.snapshot import snapshot

    with snapshot(engine) as session, _progress("planning") as progress:
        return look_into(session, target, asked, progress)


@contextmanager
def _progress(what: str) -> Iterator[Callable[..., None]]:
    """How far it is, for a person who waits; nothing in a pipe."""
    if not is_terminal("stderr"):
        yield lambda *_: None
        return
    with console("stderr").status(what) as status:

        def progress(done: int, whole: int | None = None) -> None:
            of = "" if whole is None else f" of {whole:,}"
            status.update(f"{what}: {count_text(done, 'case')}{of}")

        yield progress


# --- apply and rollback --------------------------------------------------------------------------


def apply(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The policy file.", show_default=False)
    ],
    why: WhyOption,
    by: ByOption = None,
    open_cases: OpenCasesOption = None,
    choose_again: AgainOption = False,
    yes: YesOption = False,
    patience: PatienceOption = 20,
    form: PageFormatOption = PageFormat.TABLE,
    data: DataOption = None,
) -> None:
    """Bring a file into force for new cases, and move open ones to it if that is asked for.

    Shows the plan and asks first. Every running process sees it within two seconds. An open case
    that is moved goes on at its place: what lay before is left undone, and no door opens sooner
    than 7 days from now unless it would have anyway. Stopped half-way, the same command goes on.

    Example: dunning policy apply policies.yaml --why "later suspension" --open-cases all
    """
    from dunning.changing import Order, changes_nothing
    from dunning.config import read_policy_text
    from dunning.in_force import Text, loader
    from dunning.messages import Messages

    with opened(data) as here:
        text = Text(*read_policy_text(file))
        loaded = loader(tuple(Messages(here.settings.templates).names()))(text)
        order = Order(
            text=text,
            file=loaded,
            author=_author(by, why, here.now()),
            open_cases=_scope(here.engine, open_cases),
            choose_again=choose_again,
        )
        if changes_nothing(here.engine, order):
            say(f"{file} ({text.hash}) is in force already.")
            return
        if form is PageFormat.TABLE:
            say(f"From what is in force to {file}:")
            show_differences(_differences(in_force(data), loaded))
            say()
        _carry_out(here, order, yes, patience, form, f"Bring {file} into force")


def rollback(
    why: WhyOption,
    by: ByOption = None,
    to: ToOption = None,
    yes: YesOption = False,
    patience: PatienceOption = 20,
    form: PageFormatOption = PageFormat.TABLE,
    data: DataOption = None,
) -> None:
    """Bring the text that was in force before back, and the cases that were moved since.

    They go back to the version they had then, by the same rules as when they were moved. Cases
    that began meanwhile stay with the version they began under.

    Example: dunning policy rollback --why "suspends too soon"
    """
    from dunning.changing import Order, former
    from dunning.in_force import Text, loader
    from dunning.messages import Messages
    from dunning.store import reading

    with opened(data) as here:
        with reading(here.engine) as session:
            row = former(session, to)
        text = Text(row.text, row.name)
        order = Order(
            text=text,
            file=loader(tuple(Messages(here.settings.templates).names()))(text),
            author=_author(by, why, here.now()),
            open_cases=None,
            back_to=row.id,
        )
        _carry_out(here, order, yes, patience, form, f"Go back to {row.name} ({row.hash})")


def _author(by: str | None, why: str, now: datetime) -> Person:
    from dunning.acts import Person

    return Person(by=author(by), why=why, now=now)


def _differences(old: PolicyFile, new: PolicyFile) -> list[Difference]:
    from dunning.config.differences import differences

    return differences(old, new)


def _scope(engine: Engine, said: list[str] | None) -> tuple[str, ...] | None:
    """Which policies' open cases go along; None is all."""
    words = said or ["none"]
    if "all" in words or "none" in words:
        if len(words) > 1:
            raise usage("none and all stand alone", "--open-cases")
        return None if words == ["all"] else ()
    from sqlalchemy import select
    from sqlmodel import col

    from dunning.store import CaseRow, reading

    with reading(engine) as session:
        known = {str(name) for name in session.scalars(select(col(CaseRow.policy)).distinct())}
    if unknown := sorted(set(words) - known):
        there = ", ".join(sorted(known)) or "none"
        raise NotFoundError(f"no case is under a policy {unknown[0]!r}; there are: {there}")
    return tuple(sorted(set(words)))


def _carry_out(
    here: Opened, order: Order, yes: bool, patience: int, form: PageFormat, what: str
) -> None:
    """Show what would happen, ask, and do it."""
    from dunning.changing import bring_into_force
    from dunning.foreseen import Asked, Outcome, target_of

    target = target_of(order.file.policies, order.file.choices, order.file.terms)
    asked = Asked(
        now=order.author.now,
        policies=order.open_cases,
        choose_again=order.choose_again,
        back_to=order.back_to,
    )
    found = Outcome() if order.open_cases == () else look(here.engine, target, asked)
    if form is PageFormat.TABLE:
        _show_plan(order, found)
    if not yes:
        if not sys.stdin.isatty():
            raise usage("nobody can be asked here; say --yes once the plan is right", "--yes")
        typer.confirm(f"{what}?", abort=True, err=True)
    row = bring_into_force(here.engine, order)
    moved = _move(here, order, target, row, found, patience)
    if form is PageFormat.JSON:
        told = {"hash": order.text.hash, "moved": moved.moved, "left": _left(moved)}
        json_page(told | {"plan": plan_page.as_json(found, asked, order.text.name)})
    else:
        say(f"{order.text.hash} is in force. {count_text(moved.moved, 'open case')} moved.")
    if left := _left(moved):
        raise ConfigError(_not_finished(moved, left))


def _show_plan(order: Order, found: Outcome) -> None:
    if order.open_cases == ():
        say("It is for new cases only: open ones go on under the versions they have.")
        say()
    else:
        plan_page.show(found, "The open cases that go along")


def _move(
    here: Opened, order: Order, target: Target, row: int, found: Outcome, patience: int
) -> Moved:
    from dunning.cases import CaseBook
    from dunning.changing import Moved, Mover
    from dunning.core.choosing import Subject
    from dunning.core.policy import Policy

    def nobody_begins(_subject: Subject) -> Policy:
        raise AssertionError

    if order.open_cases == ():
        return Moved(row)
    announces = here.settings.product_webhook_url is not None
    mover = Mover(
        here.engine,
        CaseBook(choose=nobody_begins, announces=announces),
        order,
        target,
        here.now,
        may_suspend_sooner=frozenset(each.case for each in found.sooner),
    )
    with _progress("moving") as progress:
        return mover.run(row, progress, patience=patience)


def _left(moved: Moved) -> list[str]:
    return sorted(moved.busy | moved.unlisted)


def _not_finished(moved: Moved, left: list[str]) -> str:
    why = "a step of theirs is under way, or nobody knows yet how it ended"
    if not moved.busy:
        why = "they would lose access sooner, which the plan did not say"
    names = ", ".join(left[:3]) + (" …" if len(left) > 3 else "")
    return f"{count_text(len(left), 'open case')} not moved ({names}): {why}; run it again"
