"""Send texts through Twilio's Messages API, and look for one of which no answer came.

The API has no idempotency key: a text whose answer was lost is looked for and never sent again.
"""

from __future__ import annotations

import http.client
import json
import re
import ssl
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode

from dunning.channels.texting.account import Account, account_of
from dunning.core.phones import is_service
from dunning.core.ports import Bounced, Doubtful, SendOutcome, Sent, Text, Unsent

_ANSWER = 1_000_000
# What Twilio says of a number to which no text will ever come from here. 21610: they have texted
# STOP; 21211: no number; 21614: no mobile phone; 21265: a short code.
DEAD = {
    21610: "the customer has texted STOP",
    21211: "it is not a number that can be texted",
    21614: "it is not a mobile phone",
    21265: "it is not a number that can be texted",
}
# What it says of this one text, or this country: 21408 country not switched on, 21612 no route,
# 21602 no words, 21617 too long, 30006 a landline, 21635 a landline, 63038 and 30007 filtered.
_THIS_ONE = frozenset((21408, 21612, 21602, 21617, 21635, 30006, 30007))
# These statuses of a message that is there mean that it did not arrive.
_FAILED = frozenset(("failed", "undelivered", "canceled"))
# Our clock and theirs may differ by so much.
_CLOCKS = timedelta(minutes=5)
_PAGE = 100


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    said: dict[str, Any]

    @property
    def code(self) -> int:
        code = self.said.get("code")
        return code if isinstance(code, int) else 0

    @property
    def why(self) -> str:
        """What it said, as one line; never the number, which stands in some of its words."""
        words = str(self.said.get("message") or "")
        words = re.sub(r"\+?[0-9][0-9 ()-]{5,}[0-9]", "…", " ".join(words.split()))[:160]
        return f"{self.status}{f' ({self.code})' if self.code else ''}" + (
            f": {words}" if words.isprintable() and words else ""
        )


class _LostError(Exception):
    """The request was handed over, and no answer came."""


class _AwayError(Exception):
    """Nobody took the request."""


class TwilioTexts:
    """Sends texts from one number or messaging service; safe to use from many threads."""

    name = "sms"

    def __init__(
        self, url: str, sender: str, *, receipts: str | None = None, timeout: float = 15
    ) -> None:
        self._account: Account = account_of(url)
        self._receipts = receipts  # where the provider is to tell what became of a text
        self._sender = sender
        self._timeout = timeout

    def send(self, text: Text) -> SendOutcome:
        """Ask for one text."""
        by = "MessagingServiceSid" if is_service(self._sender) else "From"
        asked = {"To": text.to, by: self._sender, "Body": text.body}
        if self._receipts is not None:
            asked["StatusCallback"] = self._receipts
        form = urlencode(asked)
        try:
            answer = self._ask("POST", self._account.path("/Messages.json"), form)
        except _AwayError as away:
            return Unsent(why=str(away))
        except _LostError as lost:
            return Doubtful(why=str(lost))
        return self._outcome(answer)

    def find(self, text: Text, since: datetime) -> SendOutcome:
        """Look for it among the texts to this number.

        By number and not by DateSent: one that still waits has no such date.
        """
        query = urlencode({"To": text.to, "PageSize": _PAGE})
        try:
            answer = self._ask("GET", f"{self._account.path('/Messages.json')}?{query}")
        except (_AwayError, _LostError) as error:
            return Unsent(why=str(error))
        listed = answer.said.get("messages")
        if answer.status != 200 or not isinstance(listed, list):
            return Unsent(why=f"{self._account.host} answered {answer.why}")
        for one in listed:
            if isinstance(one, dict) and _is_it(one, text, since):
                return _became(one)
        return Doubtful(why="the provider lists no such text")

    def check(self) -> str | None:
        """Read the account; None when texts could be sent from it."""
        try:
            answer = self._ask("GET", self._account.path(".json"))
        except (_AwayError, _LostError) as error:
            return str(error)
        if answer.status != 200:
            return f"{self._account.host} answered {answer.why}"
        status = answer.said.get("status", "active")
        return None if status == "active" else f"the account is {status}"

    def _outcome(self, answer: _Answer) -> SendOutcome:
        status, code = answer.status, answer.code
        why = f"{self._account.host} answered {answer.why}"
        if status in (200, 201):
            return _became(answer.said)
        if code in DEAD:
            return Bounced(why=f"{DEAD[code]} ({code})", dead=True)
        if status == 429:
            return Unsent(why=why, full=True)
        # "POST requests are not idempotent": after a 500 it may have been sent.
        if status >= 500:
            return Doubtful(why=why)
        if code in _THIS_ONE:
            return Bounced(why=why)
        # The login, the sender, the account: nothing of this customer. It waits to be mended.
        return Unsent(why=why)

    def _ask(self, method: str, path: str, body: str | None = None) -> _Answer:
        headers = {
            "authorization": self._account.authorization,
            "accept": "application/json",
            "user-agent": "dunning",
        }
        if body is not None:
            headers["content-type"] = "application/x-www-form-urlencoded"
        host = self._account.host
        with closing(self._line()) as line:
            try:
                line.connect()
            except OSError as error:
                raise _AwayError(f"{host} cannot be reached: {_fault(error)}") from None
            try:
                line.request(method, path, body, headers)
                answer = line.getresponse()
                said = answer.read(_ANSWER)
            except (OSError, http.client.HTTPException) as error:
                raise _LostError(f"no answer from {host}: {_fault(error)}") from None
        return _Answer(answer.status, _read(said))

    def _line(self) -> http.client.HTTPConnection:
        host, port = self._account.host, self._account.port
        if not self._account.secure:
            return http.client.HTTPConnection(host, port, timeout=self._timeout)
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(host, port, timeout=self._timeout, context=context)


def _read(said: bytes) -> dict[str, Any]:
    try:
        found = json.loads(said)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _became(one: dict[str, Any]) -> SendOutcome:
    """What a message of the provider's says of itself."""
    reference = str(one.get("sid") or "")
    if one.get("status") in _FAILED:
        code = one.get("error_code")
        code = code if isinstance(code, int) else 0
        why = DEAD.get(code) or f"the provider calls it {one['status']}"
        return Bounced(why=f"{why} ({code})" if code else why, dead=code in DEAD)
    if not reference:
        return Doubtful(why="the provider took it and gave it no name")
    return Sent(reference=reference)


def _is_it(one: dict[str, Any], text: Text, since: datetime) -> bool:
    made = _moment(one.get("date_created"))
    ours = text.mark in str(one.get("body") or "") and one.get("to") == text.to
    return ours and made is not None and made >= since - _CLOCKS


def _moment(written: object) -> datetime | None:
    """`Fri, 24 May 2019 17:18:27 +0000`."""
    try:
        moment = parsedate_to_datetime(str(written))
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _fault(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return (" ".join(str(error).split()) or type(error).__name__)[:200]
