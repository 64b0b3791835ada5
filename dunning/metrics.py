"""What a process counts: every number by name, unit and meaning, and the functions that count.

Labels are names out of configuration or of closed lists, so there are few of them: never an id, an
address or anything a sender chose. What stands in the database (backlogs) is not counted here but
asked for when somebody looks; see `web/standing`.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import accumulate
from platform import python_version
from typing import Final

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from dunning import __version__

# From a commit that shares its fsync to a sender that has nearly given up.
_ANSWER_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_CALL_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80)
_BATCHES: Final = (1, 2, 5, 10, 20, 50, 100, 200)

_not_http = Counter(
    "dunning_http_refused", "Requests refused below the application, by status", ["status"]
)
_kept_batch = Histogram(
    "dunning_inbox_batch_webhooks", "Webhooks stored in one commit", buckets=_BATCHES
)
_kept_seconds = Histogram(
    "dunning_inbox_commit_seconds", "Time of such a commit, in seconds", buckets=_ANSWER_SECONDS
)
_handled = Counter(
    "dunning_inbox_handled",
    "Kept webhooks by source and what became of them: handled, ignored, parked, or tried later",
    ["source", "ending"],
)
_steps = Counter(
    "dunning_steps", "Steps by kind and how they ended (put_off: later again)", ["kind", "result"]
)
_step_seconds = Histogram(
    "dunning_step_act_seconds", "Time a step acts on the world, in seconds",
    ["kind"], buckets=_CALL_SECONDS,
)  # fmt: skip
_step_lateness = Histogram(
    "dunning_step_lateness_seconds", "How long after it was due a step began, in seconds",
    buckets=(1, 2, 5, 10, 30, 60, 300, 900, 3600, 21_600, 86_400),
)  # fmt: skip
_steps_unknown = Counter(
    "dunning_steps_unknown", "Steps of which it is not known whether they happened", ["kind"]
)
_claims = Counter("dunning_claims", "Cases claimed because a step was due, by source", ["source"])
_leases_lost = Counter(
    "dunning_leases_lost", "Claims that ran out under their holder; nothing was written"
)
_charges = Counter("dunning_charges", "Charges by source and ending", ["source", "outcome"])
_provider_seconds = Histogram(
    "dunning_provider_call_seconds", "Time of one call to a provider, in seconds",
    ["provider", "operation"], buckets=_CALL_SECONDS,
)  # fmt: skip
_provider_answers = Counter(
    "dunning_provider_calls", "Calls to a provider by answer: a status, or `none` without one",
    ["provider", "answer"],
)  # fmt: skip
_provider_limited = Counter(
    "dunning_provider_limited", "Calls that a provider refused as too many (429)", ["provider"]
)
_emails = Counter("dunning_emails", "Emails by ending", ["state"])
_email_seconds = Histogram(
    "dunning_email_seconds", "Time to hand one email to the mail server, in seconds",
    buckets=_CALL_SECONDS,
)  # fmt: skip
_texts = Counter("dunning_texts", "Texts to phones by ending", ["state"])
_text_seconds = Histogram(
    "dunning_text_seconds", "Time to hand one text to its provider, in seconds",
    buckets=_CALL_SECONDS,
)  # fmt: skip
_product_calls = Counter("dunning_product_calls", "Calls to the product by ending", ["ending"])
_product_seconds = Histogram(
    "dunning_product_call_seconds", "Time of one call to the product, in seconds",
    buckets=_CALL_SECONDS,
)  # fmt: skip
_staff_notices = Counter(
    "dunning_staff_notices", "Messages to staff by way and ending", ["way", "ending"]
)
_entries = Counter("dunning_ledger_entries", "Entries appended to the ledger", ["source", "kind"])
_ticks = Counter("dunning_feeder_ticks", "Times the feeder looked for what is due")
_tick_at = Gauge(
    "dunning_feeder_last_tick_timestamp_seconds", "When the feeder last looked, in Unix seconds"
)
_hints_lost = Counter(
    "dunning_hints_lost", "Webhooks kept while the broker took no hint; the sweep finds them"
)
_breakers = Gauge(
    "dunning_breaker_open", "1 while a source's charges and emails are held", ["source"]
)
_build = Gauge("dunning_build_info", "Always 1; the labels tell the version", ["version", "python"])


def started() -> None:
    """Say which version this process runs."""
    _build.labels(__version__, python_version()).set(1)


class Receiving:
    """The numbers of one source's receiver, which one thread counts: this is the hot path."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._answers: defaultdict[int, int] = defaultdict(int)
        self._within = [0] * (len(_ANSWER_SECONDS) + 1)
        self._seconds = 0.0

    def answered(self, status: int, seconds: float) -> None:
        """A webhook was answered."""
        self._answers[status] += 1
        self._within[bisect_left(_ANSWER_SECONDS, seconds)] += 1
        self._seconds += seconds

    def tell(self, answers: CounterMetricFamily, seconds: HistogramMetricFamily) -> None:
        """Add them to what Prometheus is told."""
        for status, count in sorted(self._answers.items()):
            answers.add_metric([self._source, str(status)], count)
        bounds = [*(str(float(bound)) for bound in _ANSWER_SECONDS), "+Inf"]
        buckets = list(zip(bounds, accumulate(self._within), strict=True))
        seconds.add_metric([self._source], buckets, self._seconds)


def receiving(source: str) -> Receiving:
    """The numbers of that source's receiver in this process."""
    return _receivers.setdefault(source, Receiving(source))


_receivers: dict[str, Receiving] = {}


class _Received(Collector):
    def collect(self) -> Iterator[Metric]:
        answers = CounterMetricFamily(
            "dunning_webhooks",
            "Webhooks by source and the HTTP status they were answered with",
            labels=["source", "answer"],
        )
        seconds = HistogramMetricFamily(
            "dunning_webhook_seconds",
            "Time from a webhook's headers to its answer, in seconds",
            labels=["source"],
        )
        for numbers in list(_receivers.values()):
            numbers.tell(answers, seconds)
        yield answers
        yield seconds


REGISTRY.register(_Received())


def not_http(status: int) -> None:
    """Something was refused before it could become a request."""
    _not_http.labels(str(status)).inc()


def kept(webhooks: int, seconds: float) -> None:
    """The keeper committed so many webhooks at once."""
    _kept_batch.observe(webhooks)
    _kept_seconds.observe(seconds)


def hints_lost(webhooks: int) -> None:
    """The broker did not take the hint of so many webhooks."""
    _hints_lost.inc(webhooks)


def handled(source: str, ending: str) -> None:
    """A kept webhook came to this end."""
    _handled.labels(source, ending).inc()


def claimed(source: str, cases: int = 1) -> None:
    """Cases were claimed for a worker."""
    _claims.labels(source).inc(cases)


def lease_lost() -> None:
    """A worker was too slow and wrote nothing."""
    _leases_lost.inc()


def step_began(late_by: float) -> None:
    """A step began so many seconds after it was due."""
    _step_lateness.observe(max(late_by, 0.0))


def step_ended(kind: str, result: str, *, unknown: bool = False) -> None:
    """A step ended, was put off, or is in doubt."""
    _steps.labels(kind, result).inc()
    if unknown:
        _steps_unknown.labels(kind).inc()


def charge(source: str, outcome: str) -> None:
    """A charge of ours ended so."""
    _charges.labels(source, outcome).inc()


def provider_answered(provider: str, answer: str, *, limited: bool = False) -> None:
    """A provider answered with this status, or not at all (`none`)."""
    _provider_answers.labels(provider, answer).inc()
    if limited:
        _provider_limited.labels(provider).inc()


def email(state: str) -> None:
    """An email ended so."""
    _emails.labels(state).inc()


def text(state: str) -> None:
    """A text ended so."""
    _texts.labels(state).inc()


def product_call(ending: str) -> None:
    """A call to the product ended so."""
    _product_calls.labels(ending).inc()


def staff_notice(way: str, ending: str) -> None:
    """A message to staff ended so: sent, failed (tried again later) or dead."""
    _staff_notices.labels(way, ending).inc()


def entries(source: str, kind: str, count: int = 1) -> None:
    """Entries were appended to the ledger."""
    _entries.labels(source, kind).inc(count)


def ticked() -> None:
    """The feeder looked for what is due."""
    _ticks.inc()
    _tick_at.set_to_current_time()


def breaker(source: str, *, is_open: bool) -> None:
    """A source's charges and emails are held, or go on."""
    _breakers.labels(source).set(is_open)


@contextmanager
def acting(kind: str) -> Iterator[None]:
    """Time what a step does to the world."""
    with _timing(_step_seconds, kind):
        yield


@contextmanager
def calling_provider(provider: str, operation: str) -> Iterator[None]:
    """Time one call; `operation` is a name of ours, never an address with ids in it."""
    with _timing(_provider_seconds, provider, operation):
        yield


@contextmanager
def sending_email() -> Iterator[None]:
    """Time the handing over of an email."""
    with _timing(_email_seconds):
        yield


@contextmanager
def sending_text() -> Iterator[None]:
    """Time the handing over of a text."""
    with _timing(_text_seconds):
        yield


@contextmanager
def calling_product() -> Iterator[None]:
    """Time one call to the product."""
    with _timing(_product_seconds):
        yield


@contextmanager
def _timing(histogram: Histogram, *labels: str) -> Iterator[None]:
    child = _child(histogram, *labels)
    began = time.monotonic()
    try:
        yield
    finally:
        child.observe(time.monotonic() - began)


@cache
def _child(histogram: Histogram, *labels: str) -> Histogram:
    return histogram.labels(*labels) if labels else histogram
