"""What a process says of itself when it has started."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from dunning.cli.opening import moment
from dunning.cli.output import pairs, say
from dunning.cli.words import moment_text
from dunning.errors import ConfigError

if TYPE_CHECKING:
    from dunning.wiring import Program

TITLES = {
    "up": "dunning is up: everything in this process. Ctrl-C stops it.",
    "web": "dunning web: receives webhooks, hands them to the workers. Ctrl-C stops it.",
    "worker": "dunning worker: handles webhooks and does the steps that are due.",
    "dispatch": "dunning dispatch: finds what is due and hands it to the workers.",
}


def announce(kind: str, program: Program, where: str) -> None:
    """Say what runs here, on which database, and whether it acts."""
    told = facts(kind, program, where)
    if program.settings.log_format == "json":
        import structlog

        words = {name.replace(" ", "_"): value for name, value in told}
        structlog.get_logger(__name__).info(f"{kind}.started", **words)
        return
    say(TITLES[kind], style="bold")
    pairs([(f"  {name}", value) for name, value in told])
    sys.stdout.flush()


def facts(kind: str, program: Program, where: str) -> list[tuple[str, str]]:
    """The same as names and values."""
    settings = program.settings
    told = []
    if kind in ("up", "web"):
        told += [
            (f"webhooks {name}", f"{where}/webhooks/{name}")
            for name, live in program.sources.items()
            if live.config.webhook_secrets
        ]
        told.append(("health", f"{where}/readyz"))
    else:
        told.append(("capacity", where))
    told.append(("database", str(settings.database_url)))
    if kind != "up" and settings.broker_url is not None:
        told.append(("broker", str(settings.broker_url)))
    if settings.sandbox_url is not None:
        told.append(("sandbox", _sandbox(program, settings.sandbox_url)))
    told += [(f"source {name}", _acts(program, name)) for name in program.sources]
    told.append(("emails", _mail(program)))
    told.append(
        ("product", str(settings.product_webhook_url or "not told: no DUNNING_PRODUCT_WEBHOOK_URL"))
    )
    told.append(("policies", _policies(program)))
    if kind == "up":
        told.append(("look", _elsewhere(program)))
    return told


def _sandbox(program: Program, url: str) -> str:
    try:
        now = moment(program.settings)
    except ConfigError:
        return f"{url} does not answer yet: nothing is done until it does (`dunning sandbox`)"
    return f"{url}, a simulated Stripe: no money moves; by its clock it is {moment_text(now)} UTC"


def _acts(program: Program, name: str) -> str:
    live = program.sources[name]
    mode = {True: "live mode", False: "test mode", None: "live and test mode"}[live.config.live]
    if live.provider is not None:
        return f"acts, in {mode}: charges, writes, suspends as the policy says"
    return "decides and shows, does not act: no API key (STRIPE_API_KEY makes it act)"


def _mail(program: Program) -> str:
    settings = program.settings
    if settings.smtp_url is None:
        return "off: DUNNING_SMTP_URL is not set, so email steps are skipped"
    if not program.acting:
        return "off: nothing is done without an API key"
    return f"from {settings.mail_from} through {settings.smtp_url}"


def _policies(program: Program) -> str:
    from dunning.config.policy_file import BUILT_IN

    file = program.policies.current
    names = ", ".join(sorted(file.policies))
    shown = "the built-in default" if file.filename == BUILT_IN else file.filename
    return f"{shown} ({names})"


def _elsewhere(program: Program) -> str:
    """How another shell looks at the same cases."""
    settings = program.settings
    command = "dunning cases list"
    if str(settings.database_url).startswith("sqlite"):
        command += f" --data {settings.data}"
    if settings.sandbox_url is not None:
        return f"DUNNING_SANDBOX_URL={settings.sandbox_url} {command}"
    return command
