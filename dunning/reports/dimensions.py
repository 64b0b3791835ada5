"""What a case is known by, as columns that a report can be broken down by, on both databases."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Select, SQLColumnExpression, Text, cast, func, select
from sqlalchemy.dialects.postgresql import JSON
from sqlmodel import col

from dunning.store import AttemptRow, CaseRow, CustomerRow, SubscriptionRow

CASE_KEYS = (
    *("policy", "policy_version", "decline_code", "advice"),
    *("network", "country", "plan", "segment"),
)

CASE_DEFINITIONS = {
    "policy": "The policy the case is under now.",
    "policy_version": "The content of that policy, by its hash; `dunning policy log` has the text.",
    "decline_code": "The provider's reason for the last charge that failed.",
    "advice": "What that reason means: whether, and after what, a charge may be tried again.",
    "network": "The card network of the last charge that was tried; none for bank debits.",
    "country": "The customer's country as last heard.",
    "plan": "The first plan of the subscription as last heard; none for a one-off invoice.",
    "segment": "The segments of the policy file that the case was in when it began, joined by + "
    "where there are several, so that each case is in one row; none when it was in none, or began "
    "before they were kept.",
    "source": "The billing account it came from.",
}
CASE_HEADINGS = {
    "policy": "Policy",
    "policy_version": "Policy version",
    "decline_code": "Decline code",
    "advice": "Advice",
    "network": "Network",
    "country": "Country",
    "plan": "Plan",
    "segment": "Segment",
    "source": "Source",
    "currency": "Currency",
}

_NETWORK = (
    select(col(AttemptRow.network))
    .where(
        col(AttemptRow.case_id) == col(CaseRow.id),
        col(AttemptRow.network).is_not(None),
    )
    .order_by(col(AttemptRow.at).desc(), col(AttemptRow.id).desc())
    .limit(1)
    .correlate(CaseRow)
    .scalar_subquery()
)
_COUNTRY = func.upper(func.nullif(col(CustomerRow.country), ""))
_DETAILS = col(SubscriptionRow.details)
_SAME: Mapping[str, SQLColumnExpression[Any]] = {
    "policy": col(CaseRow.policy),
    "policy_version": col(CaseRow.policy_version),
    "decline_code": col(CaseRow.decline_code),
    "advice": col(CaseRow.advice),
    "network": _NETWORK,
    "country": _COUNTRY,
    "segment": col(CaseRow.segments),
}
# Each once: PostgreSQL takes an expression for the grouped one only with the same parameters.
_BY_DIALECT: Mapping[str, Mapping[str, SQLColumnExpression[Any]]] = {
    "sqlite": {**_SAME, "plan": func.json_extract(_DETAILS, "$.plans[0]", type_=Text())},
    "postgresql": {
        **_SAME,
        "plan": cast(_DETAILS, JSON())["plans"][0].astext,
    },
}


def dimensions(dialect: str) -> dict[str, SQLColumnExpression[Any]]:
    """By their names; a query that uses them is to be `joined`."""
    return dict(_BY_DIALECT[dialect])


def joined(query: Select[Any], keys: Collection[str]) -> Select[Any]:
    """The query with the tables that these keys need beside `cases`; no row more, no row less."""
    if "country" in keys:
        query = query.outerjoin(
            CustomerRow,
            (col(CustomerRow.source) == col(CaseRow.source))
            & (col(CustomerRow.id) == col(CaseRow.customer)),
        )
    if "plan" in keys:
        query = query.outerjoin(
            SubscriptionRow,
            (col(SubscriptionRow.source) == col(CaseRow.source))
            & (col(SubscriptionRow.id) == col(CaseRow.subscription)),
        )
    return query
