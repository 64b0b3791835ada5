"""What somebody with every right on the database could do behind the program's back."""

from __future__ import annotations

from sqlalchemy import DDL, Executable, text

from dunning.store import transaction
from tests.reports.shop import Shop

BOOKS = ("entries", "closings", "statements")


def guard_off(shop: Shop, table: str, guard: str) -> None:
    """Take one trigger away, or put it out of force."""
    if shop.engine.dialect.name == "sqlite":
        ddl(shop, f"DROP TRIGGER {table}_{guard}")
    else:
        ddl(shop, f"ALTER TABLE {table} DISABLE TRIGGER {table}_{guard}")


def ddl(shop: Shop, *statements: str) -> None:
    """Change the database itself."""
    with transaction(shop.engine) as session:
        for statement in statements:
            session.execute(_ddl(statement))


def tamper(shop: Shop, *changes: str | Executable) -> None:
    """Change rows with the triggers out of force, and leave no trace of it."""
    with transaction(shop.engine) as session:
        if shop.engine.dialect.name == "sqlite":
            query = text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
            kept = session.execute(query).all()
            off = [f"DROP TRIGGER {name}" for name, _ in kept]
            on = [sql for _, sql in kept]
        else:
            off = [f"ALTER TABLE {table} DISABLE TRIGGER ALL" for table in BOOKS]
            on = [f"ALTER TABLE {table} ENABLE TRIGGER ALL" for table in BOOKS]
        for statement in off:
            session.execute(_ddl(statement))
        for change in changes:
            session.execute(text(change) if isinstance(change, str) else change)
        for statement in on:
            session.execute(_ddl(statement))


def _ddl(statement: str) -> DDL:
    return DDL(statement.replace("%", "%%"))  # type: ignore[no-untyped-call]
