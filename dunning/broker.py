"""The broker by its address: Redis, RabbitMQ, or none, in this process. It carries hints only."""

from __future__ import annotations

import logging
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import dramatiq
import redis
from dramatiq.brokers.stub import StubBroker
from dramatiq.errors import BrokerError
from dramatiq.middleware import CurrentMessage, ShutdownNotifications

from dunning.errors import ConfigError

# A broker that does not answer for so long is away.
BROKER_SECONDS = 5.0

Broker = dramatiq.Broker
# How it shows that a broker is away.
AWAY = redis.RedisError | BrokerError


def build_broker(url: str | None) -> Broker:
    """The broker of that URL; None: in this process. No retries, no delays, no results."""
    middleware: list[dramatiq.Middleware] = [ShutdownNotifications(), CurrentMessage()]
    if url is None:
        return StubBroker(middleware=middleware)
    return _rabbitmq(url, middleware) if url.startswith("amqp") else _redis(url, middleware)


def _redis(url: str, middleware: list[dramatiq.Middleware]) -> Broker:
    from dramatiq.brokers.redis import RedisBroker

    # A worker that was killed is noticed within seconds, on a queue that is mostly idle.
    return RedisBroker(  # type: ignore[no-untyped-call]
        client=redis.Redis.from_url(
            url, socket_connect_timeout=BROKER_SECONDS, socket_timeout=BROKER_SECONDS
        ),
        middleware=middleware,
        heartbeat_timeout=15_000,
        maintenance_chance=100_000,
    )


def _rabbitmq(url: str, middleware: list[dramatiq.Middleware]) -> Broker:
    try:
        from dramatiq.brokers.rabbitmq import RabbitmqBroker
    except ImportError:
        message = (
            "DUNNING_BROKER_URL names RabbitMQ, which needs a package that is not installed; "
            "install dunning[rabbitmq], or start with `uv run --extra rabbitmq dunning …`"
        )
        raise ConfigError(message) from None
    # Of a broker that is away it says eight lines each time; ours is one, `feeder.waits`.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    return RabbitmqBroker(url=patient(url), middleware=middleware)


def patient(url: str) -> str:
    """An address of RabbitMQ that says how long to wait for it, unless it says so itself."""
    parts = urlsplit(url)
    names = ("socket_timeout", "stack_timeout", "blocked_connection_timeout")
    asked = dict.fromkeys(names, str(BROKER_SECONDS)) | dict(parse_qsl(parts.query))
    return urlunsplit(parts._replace(query=urlencode(asked)))
