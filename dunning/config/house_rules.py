"""`declines` and `limits` of the policy file: what is said in place of our tables, and why."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from dunning.config import values
from dunning.config.cursor import At, Fields, fields, listing, member, text, word
from dunning.config.problems import Path, expected_one_of, nearest, quoted
from dunning.config.timing import span_words
from dunning.core.decline_table import (
    ANY_CODE,
    NETWORKS_OWN,
    STRICTNESS,
    Advice,
    Override,
    laxer,
    permits_charge,
    plain,
    rows_meant,
    table,
)
from dunning.core.limits import HOUSE, KINDS, Limit, built_in

MAX_OVERRIDES = 500
MAX_LIMITS = 50
DECLINE_KEYS = ("advice", "wait", "why", "source", "category")
LIMIT_KEYS = ("name", *KINDS, "within", "network", "method", "source")
# A bank asks for ten days at most; a charge that waits longer has lost its place.
LONGEST_WAIT = timedelta(days=14)
# Stripe blocks a card after so many tries, whoever made them.
HOUSE_MOST = 15
HOUSE_WINDOW = timedelta(days=30)
MOST_TRIES = 100

_SAYS = "what it means, such as {advice: wait, wait: 2d, why: our bank says so}"


# --- declines --------------------------------------------------------------------------------


def read_declines(at: At | None) -> tuple[Override, ...]:
    """Every code the file speaks of; what is wrong is in the report."""
    found = None if at is None else fields(at)
    if found is None:
        return ()
    codes = list(found.table.entries)
    if len(codes) > MAX_OVERRIDES:
        found.at.fail(f"{len(codes)} codes; at most {MAX_OVERRIDES} are allowed")
        return ()
    seen: dict[tuple[str | None, str], str] = {}
    overrides = []
    for code in codes:
        entry = found.get(code)
        override = None if entry is None else _decline(found, code, entry)
        if override is None:
            continue
        name = (override.kind, plain(override.code))
        if name in seen:
            found.fail_key(code, f"{quoted(code)} is the same code as {quoted(seen[name])}")
        seen[name] = code
        overrides.append(override)
    return tuple(overrides)


def _decline(parent: Fields, name: str, at: At) -> Override | None:
    problems = at.report.count
    found = fields(at, DECLINE_KEYS)
    if found is None:
        return None
    advice = found.need("advice", lambda one: member(one, Advice, "an advice"), _SAYS)
    why = found.need("why", _sentence, "the reason, for whoever reads it later")
    wait = found.read("wait", _wait, None)
    source = found.read("source", _sentence, None)
    category = found.read("category", _category, None)
    kind, code = _kind_and_code(parent, name)
    if at.report.count > problems or advice is None or why is None:
        return None
    if "wait" in found and not permits_charge(advice):
        found.fail_key("wait", f"`wait` means nothing with {advice.value}, which permits no charge")
        return None
    override = Override(
        code=code, kind=kind, advice=advice, why=why, wait=wait, source=source, category=category
    )
    if not rows_meant(override) and category is None:
        parent.fail_key(name, _unknown(name))
        return None
    if (softened := laxer(override)) and source is None:
        at.fail(
            f"{quoted(name)} is a stop in our table ({softened[0].meaning}); to soften it needs a"
            " `source`: who says so"
        )
        return None
    return override


def _kind_and_code(parent: Fields, name: str) -> tuple[str | None, str]:
    kind, colon, code = name.partition(":")
    if not colon:
        return None, name
    kinds = sorted({row.kind for row in table()} - {"any"})
    if kind not in kinds:
        parent.fail_key(name, f"{quoted(kind)} has no codes; {expected_one_of(kinds, kind, 20)}")
    elif not code.strip():
        parent.fail_key(name, f"{quoted(name)} names no code; expected one such as visa:05")
    return kind, code


def known_codes() -> list[str]:
    """Every code as it can be written: plain for the provider's words, else with its kind."""
    names = []
    for row in table():
        if row.code != ANY_CODE:
            names.append(row.name)
            if row.kind not in NETWORKS_OWN:
                names.append(row.code)
    return list(dict.fromkeys(names))


def _unknown(name: str) -> str:
    ends = [known for known in known_codes() if known.endswith(f":{name}")]
    meant = ends[0] if ends else nearest(name, known_codes())
    hint = f". Did you mean '{meant}'?" if meant else ""
    return (
        f"{quoted(name)} is no code of our table; one that is new says what it is, by its"
        f" `category`{hint}"
    )


def _wait(at: At) -> timedelta | None:
    span = values.duration(at)
    if span is None or timedelta(hours=1) <= span <= LONGEST_WAIT:
        return span
    at.fail(f"expected from 1h to {span_words(LONGEST_WAIT)}, so long after the failed try")
    return None


def categories() -> list[str]:
    """What a code may be taken for."""
    return sorted({row.category for row in table()})


def _category(at: At) -> str | None:
    return word(at, categories(), "a category")


def _sentence(at: At) -> str | None:
    return text(at, "a few words")


# --- limits ----------------------------------------------------------------------------------


def read_limits(at: At | None) -> tuple[Limit, ...]:
    """The house ceiling and further limits of the file; what is wrong is in the report."""
    if at is None:
        return ()
    read: dict[str, Limit] = {}
    for line in listing(at, "limits such as {name: house ceiling, attempts: 6}", MAX_LIMITS):
        limit = _limit(line)
        if limit is None:
            continue
        if limit.name in read:
            line.fail(f"{quoted(limit.name)} is there twice")
        read[limit.name] = limit
    return tuple(read.values())


def _limit(at: At) -> Limit | None:
    problems = at.report.count
    found = fields(at, LIMIT_KEYS)
    if found is None:
        return None
    name = found.need("name", _sentence, f"a name, such as `{HOUSE}`")
    source = found.read("source", _sentence, None) or "the policy file"
    if name is None:
        return None
    base = next((limit for limit in built_in() if limit.name == name), None)
    counted = _count(found, base)
    within = found.read("within", _window, base.window if base else None)
    if base is None and "within" not in found:
        at.fail("`within` is missing; expected a duration such as 30d")
    network = found.read("network", _network, base.network if base else None)
    method = found.read("method", _method, base.method_type if base else None)
    _check_whom(found, name, base)
    if at.report.count > problems or counted is None or within is None:
        return None
    kind, count = counted
    limit = Limit(
        name=name,
        kind=kind,
        count=count,
        window=within,
        source=source,
        certainty="judgement",
        network=network,
        method_type=method,
        same_amount=base.same_amount if base else False,
        in_a_row=base.in_a_row if base else False,
        counted=base.counted if base else "rolling",
    )
    if base is not None and (why := _laxer(limit, base)):
        at.fail(why)
        return None
    return limit


def _count(found: Fields, base: Limit | None) -> tuple[str, int] | None:
    given = [kind for kind in KINDS if kind in found]
    if len(given) != 1:
        found.at.fail("expected one of `attempts` and `declines`: how many are allowed")
        return None
    if base is not None and given[0] != base.kind:
        found.fail_key(given[0], f"{base.name} counts {base.kind}; expected `{base.kind}`")
        return None
    count = found.read(given[0], _whole, None)
    return None if count is None else (given[0], count)


def _whole(at: At) -> int | None:
    value = text(at, "a whole number")
    if value is None:
        return None
    if not (value.isascii() and value.isdecimal() and 1 <= int(value) <= MOST_TRIES):
        at.fail(f"{quoted(value)} is not a whole number from 1 to {MOST_TRIES}")
        return None
    return int(value)


def _window(at: At) -> timedelta | None:
    span = values.duration(at)
    if span is None or timedelta(hours=1) <= span <= timedelta(days=365):
        return span
    at.fail("expected from 1h to 365d")
    return None


def networks() -> tuple[str, ...]:
    """The networks whose cards a limit may be for."""
    return ("visa", "mastercard", "amex", "discover", "diners", "jcb", "unionpay")


def methods() -> list[str]:
    """The ways to pay a limit may be for."""
    return sorted({"card", *(limit.method_type for limit in built_in() if limit.method_type)})


def _network(at: At) -> str | None:
    return word(at, networks(), "a network")


def _method(at: At) -> str | None:
    return word(at, methods(), "a way to pay")


def _check_whom(found: Fields, name: str, base: Limit | None) -> None:
    """A limit we know binds whom it binds; one of the house's own says whom."""
    whom = [key for key in ("network", "method") if key in found]
    if base is not None:
        for key in whom:
            found.fail_key(key, f"whom {quoted(name)} binds is known; expected no `{key}`")
    elif not whom:
        names = [limit.name for limit in built_in()]
        meant = nearest(name, names)
        hint = f". Did you mean '{meant}'?" if meant else f"; known are {', '.join(names[:4])}"
        found.at.fail(
            f"{quoted(name)} is no limit we know, and one of your own names a `network` or a"
            f" `method`{hint}"
        )


def _laxer(limit: Limit, base: Limit) -> str | None:
    if base.is_house:
        if limit.count <= HOUSE_MOST and limit.window >= HOUSE_WINDOW:
            return None
        return (
            f"expected at most {HOUSE_MOST} within {span_words(HOUSE_WINDOW)} or longer: the"
            " provider blocks a card that is tried more often"
        )
    if limit.count <= base.count and limit.window >= base.window:
        return None
    rule = f"{base.count} {base.kind} within {span_words(base.window)}"
    return f"laxer than the rule itself, {rule}; expected no more, and a window no shorter"


# --- what the linter and the check say ------------------------------------------------------


def warnings(
    declines: tuple[Override, ...], limits: tuple[Limit, ...]
) -> Iterator[tuple[Path, str, str]]:
    """What is allowed and still wants a second look: where, what, and what to do."""
    for override in declines:
        milder = [
            row
            for row in rows_meant(override)
            if STRICTNESS[override.advice] < STRICTNESS[row.advice]
            and permits_charge(override.advice)
            and not permits_charge(row.advice)
        ]
        if milder:
            own = any(row.kind in NETWORKS_OWN for row in milder)
            who = "the network itself says" if own else "our table says"
            said = f"{who} {milder[0].advice.value} ({milder[0].meaning})"
            yield (
                ("declines", override.name),
                f"charges again where {said}.",
                "Be sure of the source; networks fine charges of cards that must not be tried.",
            )
    for place, limit in enumerate(limits):
        house = next(one for one in built_in() if one.is_house)
        if limit.is_house and limit.count > house.count:
            yield (
                ("limits", place),
                f"allows more than {house.count} tries, where banks begin to take offence.",
                "Banks decline cards that are tried too often; fewer tries recover more.",
            )


def describe_rules(declines: tuple[Override, ...], limits: tuple[Limit, ...]) -> list[str]:
    """One sentence for each, as `policy check` says them."""
    told = []
    for one in declines:
        after = f", not before {span_words(one.wait)} after the try" if one.wait else ""
        who = f" ({one.source})" if one.source else ""
        told.append(f"{one.name} means {one.advice.value}{after}: {one.why}{who}.")
    for limit in limits:
        whom = " ".join(filter(None, (limit.network, limit.method_type)))
        of = f" of {whom}" if whom else ""
        span = span_words(limit.window)
        told.append(f"{limit.name}: at most {limit.count} {limit.kind}{of} within {span}.")
    return told
