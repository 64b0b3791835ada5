"""Rules about emails: too late, too often, and doors that close without a word."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import chain

from dunning.config.lint.rule import DAY, Found, Line, Rule, Way, ways
from dunning.config.timing import span_words
from dunning.core.events import StepKind

FIRST_EMAIL_BY = timedelta(days=3)
LAST_CHANCE_WITHIN = timedelta(days=7)
LAST_WORD = "final_notice"
SUSPENDED = "suspended"


def none_at_all(way: Way) -> Iterator[Found]:
    if not way.emails:
        yield Found(
            way.place,
            "The customer is never written to.",
            "Add `{at: 0h, do: email, template: payment_failed}`.",
        )


def too_late(way: Way) -> Iterator[Found]:
    if way.branch == "issuer_unavailable":
        return  # nothing is wrong with the customer
    for line in way.emails[:1]:
        if line.offset > FIRST_EMAIL_BY:
            yield Found(
                line.place,
                f"The customer first hears of it after {span_words(line.offset)}.",
                "Write within 3d: most customers can mend a card at once.",
            )


def too_often(way: Way) -> Iterator[Found]:
    for i, line in enumerate(way.emails):
        earlier = next((one for one in way.emails[:i][::-1] if not way.apart(one, line)), None)
        if earlier and line.offset - earlier.offset < DAY:
            yield Found(
                line.place,
                f"Only {span_words(line.offset - earlier.offset)} after the email before.",
                "Leave at least 24h between emails.",
            )


def too_often_across(way: Way) -> Iterator[Found]:
    """A charge between an email of the timeline and one of a branch may lead to both."""
    if way.branch is None:
        return
    before = next(ways(way.file, way.policy))
    for line in way.emails:
        for earlier in before.emails:
            gap = line.offset - earlier.offset
            between = any(earlier.offset <= r.offset < line.offset for r in before.charges)
            if timedelta(0) < gap < DAY and between and not way.apart(earlier, line):
                yield Found(
                    line.place,
                    f"Only {span_words(gap)} after an email of the timeline, where the charge"
                    " between the two leads the case here.",
                    "Leave at least 24h between emails, or give both the same place.",
                )
                break


def no_last_word(way: Way) -> Iterator[Found]:
    door = next(iter(way.doors), None)
    if door is None or not way.emails:
        return
    if not any(
        line.rung.template == LAST_WORD and line.offset < door.offset for line in way.emails
    ):
        yield Found(
            door.place,
            f"No {LAST_WORD} email comes before this step.",
            f"Add `{{before: {door.rung.do.value} 3d, do: email, template: {LAST_WORD}}}`.",
        )


def none_before_suspension(way: Way) -> Iterator[Found]:
    door = way.first(StepKind.SUSPEND)
    if door is None:
        return
    if not any(line.offset <= door.offset - DAY for line in way.emails):
        yield Found(
            door.place,
            "Access is taken without an email at least a day before.",
            f"Add `{{before: suspend 3d, do: email, template: {LAST_WORD}}}`.",
        )


def no_last_chance(way: Way) -> Iterator[Found]:
    for door in way.doors:
        if not any(_is_chance(line, door) for line in (*way.charges, *way.emails)):
            yield Found(
                door.place,
                f"In the {span_words(LAST_CHANCE_WITHIN)} before it no charge is tried and the"
                " customer is not asked to pay.",
                f"Add an email, `{{before: {door.rung.do.value} 3d, do: email, template:"
                f" {LAST_WORD}}}`, or a retry.",
            )


def _is_chance(line: Line, door: Line) -> bool:
    return timedelta(0) < door.offset - line.offset <= LAST_CHANCE_WITHIN


def told_of_suspension_late(way: Way) -> Iterator[Found]:
    """An email of the timeline's own keeps the program from telling of it by itself."""
    told = [line for line in way.emails if line.rung.template == SUSPENDED]
    door = way.first(StepKind.SUSPEND)
    if not told:
        return
    if door is None:
        for line in told:
            yield Found(
                line.place,
                "It tells of a suspension, and this policy has none.",
                "Remove it, or use another template.",
            )
        return
    for line in told:
        if line.offset < door.offset:
            yield Found(
                line.place,
                "It says that access is suspended before it is.",
                "Place it by the door: `after: suspend 0h`.",
            )
    if all(line.rung.when for line in told):
        yield Found(
            told[0].place,
            "Suspended customers for whom its condition does not hold are never told.",
            "Remove the condition. Without a line of its own the program tells all of them.",
        )
    late = min(line.offset for line in told) - door.offset
    if late > DAY:
        yield Found(
            told[0].place,
            f"Suspended customers hear of it only after {span_words(late)}.",
            "Place it by the door: `after: suspend 0h`. Without a line of its own the program"
            " tells them at once.",
        )


SUBJECT = "Emails"
RULES = (
    Rule(
        name="no-email",
        why="Most customers do not know that a charge failed and would mend it gladly; a case"
        " without emails recovers only what charges by themselves bring.",
        fix="Begin with `{at: 0h, do: email, template: payment_failed}`.",
        of_way=none_at_all,
    ),
    Rule(
        name="first-email-late",
        why="A new card is given soonest when the failure is fresh; each day of silence is one"
        " less to mend it in.",
        fix="Send the first email within 3d.",
        of_way=too_late,
    ),
    Rule(
        name="emails-too-often",
        why="Two emails about one debt within a day read as harassment, are marked as spam, and"
        " then the final notice does not arrive either.",
        fix="Leave at least 24h between emails.",
        of_way=lambda way: chain(too_often(way), too_often_across(way)),
    ),
    Rule(
        name="no-final-notice",
        why="Whoever is suspended or cancelled without having been told when, is surprised, and"
        " disputes it.",
        fix="Put a `final_notice` three days before the first door.",
        of_way=no_last_word,
    ),
    Rule(
        name="no-email-before-suspend",
        why="Access is taken without a word: the customer finds out by a page that does not open.",
        fix="Write at least a day before the suspension.",
        of_way=none_before_suspension,
    ),
    Rule(
        name="no-last-chance",
        why="A door that closes after a week of silence closes on customers who have a new card by"
        " now and were not asked for it.",
        fix="Try a charge, or write, within 7d before each door.",
        of_way=no_last_chance,
    ),
    Rule(
        name="suspension-told-wrong",
        why="By itself the program tells of a suspension at once. A `suspended` email of the"
        " timeline takes the place of that: too late, and the customer wonders; too early, and it"
        " is not true.",
        fix="Place it `after: suspend 0h`, or leave it to the program.",
        of_way=told_of_suspension_late,
    ),
)
