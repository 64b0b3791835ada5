"""Emails rendered and handed to a mail server by one worker, beside a bare loop of smtplib."""

from __future__ import annotations

import smtplib
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import date, timedelta
from itertools import islice
from typing import Any

from dunning.bench.goals import Findings, Goal
from dunning.bench.processes import running
from dunning.bench.servers import free_port
from dunning.channels.email import EmailChannel
from dunning.channels.email.address import parsed
from dunning.channels.email.body import written
from dunning.core.money import Money
from dunning.core.ports import Letter, Sent
from dunning.messages import Facts, Messages

LETTERS = 10_000
WANTED = 200.0  # a second
THREADS = 4
WARM = 50

RATE = Goal("sending", "emails rendered and handed over a second / 200, one worker", 1.0)
_FAST = (sys.executable, "-m", "dunning.bench.mailhost", "{port}")
_AIOSMTPD = (
    *(sys.executable, "-m", "aiosmtpd", "-n", "-l", "127.0.0.1:{port}"),
    *("-c", "aiosmtpd.handlers.Sink"),
)
_LOCALES = ("en", "en-GB", "de", "fr", "da")
_TEMPLATES = ("payment_failed", "reminder", "final_notice")


def measure(letters: int = LETTERS) -> Findings:
    """Against a server that is as fast as can be, and against one that many people run."""
    found = Findings("sending", {}, [])
    for name, command in (("fast", _FAST), ("aiosmtpd", _AIOSMTPD)):
        port = free_port()
        with running([each.format(port=port) for each in command], {}, port):
            ours, bare = _ours(port, letters), _bare(port, letters)
        found.figures[f"one_worker_to_{name}"] = ours
        found.figures[f"smtplib_fixed_body_to_{name}"] = bare
        if name == "fast":
            found.judge(RATE, ours["letters_per_second"], WANTED)
    return found


def _ours(port: int, letters: int) -> dict[str, Any]:
    messages = Messages()
    facts = _facts()

    def send(number: int, fact: Facts) -> int:
        letter = _letter(messages, number, fact)
        ended = channel.send(letter)
        if not isinstance(ended, Sent):
            message = f"the server did not take it: {ended}"
            raise TypeError(message)
        return len(letter.html) + len(letter.text)

    with ExitStack() as stack:
        channel = EmailChannel(f"smtp://127.0.0.1:{port}", connections=THREADS)
        stack.callback(channel.close)
        pool = stack.enter_context(ThreadPoolExecutor(THREADS))
        list(pool.map(send, range(WARM), islice(facts, WARM)))
        began, spent = time.perf_counter(), time.process_time()
        size = sum(pool.map(send, range(letters), islice(facts, letters)))
        seconds, spent = time.perf_counter() - began, time.process_time() - spent
    return _told(letters, seconds, spent, size)


def _letter(messages: Messages, number: int, fact: Facts) -> Letter:
    made = messages.render(fact)
    return Letter(
        to=f"c{number}@customer.example",
        to_name=fact.customer_name,
        sender="Example Ltd <billing@example.com>",
        subject=made.subject,
        text=made.text,
        html=made.html,
        id=f"<case_{number:08}.email.1@example.com>",
        reply_to="help@example.com",
        headers={"Date": "Mon, 02 Mar 2026 10:00:00 +0000"},
    )


def _facts() -> Iterator[Facts]:
    """No two alike: names, amounts, dates, languages and messages go round."""
    today = date(2026, 3, 2)
    number = 0
    while True:
        number += 1
        yield Facts(
            template=_TEMPLATES[number % len(_TEMPLATES)],
            company="Example Ltd",
            amount=Money(4900 + number, "usd"),
            failed_on=today - timedelta(days=number % 20),
            customer_name=f"Ann Lee {number}",
            invoice_number=f"R-{number:06}",
            pay_url=f"https://billing.example.com/r/rcv_{number:040}",
            update_card_url=f"https://billing.example.com/r/rcv_{number:040}c",
            suspend_on=today + timedelta(days=7 + number % 5),
            next_retry_on=today + timedelta(days=1 + number % 3),
            support_email="help@example.com",
            locale=_LOCALES[number % len(_LOCALES)],
        )


def _bare(port: int, letters: int) -> dict[str, Any]:
    """What the library itself can do with a letter that is written already."""
    letter = _letter(Messages(), 0, next(_facts()))
    fixed = written(letter, parsed(letter.to)).body
    with smtplib.SMTP("127.0.0.1", port) as connection:
        began, spent = time.perf_counter(), time.process_time()
        for number in range(letters):
            connection.sendmail("billing@example.com", [f"c{number}@customer.example"], fixed)
        seconds, spent = time.perf_counter() - began, time.process_time() - spent
    return _told(letters, seconds, spent, len(fixed) * letters)


def _told(letters: int, seconds: float, spent: float, size: int) -> dict[str, Any]:
    return {
        "letters": letters,
        "letters_per_second": round(letters / seconds, 1),
        "processor_ms_per_letter": round(1000 * spent / letters, 3),
        "bytes_per_letter": size // letters,
    }
