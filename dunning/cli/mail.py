"""`mail bounces`: take in what mail servers send back, from a file, a folder or a pipe."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dunning.cli.opening import opened
from dunning.cli.options import DataOption, PageFormatOption, usage
from dunning.cli.output import PageFormat, json_page, say
from dunning.cli.words import count_text

if TYPE_CHECKING:
    from dunning.cli.opening import Opened
    from dunning.returns import Taken

# What a mail server understands as "later": it keeps the message and calls again (sysexits.h).
LATER = 75

app = typer.Typer(
    no_args_is_help=True,
    help="What comes back of emails: bounces and complaints.",
    epilog="""\
Examples:
  dunning mail bounces --mbox /var/mail/bounces
  dunning mail bounces --maildir ~bounces/Maildir
  bounces: "|dunning mail bounces -"      a line of /etc/aliases

What was taken in before is known again, so a file may be read as often as you like.""",
)


@app.callback()
def mail() -> None:
    """Keep `bounces` a command of its own while it is the only one."""


@app.command("bounces")
def bounces(
    pipe: Annotated[
        str | None,
        typer.Argument(
            metavar="[-]", help="One message on the standard input.", show_default=False
        ),
    ] = None,
    mbox: Annotated[
        Path | None, typer.Option("--mbox", metavar="FILE", help="All messages of an mbox file.")
    ] = None,
    maildir: Annotated[
        Path | None, typer.Option("--maildir", metavar="DIR", help="All messages of a Maildir.")
    ] = None,
    form: PageFormatOption = PageFormat.TABLE,
    data: DataOption = None,
) -> None:
    """Take in bounces and complaints: the messages they are about, and their addresses.

    An address is marked bad when a bounce that names our message says that nobody is there, after
    a complaint, and after the third email in a row that did not arrive. Nothing is moved or
    deleted. On a pipe, exit code 75 asks the mail server to come again later.
    """
    if sum(each is not None for each in (pipe, mbox, maildir)) != 1 or pipe not in {None, "-"}:
        raise usage("say what to read: -, --mbox FILE or --maildir DIR", "[-]")
    if pipe is not None:
        with _later():
            _show(_take(_piped(), data), form, quiet=True)
    else:
        _show(_take(_found(mbox, maildir), data), form)


@contextmanager
def _later() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever it is, the message must not be lost
        from dunning.redaction import in_words

        typer.echo(f"dunning: not taken in, try again later: {in_words(error)}", err=True)
        raise typer.Exit(LATER) from None


def _piped() -> Iterator[bytes]:
    from dunning.channels.returned.mailboxes import of_pipe

    yield of_pipe(sys.stdin.buffer)


def _found(mbox: Path | None, maildir: Path | None) -> Iterator[bytes]:
    from dunning.channels.returned.mailboxes import of_maildir, of_mbox

    try:
        if mbox is not None:
            with mbox.open("rb") as stream:
                yield from of_mbox(stream)
        elif maildir is not None:
            yield from of_maildir(maildir)
    except OSError as error:
        where = f"{error.filename or mbox or maildir}"
        raise usage(f"{where} cannot be read: {error.strerror}", "--mbox / --maildir") from None


def _take(messages: Iterable[bytes], data: Path | None) -> tuple[int, list[Taken]]:
    with opened(data) as running:
        read, taken = 0, list[Any]()
        for message in messages:
            read += 1
            taken += _one(running, message)
    return read, taken


def _one(running: Opened, message: bytes) -> list[Taken]:
    """One message in one transaction: what is wrong with the next one does not undo it."""
    from dunning.channels.returned.reports import read
    from dunning.returns import take
    from dunning.store import transaction

    told = read(message)
    if not told:
        return []
    with transaction(running.engine) as session:
        return [take(session, each, "mailbox", running.now()) for each in told]


def _show(found: tuple[int, list[Taken]], form: PageFormat, *, quiet: bool = False) -> None:
    read, taken = found
    new = [one for one in taken if not one.known]
    if form is PageFormat.JSON:
        reports = [
            {
                "kind": one.fate.value,
                "address": one.address,
                "message": one.step_key,
                "proven": one.proven,
                "marked": one.marked,
                "known": one.known,
            }
            for one in taken
        ]
        json_page({"read": read, "reports": reports})
        return
    if quiet:
        return  # a mail server would send what we say back to somebody
    kinds = Counter(one.fate.value for one in new)
    told = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
    old = len(taken) - len(new)
    say(
        f"{count_text(read, 'message')} read, {count_text(len(new), 'new report')}"
        + (f" ({told})" if told else "")
        + (f", {old} known before" if old else "")
        + "."
    )
    strangers = sum(one.step_key is None for one in new)
    if strangers:
        say(
            f"{count_text(strangers, 'report')} of emails that are not ours, kept and not acted on."
        )
    marked = sum(one.marked for one in new)
    if marked:
        say(f"{count_text(marked, 'address', 'addresses')} marked bad: `dunning addresses list`.")
