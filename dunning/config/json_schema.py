"""The JSON Schema of the policy file, for editors. Loading says more, and says it better.

The copy in dunning/policies is written by
`python -c "from dunning.config.json_schema import write; write()"`.
"""

from __future__ import annotations

import json
from pathlib import Path

from dunning.config import (
    books,
    brand,
    choosing,
    conditions,
    days,
    holdout,
    house_rules,
    notices,
    policy_file,
    rungs,
    schema_conditions,
    sources,
    stripe_keys,
    terms,
    values,
    worth,
)
from dunning.config.schema_parts import Schema
from dunning.config.schema_parts import list_of as _list
from dunning.config.schema_parts import one_or_more as _one_or_more
from dunning.config.schema_parts import pattern as _pattern
from dunning.config.schema_parts import table as _table
from dunning.config.schema_parts import words as _words
from dunning.config.staff import staff_schema
from dunning.core import limits
from dunning.core.branches import BRANCHES
from dunning.core.days import WEEK, Day, Quiet
from dunning.core.decline_table import Advice
from dunning.core.events import OnCancel, StepKind
from dunning.core.policy import Collection, Invoice, Reach, Retries, Subscription
from dunning.core.steps import TEXT
from dunning.core.words import MESSAGES, Kind

FILE = Path(__file__).resolve().parent.parent / "policies" / "policy.schema.json"


def schema() -> Schema:
    """The schema, draft 2020-12."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "dunning policy file",
        **_table(
            {
                "version": {"const": int(policy_file.VERSION)},
                "defaults": _table(_overridable(), about="What holds for every policy."),
                "books": _books(),
                "brand": _brand(),
                "declines": _declines(),
                "limits": _list(_limit(), house_rules.MAX_LIMITS)
                | {"description": "The house ceiling, and limits beside those of the networks."},
                "policies": {
                    "description": "The policies by name.",
                    "type": "object",
                    "propertyNames": _pattern(values.NAME),
                    "additionalProperties": {"$ref": "#/$defs/policy"},
                    "minProperties": 1,
                    "maxProperties": policy_file.MAX_POLICIES,
                },
                "choose": _list({"$ref": "#/$defs/choice"}, choosing.MAX_CHOICES)
                | {"description": "First match wins; the last line must match everything."},
                "value": schema_conditions.value(),
                "segments": {
                    "description": "Conditions with a name, for `segment`.",
                    "type": "object",
                    "propertyNames": _pattern(values.NAME),
                    "additionalProperties": schema_conditions.when(conditions.SEGMENT_KEYS),
                    "minProperties": 1,
                    "maxProperties": worth.MAX_SEGMENTS,
                },
                "sources": _list({"$ref": "#/$defs/source"}, sources.MAX_SOURCES)
                | {"description": "Several billing accounts; one Stripe account needs none."},
                "staff": staff_schema(),
            },
            required=("version", "policies"),
        ),
        "$defs": {
            "duration": _pattern(
                values.DURATION, "A whole number with m, h, d or w: 45m, 0h, 36h, 3d, 2w."
            ),
            "policy": {"oneOf": [_policy(), _notice()]},
            "told": {"oneOf": [_told(kind) for kind in notices.TELLS]},
            "rung": {"oneOf": [_rung(kind, own) for kind, own in rungs.STEP_KEYS.items()]},
            "when": schema_conditions.when(conditions.LINE_KEYS),
            "choice": _choice(),
            "source": _source(),
        },
    }


def _notice() -> Schema:
    """A policy that only tells of what lies ahead."""
    kinds = [kind.value for kind in Kind if kind.is_notice]
    about = {
        "kind": {"enum": kinds, "description": "It tells of a card that expires, or of a renewal."},
        "timeline": _list({"$ref": "#/$defs/told"}, rungs.MAX_RUNGS)
        | {"description": "Counted back from the card's last day, or from the renewal."},
    }
    known = about | {
        key: one for key, one in _overridable().items() if key in policy_file.NOTICE_KEYS
    }
    return _table(known, required=("kind", "timeline"))


def _told(kind: StepKind) -> Schema:
    """A line of its timeline."""
    own = _rung(kind, rungs.STEP_KEYS[kind])
    known = {key: own["properties"][key] for key in notices.line_keys(kind)}
    known["before"] = _duration("So long before what it tells of: 1h to 365d.")
    known["when"] = schema_conditions.when(notices.WHEN_KEYS)
    return _table(known, required=("before", *own["required"]))


def _policy() -> Schema:
    return _table(
        {
            "kind": {
                "const": Kind.RECOVERY.value,
                "description": "Of failed charges, as if left out.",
            },
            "grace": _duration("Suspension is not before this."),
            "window": _duration("The case is given up at this."),
            "timeline": _list({"$ref": "#/$defs/rung"}, rungs.MAX_RUNGS)
            | {"description": "Counted from the first failure."},
            "holdout": _holdout(),
            "branches": _table(
                dict.fromkeys(BRANCHES, _list({"$ref": "#/$defs/rung"}, rungs.MAX_RUNGS)),
                about="Lines in the place of the timeline's retries, emails and announcements"
                " while the last decline means this.",
            ),
            **_overridable(),
            **_terms(),
        },
        required=("grace", "window", "timeline"),
    )


def _holdout() -> Schema:
    share = _pattern(holdout.SHARE, "This part of the customers is held out: 10%.")
    known = {
        "share": share,
        "policy": _pattern(values.NAME, "Walks those who are held out; nobody does if left out."),
        "salt": _pattern(holdout.SALT, "Another word draws other customers."),
    }
    return {"anyOf": [share, _table(known, required=("share",))]}


def _books() -> Schema:
    known = {
        "timezone": {
            "type": "string",
            "description": "Whose days and months reports are in, such as Europe/Berlin.",
        },
        "fiscal_year_start": {
            "enum": list(books.MONTHS),
            "description": "The month in which the years of reports begin.",
        },
        "report_day": {
            "type": "integer",
            "minimum": 1,
            "maximum": books.LAST_DAY,
            "description": "The day on which finance gets the report of the month before.",
        },
    }
    fields = {key: known[key] for key in books.BOOKS_KEYS}
    return _table(fields, about="By whose calendar finance counts.")


def _declines() -> Schema:
    """By code, or `visa:05` for the raw answer of a network."""
    known = {
        "advice": _words(Advice, "What a refusal with this code means."),
        "wait": _duration("Not before this long after the try; 1h to 14d."),
        "why": {"type": "string", "description": "The reason, for whoever reads it later."},
        "source": {"type": "string", "description": "Who says so; needed to soften a stop."},
        "category": {"enum": house_rules.categories()},
    }
    fields = {key: known[key] for key in house_rules.DECLINE_KEYS}
    return {
        "description": "What decline codes mean, in place of the built-in table.",
        "type": "object",
        "additionalProperties": _table(fields, required=("advice", "why")),
        "maxProperties": house_rules.MAX_OVERRIDES,
    }


def _limit() -> Schema:
    count = {"type": "integer", "minimum": 1, "maximum": house_rules.MOST_TRIES}
    known = {
        "name": {"type": "string", "description": "house ceiling, or one of the built-in limits."},
        **dict.fromkeys(limits.KINDS, count),
        "within": _duration("The length of the window."),
        "network": {"enum": list(house_rules.networks())},
        "method": {"enum": house_rules.methods()},
        "source": {"type": "string", "description": "Who says so."},
    }
    fields = {key: known[key] for key in house_rules.LIMIT_KEYS}
    one = [{"required": [kind]} for kind in limits.KINDS]
    return _table(fields, required=("name",)) | {"oneOf": one}


def _overridable() -> Schema:
    return {
        "timezone": {
            "type": "string",
            "description": "Where the customer's own zone is not known, such as Europe/Berlin.",
        },
        "retries": _words(
            Retries,
            "Who owns the charges: ours; provider: we write and manage access only;"
            " provider_first: ours begin when theirs are exhausted; signal: we say when.",
        ),
        "send_between": _pattern(
            values.SPAN, 'When emails may go out, the customer\'s time: "09:00-18:00".'
        ),
        "quiet_days": _quiet(),
        "paydays": _one_or_more(_day(), days.MOST)
        | {"description": "What `payday` means: days such as 25 or last_day."},
        "locale": _pattern(
            values.LOCALE, "For customers of whom neither language nor country is known: de."
        ),
    }


def _terms() -> Schema:
    backups = _one_or_more(_pattern(terms.METHOD), terms.MAX_METHODS)
    ways = _table({"order": backups, "also": {"const": terms.ALSO}}, required=("order",))
    most = {"type": "integer", "minimum": 1, "maximum": terms.MOST_PROMISES}
    within = _duration("How far ahead, from 1d to 31d.")
    promises = _table({"within": within, "most": most}, required=("within",))
    return {
        "access": _table(
            {"scope": _words(Reach, "One subscription, or all that the customer has.")},
            required=("scope",),
            about="What restricting and suspending act on.",
        ),
        "on_cancel": _words(OnCancel, "What the customer's cancellation does to what is owed."),
        "backup_methods": {"anyOf": [*backups["anyOf"], ways]}
        | {"description": "Other saved methods that may be charged, in this order; or `any`."},
        "promises": {"anyOf": [{"const": terms.OFF}, within, promises]}
        | {"description": "How far ahead customers may promise to pay on their page, how often."},
    }


def _rung(kind: StepKind, own: tuple[str, ...]) -> Schema:
    """A line of the timeline that does this, with one of the keys that say where it stands."""
    other = rf"({values.NAME}) +{values.DURATION}"
    known = {
        "at": _duration("After the first failure."),
        "before": _pattern(other, "Before another step, such as `suspend 1d`."),
        "after": _pattern(other, "After another step, by its name or `suspend 1d`."),
        "do": {"const": kind.value},
        "time": _pattern(values.CLOCK, "The next time the customer's clock shows this."),
        "name": _pattern(values.NAME, "For other steps to be placed by."),
        "on": _one_or_more(_day(), days.MOST)
        | {"description": "Days to wait for, most wanted first."},
        "within": _duration("How long to wait for the days of `on`: whole days, 3d if not said."),
        "jitter": _duration("Up to so much later, by chance, always the same for one customer."),
        "between": _pattern(
            values.SPAN, 'Only in these hours of the customer\'s day: "09:00-18:00".'
        ),
        "when": {"$ref": "#/$defs/when"},
        "template": _template(kind),
        "collection": _words(Collection, "What happens to the subscription's later invoices."),
        "subscription": _words(Subscription, "What happens to the subscription."),
        "invoice": _words(Invoice, "What happens to the invoice."),
        "tell": {
            "description": "What your product hears with it, as text.",
            "type": "object",
            "additionalProperties": {"type": ["string", "number", "boolean"]},
            "minProperties": 1,
            "maxProperties": rungs.MAX_TELL,
        },
    }
    common = (key for key in rungs.COMMON_KEYS if key != "when" or kind is not StepKind.GIVE_UP)
    keys = (*common, *own)
    needed = dict.fromkeys(MESSAGES, ("template",)) | {StepKind.ANNOUNCE: ("name",)}
    required = ("do", *needed.get(kind, ()))
    return _table({key: known[key] for key in keys}, required=required) | {
        "oneOf": [{"required": [key]} for key in rungs.PLACE_KEYS]
    }


def _template(kind: StepKind) -> Schema:
    if kind is StepKind.SMS:
        return _pattern(rf"(?={TEXT}){values.NAME}", "The name of the text, such as sms_reminder.")
    return _pattern(rf"(?!{TEXT}){values.NAME}", "The name of the message.")


def _day() -> Schema:
    """A word, or a day of the month, with which an editor counts as a number."""
    words: list[str | int] = [each.value for each in Day]
    return {"enum": [*words, *range(1, 32)]}


def _quiet() -> Schema:
    one = {"enum": [each.value for each in Quiet]}
    whole_week = {"allOf": [{"contains": {"const": day.value}} for day in WEEK]}
    several = {"type": "array", "items": one, "uniqueItems": True, "not": whole_week}
    about = "Days on which no email is written: [saturday, sunday, holiday]."
    return {"anyOf": [one, several], "description": about}


def _choice() -> Schema:
    when = schema_conditions.when(conditions.CHOICE_KEYS)
    return _table({"when": when, "policy": _pattern(values.NAME)}, required=("policy",))


def _source() -> Schema:
    variable = _pattern(values.VARIABLE, "The name of a variable, never the secret itself.")
    known = {
        "name": _pattern(values.SOURCE_NAME, "As in /webhooks/{source}."),
        "provider": {"type": "string"},
        "api_key_env": variable,
        "webhook_secrets_env": _one_or_more(variable, sources.MAX_SECRETS),
        "mode": {"enum": list(stripe_keys.MODES)},
        "policy": _pattern(values.NAME, "This policy for all its invoices."),
        "sender": {"type": "string", "description": "Billing <billing@example.com>"},
        "brand": _brand(),
        "rate": {
            "type": "integer",
            "description": "Requests a second, where the provider allows other than usual.",
            "minimum": 1,
            "maximum": sources.HIGHEST_RATE,
        },
    }
    keyed = [{"required": ["api_key_env"]}, {"required": ["webhook_secrets_env"]}]
    fields = {key: known[key] for key in sources.SOURCE_KEYS}
    return _table(fields, required=("name", "provider")) | {"anyOf": keyed}


def _brand() -> Schema:
    page = _pattern("https://.+")
    support = {
        "email": {"type": "string", "description": "help@example.com"},
        "url": page,
        "phone": _pattern(brand.PHONE),
    }
    known = {
        "name": {"type": "string"},
        "logo": page | {"description": "A picture, 40 pixels high in emails; https only."},
        "colour": _pattern(brand.COLOUR, 'Of the button and the edge: "#1d4ed8".'),
        "address": _one_or_more({"type": "string"}, brand.MAX_LINES),
        "support": _table({key: support[key] for key in brand.SUPPORT_KEYS}),
    }
    about = "The merchant as customers see it in emails and on pages."
    return _table({key: known[key] for key in brand.BRAND_KEYS}, about=about)


def _duration(about: str) -> Schema:
    return {"$ref": "#/$defs/duration", "description": about}


def to_text() -> str:
    """The schema as it is kept in the file."""
    return json.dumps(schema(), indent=2) + "\n"


def write() -> None:
    FILE.write_text(to_text(), encoding="utf-8")
