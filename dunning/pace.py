"""Keep the calls to a provider within its limits, together with every other process.

The board of turns (`core.turns`) is one row for each source. A process books a few turns at once
and hands them to its threads; what is not used in time is lost to nobody but the provider's limit.
The database tells the time, so machines need not agree about it.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime

from sqlalchemy import Engine, func, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session, col

from dunning.clock import SystemClock, from_unix
from dunning.core.turns import (
    LATE,
    SECOND,
    Board,
    Lane,
    Limits,
    Standing,
    book,
    lanes_of,
    slow,
    wait_for,
)
from dunning.errors import ProviderBusyError
from dunning.store import PaceRow, insert_into, transaction

# So long a caller waits for its turn; after that the step is put off instead.
PATIENCE = 5 * SECOND
# A process books turns for at most this long ahead, so that little is lost when it stops.
CHUNK = SECOND // 4
# A key that is refused is told of so often; calls that fail all day need not each be written down.
REFUSED_AGAIN = 60 * SECOND


@dataclass(slots=True)
class _Booked:
    """The turns one process has for one kind of call, by its own steady clock."""

    turns: deque[float] = field(default_factory=deque)
    lock: threading.Lock = field(default_factory=threading.Lock)
    asking: int = 0  # threads that have no turn yet


class Pacer:
    """Gives the threads of this process their turns to call one source; see `ports.Pace`."""

    def __init__(
        self,
        engine: Engine,
        source: str,
        limits: Limits,
        *,
        patience: int = PATIENCE,
        late: int = LATE,
        moment: Callable[[], int] | None = None,
        steady: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._engine = engine
        self._source = source
        self._limits = limits
        self._patience = patience
        self._late = late
        self._moment = moment
        self._steady = steady
        self._sleep = sleep
        self._lock = threading.Lock()
        self._booked: dict[tuple[str, bool], _Booked] = {}
        self._refused_at = 0  # as on the board when it was last read

    def turn(self, endpoint: str, *, background: bool = False) -> None:
        """Return when a request may be sent there; `ProviderBusyError` if that is too long."""
        lanes = lanes_of(self._limits, endpoint, background=background)
        self.turn_in(endpoint, lanes, background=background)

    def turn_in(self, name: str, lanes: tuple[Lane, ...], *, background: bool = False) -> None:
        """The same for what counts against these lanes; the name stands for all of them."""
        with self._lock:
            booked = self._booked.setdefault((name, background), _Booked())
        self._wait(booked, lanes)

    @property
    def asking(self) -> int:
        """How many threads have no turn yet."""
        with self._lock:
            return sum(booked.asking for booked in self._booked.values())

    def limited(self, endpoint: str, retry_after: float | None) -> None:
        """Make everybody slower; what was booked is let go of."""
        pause = None if retry_after is None else int(retry_after * SECOND)
        with self._lock:
            for booked in self._booked.values():
                booked.turns.clear()
        try:
            with transaction(self._engine) as session:
                now, board = self._locked(session)
                self._keep(session, slow(board, endpoint, now, pause))
        except SQLAlchemyError:
            # The provider will say so again; the answer that brought this matters more.
            return

    def answered(self, *, key_accepted: bool) -> None:
        """Tell everybody when the key is refused, and when it is accepted again."""
        if key_accepted and not self._refused_at:
            return
        try:
            with transaction(self._engine) as session:
                now, board = self._locked(session)
                known = now - board.refused_at < REFUSED_AGAIN
                self._refused_at = 0 if key_accepted else board.refused_at if known else now
                if self._refused_at != board.refused_at:
                    self._keep(session, replace(board, refused_at=self._refused_at))
        except SQLAlchemyError:
            # The next answer says so again; this one matters more.
            return

    # --- parts -----------------------------------------------------------------------------

    def _wait(self, booked: _Booked, lanes: tuple[Lane, ...]) -> None:
        asked = self._steady()
        while True:
            turn = self._next(booked, lanes)
            self._sleep(max(0.0, turn - self._steady()))
            # Somebody who slept too long has no turn any more: others are about to have theirs.
            if self._steady() - turn < self._late / SECOND:
                return
            if self._steady() - asked > self._patience / SECOND:
                raise _busy("this machine is too slow to keep its turns", 0)

    def _next(self, booked: _Booked, lanes: tuple[Lane, ...]) -> float:
        with self._lock:
            booked.asking += 1
        try:
            return self._first(booked, lanes)
        finally:
            with self._lock:
                booked.asking -= 1

    def _first(self, booked: _Booked, lanes: tuple[Lane, ...]) -> float:
        with booked.lock:
            fresh = self._steady() - self._late / SECOND
            while booked.turns:
                turn = booked.turns.popleft()
                if turn > fresh:
                    return turn
            # One for each who has none: a turn booked for nobody mostly passes unused. Many come
            # together by themselves, while somebody else books.
            most = int(min(lane.rate for lane in lanes) * CHUNK // SECOND)
            booked.turns.extend(self._book(lanes, max(1, min(booked.asking, most))))
            return booked.turns.popleft()

    def _book(self, lanes: tuple[Lane, ...], count: int) -> list[float]:
        """Turns by this process's own clock; at least one."""
        try:
            with transaction(self._engine) as session:
                now, board = self._locked(session)
                self._refused_at = board.refused_at
                after, turns = book(board, lanes, now, count, self._patience)
                told = self._steady()
                if turns:
                    self._keep(session, after)
        except SQLAlchemyError as error:
            raise _busy(f"no turn could be booked ({type(error).__name__})", 0) from error
        if not turns:
            asked = wait_for(board, lanes, now) / SECOND
            why = "it asked us to stay away" if asked else "all turns of the next seconds are taken"
            raise _busy(why, asked)
        return [told + (turn - now) / SECOND for turn in turns]

    def _locked(self, session: Session) -> tuple[int, Board]:
        """The board, which nobody else may change meanwhile, and what time it is there."""
        postgres = session.get_bind().dialect.name == "postgresql"
        query = select(col(PaceRow.board)).where(col(PaceRow.source) == self._source)
        kept = session.scalar(query.with_for_update())
        if kept is None:
            new = insert_into(session, PaceRow).values(source=self._source, board="{}")
            session.execute(new.on_conflict_do_nothing())
            kept = session.scalar(query.with_for_update()) or "{}"
        if self._moment is not None:
            return self._moment(), _read(kept)
        # Asked after the lock is held: whoever waited for it must not book what has passed.
        at: datetime = (
            session.execute(select(func.clock_timestamp())).scalar_one()
            if postgres
            else SystemClock().now()
        )
        return int(at.timestamp() * SECOND), _read(kept)

    def _keep(self, session: Session, board: Board) -> None:
        session.execute(
            update(PaceRow)
            .where(col(PaceRow.source) == self._source)
            .values(board=_written(board))
            .execution_options(synchronize_session=False)
        )


def refused_keys(session: Session, sources: Sequence[str]) -> Mapping[str, datetime]:
    """The sources whose key the provider does not accept, with when it last said so."""
    query = select(col(PaceRow.source), col(PaceRow.board))
    boards = session.execute(query.where(col(PaceRow.source).in_(sources)))
    told = {source: _read(board).refused_at for source, board in boards}
    return {source: from_unix(at // SECOND) for source, at in told.items() if at}


def _busy(why: str, seconds: float) -> ProviderBusyError:
    """Those who are turned away do not come back all at once."""
    jitter = secrets.SystemRandom().uniform(0, max(1.0, seconds / 4))
    return ProviderBusyError(f"not asked: {why}", retry_after=seconds + jitter)


def _written(board: Board) -> str:
    lanes = {name: asdict(standing) for name, standing in board.lanes.items()}
    kept = {"taken": board.taken, "lanes": lanes, "refused_at": board.refused_at}
    return json.dumps(kept, separators=(",", ":"))


def _read(text: str) -> Board:
    kept = json.loads(text or "{}")
    lanes = {name: Standing(**standing) for name, standing in kept.get("lanes", {}).items()}
    taken = tuple(kept.get("taken", ()))
    return Board(taken=taken, lanes=lanes, refused_at=kept.get("refused_at", 0))
