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
from sqlalchemy import Engine

from dunning import links, looking_up, metrics
from dunning.actions.access import Announce, GiveUp, Restore, Restrict, Signal, Suspend, Void
from dunning.actions.composing import Composer, WhyBad
from dunning.actions.message import Write
from dunning.actions.observed import Observed
from dunning.actions.reconcile import Reconcile
from dunning.actions.retry import Retry
from dunning.actions.text import WriteText
from dunning.actions.wording import Sender
from dunning.breaker import Breaker
from dunning.cases import CaseBook
from dunning.channels.chat import ChatChannel, NotPosted, Posted
from dunning.channels.email import EmailChannel, Turns
from dunning.channels.texting import TwilioTexts, asked_for
from dunning.channels.webhook import Delivered, Failed, Refused, WebhookChannel
from dunning.clock import Clock, FollowedClock, SystemClock
from dunning.config import (
    PolicyFile,
    Settings,
    Source,
    load_policies,
    read_policy_text,
)
from dunning.core.events import StepKind
from dunning.core.facts import Case
from dunning.core.ports import Action, Channel, Provider, Reader, Texting
from dunning.errors import ConfigError
from dunning.executor import Executor
from dunning.in_force import Policies, Text, loader
from dunning.inbox import Inbox
from dunning.lookout import Lookout
from dunning.messages import Messages
from dunning.outbox import Deliver, Heard
from dunning.pace import Pacer
from dunning.providers.stripe.reader import StripeReader
from dunning.readers import SourceReader
from dunning.staff import Staff, Way, mails_to, ways_of
from dunning.staff.ways import Outcome, Post
from dunning.store import engine_for

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
    lookout: Lookout
    executor: Executor
    breaker: Breaker
    messages: Messages
    mail: Channel | None
    product: Deliver | None
    staff: Staff
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
        """Let go of the database, of the providers and of the mail server."""
        if isinstance(self.mail, EmailChannel):
            self.mail.close()
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
    texts: Texting | None = None,
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
    mail = mail or _mail(settings, engine)
    product = product or _product(settings)
    cases = CaseBook(
        choose=in_force.choose,
        announces=product is not None,
        keeps_revenue=lambda: in_force.keeps_revenue,
        watches=in_force.watches,
    )
    readers = {name: SourceReader(live.reader, live.provider) for name, live in sources.items()}
    inbox = Inbox(engine, cases, readers)
    composer = _composer(settings, engine, cases, acting, messages, sources, clock, why_bad)
    ways = Write(composer, mail), WriteText(composer, texts or sms(settings))
    breaker = Breaker(engine, on=settings.breaker)
    lease = timedelta(seconds=settings.lease_seconds)
    told = product is not None
    actions = _actions(engine, acting, ways, announces=told)
    executor = Executor(engine, clock, cases, actions, announces=told, lease=lease, gate=breaker)
    return Program(
        settings=settings,
        policies=in_force,
        clock=clock,
        engine=engine,
        sources=sources,
        cases=cases,
        inbox=inbox,
        lookout=Lookout(engine, cases, in_force.watch, {n: one.name for n, one in acting.items()}),
        executor=executor,
        breaker=breaker,
        messages=messages,
        mail=mail,
        product=product,
        staff=_staff(settings, engine, in_force, mail),
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


def _mail(settings: Settings, engine: Engine | None = None) -> Channel | None:
    if settings.smtp_url is None:
        return None
    # Beside a sandbox nothing is paced: its time does not pass while somebody waits for a turn.
    return EmailChannel(
        settings.smtp_url.reveal(),
        connections=settings.mail_connections,
        turns=Turns(engine, settings.mail_rate) if engine and not settings.sandbox_url else None,
    )


def sms(settings: Settings) -> Texting | None:
    """The way out to phones, if there is one."""
    if settings.sms_url is None or settings.sms_from is None:
        return None
    url = settings.sms_url.reveal()
    return TwilioTexts(url, settings.sms_from, receipts=asked_for(url, settings.public_url))


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


def staff_ways(settings: Settings, mail: Channel | None = None) -> tuple[Way, ...]:
    """Every place at which staff are told."""
    mail = mail or _mail(settings)
    return ways_of(settings.staff_emails, settings.mail_from, mail, _chat(settings))


def _staff(settings: Settings, engine: Engine, policies: Policies, mail: Channel | None) -> Staff:
    ways = staff_ways(settings, mail)
    finance = mails_to(settings.finance_emails, settings.mail_from, mail)
    # Beside a sandbox months pass between two looks, and all of it is news.
    recent = {"recent": None} if settings.sandbox_url else {}
    return Staff(engine, policies, ways, finance=finance, **recent)


def _chat(settings: Settings) -> Post | None:
    if settings.staff_webhook_url is None:
        return None
    channel = ChatChannel(settings.staff_webhook_url.reveal())

    def post(content: Mapping[str, object]) -> Outcome:
        match channel.post(content):
            case Posted():
                return Outcome(sent=True)
            case NotPosted(why=why, final=final, retry_after=seconds):
                wait = timedelta(seconds=seconds) if seconds else None
                return Outcome(sent=False, why=why, final=final, retry_after=wait)

    return post


def _composer(
    settings: Settings,
    engine: Engine,
    cases: CaseBook,
    acting: Mapping[str, Provider],
    messages: Messages,
    sources: Mapping[str, LiveSource],
    clock: Clock,
    why_bad: WhyBad | None,
) -> Composer:
    """What puts together messages to customers, in the name of each source."""
    senders = {
        name: Sender(
            address=live.config.sender or settings.mail_from or "",
            company=settings.company or "Your supplier",
            support_email=settings.support_email,
            reply_to=settings.mail_reply_to,
            bcc=settings.mail_bcc,
            brand=live.config.brand,
        )
        for name, live in sources.items()
    }

    def link_for(case: Case, purpose: str) -> str | None:
        if settings.public_url is None or not settings.secret_keys:
            return None
        key = settings.secret_keys[0].reveal()
        return links.url_for(settings.public_url, key, case.id, purpose, clock.now())

    return Composer(
        acting,
        messages,
        senders,
        link_for,
        {name: live.pages for name, live in sources.items()},
        stored=partial(looking_up.stored, engine, cases),
        card_of=partial(looking_up.card, engine),
        why_bad=why_bad or partial(looking_up.why_bad, engine),
        no_notices=partial(looking_up.wants_no_notices, engine),
    )


def _actions(
    engine: Engine,
    acting: Mapping[str, Provider],
    ways: tuple[Write, WriteText],
    *,
    announces: bool,
) -> dict[StepKind, Action]:
    actions: dict[StepKind, Action] = {
        StepKind.RETRY: Retry(acting, partial(looking_up.card_history, engine)),
        StepKind.EMAIL: ways[0],
        StepKind.SMS: ways[1],
        StepKind.RESTRICT: Restrict(),
        StepKind.SUSPEND: Suspend(acting),
        StepKind.RESTORE: Restore(acting, partial(looking_up.held_by_others, engine)),
        StepKind.GIVE_UP: GiveUp(acting),
        StepKind.RECONCILE: Reconcile(acting),
        StepKind.ANNOUNCE: Announce(product=announces),
        StepKind.SIGNAL: Signal(),
        StepKind.VOID: Void(acting),
    }
    return {kind: Observed(action) for kind, action in actions.items()}
