"""`up`, `demo`, `web`, `worker`, `dispatch` and `migrate`: what runs until it is stopped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dunning.cli.banner import announce
from dunning.cli.opening import (
    Loaded,
    explained,
    load,
    start_logging,
)
from dunning.cli.options import DataOption, PageFormatOption
from dunning.cli.output import PageFormat
from dunning.cli.stopping import stopped_quietly
from dunning.errors import ConfigError

if TYPE_CHECKING:
    from dunning.wiring import Program

HostOption = Annotated[
    str,
    typer.Option("--host", metavar="ADDRESS", help="Address to listen on; 0.0.0.0 is everywhere."),
]
PortOption = Annotated[
    int, typer.Option("--port", min=0, max=65_535, help="Port to listen on; 0 takes a free one.")
]
SandboxOption = Annotated[
    str | None,
    typer.Option(
        "--sandbox",
        metavar="URL",
        help="A simulated Stripe (`dunning sandbox`) instead of the real one, and its clock.",
    ),
]

UNSIGNED = (
    "no webhook secret: set STRIPE_WEBHOOK_SECRET to the signing secret (whsec_…) of a webhook "
    "endpoint with the address https://YOUR-HOST/webhooks/stripe (Stripe Dashboard > Developers > "
    "Webhooks > Add endpoint); `dunning demo` needs none"
)


def up(
    host: HostOption = "127.0.0.1",
    port: PortOption = 8000,
    data: DataOption = None,
    sandbox: SandboxOption = None,
) -> None:
    """Run everything in one process, on a SQLite file.

    Receives webhooks, works on cases, writes emails. For one machine; no broker. With only a
    webhook secret it decides and shows what it would do; with an API key it acts.

    Example: STRIPE_WEBHOOK_SECRET=whsec_… STRIPE_API_KEY=sk_test_… dunning up --port 8000
    """
    loaded = load(data, sandbox)
    _needs_secret(loaded)

    def ready(program: Program, address: str) -> None:
        announce("up", program, address)

    with _serving(loaded):
        from dunning.processes import run_up

        run_up(loaded.settings, loaded.environ, host=host, port=port, ready=ready)


def web(
    host: HostOption = "127.0.0.1",
    port: PortOption = 8000,
    sandbox: SandboxOption = None,
) -> None:
    """Receive webhooks and serve links, beside workers elsewhere.

    Needs DUNNING_BROKER_URL and a migrated DUNNING_DATABASE_URL, as worker and dispatch do.
    """
    loaded = load(sandbox=sandbox)
    _needs_secret(loaded)

    def ready(program: Program, address: str) -> None:
        announce("web", program, address)

    with _serving(loaded):
        from dunning.processes import run_web

        run_web(loaded.settings, loaded.environ, host=host, port=port, ready=ready)


def worker(
    threads: Annotated[
        int, typer.Option("--threads", min=1, max=256, help="Messages handled at once.")
    ] = 4,
    calls: Annotated[
        int, typer.Option("--calls", min=1, max=1_024, help="Steps in flight at once, at most.")
    ] = 128,
    sandbox: SandboxOption = None,
) -> None:
    """Handle webhooks and do due steps; any number may run."""
    loaded = load(sandbox=sandbox)

    def ready(program: Program, what: str) -> None:
        announce("worker", program, what)

    with _serving(loaded):
        from dunning.processes import run_worker

        run_worker(loaded.settings, loaded.environ, threads=threads, calls=calls, ready=ready)


def dispatch(
    window: Annotated[
        int,
        typer.Option("--window", min=1, max=100_000, help="Cases handed out at once, at most."),
    ] = 1_024,
    sandbox: SandboxOption = None,
) -> None:
    """Find what is due and hand it to the workers."""
    loaded = load(sandbox=sandbox)

    def ready(program: Program, what: str) -> None:
        announce("dispatch", program, what)

    with _serving(loaded):
        from dunning.processes import run_dispatch

        run_dispatch(loaded.settings, loaded.environ, window=window, ready=ready)


def migrate(data: DataOption = None) -> None:
    """Bring the database to this version; safe to run again.

    Takes DUNNING_DATABASE_URL, or makes the SQLite file in DUNNING_DATA. `up` does it by itself.
    """
    settings = load(data).settings
    with explained(settings):
        from dunning import store

        url = settings.database_url.reveal()
        engine = store.engine_for(url)
        before = store.version(engine)
        engine.dispose()
        store.migrate(url)
        need = store.newest_version()
    moved = "was there already" if before == need else f"from {before or 'an empty database'}"
    typer.echo(f"{settings.database_url} is at version {need} ({moved})")


def demo(
    customers: Annotated[
        int, typer.Option("--customers", min=1, max=100_000, help="Simulated customers.")
    ] = 200,
    days: Annotated[int, typer.Option("--days", min=1, max=3_650, help="Days to live through.")] = (
        45
    ),
    seed: Annotated[int, typer.Option("--seed", help="The same number, the same story.")] = 7,
    form: PageFormatOption = PageFormat.TABLE,
    once: Annotated[
        bool, typer.Option("--once", help="Run to the end, print the report and leave.")
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="Keep the database here, to look at after."),
    ] = None,
) -> None:
    """See the whole job on a simulated Stripe; nothing to set up.

    Customers' cards fail and heal on a fast clock; the real adapter calls the simulated API, real
    webhooks are signed and received, emails go to a local SMTP server.

    Example: dunning demo --once --data ./demo-data; dunning cases list --data ./demo-data
    """
    from dunning.demo import run

    code = run(customers=customers, days=days, seed=seed, format=form.value, once=once, data=data)
    raise typer.Exit(code)


# --- parts -----------------------------------------------------------------------------------


def _needs_secret(loaded: Loaded) -> None:
    """Refuse to receive webhooks that nobody could check."""
    from dunning.config import load_policy_file
    from dunning.messages import Messages

    settings = loaded.settings
    file = load_policy_file(
        settings.policy_file,
        environ=loaded.environ,
        known_templates=Messages(settings.templates).names(),
    )
    if not any(source.webhook_secrets for source in file.sources):
        raise ConfigError(UNSIGNED)


@contextmanager
def _serving(loaded: Loaded) -> Iterator[None]:
    """Log, explain what is missing, and stop in good order."""
    start_logging(loaded.settings, quiet=False)
    with stopped_quietly(), explained(loaded.settings):
        yield
