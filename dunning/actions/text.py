"""Write to the customer's phone: a short text with the link to their page.

Texts have no key by which a second sending could be recognised. One whose answer was lost is
looked for where it was sent, and never sent again: about a debt, twice is worse than not at all.
"""

from __future__ import annotations

from datetime import timedelta

import structlog

from dunning import metrics
from dunning.actions.composing import LONGEST_WAIT, Composed, Composer, Way
from dunning.actions.looking import Seen
from dunning.actions.message import concluded
from dunning.actions.speaking import same_person
from dunning.core.events import CustomerReported, StepResult
from dunning.core.facts import Case
from dunning.core.permission import template_for
from dunning.core.phones import e164
from dunning.core.ports import (
    Doing,
    Doubtful,
    Ended,
    PutOff,
    Said,
    Saying,
    SendOutcome,
    Text,
    Texting,
    Unsent,
)

log = structlog.get_logger(__name__)

# A text of which no answer came is looked for after so long, and so often until it is let go of.
LOOK_AFTER = timedelta(minutes=2)
LOOKS = 3
# Where nobody answers, it is asked longer: until about a day has gone.
ASKS = 18
_NOT_CONFIGURED = "no way out: DUNNING_SMS_URL is not set"
_NO_NUMBER = "the provider knows no phone number of this customer"
_NOT_DIALLED = "the phone number on record is not in international form, such as +4512345678"
_NOT_AGAIN = "it may have been sent; not sent twice"


def number_of(looked: Seen) -> tuple[str | None, str]:
    """The number as the provider has it right now, or why there is none."""
    people = (event for event in looked.events if isinstance(event, CustomerReported))
    written = [one.phone for one in people if one.customer == looked.case.customer and one.phone]
    number = e164(written[-1]) if written else None
    return number, _NOT_DIALLED if written else _NO_NUMBER


PHONE = Way(number_of, same_person)


class WriteText:
    """The `sms` step."""

    def __init__(self, composer: Composer, texts: Texting | None) -> None:
        self._composer = composer
        self._texts = texts

    def act(self, doing: Doing) -> Ended | PutOff:
        """Send one text, or find out what became of it where that is not known."""
        if doing.again:
            return self._found_out(doing)
        if self._texts is None:
            return Ended(result=StepResult.SKIPPED, why=_NOT_CONFIGURED)
        made = self._composer.compose(doing, PHONE)
        if not isinstance(made, Composed):
            return made
        short = self._composer.messages.text(made.facts)
        text = Text(to=made.recipient, body=short.body, mark=self._mark(made.looked.case))
        said = self._said(doing, made.looked, made.recipient)
        # From here on it may have left; whoever takes over from now on looks for it.
        cases = tuple(one.case.id for one in made.told)
        doing.asking(Saying(template=made.template, cases=cases))
        with metrics.sending_text():
            outcome = self._texts.send(text)
        _tell(doing, said, outcome, parts=short.segments.count)
        if isinstance(outcome, Doubtful):
            return _later(doing, made.looked, outcome.why, LOOK_AFTER)
        return concluded(doing, made.looked, said, outcome)

    def _found_out(self, doing: Doing) -> Ended | PutOff:
        """An earlier try may have been sent: ask, and never send it here."""
        looked = self._composer.see(doing)
        number, _ = number_of(looked)
        mark = self._mark(looked.case)
        if self._texts is None or number is None or not mark:
            why = f"{_NOT_AGAIN}: nobody can be asked what became of it"
            return Ended(result=StepResult.DOUBTFUL, why=why, events=looked.events)
        text = Text(to=number, body="", mark=mark)
        outcome = self._texts.find(text, doing.first_started_at)
        said = self._said(doing, looked, number)
        _tell(doing, said, outcome)
        looks = doing.tries - 1
        if isinstance(outcome, Doubtful):
            if looks < LOOKS:
                return _later(doing, looked, outcome.why, LOOK_AFTER * 2**looks)
            return concluded(doing, looked, said, Doubtful(why=f"{_NOT_AGAIN}; {outcome.why}"))
        if isinstance(outcome, Unsent):
            if looks < ASKS:
                wait = min(LOOK_AFTER * 2 ** min(looks, 8), LONGEST_WAIT)
                return _later(doing, looked, outcome.why, wait)
            return concluded(doing, looked, said, Doubtful(why=f"{_NOT_AGAIN}; {outcome.why}"))
        return concluded(doing, looked, said, outcome)

    def _mark(self, case: Case) -> str:
        """Every link of ours to the case has its name in it; where there is none, nothing does."""
        ours = self._composer.link_for(case, "pay") is not None
        return f"_{case.id.removeprefix('case_')}_" if ours else ""

    def _said(self, doing: Doing, looked: Seen, number: str) -> Said:
        return Said(
            template=template_for(looked.case, doing.step.template or "", doing.policy),
            recipient=number,
            locale=self._composer.locale(looked.case, doing.policy),
            subject="",
            state="sent",
            channel="sms",
        )


def _later(doing: Doing, looked: Seen, why: str, wait: timedelta) -> PutOff:
    why = f"it may have been sent, and is looked for: {why}"
    return PutOff(until=doing.now + wait, why=why, events=looked.events, unknown=True)


def _tell(doing: Doing, said: Said, outcome: SendOutcome, **more: int) -> None:
    ending = type(outcome).__name__.lower()
    metrics.text(ending)
    log.info(f"text.{ending}", text=doing.step.key, template=said.template, **more)
