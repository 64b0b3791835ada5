"""The HTTP API, one module per family of resources; importing them fills the table of routes."""

from dunning.sandbox.api import (
    aftermath,
    billing,
    catalog,
    customers,
    invoices,
    payments,
    platform,
    subscriptions,
)
from dunning.sandbox.api.routes import ROUTES, Route

__all__ = [
    "ROUTES",
    "Route",
    "aftermath",
    "billing",
    "catalog",
    "customers",
    "invoices",
    "payments",
    "platform",
    "subscriptions",
]
