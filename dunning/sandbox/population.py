"""Seeded customers for the demo: their renewals fail by a stated mix, and some of them heal.

`curves` says which declines happen and when a retry goes through, `people` who does what. Here
they are put into a sandbox and live: the issuer's answers, paydays, emails that are read, links
that are followed, cancellations, disputes, late payments.
"""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime

from dunning.sandbox import acts, substates
from dunning.sandbox.api.catalog import new_price, new_product
from dunning.sandbox.browser import Browser, likely_link
from dunning.sandbox.cards import card_by_number
from dunning.sandbox.curves import kind_of, succeeds
from dunning.sandbox.customers import new_card_method, new_customer
from dunning.sandbox.errors import ApiError, Obj
from dunning.sandbox.events import emit
from dunning.sandbox.ids import draw
from dunning.sandbox.jobs import job
from dunning.sandbox.outcomes import SUCCEED, Attempt, Outcome, decline
from dunning.sandbox.people import PLANS, Person, make_people
from dunning.sandbox.periods import add_interval
from dunning.sandbox.render import fingerprint
from dunning.sandbox.sandbox import Sandbox
from dunning.sandbox.subscriptions import new_subscription, schedule
from dunning.sandbox.world import DAY, HOUR, World, log

_OLD_CARDS = ("4242424242424242", "5555555555554444", "6011111111111117")
_NEW_CARD = "4000056655665556"
_SECOND_TIME = 0.7  # chance that a soft card that is still unhealed fails its next renewal too


class Population:
    """The customers of one run. `install()` once, then move the sandbox's time."""

    def __init__(
        self,
        sandbox: Sandbox,
        customers: int = 200,
        seed: int = 7,
        days: float = 28,
        failure_share: float = 0.5,
        mix: Mapping[str, float] | None = None,
    ) -> None:
        self.sandbox = sandbox
        self.world = sandbox.world
        self.seed = seed
        self.people = make_people(customers, seed, days, failure_share, mix)
        self._by_customer: dict[str, Person] = {}
        self._by_email = {person.email: person for person in self.people}
        self._errands: queue.Queue[tuple[Person, str]] = queue.Queue()

    # --- moving in -------------------------------------------------------------------------
    def install(self) -> None:
        """Create products, prices, customers with cards, and subscriptions some months old."""
        world = self.world
        with world.lock:
            prices = self._prices()
            for person in self.people:
                self._move_in(person, prices[person.plan, person.currency])
            world.issuer = self.decide
            world.people = self
            world.at(_noon(world.now), "population.noon")
            world.bump()
        threading.Thread(target=self._run_errands, name="sandbox-people", daemon=True).start()

    def _prices(self) -> dict[tuple[int, str], Obj]:
        prices = {}
        for number, (name, interval, amounts) in enumerate(PLANS):
            product = new_product(self.world, name)
            for currency, amount in amounts.items():
                prices[number, currency] = new_price(
                    self.world, product["id"], amount, currency, interval
                )
        return prices

    def _move_in(self, person: Person, price: Obj) -> None:
        world = self.world
        customer = new_customer(
            world,
            name=person.name,
            email=person.email,
            currency=person.currency,
            preferred_locales=[person.locale],
            address={
                "city": None,
                "country": person.country,
                "line1": None,
                "line2": None,
                "postal_code": None,
                "state": None,
            },
            metadata={"timezone": person.zone},
        )
        card = card_by_number(_OLD_CARDS[person.index % len(_OLD_CARDS)])
        # An expired card says so on its face; the others have years to go.
        year = 2025 if person.decline == "expired_card" else 2030 + person.index % 4
        month = 1 + person.index % 12
        if person.expires_soon:
            year, month = _this_month(world.now)
        method = new_card_method(world, card, month, year)
        # Three numbers serve for everybody, and yet each has a card of their own: what is asked of
        # one card counts for that card.
        method["card"]["fingerprint"] = fingerprint(f"{card.number}/{person.index}")
        method["customer"] = customer["id"]
        customer["invoice_settings"]["default_payment_method"] = method["id"]
        renewal = world.now + int(person.renews_after * DAY)
        interval = price["recurring"]["interval"]
        months = 1 + person.index % 18
        subscription = new_subscription(
            world,
            customer,
            [(price, 1)],
            current_period_start=add_interval(renewal, interval, -1),
            current_period_end=renewal,
            billing_cycle_anchor=renewal,
            start_date=add_interval(renewal, interval, -months),
            created=add_interval(renewal, interval, -months),
        )
        person.customer, person.method = customer["id"], method["id"]
        person.subscription = subscription["id"]
        self._by_customer[person.customer] = person
        emit(world, "customer.created", customer)
        emit(world, "payment_method.attached", method)
        emit(world, "customer.subscription.created", subscription)
        schedule(world, subscription)

    # --- the issuer ------------------------------------------------------------------------
    def decide(self, attempt: Attempt) -> Outcome | None:
        """What the customer's bank answers; None leaves it to the card."""
        person = self._by_customer.get(attempt.customer or "")
        if person is None or not person.fails:
            return None
        method = attempt.payment_method
        if method["id"] != person.method or method.get("_renewed"):
            return SUCCEED  # a new card is a good card
        if person.failed_at is None:
            person.failed_at, person.invoice = attempt.at, attempt.invoice
            self._plan(person, attempt.at)
            return decline(person.decline)
        if person.decline == "authentication_required" and attempt.actor == "customer":
            return SUCCEED
        return SUCCEED if self._heals(person, attempt) else decline(person.decline)

    def _heals(self, person: Person, attempt: Attempt) -> bool:
        if attempt.invoice != person.invoice and kind_of(person.decline) != "dead":
            first = self.world.find("invoice", person.invoice)
            if first is not None and first["status"] == "paid":
                return True
            key = (self.seed, "again", person.index, attempt.invoice, attempt.at // DAY)
            return draw(*key) >= _SECOND_TIME
        return succeeds(
            self.seed,
            f"person{person.index}",
            "first" if attempt.invoice == person.invoice else "later",
            person.decline,
            failed_at=person.failed_at or attempt.at,
            at=attempt.at,
            zone=person.zone,
            payday=person.payday,
        )

    # --- what people do by themselves ------------------------------------------------------
    def _plan(self, person: Person, at: int) -> None:
        """The renewal has failed: put what will happen on the calendar."""
        luck = draw(self.seed, "when", person.index)
        days = {"updater": (1, 9), "own": (0.5, 6), "cancels": (1, 12)}.get(person.behaviour)
        if days is not None:
            when = at + int((days[0] + luck * (days[1] - days[0])) * DAY)
            self.world.at(when, f"population.{person.behaviour}", person.index)

    def note(self, person: Person, what: str) -> None:
        """Remember what somebody did."""
        person.notes.append((self.world.now, what))
        log.info("person.acted customer=%s what=%s", person.customer, what)

    def noon(self) -> None:
        """Once a day: who has been paid and disputes, who pays although all is over."""
        for person in self.people:
            if person.failed_at is None or person.acted:
                continue
            luck = draw(self.seed, "noon", person.index)
            wait = self.world.now + int(luck * 20 * HOUR)
            if person.behaviour == "disputes" and self._paid(person):
                person.acted = True
                self.world.at(wait + 2 * DAY, "population.disputes", person.index)
            elif person.behaviour == "late" and self._over(person):
                person.acted = True
                self.world.at(wait + 2 * DAY, "population.own", person.index)

    def _paid(self, person: Person) -> bool:
        invoice = self.world.find("invoice", person.invoice)
        return invoice is not None and invoice["status"] == "paid"

    def _over(self, person: Person) -> bool:
        subscription = self.world.need("subscription", person.subscription)
        invoice = self.world.find("invoice", person.invoice)
        ended = subscription["status"] in substates.ENDED
        written_off = invoice is not None and invoice["status"] == "uncollectible"
        return ended or written_off

    # --- emails ----------------------------------------------------------------------------
    def on_email(self, to: str, subject: str, body_text: str, links: list[str], at: int) -> None:
        """An email has arrived. The person may decide to follow its link, some time later."""
        with self.world.lock:
            person = self._by_email.get(to.strip().lower())
            link = likely_link(links)
            if person is None or link is None or not (person.failed_at or person.expires_soon):
                return
            person.emails += 1
            # Every other one whose card is about to expire gives a new one.
            clicks = person.index % 2 if person.expires_soon else person.behaviour == "clicks"
            if not clicks or person.acted or person.emails < person.eagerness:
                return
            person.acted = True
            luck = draw(self.seed, "read", person.index, person.emails)
            # Half read within five hours; the slowest take a day and a half.
            delay = int(600 + luck * luck * 36 * HOUR)
            self.world.at(at + delay, "population.clicks", person.index, link)

    def run_errand(self, person: Person, link: str) -> None:
        """Follow a link over HTTP, while time waits; never on the clock's own thread."""
        self.sandbox.clock.hold()
        self._errands.put((person, link))

    def _run_errands(self) -> None:
        while not self.sandbox.clock.stopping:
            try:
                person, link = self._errands.get(timeout=0.5)
            except queue.Empty:
                continue
            try:
                present = person.decline == "authentication_required"
                page = Browser().give_card(link, _NEW_CARD, self.world.base_url, use_saved=present)
                with self.world.lock:
                    self.note(person, f"followed the link, {page.status}")
            except Exception as error:  # noqa: BLE001
                # Whatever the program serves, a person with a dead link simply goes away.
                log.warning("person.gave_up customer=%s why=%s", person.customer, error)
                with self.world.lock:
                    self.note(person, "gave up on the link")
            finally:
                self.sandbox.clock.unhold()

    # --- reading ---------------------------------------------------------------------------
    def summary(self) -> Obj:
        """How many of what: customers, failures by code and behaviour, what became of them."""
        with self.world.lock:
            failing = [person for person in self.people if person.fails]
            return {
                "customers": len(self.people),
                "failing": len(failing),
                "failed_so_far": sum(person.failed_at is not None for person in failing),
                "declines": dict(Counter(person.decline for person in failing)),
                "behaviours": dict(Counter(str(person.behaviour) for person in failing)),
                "paid": sum(self._paid(person) for person in failing),
            }


def _this_month(now: int) -> tuple[int, int]:
    """The month it will be in two weeks: a card with it on its face has some weeks to go."""
    then = datetime.fromtimestamp(now + 14 * DAY, UTC)
    return then.year, then.month


def _noon(now: int) -> int:
    return now - now % DAY + DAY // 2 + (DAY if now % DAY >= DAY // 2 else 0)


def _people(world: World) -> Population:
    people = world.people
    if not isinstance(people, Population):
        raise TypeError("this sandbox has no population")
    return people


@job("population.noon")
def _noon_job(world: World) -> None:
    _people(world).noon()
    world.at(world.now + DAY, "population.noon")


@job("population.updater")
def _updater_job(world: World, index: int) -> None:
    population = _people(world)
    person = population.people[index]
    if not population._paid(person):  # noqa: SLF001
        acts.automatically_updated(world, person.method, _NEW_CARD)
        population.note(person, "the network updated the card")


@job("population.own")
def _own_job(world: World, index: int) -> None:
    population = _people(world)
    person = population.people[index]
    invoice = world.find("invoice", person.invoice)
    if invoice is None or invoice["status"] not in ("open", "uncollectible"):
        return
    try:
        acts.pays(world, person.customer, invoice["id"], _NEW_CARD)
    except ApiError as error:
        log.info("person.refused customer=%s why=%s", person.customer, error.message)
        return
    population.note(person, "paid on the hosted page")


@job("population.cancels")
def _cancels_job(world: World, index: int) -> None:
    population = _people(world)
    person = population.people[index]
    if not population._paid(person) and acts.cancels(world, person.customer):  # noqa: SLF001
        population.note(person, "cancelled")


@job("population.disputes")
def _disputes_job(world: World, index: int) -> None:
    population = _people(world)
    person = population.people[index]
    invoice = world.find("invoice", person.invoice)
    if invoice is not None and invoice["_charge"]:
        acts.disputes(world, person.customer, invoice["_charge"])
        population.note(person, "disputed")


@job("population.clicks")
def _clicks_job(world: World, index: int, link: str) -> None:
    population = _people(world)
    population.run_errand(population.people[index], link)
