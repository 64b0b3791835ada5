"""A simulated world: one virtual time, one thread, and a choice of what happens next.

Everything that could go on at a moment is in one list, and chance picks from it: a webhook that
arrives, a hint that a worker takes, a turn of the feeder, a person who acts. While a request of
the program is on its way, others may get on, as threads and other processes would.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from functools import partial

from dunning import crashpoints
from dunning.clock import from_unix
from dunning.core.ports import Letter
from dunning.crashpoints import Killed
from dunning.providers.stripe.subscribe import EVENTS, NOTICE_EVENTS
from dunning.sandbox import delivery, jobs
from dunning.sandbox.gateway import Gateway
from dunning.sandbox.sandbox import Sandbox
from dunning.simulation import outside
from dunning.simulation.feeding import Feeding
from dunning.simulation.happenings import Happenings
from dunning.simulation.incoming import Incoming
from dunning.simulation.journal import Journal
from dunning.simulation.line import Line, Request
from dunning.simulation.locks import Blocker
from dunning.simulation.looking import Looking
from dunning.simulation.notices import with_notices
from dunning.simulation.people import People
from dunning.simulation.policies import POLICIES
from dunning.simulation.process import (
    WEBHOOK_SECRET,
    Process,
    SimulatedClock,
    Surroundings,
)
from dunning.simulation.script import Script
from dunning.simulation.stage import Stage
from dunning.simulation.weather import Weather

Act = tuple[str, Callable[[], object]]
DEEPEST = 2  # a request during a request is enough
MOST_TURNS = 5_000  # a world that is still busy then goes in circles
# Customers were there before the endpoint was, so nothing tells that they came.
NEWS_OF_NOTICES = frozenset(NOTICE_EVENTS) - {"customer.created"}


class RestlessError(Exception):
    """The world went on and on without time moving."""


class World:
    """One seed's world."""

    def __init__(self, script: Script, stage: Stage) -> None:
        self.script = script
        self.chance = random.Random(f"{script.seed}/turns")  # noqa: S311 - seeded on purpose
        self.sandbox = Sandbox(seed=script.seed, start=script.start, indent=None)
        self.stripe = self.sandbox.world
        self.stripe.base_url = "https://pay.example.com"
        self.weather = Weather()
        self.journal = Journal(self.stripe, lambda: self.now - script.start)
        self.people = People(self.sandbox, self.later)
        self.happenings = Happenings(self)
        self.post = outside.Post(self._mail_fate, self._mail_arrived)
        self.product = outside.Product(self._call_fate, self._called)
        self.blocker = Blocker(stage.database, self.weather)
        text = POLICIES[script.policy].text
        self.around = Surroundings(
            stage=stage,
            policy=with_notices(text) if script.notices else text,
            breaker=script.breaker,
            true_time=lambda: self.now,
            sleep=self._sleep,
            line=Line(Gateway(self.stripe), self._before, self.answered),
            mail=self.post,
            product=self.product,
        )
        self.clock = SimulatedClock(lambda: self.now)
        self.incoming = Incoming(self)
        self.feeding = Feeding(self)
        self.looking = Looking(self) if script.notices else None
        self.timers: list[tuple[int, int, str, Callable[[], object]]] = []
        self.depth = 0
        self.turns = 0
        self.down_until = 0
        self.kills = 0
        # The second one takes part while a request of the first is on its way.
        self.processes: list[Process | None] = [None] * (DEEPEST + 1)
        self.sandbox.add_webhook(
            "https://dunning.example.com/webhooks/stripe",
            WEBHOOK_SECRET,
            events=[*EVENTS, *(sorted(NEWS_OF_NOTICES) if script.notices else ())],
        )

    # --- life ------------------------------------------------------------------------------

    @contextlib.contextmanager
    def living(self) -> Iterator[None]:
        """Let points be heard while this world goes on."""
        random.seed(self.script.seed)  # what libraries add to their waits
        with self.around.stage.shown_to(self), crashpoints.listening(self.reach):
            try:
                yield
            finally:
                for process in self.processes:
                    if process is not None:
                        process.close()
                self.blocker.close()
                self.feeding.close()
                if self.looking is not None:
                    self.looking.close()

    def reach(self, point: str) -> None:
        """Somebody came by a point."""
        self.weather.reach(point)

    def before_begin(self, _connection: object) -> None:
        """A transaction is about to begin: somebody else may be faster."""
        self.blocker.before_begin()

    @property
    def now(self) -> int:
        """The true time."""
        return self.stripe.now

    @property
    def process(self) -> Process:
        """Whoever works at this depth; started when first asked for."""
        found = self.processes[self.depth]
        if found is None:
            found = self.processes[self.depth] = Process(self.around, self.clock)
        return found

    def say(self, text: str) -> None:
        """Write a line of the trace."""
        self.journal.say("  " * self.depth + text)

    def later(self, seconds: int, label: str, do: Callable[[], object]) -> None:
        """Have something done in so many seconds."""
        self.timers.append((self.now + seconds, len(self.timers), label, do))

    # --- time ------------------------------------------------------------------------------

    def run(self, until: int) -> None:
        """Let everything happen up to that moment."""
        while True:
            if ready := self.ready():
                self.turn(ready)
                continue
            soonest = self.soonest()
            if soonest is None or soonest > until:
                break
            self.pass_to(soonest)
        self.pass_to(until)

    def pass_to(self, moment: int) -> None:
        """Move time; Stripe does what it had planned."""
        stripe = self.stripe
        while stripe.jobs and stripe.jobs[0][0] <= moment:
            stripe.now = max(stripe.now, stripe.jobs[0][0])
            jobs.run_due(stripe)
            self.incoming.collect()
        stripe.now = stripe.target = max(stripe.now, moment)
        self.incoming.collect()

    def soonest(self) -> int | None:
        """The next moment at which anything happens."""
        moments = self.incoming.moments()
        moments += [timer[0] for timer in self.timers]
        moments += [one.due for one in self.feeding.messages]
        if (planned := self.happenings.next_at) is not None:
            moments.append(planned)
        if self.stripe.jobs:
            moments.append(self.stripe.jobs[0][0])
        if (due := delivery.next_due(self.stripe)) is not None:
            moments.append(due)
        if self.is_down:
            # A process that is down takes no hints and finds nothing.
            moments = [at for at in moments if at > self.now]
            moments.append(self.down_until)
        else:
            moments += [at for at in (self.feeding.due_at, self._looks_at) if at is not None]
        return max(min(moments), self.now + 1) if moments else None

    @property
    def _looks_at(self) -> int | None:
        return self.looking.due_at if self.looking is not None else None

    def _sleep(self, seconds: float) -> None:
        self.pass_to(self.now + max(1, round(seconds)))

    # --- what happens next -----------------------------------------------------------------

    @property
    def is_down(self) -> bool:
        """Whether the machine is off."""
        return self.now < self.down_until

    def ready(self) -> list[Act]:
        """Everything that could go on now."""
        now = self.now
        acts: list[Act] = []
        if self.depth == 0:
            acts += self.happenings.due()
        acts += [
            (label, partial(self._timer, entry))
            for entry in self.timers
            for at, _, label, _ in [entry]
            if at <= now
        ]
        acts += self.incoming.due()
        if self.is_down:
            return acts
        feeding = self.feeding
        waiting = [one for one in feeding.messages if one.due <= now]
        acts += [(one.name, partial(feeding.work, one)) for one in waiting]
        if (found_at := feeding.due_at) is not None and found_at <= now:
            acts.append(("feeder", feeding.tick))
        if self.looking is not None and self.looking.due_at <= now:
            acts.append(("lookout", self.looking.tick))
        return acts

    def turn(self, ready: list[Act]) -> None:
        """One thing happens, picked by chance; whoever is killed by it is gone."""
        self.turns += 1
        if self.turns > MOST_TURNS:
            raise RestlessError(f"after {MOST_TURNS} turns: {', '.join(a for a, _ in ready[:5])}")
        label, act = self.chance.choice(ready)
        self.say(label)
        self.journal.mark(self.depth)
        try:
            act()
        except Killed as killed:
            self._die(str(killed))
        self.feeding.something_happened()
        if self.looking is not None:
            self.looking.something_happened()
        self.incoming.collect()

    def others_get_on(self) -> None:
        """While one request is on its way: a few turns of somebody else."""
        if self.depth >= DEEPEST:
            return
        self.depth += 1
        try:
            for _ in range(self.chance.randint(1, 4)):
                ready = self.ready()
                if not ready:
                    break
                self.turn(ready)
        finally:
            self.depth -= 1

    def _timer(self, entry: tuple[int, int, str, Callable[[], object]]) -> None:
        self.timers.remove(entry)
        entry[3]()

    # --- the ways out ----------------------------------------------------------------------

    def _before(self, request: Request) -> str:
        """A request leaves: whoever made it may die, stand still, or be overtaken."""
        weather = self.weather
        charge = request.path.endswith("/pay")
        weather.reach("outside.charge" if charge else "outside.request")
        self._stand_still(request.path, "before")
        if self.script.bustle and self.chance.random() < self.script.bustle:
            self.others_get_on()
        fate = weather.of_request(request, self.now)
        self.journal.asked(request, fate, self.depth)
        return fate

    def _stand_still(self, path: str, side: str) -> None:
        seconds = self.weather.pause(path, side)
        if seconds:
            self.say(f"  stands still for {seconds} s {side} {path}")
            self.pass_to(self.now + seconds)
            for _ in range(3):
                self.others_get_on()

    def answered(self, request: Request, status: int) -> None:
        """An answer comes back."""
        self.journal.answered(request, status)
        charge = request.path.endswith("/pay")
        self.weather.reach("outside.charged" if charge else "outside.answer")
        self._stand_still(request.path, "after")

    def _mail_fate(self, _letter: Letter) -> str:
        self.weather.reach("outside.mail")
        self._stand_still("mail", "before")
        return self.weather.of_mail()

    def _mail_arrived(self, letter: Letter) -> None:
        self.say(f"  mail: {letter.subject}")
        mail = self.journal.mail(letter, from_unix(self.now), self.depth)
        self.post.mails.append(mail)
        self.weather.reach("outside.mailed")
        self._stand_still("mail", "after")

    def _call_fate(self, name: str) -> str:
        self.weather.reach("outside.call")
        return self.weather.of_call()

    def _called(self, name: str) -> None:
        self.weather.reach("outside.called")

    # --- dying -----------------------------------------------------------------------------

    def _die(self, point: str) -> None:
        """The process of this depth is gone: its memory, and perhaps its broker's."""
        self.kills += 1
        self.say(f"KILLED at {point}")
        dead = self.processes[self.depth]
        if dead is not None:
            dead.close()
        self.processes[self.depth] = None
        what = self.happenings.last_kill
        if what.get("forgets"):
            self.feeding.messages.clear()
        if what.get("down") and self.depth == 0:
            self.down_until = self.now + what["down"]
            self.say(f"  down for {what['down']} s")
        if what.get("then"):
            self.happenings.last_kill = {"forgets": True}
            self.weather.order_kill({"point": what["then"], "count": 1})
        if what.get("again"):
            self.happenings.last_kill = {}
            self.weather.order_kill({"point": None, "count": self.chance.randint(1, 12)})
