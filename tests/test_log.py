"""Logs: one line per transition with its ids, and no secret, whatever goes wrong."""

from __future__ import annotations

import http.server
import json
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import structlog
from sqlalchemy import Engine, inspect, text

from dunning import log
from dunning.config import load_settings
from dunning.config.secret import Secret, Url
from dunning.core.ports import Doing, Ended
from dunning.processes import Up, running
from dunning.providers.stripe.acting import StripeProvider
from dunning.store import transaction
from dunning.wiring import assemble
from tests import secrets
from tests.neighbours import Mailbox, Product
from tests.providers.stripe.bodies import AT, Body, event, invoice, raw
from tests.secrets import API_KEY, LINKS, MARK, PRODUCT
from tests.stages.doing import Bench
from tests.stages.kit import ManualClock, Stage, eventually, named
from tests.staging import world_on
from tests.web.client import Client, signed

HOOK = f"whsec_{MARK}hook"
OLD_HOOK = f"whsec_{MARK}old"
SMTP = f"{MARK}mail"
SECRETS = secrets.MARKS


class Echoing(http.server.BaseHTTPRequestHandler):
    """A billing system that repeats to everybody the key it was called with."""

    calls = 0

    def _answer(self) -> None:
        type(self).calls += 1
        told = self.headers.get("Authorization", "")
        status = (401, 400, 500, 403, 429)[self.calls % 5]
        why = f"Invalid API Key provided: {told.removeprefix('Bearer ')} ({told})"
        body = json.dumps({"error": {"type": "invalid_request_error", "message": why}}).encode()
        self.send_response(status, f"No to {told}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = _answer  # noqa: N815 - the names http.server calls

    def log_message(self, *_args: object) -> None:
        pass


@contextmanager
def echoing() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echoing)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Leave logging as it was."""
    root = logging.getLogger()
    handlers = list(root.handlers)
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers


def dump(engine: Engine) -> str:
    """Everything that is in the database, as text."""
    told = []
    with transaction(engine) as session:
        for table in inspect(engine).get_table_names():
            statement = text("SELECT * FROM {}".replace("{}", table))
            told += [repr(tuple(row)) for row in session.execute(statement)]
    return "\n".join(told)


def webhook(name: str) -> Body:
    return named(event("invoice.payment_failed", invoice(id=name)))


def misfortunes(client: Client, clock: ManualClock) -> None:
    """Webhooks good, forged and broken."""
    for number in range(3):
        body = raw(webhook(f"in_{number}"))
        assert client.post("/webhooks/stripe", body, signed(body, HOOK, clock.time)).status == 200
    body = raw(webhook("in_9"))
    for header in (
        signed(body, PRODUCT, clock.time),
        {"Stripe-Signature": f"t=1,v1={HOOK}"},
        {"Stripe-Signature": f"{HOOK} {API_KEY}", "Authorization": f"Bearer {API_KEY}"},
        {},
    ):
        assert client.post("/webhooks/stripe", body, header).status == 400
    broken = f"not json {HOOK}".encode()
    signature = signed(broken, OLD_HOOK, clock.time)
    assert client.post("/webhooks/stripe", broken, signature).status == 400
    assert client.post(f"/webhooks/{HOOK}", body, {}).status == 404
    client.get(f"/r/rcv_pay_{LINKS}")


@pytest.mark.parametrize("style", ["json", "console"])
def test_a_run_in_which_everything_goes_wrong_tells_no_secret(
    migrated_url: str, tmp_path: Path, style: str, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = ManualClock(AT)
    with ExitStack() as stack:
        api = stack.enter_context(echoing())
        mailbox, product = Mailbox(), Product()
        mailbox.refuse, product.answer = f"550 no to {SMTP}", 500
        env = {
            "DUNNING_DATA": str(tmp_path),
            "DUNNING_DATABASE_URL": migrated_url,
            "DUNNING_SANDBOX_URL": api,
            "DUNNING_SMTP_URL": stack.enter_context(mailbox.serve()).replace(
                "//", f"//mailer:{SMTP}@"
            ),
            "DUNNING_MAIL_FROM": "billing@example.com",
            "DUNNING_PRODUCT_WEBHOOK_URL": stack.enter_context(product.serve()) + f"?token={MARK}",
            "DUNNING_PRODUCT_WEBHOOK_SECRET": PRODUCT,
            "DUNNING_SECRET_KEY": LINKS,
            "STRIPE_API_KEY": API_KEY,
            "STRIPE_WEBHOOK_SECRET": f"{OLD_HOOK},{HOOK}",
        }
        settings = load_settings(env, tmp_path)
        log.configure("debug", style)
        provider = StripeProvider(API_KEY, api_base=api, clock=clock, sleep=lambda _: None)
        program = assemble(settings, environ=env, clock=clock, providers={"stripe": provider})
        up = Up(program)
        up.threads._worker.worker_timeout = 50
        listener = socket.create_server(("127.0.0.1", 0))
        with running(up, listener):
            client = Client(listener.getsockname()[1])
            misfortunes(client, clock)
            for _ in range(6):
                calls = Echoing.calls
                clock.passes(hours=7)
                up.work.poke.set()
                eventually(lambda n=calls: n < Echoing.calls)  # type: ignore[misc]
            pages = b"".join(client.get(page).body for page in ("/metrics", "/readyz", "/healthz"))
            stored = dump(program.engine)
    said = "".join(capsys.readouterr())
    assert "webhook.refused" in said
    assert "step." in said
    for secret in SECRETS:
        assert secret not in said
        assert secret.encode() not in pages
        assert secret not in stored
    assert MARK not in repr(settings)


def test_mail_that_is_refused_tells_no_secret(
    migrated_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log.configure("debug", "json")
    mailbox = Mailbox()
    mailbox.refuse = f"550 5.7.1 no to mailer {SMTP}"
    with mailbox.serve() as url:
        environ = {
            "DUNNING_SMTP_URL": url.replace("//", f"//mailer:{SMTP}@"),
            "DUNNING_SECRET_KEY": LINKS,
            "DUNNING_PRODUCT_WEBHOOK_SECRET": PRODUCT,
        }
        with world_on(migrated_url, tmp_path, environ=environ) as world:
            world.product.answer = 500
            world.failing(at_once=[])
            world.passes(hours=5)
            stored = dump(world.program.engine)
    said = "".join(capsys.readouterr())
    assert "step.put_off" in said
    for secret in SECRETS:
        assert secret not in said
        assert secret not in stored


# --- what a line is ----------------------------------------------------------------------------


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_is_one_json_object_with_its_ids_and_its_time(
    migrated_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log.configure("info", "json")
    stage = Stage(migrated_url)
    (row,) = stage.hears(webhook("in_1"))
    bench = Bench(stage)
    bench.stage.clock.time = AT
    bench.begins()

    def breaks(_doing: Doing) -> Ended:
        raise ZeroDivisionError(f"of {API_KEY}")

    bench.stage.clock.passes(days=1)
    bench.runs(breaks)
    told = lines(capsys)
    case = stage.case("in_1").id
    stage.close()
    names = [line["event"] for line in told]
    assert names[:3] == ["ledger.recorded", "inbox.handled", "step.done"]
    recorded, handled, done = told[:3]
    assert (recorded["case"], recorded["entries"]) == (case, [f"{case}/opened:owed"])
    assert (handled["inbox"], handled["event_id"]) == (row.id, row.event_id)
    assert handled["about"] == case
    assert (done["case"], done["step"]) == (case, f"{case}/reconcile:open")
    failed = next(line for line in told if line["event"] == "step.failed")
    assert failed["step"].startswith(f"{case}/")
    assert "ZeroDivisionError" in failed["exception"]
    assert MARK not in failed["exception"]
    for line in told:
        assert line["timestamp"].endswith("Z")
        assert line["level"] in ("info", "warning", "error")


def test_what_libraries_say_is_a_line_like_ours(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "json")
    log.configure("info", "json")  # twice does not say it twice
    logging.getLogger("uvicorn.error").warning("Invalid HTTP %s", "request received.")
    try:
        raise ConnectionError(f"no route for {API_KEY}")
    except ConnectionError:
        logging.getLogger("dramatiq.worker").exception("Failed to process")
    first, second = lines(capsys)
    assert (first["event"], first["library"]) == ("library.said", "uvicorn")
    assert first["said"] == "Invalid HTTP request received."
    assert (second["level"], second["said"]) == ("error", "Failed to process")
    assert "ConnectionError" in second["exception"]
    assert MARK not in json.dumps(second)


@pytest.mark.parametrize(
    "secret",
    [
        API_KEY,
        f"rk_live_{MARK}",
        HOOK,
        PRODUCT,
        f"pi_3Nxyz_secret_{MARK}",
        f"postgresql://dunning:{MARK}@db.example.com/x",
        f"redis://:{MARK}@cache:6379/0",
        f"https://user:{MARK}@proxy.example.com",
    ],
)
def test_what_looks_like_a_secret_is_taken_out_wherever_it_stands(
    secret: str, capsys: pytest.CaptureFixture[str]
) -> None:
    log.configure("info", "json")
    out = structlog.get_logger("x")
    out.warning(f"called with {secret}", why=f"no: {secret!r}", deep={"a": [secret, (secret,)]})
    (line,) = lines(capsys)
    assert MARK not in json.dumps(line)
    assert PRODUCT not in json.dumps(line)
    assert "****" in line["why"]


def test_the_level_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("warning", "json")
    out = structlog.get_logger("x")
    out.info("quiet")
    out.warning("loud")
    assert [line["event"] for line in lines(capsys)] == ["loud"]


def test_a_secret_the_process_was_given_is_taken_out_whatever_it_looks_like(
    capsys: pytest.CaptureFixture[str],
) -> None:
    plain, strange = "correct horse battery", "pa55/w:rd@x é"
    Secret(plain)
    Url(f"smtp://mailer:{quote(strange, safe='')}@mail.example.com:25")
    log.configure("info", "json")
    out = structlog.get_logger("x")
    out.info(f"login {plain}", why=[strange, {plain: quote(strange, safe="")}], raw=plain.encode())
    try:
        raise ConnectionError(f"535 no to {strange}", Telling(plain))
    except ConnectionError as error:
        out.exception("mail.failed", error=error)
    told = capsys.readouterr().err
    assert told.count("****") >= 6
    for secret in (plain, strange, quote(strange, safe=""), json.dumps(strange)[1:-1]):
        assert secret not in told


class Telling:
    """Something that tells a secret when it is printed."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def __repr__(self) -> str:
        return f"<{self._secret}>"


@pytest.mark.parametrize(
    ("said", "hidden"),
    [
        ("card 4242424242424242 was refused", True),
        ("card 4242 4242 4242 4242", True),
        ("378282246310005 of Amex", True),
        ("4242-4242-4242-4242", True),
        ("4242424242424241, which no bank gave out", False),
        ("at 1790000000123456 microseconds", False),
        ("evt_4242424242424242abc", False),
        ("Authorization: Bearer abcdefghijklmnop", True),
        ("seti_1Nx_secret_abc", True),
        ("nothing to hide: pi_1Nx, in_1, 49.00 EUR", False),
    ],
)
def test_numbers_of_cards_and_the_like(
    said: str, hidden: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    log.configure("info", "json")
    structlog.get_logger("x").info("said", why=said)
    (line,) = lines(capsys)
    assert ("****" in line["why"]) is hidden
    assert hidden or line["why"] == said


def test_every_line_said_inside_carries_the_ids(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "json")
    with log.about(source="stripe", case="case_1", step=None):
        structlog.get_logger("a").info("charge.paid", attempt="ch_1")
        logging.getLogger("urllib3").warning("retrying")
    structlog.get_logger("a").info("apart")
    told = lines(capsys)
    assert [(line.get("source"), line.get("case")) for line in told] == [
        ("stripe", "case_1"), ("stripe", "case_1"), (None, None),
    ]  # fmt: skip
    assert list(told[0])[:5] == ["timestamp", "level", "event", "source", "case"]


def test_without_a_terminal_the_lines_are_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure()
    structlog.get_logger("x").info("said")
    assert [line["event"] for line in lines(capsys)] == ["said"]
