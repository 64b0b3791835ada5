"""What `dunning doctor` looks at. Every check answers; none raises, charges or writes.

Of the command line's layer: it may look at everything there is.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from dunning import breaker, catching_up, in_force, inbox, ledger, outbox, schedule
from dunning.channels.email import EmailChannel
from dunning.channels.texting import standing
from dunning.clock import FollowedClock, SystemClock
from dunning.config import PolicyFile, Settings, lint, load_policy_file
from dunning.core.events import StepKind
from dunning.core.policy import Retries
from dunning.errors import ConfigError, ProviderError
from dunning.messages import Messages
from dunning.reports.snapshot import snapshot
from dunning.staff.standing import standing as told_staff
from dunning.store import engine_for, misfit, version

# Signatures are refused after 5 minutes; a clock that is off by less than this does no harm.
CLOCK_OFF = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at: ok, warning or error, and what to do."""

    level: str
    name: str
    what: str
    advice: str = ""


def ok(name: str, what: str) -> Check:
    """Nothing to do."""
    return Check(level="ok", name=name, what=what)


def warning(name: str, what: str, advice: str) -> Check:
    """It runs, but not as somebody may expect."""
    return Check(level="warning", name=name, what=what, advice=advice)


def error(name: str, what: str, advice: str) -> Check:
    """It does not work."""
    return Check(level="error", name=name, what=what, advice=advice)


def examine(settings: Settings, environ: Mapping[str, str]) -> Iterator[Check]:
    """Look at everything, in the order in which it matters."""
    yield ok("settings", "the environment is understood")
    for name in settings.strange:
        what = f"{name}: there is no such variable; it changes nothing"
        yield warning("settings", what, "take it out if it was meant for dunning; see .env.example")
    policies: PolicyFile | None = None
    try:
        messages = Messages(settings.templates)
        for wrong in messages.check():
            yield error("templates", wrong, "mend the template; `dunning message preview` shows it")
        policies = load_policy_file(
            settings.policy_file, environ=environ, known_templates=messages.names()
        )
    except ConfigError as wrong:
        for line in str(wrong).splitlines():
            if not line.startswith("    "):
                yield error("policy file", line, "mend it; `dunning policy check` shows the place")
    if policies is not None:
        yield from _policies(policies)
    yield from _database(settings)
    yield from _broker(settings)
    if policies is not None:
        yield from _sources(settings, policies)
    yield from _sandbox(settings)
    yield from _mail(settings, policies)
    yield from _texts(settings, policies)
    yield from _product(settings)
    yield from _links(settings)


# --- what was decided ------------------------------------------------------------------------


def _policies(policies: PolicyFile) -> Iterator[Check]:
    names = ", ".join(policies.policies)
    yield ok("policy file", f"{policies.filename} is right: {names}")
    for found in lint(policies):
        place = f"{found.filename}:{found.line}"
        sentence = found.sentence.rstrip(".")
        yield warning("policy file", f"{place}: {found.path}: {sentence}", found.advice.rstrip("."))


# --- the database ----------------------------------------------------------------------------


def _database(settings: Settings) -> Iterator[Check]:
    url = settings.database_url
    path = make_url(url.reveal()).database
    if url.reveal().startswith("sqlite") and path and not Path(path).exists():
        yield warning("database", f"{url} is not there yet", "`dunning up` makes it")
        return
    engine = engine_for(url.reveal())
    try:
        if why := misfit(engine):
            stands, _, remedy = why.partition("; ")
            yield error("database", f"{url} {stands}", remedy)
            return
        yield ok("database", f"{url} is reachable and at version {version(engine)}")
        yield from _inside(settings, engine)
    except SQLAlchemyError as away:
        said = " ".join(str(getattr(away, "orig", None) or away).split())[:200]
        yield error(
            "database",
            f"{url} cannot be reached: {said}",
            "start it, or set DUNNING_DATABASE_URL right",
        )
    finally:
        engine.dispose()


def _inside(settings: Settings, engine: Engine) -> Iterator[Check]:
    """What the database says of the ledger, the clock and the backlog."""
    machine = SystemClock().now()
    with snapshot(engine) as session:
        if ledger.guarded(session):
            yield ok("ledger", "the database refuses to change or delete entries")
        else:
            yield error(
                "ledger",
                "a trigger that guards the entries is gone",
                "restore it from a backup, then run `dunning ledger verify`",
            )
        if engine.dialect.name == "postgresql":
            theirs = session.execute(text("SELECT CURRENT_TIMESTAMP")).scalar_one()
            yield _clock(machine, theirs)
        else:
            yield ok("clock", f"{machine:%Y-%m-%d %H:%M:%S} UTC, by this machine")
        kept, calls = inbox.backlog(session), outbox.backlog(session, machine)
        everywhere = _everywhere(session)
        due = schedule.backlog(session, machine, everywhere)
        heard = list(catching_up.standing(session, machine)) if not settings.sandbox_url else []
        fuses = breaker.standings(session, everywhere, machine)
        policy = list(in_force.standing(session, settings.policy_file))
        staff = list(told_staff(session, settings))
    for one in policy:
        yield Check(level=one.level, name="policy in force", what=one.what, advice=one.advice)
    for each in staff:
        yield Check(level=each.level, name="staff", what=each.what, advice=each.advice)
    for fuse in fuses:
        if fuse.open:
            yield warning(
                "breaker",
                f"charges and emails of {fuse.source} are held since "
                f"{fuse.since:%Y-%m-%d %H:%M} UTC: {fuse.why}",
                f"mend what is wrong; or `dunning breaker release {fuse.source} --why …`",
            )
    if kept.parked:
        yield warning(
            "inbox",
            f"{kept.parked} webhooks are parked: they were not understood",
            "look with `dunning inbox list --state parked`, then `dunning inbox replay --parked`",
        )
    for told in heard:
        yield Check(level=told.level, name="webhooks", what=told.what, advice=told.advice)
    if calls.dead:
        yield warning(
            "product",
            f"{calls.dead} calls to your product were given up",
            "see that it answers with 2xx; its access may be out of date",
        )
    if settings.sandbox_url is None:
        yield from _lateness(settings, machine, kept.oldest_new_at, due.oldest_due_at)


def _everywhere(session: object) -> list[str]:
    from sqlalchemy import select
    from sqlmodel import Session, col

    from dunning.store import CaseRow

    assert isinstance(session, Session)
    return [str(name) for name in session.scalars(select(col(CaseRow.source)).distinct())]


def _lateness(
    settings: Settings, now: datetime, event: datetime | None, step: datetime | None
) -> Iterator[Check]:
    """What is late, by the same limits as for /readyz."""
    for what, since, limit in (
        ("webhook waits to be handled", event, settings.late_event_seconds),
        ("step is overdue", step, settings.late_step_seconds),
    ):
        if since is not None and (now - since).total_seconds() > limit:
            yield warning(
                "backlog",
                f"a {what} since {since:%Y-%m-%d %H:%M} UTC",
                "see that `dunning up` (or worker and dispatch) runs, with an API key",
            )


def _clock(machine: datetime, theirs: datetime) -> Check:
    off = abs(machine - theirs)
    if off > CLOCK_OFF:
        return warning(
            "clock",
            f"this machine and the database are {int(off.total_seconds())} s apart",
            "set both by NTP: webhooks signed more than 5 minutes ago are refused",
        )
    return ok("clock", f"{machine:%Y-%m-%d %H:%M:%S} UTC, as the database has it")


# --- the broker ------------------------------------------------------------------------------


def _broker(settings: Settings) -> Iterator[Check]:
    if settings.broker_url is None:
        yield ok("broker", "none: `dunning up` does everything in one process")
        return
    url = settings.broker_url.reveal()
    advice = "start it, or set DUNNING_BROKER_URL right; no work is lost meanwhile"
    if url.startswith("amqp"):
        yield from _amqp(settings, url, advice)
        return
    import redis

    try:
        with redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5) as client:
            client.ping()
        yield ok("broker", f"{settings.broker_url} answers")
    except (redis.RedisError, OSError) as away:
        said = type(away).__name__
        yield error("broker", f"{settings.broker_url} cannot be reached ({said})", advice)


def _amqp(settings: Settings, url: str, advice: str) -> Iterator[Check]:
    try:
        # Comes with the extra `rabbitmq` only.
        pika: Any = importlib.import_module("pika")
    except ImportError:
        yield error(
            "broker",
            "RabbitMQ needs a package that is not installed",
            "pip install dunning[rabbitmq]",
        )
        return
    try:
        pika.BlockingConnection(pika.URLParameters(url)).close()
        yield ok("broker", f"{settings.broker_url} answers")
    except (pika.exceptions.AMQPError, OSError) as away:
        said = type(away).__name__
        yield error("broker", f"{settings.broker_url} cannot be reached ({said})", advice)


# --- the provider ----------------------------------------------------------------------------


def _sources(settings: Settings, policies: PolicyFile) -> Iterator[Check]:
    if not policies.sources:
        yield error(
            "sources",
            "no billing account is configured",
            "set STRIPE_WEBHOOK_SECRET (whsec_… of the webhook endpoint) and STRIPE_API_KEY",
        )
    for source in policies.sources:
        name = f"source {source.name}"
        if source.webhook_secrets:
            rolling = ", being rolled" if len(source.webhook_secrets) > 1 else ""
            yield ok(name, f"webhooks are checked at /webhooks/{source.name}{rolling}")
        else:
            yield error(
                name,
                "no webhook secret, so no webhook is accepted",
                "set STRIPE_WEBHOOK_SECRET to the endpoint's signing secret",
            )
        if source.api_key is None:
            yield warning(
                name, "no API key: it decides and shows, does not act", "set STRIPE_API_KEY"
            )
            continue
        if source.live is False and settings.sandbox_url is None:
            yield warning(name, "test mode: no money moves", "use a live key to recover any")
        yield from _health(settings, policies, source.api_key.reveal(), name)


def _health(settings: Settings, policies: PolicyFile, key: str, name: str) -> Iterator[Check]:
    from dunning.providers.stripe.acting import StripeProvider

    provider = StripeProvider(key, api_base=settings.sandbox_url, clock=SystemClock())
    # Whoever leaves the first retries to the provider wants it to make them.
    theirs = all(
        policy.retries in (Retries.PROVIDER, Retries.PROVIDER_FIRST)
        for policy in policies.policies.values()
    )
    try:
        for found in provider.health():
            meant = theirs and found.level == "warning" and "retry" in found.what
            level = "ok" if meant else found.level
            yield Check(
                level=level, name=name, what=found.what, advice="" if meant else found.advice
            )
    except ProviderError as wrong:
        yield error(name, str(wrong), "try again; see the provider's status page")
    finally:
        with suppress(Exception):
            provider.close()


def _sandbox(settings: Settings) -> Iterator[Check]:
    if settings.sandbox_url is None:
        return
    try:
        with closing(FollowedClock(settings.sandbox_url, "doctor")) as clock:
            now = clock.fresh()
    except (OSError, HTTPException, ValueError, KeyError):
        yield error(
            "sandbox",
            f"{settings.sandbox_url} does not answer",
            "start `dunning sandbox`, or unset DUNNING_SANDBOX_URL",
        )
        return
    yield ok(
        "sandbox",
        f"{settings.sandbox_url}: no money moves; its clock is at {now:%Y-%m-%d %H:%M} UTC",
    )


# --- the ways out ----------------------------------------------------------------------------


def _mail(settings: Settings, policies: PolicyFile | None) -> Iterator[Check]:
    if settings.smtp_url is None:
        yield warning(
            "email",
            "no way out: every email of a timeline is skipped",
            "set DUNNING_SMTP_URL and DUNNING_MAIL_FROM",
        )
        return
    wrong = EmailChannel(settings.smtp_url.reveal()).check()
    if wrong is None:
        yield ok("email", f"{settings.smtp_url} takes mail from {settings.mail_from}")
    else:
        yield error("email", wrong, "set DUNNING_SMTP_URL right; letters wait meanwhile")
    if settings.company is None:
        yield warning(
            "email", "letters are signed 'Your supplier'", "set DUNNING_COMPANY to your name"
        )


def _texts(settings: Settings, policies: PolicyFile | None) -> Iterator[Check]:
    found = policies.policies.items() if policies else ()
    names = [name for name, policy in found if policy.has(StepKind.SMS)]
    url = settings.sms_url.reveal() if settings.sms_url else None
    public = settings.public_url
    linked = public is not None and bool(settings.secret_keys)
    for one in standing(url, settings.sms_from, names, public_url=public, linked=linked):
        yield Check(level=one.level, name="texts", what=one.what, advice=one.advice)


def _product(settings: Settings) -> Iterator[Check]:
    if settings.product_webhook_url is None:
        yield warning(
            "product",
            "your product is not told to restrict, suspend or restore access",
            "set DUNNING_PRODUCT_WEBHOOK_URL and DUNNING_PRODUCT_WEBHOOK_SECRET",
        )
    else:
        yield ok("product", f"access is told to {settings.product_webhook_url}")


def _links(settings: Settings) -> Iterator[Check]:
    needed = {"DUNNING_PUBLIC_URL": settings.public_url, "DUNNING_SECRET_KEY": settings.secret_keys}
    missing = [name for name, value in needed.items() if not value]
    if missing:
        yield warning(
            "links",
            "letters link to the provider's own page, which can grow stale",
            f"set {' and '.join(missing)}",
        )
        return
    url = settings.public_url or ""
    if urlsplit(url).scheme != "https" and urlsplit(url).hostname not in ("localhost", "127.0.0.1"):
        yield warning("links", f"{url} is not https", "use an https address: letters hold the link")
        return
    yield ok("links", f"letters link to {url}/pay/…")
