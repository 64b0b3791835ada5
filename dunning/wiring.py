"""Puts the parts together; the only module that names concrete ones.

A new billing system is one package under `providers`, one line in READERS and one in `_provider`.
Tests hand in doubles for what lives on the internet through the arguments of `assemble`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy import Engine, select
from sqlmodel import Session, col

from dunning import links, metrics
from dunning.actions import lookups
from dunning.actions.access import Announce, GiveUp, Restore, Restrict, Signal, Suspend, Void
from dunning.actions.message import WhyBad, Write
from dunning.actions.observed import Observed
from dunning.actions.reconcile import Reconcile
from dunning.actions.retry import Retry
from dunning.actions.wording import Sender
from dunning.breaker import Breaker
from dunning.cases import CaseBook
from dunning.channels.email import EmailChannel
from dunning.channels.webhook import Delivered, Failed, Refused, WebhookChannel
from dunning.clock import Clock, FollowedClock, SystemClock
from dunning.config import (
    PolicyFile,
    Settings,
    Source,
    load_policies,
    read_policy_text,
)
from dunning.core.events import Actor, Attempt, AttemptStatus, StepKind
from dunning.core.facts import Case
from dunning.core.ports import Action, Channel, Provider, Reader
from dunning.core.status import Access, State
from dunning.errors import ConfigError
from dunning.executor import Executor
from dunning.in_force import Policies, Text, loader
from dunning.inbox import Inbox
from dunning.messages import Messages
from dunning.outbox import Deliver, Heard
from dunning.pace import Pacer
from dunning.providers.stripe.reader import StripeReader
from dunning.readers import SourceReader
from dunning.store import AttemptRow, CaseRow, MethodRow, engine_for, reading

log = structlog.get_logger(__name__)

READERS: Mapping[str, type[Reader]] = {"stripe": StripeReader}


# The hosts of each provider's own pages for customers; others are configured.
PAGE_HOSTS: Mapping[str, tuple[str, ...]] = {"stripe": ("stripe.com",)}


@dataclass(frozen=True, slots=True)
class LiveSource:
    """A configured billing account, with what reads it and, given a key, what acts on it."""

    config: Source
    reader: Reader
    provider: Provider | None
    pages: links.Pages


@dataclass(slots=True)
class Program:
    """The parts of one process, assembled."""

    settings: Settings
    policies: Policies
    clock: Clock
    engine: Engine
    sources: Mapping[str, LiveSource]
    cases: CaseBook
    inbox: Inbox
    executor: Executor
    breaker: Breaker
    messages: Messages
    mail: Channel | None
    product: Deliver | None
    lease: timedelta

    @property
    def providers(self) -> Mapping[str, Provider]:
        """The sources we can act on, by name."""
        return {name: live.provider for name, live in self.sources.items() if live.provider}

    @property
    def acting(self) -> Sequence[str]:
        """The names of the sources whose cases are worked on."""
        return sorted(self.providers)

    def close(self) -> None:
        """Let go of the database and of the providers."""
        for provider in self.providers.values():
            provider.close()
        self.engine.dispose()


def assemble(
    settings: Settings,
    *,
    environ: Mapping[str, str] | None = None,
    clock: Clock | None = None,
    providers: Mapping[str, Provider] | None = None,
    mail: Channel | None = None,
    product: Deliver | None = None,
    policy_text: str | None = None,
    policies: PolicyFile | None = None,
    messages: Messages | None = None,
    why_bad: WhyBad | None = None,
    engine: Engine | None = None,
    role: str = "up",
) -> Program:
    """Build the program from its settings; `ConfigError` when they do not fit together.

    `role` is the kind of process, which bounds its connections to the database. `policies` and
    `engine` are for those who assemble again and again: what was read and compiled is kept.
    """
    messages = messages or Messages(settings.templates)
    clock = clock or clock_for(settings)
    text = None if policies else _text(settings, policy_text)
    file = policies or _read(text, environ, messages)
    engine = engine or engine_for(settings.database_url.reveal(), role=role)
    in_force = Policies(
        engine,
        file,
        text,
        load=loader(tuple(messages.names())),
        path=settings.policy_file if policy_text is None else None,
        now=clock.now,
    )
    sources = _sources(settings, file, clock, engine, providers)
    acting = {name: live.provider for name, live in sources.items() if live.provider}
    mail = mail or _mail(settings)
    product = product or _product(settings)
    cases = CaseBook(
        choose=in_force.choose,
        announces=product is not None,
        keeps_revenue=lambda: in_force.keeps_revenue,
    )
    readers = {name: SourceReader(live.reader, live.provider) for name, live in sources.items()}
    inbox = Inbox(engine, cases, readers)
    announces = product is not None
    actions = _actions(
        settings, engine, cases, acting, mail, messages, sources, why_bad, announces=announces
    )
    breaker = Breaker(engine, on=settings.breaker)
    lease = timedelta(seconds=settings.lease_seconds)
    executor = Executor(
        engine, clock, cases, actions, announces=product is not None, lease=lease, gate=breaker
    )
    return Program(
        settings=settings,
        policies=in_force,
        clock=clock,
        engine=engine,
        sources=sources,
        cases=cases,
        inbox=inbox,
        executor=executor,
        breaker=breaker,
        messages=messages,
        mail=mail,
        product=product,
        lease=lease,
    )


def clock_for(settings: Settings, role: str = "dunning") -> Clock:
    """The machine's clock, or the sandbox's when there is one."""
    if settings.sandbox_url is None:
        return SystemClock()
    return FollowedClock(settings.sandbox_url, f"{role}-{os.getpid()}")


def _text(settings: Settings, policy_text: str | None) -> Text:
    if policy_text is not None:
        return Text(policy_text, "policy")
    return Text(*read_policy_text(settings.policy_file))


def _read(text: Text | None, environ: Mapping[str, str] | None, messages: Messages) -> PolicyFile:
    assert text is not None
    return load_policies(
        text.text, filename=text.name, environ=environ, known_templates=messages.names()
    )


def _sources(
    settings: Settings,
    policies: PolicyFile,
    clock: Clock,
    engine: Engine,
    providers: Mapping[str, Provider] | None,
) -> dict[str, LiveSource]:
    found = {}
    for source in policies.sources:
        provider = (providers or {}).get(source.name)
        if provider is None and source.api_key is not None:
            provider = _provider(source, settings, clock, engine)
        hosts = (*PAGE_HOSTS[source.provider], *settings.page_hosts)
        pages = links.Pages(hosts, settings.sandbox_url)
        found[source.name] = LiveSource(source, READERS[source.provider](), provider, pages)
    return found


def _provider(source: Source, settings: Settings, clock: Clock, engine: Engine) -> Provider:
    assert source.api_key is not None
    if source.provider == "stripe":
        # Only a source with a key needs these; the SDK itself comes with the first request.
        from dunning.providers.stripe.acting import StripeProvider
        from dunning.providers.stripe.rates import limits

        # A sandbox has no limits, and its time does not pass while somebody waits for a turn.
        paced = settings.sandbox_url is None
        allowed = limits(live=source.live, rate=source.rate)
        return StripeProvider(
            source.api_key.reveal(),
            api_base=settings.sandbox_url,
            clock=clock,
            pace=Pacer(engine, source.name, allowed) if paced else None,
        )
    message = f"source {source.name}: no provider {source.provider!r}"
    raise ConfigError(message)


def _mail(settings: Settings) -> Channel | None:
    return EmailChannel(settings.smtp_url.reveal()) if settings.smtp_url else None


def _product(settings: Settings) -> Deliver | None:
    if settings.product_webhook_url is None:
        return None
    channel = WebhookChannel(
        settings.product_webhook_url.reveal(),
        [secret.reveal() for secret in settings.product_webhook_secrets],
        # The address comes from ops, not from a customer: the merchant's own network is fine.
        allow_http=True,
        allow_private=True,
    )

    def deliver(name: str, body: bytes, now: datetime) -> Heard:
        with metrics.calling_product():
            outcome = channel.deliver(name, body, now)
        ending = type(outcome).__name__.lower()
        metrics.product_call(ending)
        log.info(f"call.{ending}", case=name.partition("/")[0], call=name)
        match outcome:
            case Delivered():
                return Heard(taken=True)
            case Refused(status=status):
                return Heard(taken=False, why=f"answered {status}", final=status == 410)
            case Failed(why=why, retry_after=seconds):
                wait = timedelta(seconds=seconds) if seconds else None
                return Heard(taken=False, why=why, retry_after=wait)

    return deliver


def _actions(
    settings: Settings,
    engine: Engine,
    cases: CaseBook,
    acting: Mapping[str, Provider],
    mail: Channel | None,
    messages: Messages,
    sources: Mapping[str, LiveSource],
    why_bad: WhyBad | None,
    *,
    announces: bool,
) -> dict[StepKind, Action]:
    senders = {
        name: Sender(
            address=address,
            company=settings.company or "Your supplier",
            support_email=settings.support_email,
            brand=live.config.brand,
        )
        for name, live in sources.items()
        if (address := live.config.sender or settings.mail_from)
    }

    def link_for(case: Case, purpose: str) -> str | None:
        if settings.public_url is None or settings.secret_key is None:
            return None
        return links.url_for(settings.public_url, settings.secret_key.reveal(), case, purpose)

    pages = {name: live.pages for name, live in sources.items()}
    actions: dict[StepKind, Action] = {
        StepKind.RETRY: Retry(acting, partial(_card_history, engine)),
        StepKind.EMAIL: Write(
            acting,
            mail,
            messages,
            senders,
            link_for,
            pages,
            stored=partial(lookups.stored, engine, cases),
            card_of=partial(lookups.card, engine),
            why_bad=why_bad or partial(lookups.why_bad, engine),
        ),
        StepKind.RESTRICT: Restrict(),
        StepKind.SUSPEND: Suspend(acting),
        StepKind.RESTORE: Restore(acting, partial(_held_by_others, engine)),
        StepKind.GIVE_UP: GiveUp(acting),
        StepKind.RECONCILE: Reconcile(acting),
        StepKind.ANNOUNCE: Announce(product=announces),
        StepKind.SIGNAL: Signal(),
        StepKind.VOID: Void(acting),
    }
    return {kind: Observed(action) for kind, action in actions.items()}


def _card_history(engine: Engine, source: str, method: str, known: frozenset[str]) -> list[Attempt]:
    """Tries on the card behind a payment method, under whatever name it was given to us."""
    with reading(engine) as session:
        kept = session.get(MethodRow, (source, method))
        prints = known | ({kept.fingerprint} if kept and kept.fingerprint else set())
        if not prints:
            return []
        rows = session.scalars(
            select(AttemptRow).where(
                col(AttemptRow.source) == source, col(AttemptRow.fingerprint).in_(prints)
            )
        ).all()
    return [
        Attempt(
            id=row.id,
            at=row.at,
            status=AttemptStatus(row.status),
            amount=row.amount,
            currency=row.currency,
            by=Actor(row.by),
            method=row.method,
            # Rows from before the column, or of a report that left it out: the card's own word.
            method_type=row.method_type or (kept.type if kept else None),
            network=row.network,
            fingerprint=row.fingerprint,
        )
        for row in rows
    ]


def _held_by_others(engine: Engine, case: Case, subscription: str) -> bool:
    with reading(engine) as session:
        return others_suspend(session, case, subscription)


def others_suspend(session: Session, case: Case, subscription: str) -> bool:
    """Whether another case still keeps it suspended: one of its own, or of the whole customer."""
    query = select(col(CaseRow.id)).where(
        col(CaseRow.source) == case.source,
        col(CaseRow.scope).in_([subscription, *([case.customer] if case.customer else [])]),
        col(CaseRow.id) != case.id,
        col(CaseRow.access) == Access.SUSPENDED.value,
        col(CaseRow.state).in_((State.SUSPENDED.value, State.LOST.value)),
    )
    return session.execute(query.limit(1)).first() is not None
