"""Failures at will: the queue of outcomes and broken answers that a test has ordered."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dunning.sandbox.errors import ApiError, DropConnection, Obj, invalid
from dunning.sandbox.outcomes import SUCCEED, Attempt, Outcome, parse_outcome

_STATUS = {
    500: ("api_error", None, "An error occurred with our connection to the card networks."),
    503: ("api_error", None, "Stripe is temporarily unavailable."),
    429: ("invalid_request_error", "rate_limit", "Request rate limit exceeded."),
    409: (
        "invalid_request_error",
        "lock_timeout",
        "This object cannot be accessed right now because another API request is accessing it.",
    ),
}


@dataclass
class Rule:
    """One order: which charges or requests it is for, how often, and what shall happen."""

    match: Obj
    outcome: Any
    times: int = 1
    parsed: Outcome | None = None

    @property
    def is_fault(self) -> bool:
        """True when it concerns the answer, not the money."""
        return self.parsed is None


@dataclass
class Faults:
    """Ordered rules for the next charges and the next requests."""

    charges: list[Rule] = field(default_factory=list)
    requests: list[Rule] = field(default_factory=list)

    def order_charge(self, match: Obj, outcome: Any, times: int = 1) -> Rule:
        """The next `times` matching charges end like this."""
        rule = Rule(match, outcome, times, parse_outcome(outcome))
        if rule.is_fault:
            _check(outcome)
        self.charges.append(rule)
        return rule

    def order_request(self, match: Obj, outcome: Any, times: int = 1) -> Rule:
        """The next `times` matching requests are answered like this."""
        _check(outcome)
        rule = Rule(match, outcome, times)
        self.requests.append(rule)
        return rule

    def next_charge(self, attempt: Attempt) -> Rule | None:
        """The first rule for this charge; faults of the answer need a request to answer."""
        for rule in self.charges:
            if rule.is_fault and attempt.actor != "api":
                continue
            if _charge_matches(rule.match, attempt):
                return _take(self.charges, rule)
        return None

    def next_request(self, method: str, path: str) -> Rule | None:
        """The first rule for this request."""
        for rule in self.requests:
            wanted_method = rule.match.get("method")
            wanted_path = rule.match.get("path", "")
            if wanted_method and str(wanted_method).upper() != method:
                continue
            if wanted_path and wanted_path not in path:
                continue
            return _take(self.requests, rule)
        return None


def _take(rules: list[Rule], rule: Rule) -> Rule:
    rule.times -= 1
    if rule.times <= 0:
        rules.remove(rule)
    return rule


def _charge_matches(match: Obj, attempt: Attempt) -> bool:
    facts = {
        "customer": attempt.customer,
        "payment_method": attempt.payment_method["id"],
        "invoice": attempt.invoice,
        "subscription": attempt.subscription,
    }
    named = {name: value for name, value in match.items() if name in facts and value}
    return all(facts[name] == value for name, value in named.items())


def _check(outcome: Any) -> None:
    if not isinstance(outcome, dict) or not {"hang", "drop", "status"} & outcome.keys():
        raise invalid(f"Unknown fault: {outcome!r}", "outcome")
    if "drop" in outcome and outcome["drop"] not in ("before", "after"):
        raise invalid("drop must be before or after", "outcome")


def status_error(fault: Obj) -> ApiError:
    """The error a `{"status": …}` fault answers with; no key remembers it."""
    status = int(fault["status"])
    kind, code, message = _STATUS.get(status, ("api_error", None, "An unknown error occurred."))
    headers = {}
    if fault.get("retry_after") is not None:
        headers["Retry-After"] = str(fault["retry_after"])
    if fault.get("should_retry") is not None:
        headers["Stripe-Should-Retry"] = "true" if fault["should_retry"] else "false"
    return ApiError(status, message, kind=kind, code=code, stored=False, headers=headers)


def apply_to_request(fault: Obj, request: Any) -> None:
    """Mark the request so that its answer breaks as ordered, or break it at once."""
    if fault.get("drop") == "before":
        raise DropConnection
    if fault.get("drop") == "after":
        request.drop_after = True
    if "status" in fault:
        if fault.get("when") != "after":
            raise status_error(fault)
        # The work is done and only the answer is an error: Stripe's key then replays the error.
        request.status_after = int(fault["status"])
    if "hang" in fault:
        request.hang = float(fault["hang"])


def outcome_under_fault(fault: Obj) -> Outcome | None:
    """A charge whose answer is lost went through; any other broken answer leaves it to the card."""
    lost = fault.get("drop") == "after" or fault.get("when") == "after"
    return SUCCEED if lost else None
