"""The policy file in force: the newest row of `policy_files`, seen by every running process.

A text on disk that was never in force here comes into force by itself, for new cases; one that was
does not come back by itself, so that two machines with an old and a new file do not take turns, and
what was rolled back stays so. A text that is wrong changes nothing: the one in force stays.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path

import structlog
from sqlalchemy import Engine, inspect, select
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session, col

from dunning.chosen import Chosen
from dunning.config import PolicyFile, Source, load_policies, read_policy_text
from dunning.config.policy_file import BUILT_IN
from dunning.core.branches import asks_revenue
from dunning.core.choosing import Subject, fitting_line, in_segments, words
from dunning.core.watching import Watch, watch_of
from dunning.errors import ConfigError
from dunning.store import PolicyFileRow, guard, reading, transaction

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
US = "dunning"
_ONE_AT_A_TIME = "policy_files"


def hash_of(text: str) -> str:
    """The name of a text: the same for the same file wherever it lies."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Text:
    """The text of a policy file, and what to call it."""

    text: str
    name: str

    @property
    def hash(self) -> str:
        """See `hash_of`."""
        return hash_of(self.text)


@dataclass(frozen=True, slots=True)
class Refused:
    """A text that is wrong, and so not in force: for people, and what they can do."""

    name: str
    hash: str
    why: str
    do: str


Load = Callable[[Text], PolicyFile]


def loader(templates: tuple[str, ...]) -> Load:
    """Reads texts without asking what the variables named in `sources` stand for."""

    def load(text: Text) -> PolicyFile:
        return _loaded(text, templates)

    return load


# A process reads a text when it offers its file, and again when it finds it in force.
@lru_cache(maxsize=8)
def _loaded(text: Text, templates: tuple[str, ...]) -> PolicyFile:
    return load_policies(text.text, filename=text.name, environ=None, known_templates=templates)


def newest(session: Session) -> PolicyFileRow | None:
    """What is in force."""
    query = select(PolicyFileRow).order_by(col(PolicyFileRow.id).desc()).limit(1)
    return session.scalars(query).one_or_none()


def versions_of(file: PolicyFile) -> str:
    """The version of each policy of a file, as a row keeps them."""
    return json.dumps({name: policy.version for name, policy in file.policies.items()})


def alone(session: Session) -> None:
    """Let nobody else change what is in force until the transaction ends."""
    guard(session, {_ONE_AT_A_TIME})


class Policies:
    """What is in force, as this process has it. Until it has looked: the file it started with.

    Without a `text` nothing is looked for: what it was given stays.
    """

    def __init__(
        self,
        engine: Engine,
        first: PolicyFile,
        text: Text | None,
        *,
        load: Load,
        now: Callable[[], datetime],
        path: Path | None = None,
    ) -> None:
        self._engine = engine
        self._text = text
        self._load = load
        self._path = path
        self._now = now
        self._sources = first.sources
        self._row: int | None = None
        self._on_disk: tuple[int, int, int] | None = None
        self._looked_at = -LOOK_SECONDS
        self._away = False
        self._said: set[str] = set()
        self._wrong: dict[str, Refused] = {}
        self.current = first
        self._watched = (first, watch_of(first.policies))
        self.hash = text.hash if text else ""

    def choose(self, subject: Subject) -> Chosen | None:
        """The policy a new case begins under, and by which line; None for a notice without one."""
        file = self.current
        own = sum(1 for source in file.sources if source.policy)
        line = fitting_line(file.choices, subject, file.terms)
        if line is None and subject.kind.is_notice:
            return None
        assert line is not None, "the loader made sure that the last line fits every failed charge"
        choice = file.choices[line]
        about = f"line {line - own + 1} of choose" if line >= own else "the source's own policy"
        why = f"{about}: {words(choice.when) or 'everything else'}"
        return Chosen(file.policies[choice.policy], why, in_segments(subject, file.terms))

    @property
    def keeps_revenue(self) -> bool:
        """Whether anything in it asks for what customers have paid so far."""
        file = self.current
        return asks_revenue(file.choices, file.policies, file.terms)

    def watch(self) -> Watch:
        """Which notices it gives, how long ahead, and a mark of the policies that give them."""
        file, found = self._watched
        if file is not self.current:
            file = self.current
            found = watch_of(file.policies)
            self._watched = (file, found)
        return found

    def watches(self) -> bool:
        """Whether customers are told of what lies ahead."""
        return bool(self.watch().leads)

    @property
    def refused(self) -> tuple[Refused, ...]:
        """The texts that are not in force here because they are wrong."""
        return tuple(self._wrong.values())

    # --- looking -----------------------------------------------------------------------------

    def begin(self) -> None:
        """Take the file this process was given into force, if it never was, and see what is."""
        if self._text is not None:
            self.offer(self._text)
            self.look()

    def tick(self) -> None:
        """See whether the file was changed, and what is in force; at most once a second."""
        if self._text is None or time.monotonic() - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = time.monotonic()
        try:
            self._look_at_file()
            self.look()
            self._away = False
        except (SQLAlchemyError, OSError) as error:
            if not self._away:
                log.warning("policy.not_looked", why=type(error).__name__)
            self._away = True

    def look(self) -> None:
        """See what is in force; a text that this program cannot read leaves what was."""
        if self._text is None:
            return
        with reading(self._engine) as session:
            if self._row is None and not _has_table(session):
                return  # before `dunning migrate` the file is all there is
            query = select(col(PolicyFileRow.id)).order_by(col(PolicyFileRow.id).desc()).limit(1)
            found = session.execute(query).scalar()
            if found is None or found == self._row:
                return
            row = session.get_one(PolicyFileRow, found)
            text, kind, by = Text(row.text, row.name), row.kind, row.by
        self._row = found
        loaded = self._read(text, "in force", "it is in force: update dunning on this machine")
        if loaded is None:
            return
        self.current, self.hash = loaded, text.hash
        log.info("policy.in_force", hash=text.hash, file=text.name, kind=kind, by=by)
        if loaded.sources and _names(loaded.sources) != _names(self._sources):
            why = "accounts are read when a process starts: restart it to use those of this file"
            log.warning("policy.sources_changed", file=text.name, why=why)

    # --- the file on disk ----------------------------------------------------------------------

    def _look_at_file(self) -> None:
        """Offer the file when it was changed since it was last looked at."""
        if self._path is None:
            return
        try:
            seen = self._path.stat()
            mark = (seen.st_mtime_ns, seen.st_size, seen.st_ino)
            if mark == self._on_disk:
                return
            text = Text(*read_policy_text(self._path))
        except OSError as error:
            self._refuse_file(f"{self._path}: cannot be read: {error.strerror}")
            return
        except ConfigError as error:
            self._refuse_file(str(error))
            return
        self.offer(text)
        self._on_disk = mark

    def offer(self, text: Text) -> None:
        """Bring the text into force for new cases, if it is right and never was before."""
        loaded = self._read(text, "on disk", _MEND)
        if loaded is None:
            return
        with reading(self._engine) as session:
            if not _has_table(session) or _was_in_force(session, text.hash):
                return
        with transaction(self._engine) as session:
            alone(session)
            before = newest(session)
            if _was_in_force(session, text.hash) or not _may_replace(before, text):
                return
            row = PolicyFileRow(
                kind="file" if before else "first",
                hash=text.hash,
                name=text.name,
                text=text.text,
                versions=versions_of(loaded),
                by=US,
                why=_why(text, before),
                at=self._now(),
                finished_at=self._now(),
            )
            session.add(row)
        log.info("policy.taken", hash=text.hash, file=text.name)

    # --- what is wrong -------------------------------------------------------------------------

    def _read(self, text: Text, place: str, do: str) -> PolicyFile | None:
        try:
            loaded = self._load(text)
        except ConfigError as error:
            self._refuse(place, text, str(error), do)
            return None
        self._wrong.pop(place, None)
        return loaded

    def _refuse_file(self, why: str) -> None:
        self._refuse("on disk", Text("", str(self._path)), why, _MEND)

    def _refuse(self, place: str, text: Text, why: str, do: str) -> None:
        """Say once of each text what is wrong with it."""
        self._wrong[place] = Refused(text.name, text.hash, why, do)
        if f"{text.hash} {why}" not in self._said:
            self._said.add(f"{text.hash} {why}")
            log.error("policy.refused", file=text.name, hash=text.hash, why=why, do=do)


_MEND = "mend the file; `dunning policy check` shows the place, and what was in force stays so"


def _has_table(session: Session) -> bool:
    return inspect(session.connection()).has_table("policy_files")


def _names(sources: Sequence[Source]) -> set[str]:
    return {source.name for source in sources}


def _was_in_force(session: Session, name: str) -> bool:
    query = select(col(PolicyFileRow.id)).where(col(PolicyFileRow.hash) == name).limit(1)
    return session.execute(query).first() is not None


def _may_replace(before: PolicyFileRow | None, text: Text) -> bool:
    """A new release's built-in default replaces an older one, and nothing that people chose."""
    if before is None or text.name != BUILT_IN:
        return True
    return before.name == BUILT_IN and before.kind in ("first", "file")


def _why(text: Text, before: PolicyFileRow | None) -> str:
    if before is None:
        return "the first policy here"
    if text.name == BUILT_IN:
        return "the built-in default of this release"
    return "the file named in DUNNING_POLICY_FILE says so"


@dataclass(frozen=True, slots=True)
class Standing:
    """How something stands, as `doctor` shows it."""

    level: str
    what: str
    advice: str = ""


def standing(session: Session, path: Path | None) -> Iterator[Standing]:
    """What is in force, and whether the file on this machine is it."""
    row = newest(session)
    if row is None:
        return
    since = f"{row.at:%Y-%m-%d %H:%M} UTC"
    yield Standing("ok", f"{row.hash} ({row.name}) is in force since {since}, by {row.by}")
    if row.finished_at is None:
        yield Standing(
            "warning",
            f"not all open cases that were to go along with {row.hash} have",
            f"run the same `dunning policy {row.kind}` again",
        )
    try:
        text = Text(*read_policy_text(path))
    except ConfigError:
        return  # told where the file itself is looked at
    if path is None or text.hash == row.hash:
        return
    if _was_in_force(session, text.hash):
        yield Standing(
            "warning",
            f"{path} was in force before, and is not now",
            "put there what is (`dunning policy show`), or bring it back: `dunning policy apply`",
        )
    else:
        yield Standing(
            "warning",
            f"{path} has not been in force yet",
            "a running process takes it up in two seconds; see what it changes: "
            "`dunning policy plan`",
        )


class Watching:
    """Looks at what is in force again and again, on a thread of its own."""

    def __init__(self, policies: Policies) -> None:
        self._policies = policies
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="policies", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(LOOK_SECONDS * 5)

    def _run(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            self._policies.tick()


def names_of(row: PolicyFileRow) -> Mapping[str, str]:
    """The version of each policy of a row."""
    versions: dict[str, str] = json.loads(row.versions)
    return versions
