"""Every secret carries a mark; whatever goes wrong, the mark is told nowhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dunning.sandbox.sandbox import Sandbox
from tests.adversarial import corpus
from tests.adversarial.server import HOOK, ROOT, Server, up
from tests.neighbours import Mailbox, Product
from tests.providers.stripe.bodies import raw
from tests.secrets import API_KEY, LINKS, MARK, PRODUCT, findings
from tests.stages.kit import eventually

LATER = 1_790_000_600  # than the payments that failed
PASSWORD = f"{MARK}Mail/word"


def nowhere(**places: str) -> None:
    found = [each for place, told in places.items() for each in findings(place, told)]
    assert not found, "\n".join(found)


def misfortunes(server: Server) -> None:
    """Webhooks of invoices that nobody at the provider knows, forged ones, and secrets in them."""
    for number in range(3):
        assert server.hook(raw(corpus.failed(f"lost{number}"))).status == 200
    body = raw(corpus.failed("forged"))
    for header in (f"t=1,v1={HOOK}", f"{HOOK} {API_KEY}", f"Bearer {API_KEY}"):
        given = {"Stripe-Signature": header, "Authorization": f"Bearer {API_KEY}"}
        assert server.post(corpus.PATH, body, given).status == 400
    assert server.hook(f"not json {HOOK}".encode()).status == 400
    assert server.post(f"/webhooks/{HOOK}", body).status == 404
    assert server.get(f"/pay/rcv_pay_{LINKS}").status == 404
    assert server.send(f"{API_KEY} nonsense\r\n\r\n".encode()).status == 400


def test_a_process_to_which_everything_happens(migrated_url: str, tmp_path: Path) -> None:
    mailbox, product = Mailbox(), Product()
    mailbox.refuse, product.answer = f"550 no to {PASSWORD}", 500
    with ExitStack() as stack:
        sandbox = Sandbox(seed=1, start=LATER)
        smtp = stack.enter_context(mailbox.serve())
        environ = {
            "DUNNING_SANDBOX_URL": stack.enter_context(sandbox.serve()),
            "DUNNING_SMTP_URL": smtp.replace("//", f"//mailer:{PASSWORD.replace('/', '%2F')}@"),
            "DUNNING_MAIL_FROM": "billing@example.com",
            "DUNNING_PRODUCT_WEBHOOK_URL": stack.enter_context(product.serve()) + f"?token={MARK}",
            "DUNNING_PRODUCT_WEBHOOK_SECRET": PRODUCT,
            "DUNNING_WEBHOOK_TOLERANCE_SECONDS": "86400",
            "STRIPE_API_KEY": API_KEY,
        }
        server = stack.enter_context(up(migrated_url, tmp_path, **environ))
        # Its webhooks are dated by its clock.
        server.clock = lambda: datetime.fromtimestamp(sandbox.world.now, UTC)
        misfortunes(server)
        server.settled()
        eventually(lambda: "step." in server.said() and "call." in server.said())
        pages = {path: server.get(path).body.decode() for path in ("/metrics", "/readyz", "/x")}
        nowhere(said=server.said(), stored=server.stored(), **pages)
    nowhere(at_the_end=(tmp_path / "said.txt").read_text())


WRONG = {
    "a database that is away": {
        "DUNNING_DATABASE_URL": f"postgresql://dunning:{MARK}Db@127.0.0.1:9/x"
    },
    "a broker that is away": {"DUNNING_BROKER_URL": f"redis://:{MARK}Br@127.0.0.1:9/0"},
    "a wrong address": {"DUNNING_DATABASE_URL": f"postgres//dunning:{MARK}Db@127.0.0.1:9/x"},
    "a key in the wrong place": {"STRIPE_WEBHOOK_SECRET": API_KEY},
    "a secret in the wrong place": {"STRIPE_API_KEY": HOOK},
    "a password that was not quoted": {
        "DUNNING_SMTP_URL": f"smtp://mailer:{PASSWORD}@127.0.0.1:9",
        "DUNNING_MAIL_FROM": "billing@example.com",
    },
    "a key that is too short": {"DUNNING_SECRET_KEY": MARK},
    "a name that is not one": {f"DUNNING_SECRET_KEY_{MARK[:3].upper()}": MARK},
}  # fmt: skip
COMMANDS = (["cases", "list"], ["--debug", "doctor"], ["--debug", "migrate"])
RUN = """
import json, sys
from dunning.cli import main
for words in json.loads(sys.argv[1]):
    sys.argv = ["dunning", *words]
    try:
        main()
    except SystemExit:
        pass
"""


@pytest.mark.parametrize("why", WRONG)
def test_commands_that_cannot_do_it(why: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(COMMANDS)],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "DUNNING_DATA": str(tmp_path),
            "STRIPE_WEBHOOK_SECRET": HOOK,
            **WRONG[why],
        },
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.stderr
    nowhere(out=done.stdout, err=done.stderr)
