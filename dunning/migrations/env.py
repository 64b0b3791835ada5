"""Runs migrations on the connection that `store.migrate` hands over."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from sqlmodel import SQLModel

from dunning import store


def render_item(kind: str, item: Any, autogen: Any) -> str | Literal[False]:
    """Write our column types into migration files as plain SQLAlchemy ones."""
    if kind == "type" and isinstance(item, store.UTCDateTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and type(item).__name__ == "AutoString":
        return "sa.String()"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    render_as_batch=True,
    render_item=render_item,
)
with context.begin_transaction():
    context.run_migrations()
