"""Puts what was read into the words of a page, in the customer's language and formats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from dunning.core.brand import NO_BRAND, Brand
from dunning.core.promises import Ending
from dunning.messages import customer_reason
from dunning.web.page.reading import Invoice, Read, Seen
from dunning.web.page.showing import WAITS, Showing, Voice, clean

if TYPE_CHECKING:
    from dunning.wiring import Program

_NETWORKS = {"amex": "American Express", "mastercard": "Mastercard", "unionpay": "UnionPay"}
# A promise that came to nothing is spoken of for so long.
_REMEMBERED = timedelta(days=14)


class Told:
    """The answers to one request."""

    def __init__(self, program: Program, showing: Showing, base: str, accepted: str) -> None:
        self._program, self._showing, self._base = program, showing, base
        self._accepted = accepted
        self._found: Read | None = None

    def about(self, found: Read) -> None:
        """From now on, whose page it is."""
        self._found = found

    @property
    def _voice(self) -> Voice:
        return self._showing.voice(self._found.locale if self._found else None, self._accepted)

    @property
    def _brand(self) -> Brand:
        """As emails have it: what the policy file says of the source, else the environment."""
        settings, row = self._program.settings, self._found.row if self._found else None
        live = self._program.sources.get(row.source) if row else None
        said = live.config.brand if live else self._shared
        return replace(
            said,
            name=said.name or settings.company or "Your supplier",
            support_email=said.support_email or settings.support_email,
        )

    @property
    def _shared(self) -> Brand:
        """For whoever has no case here: what all sources have in common, if there is one."""
        brands = {live.config.brand for live in self._program.sources.values()}
        return brands.pop() if len(brands) == 1 else NO_BRAND

    def notice(
        self,
        notice: str,
        status: int = 200,
        *,
        headers: Mapping[str, str] | None = None,
        again: bool = False,
        **words: Any,
    ) -> Response:
        """A page that says one thing."""
        return self._page(
            "notice",
            status,
            headers=headers,
            notice=notice,
            again=again,
            days=self._program.settings.link_days,
            **words,
        )

    def waiting(self, notice: str, look: int) -> Response:
        """A page that looks again by itself, a few times."""
        seen = self._found.seen if self._found else None
        voice = self._voice
        amount = ", ".join(voice.money(each) for each in seen.totals) if seen else ""
        headers: dict[str, str] = {}
        if look < len(WAITS):
            back = "" if notice == "processing" else "back=card&"
            # Of a header, and not of the page itself: a page that says so cannot be stopped.
            headers["Refresh"] = f"{WAITS[look]}; url={self._base}?{back}n={look + 1}"
        return self.notice(notice, headers=headers, again=True, amount=amount)

    def overview(self, seen: Seen, notice: str | None) -> Response:
        """What is owed, and every button."""
        voice = self._voice
        open_ones = [one for one in seen.invoices if one.pursued]
        tries = [one.next_try for one in open_ones if one.next_try]
        suspends = [one.suspends for one in open_ones if one.suspends]
        return self._page(
            "overview",
            200,
            notice=notice,
            invoices=[self._invoice(one, voice) for one in seen.invoices],
            totals=[voice.money(total) for total in seen.totals],
            first=seen.named.purpose,
            cards=not all(one.case.by_hand for one in seen.invoices),
            suspended=any(one.suspended for one in seen.invoices),
            next_try=self._day(min(tries, default=None)),
            suspends=self._day(min(suspends, default=None)),
            promised=self._day(self._promise_day(seen, Ending.OPEN)),
            broken=self._day(self._promise_day(seen, Ending.BROKEN)),
            days=self._days(seen, voice),
        )

    def promised(self, seen: Seen) -> bool:
        """Whether a promise is waited for."""
        return seen.promise is not None and seen.promise.ending is Ending.OPEN

    def _page(
        self, template: str, status: int, *, headers: Mapping[str, str] | None = None, **words: Any
    ) -> Response:
        row = self._found.row if self._found else None
        live = self._program.sources.get(row.source) if row else None
        return self._showing.page(
            template,
            self._voice,
            self._brand,
            status=status,
            leads_to=live.pages if live else None,
            headers=headers,
            base=self._base,
            **words,
        )

    def _invoice(self, one: Invoice, voice: Voice) -> dict[str, Any]:
        reason = customer_reason(one.said, one.code) if one.said is not None else None
        return {
            "name": one.name,
            "amount": voice.money(one.amount),
            "number": clean(one.number),
            "what_for": clean(one.case.word("what_for")),
            "since": voice.day(one.since),
            "reason": self._showing.said(voice, reason) if reason else None,
            "card": _card(one.card),
            "in_process": one.in_process,
            "failed": one.pursued and not one.case.by_hand,
        }

    def _day(self, day: date | None) -> str | None:
        return self._voice.day(day) if day is not None else None

    def _promise_day(self, seen: Seen, ending: Ending) -> date | None:
        """The day of the last promise, if it ended so: it reaches to the last moment of a day."""
        told = seen.promise
        if told is None or told.ending is not ending:
            return None
        now = self._program.clock.now()
        if ending is Ending.BROKEN and now - told.promise.until > _REMEMBERED:
            return None
        return (told.promise.until - timedelta(seconds=1)).astimezone(seen.zone).date()

    def _days(self, seen: Seen, voice: Voice) -> list[tuple[str, str]]:
        if seen.promise_until is None:
            return []
        first, last = seen.promise_until
        span = range((last - first).days + 1)
        days = [first + timedelta(days=number) for number in span]
        return [(day.isoformat(), voice.weekday(day)) for day in days]


def _card(card: tuple[str | None, str] | None) -> str | None:
    if card is None:
        return None
    network, last4 = card
    name = _NETWORKS.get(network or "", (network or "").replace("_", " ").title())
    return f"{name} •••• {last4}".strip()
