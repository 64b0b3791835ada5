"""The policy file: YAML -> policies, the rules that choose one, and the accounts they are for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import time, timedelta
from importlib import resources
from pathlib import Path

from dunning.config import days, notices, values
from dunning.config.books import USUAL, Books, read_books
from dunning.config.branches import Branch, read_branches
from dunning.config.brand import of_source, read_brand
from dunning.config.choosing import read_choices
from dunning.config.conditions import Known, used_terms
from dunning.config.cursor import At, Fields, fields, listing, member, text
from dunning.config.holdout import read_holdout, resolve
from dunning.config.house_rules import read_declines, read_limits
from dunning.config.meaning import check_policy
from dunning.config.problems import Mark, Report, quoted
from dunning.config.problems import Path as Way
from dunning.config.rungs import MAX_RUNGS, read_rung
from dunning.config.sources import read_sources, refuse_live_with_sandbox, source_names
from dunning.config.staff import USUAL_TERMS, StaffTerms, read_staff
from dunning.config.stripe_keys import Source, stripe_source
from dunning.config.terms import TERMS_KEYS, read_terms
from dunning.config.worth import read_terms as read_words
from dunning.config.yaml_tree import parse
from dunning.core.branches import whens_of
from dunning.core.brand import NO_BRAND, Brand
from dunning.core.choosing import NO_TERMS, Choice, OneOf, Terms, When
from dunning.core.days import PAYDAYS, Quiet, Wish
from dunning.core.decline_table import Override
from dunning.core.limits import Limit
from dunning.core.policy import Policy, Retries
from dunning.core.words import Kind
from dunning.errors import ConfigError
from dunning.workdays import works_on

MAX_BYTES = 1_000_000
MAX_POLICIES = 200
VERSION = "1"

RULES_KEYS = ("books", "value", "segments", "declines", "limits")
TOP_KEYS = ("version", "defaults", "brand", *RULES_KEYS, "policies", "choose", "sources", "staff")
DEFAULT_KEYS = ("timezone", "retries", "send_between", "quiet_days", "paydays", "locale")
OWN_KEYS = ("kind", "grace", "window", "timeline", "branches", "holdout")
POLICY_KEYS = (*OWN_KEYS, *DEFAULT_KEYS, *TERMS_KEYS)
# Of a policy that only tells of what lies ahead: there is no charge that anybody could own.
NOTICE_KEYS = (*notices.OWN_KEYS, *(key for key in DEFAULT_KEYS if key != "retries"))
PROVIDERS = ("stripe",)

BUILT_IN = "default.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFile:
    """What a policy file says. `choices` is for `core.policy.choose`.

    `marks` is where everything stands, and `lines` its text, for the linter.
    """

    filename: str
    policies: dict[str, Policy]
    choices: tuple[Choice, ...]
    terms: Terms = NO_TERMS  # the words of the file that `choices` use
    books: Books = USUAL
    sources: tuple[Source, ...] = ()
    brand: Brand = NO_BRAND  # of every source that says nothing else
    declines: tuple[Override, ...] = ()
    limits: tuple[Limit, ...] = ()
    staff: StaffTerms = USUAL_TERMS
    marks: Mapping[Way, Mark] = field(default_factory=dict, repr=False, compare=False)
    lines: tuple[str, ...] = field(default=(), repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class _Defaults:
    """What holds for a policy that does not say otherwise."""

    timezone: str = "UTC"
    retries: Retries = Retries.OURS
    send_between: tuple[time, time] | None = None
    quiet_days: tuple[Quiet, ...] = ()
    paydays: tuple[Wish, ...] = PAYDAYS
    locale: str = "en"


def load_policy_file(
    path: Path | None,
    *,
    environ: Mapping[str, str] | None,
    known_templates: Collection[str],
    known_providers: Collection[str] = PROVIDERS,
) -> PolicyFile:
    """Read the file at this path, or the built-in default; see `load_policies`."""
    content, filename = read_policy_text(path)
    return load_policies(
        content,
        filename=filename,
        environ=environ,
        known_templates=known_templates,
        known_providers=known_providers,
    )


def read_policy_text(path: Path | None) -> tuple[str, str]:
    """The text of the file, or of the built-in default, and the name to show for it."""
    if path is None:
        default = resources.files("dunning") / "policies" / BUILT_IN
        return default.read_text(encoding="utf-8"), BUILT_IN
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise ConfigError(f"{path}: cannot be read: {why}; expected a YAML file") from None
    if len(raw) > MAX_BYTES:
        raise ConfigError(_too_large(str(path)))
    try:
        return raw.decode("utf-8-sig"), str(path)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - (raw.rfind(b"\n", 0, error.start) + 1) + 1
        message = f"{path}:{line}:{column}: not UTF-8; save the file as UTF-8"
        raise ConfigError(message) from None


def load_policies(
    content: str,
    *,
    filename: str,
    environ: Mapping[str, str] | None,
    known_templates: Collection[str],
    known_providers: Collection[str] = PROVIDERS,
) -> PolicyFile:
    """Read a policy file; ConfigError holds every problem with its place and the right words.

    `environ` holds what the variables named in `sources` stand for; None leaves them unread, so
    that a file can be checked on a machine that has no keys.
    """
    if len(content.encode("utf-8", "replace")) > MAX_BYTES:
        raise ConfigError(_too_large(filename))
    content = content.removeprefix("\ufeff")
    report = Report.of(filename, content)
    root = parse(content, report)
    top = None if root is None else fields(At(root, (), report), TOP_KEYS)
    loaded = None
    if top is not None:
        loaded = _load(top, environ, known_templates, known_providers)
    report.raise_if_any()
    assert loaded is not None
    return loaded


def _too_large(filename: str) -> str:
    return f"{filename}:1:1: larger than {MAX_BYTES} bytes; expected a policy file"


def _load(
    top: Fields,
    environ: Mapping[str, str] | None,
    templates: Collection[str],
    providers: Collection[str],
) -> PolicyFile:
    top.need("version", _version, f"version: {VERSION}")
    defaults_at = top.get("defaults")
    defaults = _Defaults() if defaults_at is None else _defaults(defaults_at)
    declines = read_declines(top.get("declines"))
    limits = read_limits(top.get("limits"))
    known = Known(sources=source_names(top.get("sources")))
    books = read_books(top.get("books"))
    terms = read_words(top.get("value"), top.get("segments"), known)
    known = replace(known, terms=terms)
    policies_at = top.get("policies")
    policies: dict[str, Policy] = {}
    names: Mapping[str, Kind] = {}
    if policies_at is None:
        top.at.fail("`policies` is missing; expected names with grace, window and timeline")
    else:
        table = fields(policies_at)
        names = notices.kinds_of(table) if table else {}
        policies = _policies(table, defaults, templates, known) if table else {}
        if names and all(kind.is_notice for kind in names.values()):
            policies_at.fail(
                "no policy is for failed charges; expected one without `kind` at least"
            )
    sources_at = top.get("sources")
    if sources_at is not None:
        sources = read_sources(sources_at, environ, names, providers)
    else:
        own = stripe_source(environ or {})
        sources = (own,) if own else ()
    brand = top.read("brand", read_brand, NO_BRAND) or NO_BRAND
    sources = tuple(replace(each, brand=of_source(each.brand, brand)) for each in sources)
    sandbox = (environ or {}).get("DUNNING_SANDBOX_URL", "").strip()
    refuse_live_with_sandbox(sources_at or top.at, sources, sandbox)
    choices = read_choices(top.get("choose"), top, names, known)
    return PolicyFile(
        filename=top.at.report.filename,
        policies=_with_rules(policies, declines, limits),
        declines=declines,
        limits=limits,
        staff=read_staff(top.get("staff"), terms, defaults.timezone),
        choices=(*_own_choices(sources), *choices),
        terms=terms,
        books=books,
        sources=sources,
        brand=brand,
        marks=top.at.report.marks,
        lines=tuple(top.at.report.lines),
    )


def _with_rules(
    policies: Mapping[str, Policy], declines: tuple[Override, ...], limits: tuple[Limit, ...]
) -> dict[str, Policy]:
    """Give what the file says of declines and limits to each policy: a case keeps what it had."""
    ruled = {
        name: policy if policy.kind.is_notice else replace(policy, declines=declines, limits=limits)
        for name, policy in policies.items()
    }
    for name, policy in ruled.items():
        holdout = policy.holdout
        if holdout is not None and holdout.policy is not None and holdout.policy in ruled:
            instead = replace(holdout, instead=ruled[holdout.policy])
            ruled[name] = replace(policy, holdout=instead)
    return ruled


def _own_choices(sources: tuple[Source, ...]) -> tuple[Choice, ...]:
    """A source with a policy of its own is a rule ahead of all others."""
    return tuple(
        Choice(policy=source.policy, when=When((OneOf("source", (source.name,)),)))
        for source in sources
        if source.policy
    )


def _version(at: At) -> str | None:
    value = text(at, f"version: {VERSION}")
    if value not in {None, VERSION}:
        at.fail(f"version {quoted(value or '')} is not known; expected {VERSION}")
    return value


def _defaults(at: At) -> _Defaults:
    found = fields(at, DEFAULT_KEYS)
    return _overridden(found, _Defaults()) if found else _Defaults()


def _overridden(found: Fields, base: _Defaults) -> _Defaults:
    """The defaults, with what is said here instead. What is wrong is in the report."""
    quiet = found.read("quiet_days", days.quiet, None)
    return _Defaults(
        timezone=found.read("timezone", values.timezone, base.timezone) or base.timezone,
        retries=found.read("retries", _retries, base.retries) or base.retries,
        send_between=found.read("send_between", values.span, base.send_between),
        quiet_days=base.quiet_days if quiet is None else quiet,
        paydays=found.read("paydays", days.paydays, base.paydays) or base.paydays,
        locale=found.read("locale", values.locale, base.locale) or base.locale,
    )


def _retries(at: At) -> Retries | None:
    return member(at, Retries, "an owner of the retries")


def _policies(
    table: Fields, defaults: _Defaults, templates: Collection[str], known: Known
) -> dict[str, Policy]:
    entries = table.table.entries
    if not 1 <= len(entries) <= MAX_POLICIES:
        table.at.fail(f"{len(entries)} policies; expected 1 to {MAX_POLICIES}")
        return {}
    policies = {}
    for name in entries:
        if not values.is_name(name):
            expected = "expected letters, digits, - and _, beginning with a letter"
            table.fail_key(name, f"{quoted(name)} is not a name; {expected}")
        at = table.get(name)
        policy = None if at is None else _policy(at, name, defaults, templates, known)
        if policy is not None:
            policies[name] = policy
    return resolve(table, policies)


def _policy(
    at: At, name: str, defaults: _Defaults, templates: Collection[str], known: Known
) -> Policy | None:
    """One policy; whether it makes sense is asked only of one that reads well."""
    report = at.report
    problems = report.count
    found = fields(at, POLICY_KEYS)
    if found is None:
        return None
    kind = found.read("kind", notices.read_kind, Kind.RECOVERY)
    if kind is not None and kind.is_notice:
        return _notice(found, name, kind, defaults, templates, known)
    grace = found.need("grace", values.duration, "when suspension may come, such as 14d")
    window = found.need("window", values.duration, "when the case is given up, such as 28d")
    own = _overridden(found, defaults)
    holdout = found.read("holdout", read_holdout, None)
    terms = read_terms(found)
    timeline = found.get("timeline")
    if timeline is None:
        at.fail("`timeline` is missing; expected a list of steps")
    lines = [] if timeline is None else listing(timeline, "steps", MAX_RUNGS)
    rungs = [read_rung(line, templates, known) for line in lines]
    apart = found.get("branches")
    branches: tuple[Branch, ...] = ()
    if apart is not None:
        branches = read_branches(apart, lambda at: read_rung(at, templates, known), MAX_RUNGS)
    if report.count > problems or grace is None or window is None:
        return None
    policy = Policy(
        name=name,
        grace=grace,
        window=window,
        timeline=tuple(rung for rung in rungs if rung is not None),
        branches=branches,
        timezone=own.timezone,
        retries=own.retries,
        send_between=own.send_between,
        quiet_days=own.quiet_days,
        paydays=own.paydays,
        locale=own.locale,
        holdout=holdout,
        works=works_on,
        **terms,
    )
    check_policy(policy, at.path, report)
    return replace(policy, terms=used_terms(whens_of(policy), known.terms))


def _notice(
    found: Fields,
    name: str,
    kind: Kind,
    defaults: _Defaults,
    templates: Collection[str],
    known: Known,
) -> Policy | None:
    """A policy that only tells of what lies ahead."""
    report = found.at.report
    problems = report.count
    notices.check_keys(found, kind, NOTICE_KEYS)
    own = _overridden(found, defaults)
    timeline = notices.read_timeline(found, kind, templates, known)
    if report.count > problems:
        return None
    policy = Policy(
        name=name,
        kind=kind,
        grace=timedelta(0),
        window=timedelta(0),
        timeline=timeline,
        timezone=own.timezone,
        send_between=own.send_between,
        quiet_days=own.quiet_days,
        paydays=own.paydays,
        locale=own.locale,
        works=works_on,
    )
    return replace(policy, terms=used_terms(whens_of(policy), known.terms))
