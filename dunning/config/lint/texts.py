"""Rules about texts: beside an email, and where nobody heard of the debt before."""

from __future__ import annotations

from collections.abc import Iterator

from dunning.config.lint.rule import DAY, Found, Rule, Way
from dunning.config.timing import span_words
from dunning.core.events import StepKind


def beside_a_message(way: Way) -> Iterator[Found]:
    said = way.of(StepKind.EMAIL, StepKind.SMS)
    for place, text in enumerate(said):
        if text.rung.do is not StepKind.SMS:
            continue
        # Of two texts the later one is named.
        others = [*said[:place], *(one for one in said[place:] if one.rung.do is StepKind.EMAIL)]
        near = next(
            (
                other
                for other in others
                if abs(other.offset - text.offset) < DAY and not way.apart(other, text)
            ),
            None,
        )
        if near is not None:
            kind = "an email" if near.rung.do is StepKind.EMAIL else "a text"
            gap = span_words(abs(near.offset - text.offset))
            yield Found(
                text.place,
                f"Only {gap} from {kind}: one of the two waits for the day after.",
                "Leave at least 24h between a text and any other message.",
            )


def before_any_email(way: Way) -> Iterator[Found]:
    first, text = way.first(StepKind.EMAIL), way.first(StepKind.SMS)
    if text is not None and first is not None and text.offset < first.offset:
        yield Found(
            text.place,
            "The customer is texted before there was any email.",
            "Write first: `{at: 0h, do: email, template: payment_failed}`.",
        )


SUBJECT = "Texts"
RULES = (
    Rule(
        name="text-beside-message",
        why="A customer gets one message a day. A text and an email of one day do not both leave"
        " on it, so the second comes a day later than the file says.",
        fix="Leave at least 24h between a text and any other message.",
        of_way=beside_a_message,
    ),
    Rule(
        name="text-before-email",
        why="A text is short and its sender unknown: a first word about money by text reads as a"
        " fraud, and many customers have no number on record.",
        fix="Begin with an email, and let a text remind.",
        of_way=before_any_email,
    ),
)
