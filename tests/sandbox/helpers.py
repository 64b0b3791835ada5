"""What the sandbox's tests share: the SDK, plain HTTP, a webhook receiver, a follower."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self
from urllib.parse import urlencode, urlsplit

import stripe

from dunning.sandbox import Sandbox

KEY = "sk_test_sandbox"
HOUR, DAY = 3_600, 86_400


def sdk(
    url: str, version: str | None = None, http_client: stripe.HTTPClient | None = None
) -> stripe.StripeClient:
    """A client as a program would make it; no retries, so that every answer is seen."""
    return stripe.StripeClient(
        KEY,
        base_addresses={"api": url},
        stripe_version=version,
        max_network_retries=0,
        http_client=http_client or stripe.RequestsClient(timeout=(3, 20)),
    )


class Reply(NamedTuple):
    """A plain HTTP answer."""

    status: int
    headers: dict[str, str]
    body: Any


def call(
    url: str,
    method: str,
    path: str,
    form: dict[str, Any] | None = None,
    data: Any = None,
    **headers: str,
) -> Reply:
    """One plain HTTP request, form or JSON."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    sent = {"Authorization": f"Bearer {KEY}"}
    body = None
    if form is not None:
        body = urlencode(form)
        sent["Content-Type"] = "application/x-www-form-urlencoded"
    elif data is not None:
        body = json.dumps(data)
    sent.update({name.replace("_", "-"): value for name, value in headers.items()})
    try:
        connection.request(method, path, body, sent)
        answer = connection.getresponse()
        raw = answer.read().decode()
        names = {name.lower(): value for name, value in answer.getheaders()}
    finally:
        connection.close()
    is_json = names.get("content-type", "").startswith("application/json")
    return Reply(answer.status, names, json.loads(raw) if is_json else raw)


def control(sandbox: Sandbox, path: str, data: Any = None, method: str = "POST") -> Any:
    """The control API; a refusal fails the test."""
    reply = call(sandbox.url, method, f"/_sandbox/{path}", data=data)
    assert reply.status == 200, reply
    return reply.body


class Received(NamedTuple):
    """One webhook as it arrived."""

    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> Any:
        return json.loads(self.body)


class Receiver:
    """A webhook endpoint; `answers` are given in turn, then 200 for ever."""

    def __init__(self) -> None:
        self.got: list[Received] = []
        self.answers: list[int] = []
        self.on_event: Callable[[Any], None] | None = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                got = Received(dict(self.headers.items()), self.rfile.read(length))
                status = outer.answers.pop(0) if outer.answers else 200
                outer.got.append(got)
                if outer.on_event is not None:
                    outer.on_event(got.event)
                self.send_response(status)
                if status in (301, 302):
                    self.send_header("Location", "http://127.0.0.1:1/")
                # No body: a second small write would wait for the first one's receipt.
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self.url = f"http://127.0.0.1:{self._server.server_port}/webhooks/stripe"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def types(self) -> list[str]:
        """The types of all events, in order of arrival."""
        return [got.event["type"] for got in self.got]

    def of_type(self, kind: str) -> list[Any]:
        """All events of a type."""
        return [got.event for got in self.got if got.event["type"] == kind]


class Follower:
    """A program that keeps step with the clock and has something to do at given times."""

    def __init__(self, url: str, due: list[int], work: Callable[[int], None]) -> None:
        self._url = url
        self.due = sorted(due)
        self._work = work
        self.seen: list[int] = []
        self.stop = False
        self.on_end: Callable[[], None] | None = None  # on the follower's own thread
        self._joined = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._joined.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop = True
        self._thread.join(10)

    def _report(self, version: int, wait: float) -> Any:
        report = {
            "name": "test",
            "version": version,
            "idle": True,
            "next_at": self.due[0] if self.due else None,
            "wait": wait,
        }
        return call(self._url, "POST", "/_sandbox/clock/followers", data=report).body

    def _run(self) -> None:
        clock = self._report(0, 0)
        while not self.stop:
            now = clock["now"]
            self.seen.append(now)
            while self.due and self.due[0] <= now:
                self._work(self.due.pop(0))
            clock = self._report(clock["version"], 0.5 if self._joined.is_set() else 0)
            self._joined.set()
        if self.on_end is not None:
            self.on_end()


# --- common beginnings -------------------------------------------------------------------------
def make_price(client: stripe.StripeClient, amount: int = 4900, currency: str = "usd") -> str:
    product = client.v1.products.create({"name": "Plan"})
    price = client.v1.prices.create(
        {
            "product": product.id,
            "unit_amount": amount,
            "currency": currency,
            "recurring": {"interval": "month"},
        }
    )
    return price.id


def make_customer(client: stripe.StripeClient, card: str = "pm_card_visa") -> stripe.Customer:
    return client.v1.customers.create(
        {
            "email": "jenny@example.com",
            "name": "Jenny Rosen",
            "payment_method": card,
            "invoice_settings": {"default_payment_method": card},
        }
    )


def subscribe(client: stripe.StripeClient, customer: str, price: str) -> stripe.Subscription:
    return client.v1.subscriptions.create({"customer": customer, "items": [{"price": price}]})


def failed_renewal(
    sandbox: Sandbox, client: stripe.StripeClient, decline: str = "insufficient_funds"
) -> tuple[stripe.Customer, stripe.Subscription, stripe.Invoice]:
    """A customer whose first payment went well and whose renewal was declined."""
    customer = make_customer(client)
    subscription = subscribe(client, customer.id, make_price(client))
    sandbox.next_charge({"decline_code": decline}, customer=customer.id)
    sandbox.advance(32 * DAY)
    subscription = client.v1.subscriptions.retrieve(subscription.id)
    invoice = client.v1.invoices.retrieve(str(subscription.latest_invoice))
    return customer, subscription, invoice
