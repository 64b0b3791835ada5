"""Settings: everything the environment says, read once, refused as a whole if anything is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from dunning.config import readers as read
from dunning.config import stripe_keys
from dunning.config.environment import Environment, join_environment
from dunning.config.problems import nearest
from dunning.config.readers import Network, Wrong
from dunning.config.secret import HiddenUrl, Secret, Url
from dunning.core.mail_rates import MailRates
from dunning.errors import ConfigError

T = TypeVar("T")

PREFIX = "DUNNING_"
# Variables of the test suite, not of the program.
TEST_PREFIX = "DUNNING_TEST_"
# What Kubernetes tells each container of a service whose name begins with dunning.
_OF_KUBERNETES = re.compile(
    r"DUNNING(_[A-Z0-9]+)*_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_[A-Z]+.*)?)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the environment says. Secrets and addresses with passwords print as ****."""

    data: Path
    database_url: Url
    broker_url: Url | None = None
    policy_file: Path | None = None
    templates: Path | None = None
    smtp_url: Url | None = None
    mail_from: str | None = None
    mail_reply_to: str | None = None
    mail_bcc: tuple[str, ...] = ()
    mail_rate: MailRates = field(default_factory=MailRates)
    mail_connections: int = 8
    mailgun_signing_key: Secret | None = None
    postmark_login: Secret | None = None
    sms_url: Url | None = None
    sms_from: str | None = None
    company: str | None = None
    support_email: str | None = None
    public_url: str | None = None
    secret_keys: tuple[Secret, ...] = ()  # the first signs
    link_days: int = 60
    trusted_proxies: tuple[Network, ...] = read.PRIVATE_NETWORKS
    product_webhook_url: Url | None = None
    product_webhook_secrets: tuple[Secret, ...] = ()
    staff_emails: tuple[str, ...] = ()
    staff_webhook_url: HiddenUrl | None = None
    finance_emails: tuple[str, ...] = ()
    sandbox_url: str | None = None
    log_level: str = "info"
    log_format: str = "auto"
    webhook_tolerance_seconds: int = 300
    max_body_bytes: int = 1_048_576
    lease_seconds: int = 30
    keep_bodies_days: int = 30
    keep_seen_days: int = 42
    keep_calls_days: int = 90
    catch_up_minutes: int = 15
    breaker: bool = True
    late_event_seconds: int = 900
    late_step_seconds: int = 900
    least_free_bytes: int = 268_435_456
    metrics_address: tuple[str, int] | None = None
    page_hosts: tuple[str, ...] = ()
    stripe_api_key: Secret | None = None
    stripe_webhook_secrets: tuple[Secret, ...] = ()
    stripe_live: bool | None = None  # None: the key does not tell; both modes are accepted
    # Names that begin with our prefix and are like none of ours: another program's, or version's.
    strange: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable, the field it fills and how; `example` and `about` go into .env.example."""

    name: str
    field: str
    read: Callable[[str], Any]
    example: str
    about: str


VARIABLES = (
    Variable("DUNNING_DATA", "data", read.path, "./dunning-data",
             "folder of the embedded database"),
    Variable("DUNNING_DATABASE_URL", "database_url", read.database_url,
             "postgresql://dunning:PASSWORD@localhost:5432/dunning",
             "PostgreSQL; without it a SQLite file in the folder above"),
    Variable("DUNNING_BROKER_URL", "broker_url", read.broker_url, "redis://localhost:6379/0",
             "redis://, rediss:// or amqp://; without it everything runs in one process"),
    Variable("DUNNING_POLICY_FILE", "policy_file", read.path, "./policies.yaml",
             "the recovery policies; without it the built-in default"),
    Variable("DUNNING_TEMPLATES", "templates", read.path, "./templates",
             "folder with emails of your own, before the built-in ones"),
    Variable("DUNNING_SMTP_URL", "smtp_url", read.smtp_url,
             "smtp://USER:PASSWORD@mail.example.com:587",
             "where email goes out; smtps:// for TLS from the start"),
    Variable("DUNNING_MAIL_FROM", "mail_from", read.mailbox, "Billing <billing@example.com>",
             "the sender of the emails"),
    Variable("DUNNING_MAIL_REPLY_TO", "mail_reply_to", read.mailbox,
             "Accounts <accounts@example.com>",
             "where answers to the emails go, if not to the support address"),
    Variable("DUNNING_MAIL_BCC", "mail_bcc", read.addresses, "archive@example.com",
             "gets a blind copy of every email to customers; several with commas"),
    Variable("DUNNING_MAIL_RATE", "mail_rate", read.mail_rates, "20/s,gmail.com=5/s",
             "how many emails leave at most, and to single domains; per s or per m"),
    Variable("DUNNING_MAIL_CONNECTIONS", "mail_connections", read.number(1, 64), "8",
             "how many connections to the mail server each worker keeps at most"),
    Variable("DUNNING_MAILGUN_SIGNING_KEY", "mailgun_signing_key", read.mail_secret, "",
             "Mailgun's webhook signing key; bounces and complaints come to /mail/mailgun"),
    Variable("DUNNING_POSTMARK_LOGIN", "postmark_login", read.mail_login, "",
             "USER:PASSWORD in the address of Postmark's webhook, which ends in /mail/postmark"),
    Variable("DUNNING_SMS_URL", "sms_url", read.sms_url,
             "twilio://ACCOUNT_SID:AUTH_TOKEN@api.twilio.com",
             "where texts to phones go out; without it every text of a timeline is skipped"),
    Variable("DUNNING_SMS_FROM", "sms_from", read.sms_sender, "+4512345678",
             "whom texts come from: a number, a messaging service (MG…) or a short name"),
    Variable("DUNNING_COMPANY", "company", read.line, "Example Ltd",
             "your name, as customers read it in emails"),
    Variable("DUNNING_SUPPORT_EMAIL", "support_email", read.address, "help@example.com",
             "where customers can ask back"),
    Variable("DUNNING_PUBLIC_URL", "public_url", read.page, "https://billing.example.com",
             "where customers reach this program; links in emails begin with it"),
    Variable("DUNNING_SECRET_KEY", "secret_keys", read.secret_keys, "",
             "32 or more random characters that sign links in emails; two with a comma: new, old"),
    Variable("DUNNING_LINK_DAYS", "link_days", read.number(1, 3_650), "60",
             "a link older than this only offers to send a fresh one to the address on record"),
    Variable("DUNNING_TRUSTED_PROXIES", "trusted_proxies", read.networks, "10.0.0.0/8",
             "whose X-Forwarded-For is believed; without it private networks, `none` for nobody"),
    Variable("DUNNING_PRODUCT_WEBHOOK_URL", "product_webhook_url", read.webhook_url,
             "https://app.example.com/dunning",
             "your product, told when access is to be restricted, suspended or restored"),
    Variable("DUNNING_PRODUCT_WEBHOOK_SECRET", "product_webhook_secrets", read.secrets, "",
             "signs those calls: whsec_ and base64; two with a comma while it is rolled"),
    Variable("DUNNING_STAFF_EMAIL", "staff_emails", read.addresses, "ops@example.com",
             "your own people, told of what needs them and of each day; several with commas"),
    Variable("DUNNING_STAFF_WEBHOOK_URL", "staff_webhook_url", read.hidden_url, "",
             "an incoming webhook of Slack, Mattermost or the like, told the same; a secret"),
    Variable("DUNNING_FINANCE_EMAIL", "finance_emails", read.addresses, "finance@example.com",
             "gets the report of each month, with a workbook and a page; several with commas"),
    Variable("DUNNING_SANDBOX_URL", "sandbox_url", read.page, "http://localhost:12111",
             "a simulated Stripe instead of the real one; never with a live key"),
    Variable("DUNNING_LOG_LEVEL", "log_level", read.log_level, "info",
             "debug, info, warning or error"),
    Variable("DUNNING_LOG_FORMAT", "log_format", read.log_format, "auto",
             "console for people, json for programs; auto is console on a terminal, else json"),
    Variable("DUNNING_WEBHOOK_TOLERANCE_SECONDS", "webhook_tolerance_seconds",
             read.number(1, 86_400), "300", "how old a webhook's signature may be"),
    Variable("DUNNING_MAX_BODY_BYTES", "max_body_bytes", read.number(1_024, 67_108_864),
             "1048576", "the largest webhook that is accepted"),
    Variable("DUNNING_LEASE_SECONDS", "lease_seconds", read.number(1, 3_600), "30",
             "how soon another worker takes over from one that died; a live one holds on"),
    Variable("DUNNING_KEEP_BODIES_DAYS", "keep_bodies_days", read.number(1, 3_650), "30",
             "how many days a webhook is kept whole once it is handled"),
    Variable("DUNNING_KEEP_SEEN_DAYS", "keep_seen_days", read.number(35, 3_650), "42",
             "for how many days an event that was kept is known again; Stripe repeats for 30"),
    Variable("DUNNING_KEEP_CALLS_DAYS", "keep_calls_days", read.number(7, 3_650), "90",
             "how many days a delivered call to your product is kept once its case is over"),
    Variable("DUNNING_CATCH_UP_MINUTES", "catch_up_minutes", read.number(0, 1_440), "15",
             "how often the provider is asked for what webhooks missed; 0 for never"),
    Variable("DUNNING_BREAKER", "breaker", read.on_off, "on",
             "off: charges and emails go on whatever goes wrong with a whole source"),
    Variable("DUNNING_LATE_EVENT_SECONDS", "late_event_seconds", read.number(1, 604_800), "900",
             "/readyz turns red when a webhook has waited longer to be handled"),
    Variable("DUNNING_LATE_STEP_SECONDS", "late_step_seconds", read.number(1, 604_800), "900",
             "/readyz turns red when a step is overdue by more"),
    Variable("DUNNING_LEAST_FREE_BYTES", "least_free_bytes",
             read.number(1_048_576, 999_999_999_999), "268435456",
             "/readyz turns red when the disk of the embedded database has less room"),
    Variable("DUNNING_METRICS_ADDRESS", "metrics_address", read.listener, "127.0.0.1:9102",
             "where worker and dispatch serve /metrics, /readyz and /healthz; else they do not"),
    Variable("DUNNING_PAGE_HOSTS", "page_hosts", read.hosts, "billing.example.com",
             "your own domains of the provider's pages, with commas; links go nowhere else"),
    Variable(stripe_keys.API_KEY, "stripe_api_key", read.api_key, "",
             "Stripe's API key, restricted or secret"),
    Variable(stripe_keys.WEBHOOK_SECRET, "stripe_webhook_secrets", read.webhook_secrets, "",
             "signing secret of the webhook endpoint; two with a comma while it is being rolled"),
    Variable(stripe_keys.MODE, "stripe_live", read.mode, "test",
             "live or test; without it the key tells, and without a key both are accepted"),
)  # fmt: skip
NAMES = tuple(variable.name for variable in VARIABLES)


def load_settings(environ: Mapping[str, str], cwd: Path) -> Settings:
    """Read the environment, with the `.env` of this folder behind it.

    Raises ConfigError with one line for each problem; no secret is in them. A name that is not
    ours and like none of ours is no problem: it is in `strange`, for whoever says so.
    """
    found = join_environment(environ, cwd)
    misspelt, strange = _unknown(found)
    problems = [*found.problems, *misspelt]
    values: dict[str, Any] = {"strange": strange} if strange else {}
    for variable in VARIABLES:
        text = found.get(variable.name)
        if not text:
            continue
        try:
            values[variable.field] = variable.read(text)
        except Wrong as wrong:
            problems.append(f"{found.place(variable.name)}: {wrong}")
    problems += _locate(values, found, cwd)
    problems += _contradictions(values, found)
    if problems:
        # The values are let go before the exception can carry this frame anywhere.
        values.clear()
        raise ConfigError("\n".join(problems)) from None
    if values.get("stripe_live") is None and "stripe_api_key" in values:
        values["stripe_live"] = stripe_keys.is_live(values["stripe_api_key"].reveal())
    return Settings(**values)


def needed(value: T | None, name: str) -> T:
    """The setting, where there is no doing without; ConfigError says how to give it."""
    if value is not None:
        return value
    variable = next(each for each in VARIABLES if each.name == name)
    example = f", such as {variable.example}" if variable.example else ""
    raise ConfigError(f"{name} is not set; expected {variable.about}{example}")


def _unknown(found: Environment) -> tuple[list[str], tuple[str, ...]]:
    """Names that we do not know: those like one of ours, as problems, and the others.

    A misspelt one would leave its setting as it was not meant to be, a wrong policy or database
    perhaps. One like none of ours was not meant for us, and stops nobody.
    """
    problems, strange = [], []
    known = {name.removeprefix(PREFIX): name for name in NAMES if name.startswith(PREFIX)}
    for name in found.values:
        if not name.startswith(PREFIX) or name.startswith(TEST_PREFIX) or name in NAMES:
            continue
        if _OF_KUBERNETES.fullmatch(name):
            continue
        # Compared without the prefix, which every name shares.
        meant = nearest(name.removeprefix(PREFIX), known)
        if meant is None:
            strange.append(found.place(name))
        else:
            hint = f"Did you mean {known[meant]}?"
            problems.append(f"{found.place(name)}: there is no such variable. {hint}")
    return problems, tuple(strange)


def _locate(values: dict[str, Any], found: Environment, cwd: Path) -> list[str]:
    """Make paths whole, put the database into the data folder, and see that files are there."""
    problems = []
    for each in ("data", "policy_file", "templates"):
        if each in values:
            values[each] = cwd / values[each]
    data = values.setdefault("data", cwd / "dunning-data")
    if "?" in str(data):
        problems.append("DUNNING_DATA: has a ? in it, which SQLite reads as options")
    values.setdefault("database_url", Url(f"sqlite:///{data / 'dunning.db'}"))
    for each, name, check, what in (
        ("policy_file", "DUNNING_POLICY_FILE", Path.is_file, "file"),
        ("templates", "DUNNING_TEMPLATES", Path.is_dir, "folder"),
    ):
        if each in values and not check(values[each]):
            problems.append(f"{found.place(name)}: there is no {what} {values[each]}")
    if data.exists() and not data.is_dir():
        problems.append(f"{found.place('DUNNING_DATA')}: {data} is not a folder")
    return problems


def _contradictions(values: Mapping[str, Any], found: Environment) -> list[str]:
    """What is right by itself and wrong together."""
    problems = []
    key = values["stripe_api_key"].reveal() if "stripe_api_key" in values else None
    mode = stripe_keys.wrong_mode(values.get("stripe_live"), key)
    if mode:
        problems.append(f"{found.place(stripe_keys.MODE)}: {mode}; expected the key's own mode")
    live = stripe_keys.is_live(key) or values.get("stripe_live")
    if live and "sandbox_url" in values:
        problems.append(
            f"{found.place('DUNNING_SANDBOX_URL')}: the sandbox together with a live key;"
            " expected a test key in STRIPE_API_KEY, or no sandbox"
        )
    for has, lacks in (
        ("DUNNING_SMTP_URL", "DUNNING_MAIL_FROM"),
        ("DUNNING_SMS_URL", "DUNNING_SMS_FROM"),
        ("DUNNING_STAFF_EMAIL", "DUNNING_SMTP_URL"),
        ("DUNNING_FINANCE_EMAIL", "DUNNING_SMTP_URL"),
        ("DUNNING_PRODUCT_WEBHOOK_URL", "DUNNING_PRODUCT_WEBHOOK_SECRET"),
    ):
        if found.get(has) and not found.get(lacks):
            problems.append(f"{lacks}: is not set, and {has} is; expected both")
    return problems
