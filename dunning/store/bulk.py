"""Many rows in one statement: find them by name, put them, change them, on both databases.

The text of a statement does not depend on how many rows it is for, so it is built and prepared
once: PostgreSQL takes whole columns as arrays, SQLite a list of names as JSON and rows one by one
through a statement it keeps.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, cast

from sqlalchemy import (
    Select,
    String,
    Table,
    any_,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, SQLModel

from dunning.store.arrays import Column

Values = Mapping[str, Any]


def table_of(model: type[SQLModel]) -> Table:
    """The table behind a model: rows of it are read faster than objects."""
    return cast("Table", model.__table__)  # type: ignore[attr-defined]


def among(session: Session, column: Any, names: Collection[Any]) -> Any:
    """Whether a column holds one of these names, however many they are."""
    if is_postgres(session):
        given = bindparam(None, list(names), type_=Column(column.type))
        return column == any_(given)
    return _in_json(column, bindparam(None, json.dumps(list(names)), type_=String()))


def one_of(column: Any, given: str, *, postgres: bool) -> Any:
    """The same for a statement that is built once; it is handed the names as `given`, `listed`."""
    if postgres:
        return column == any_(bindparam(given, type_=Column(column.type)))
    return _in_json(column, bindparam(given, type_=String()))


def listed(session: Session, names: Iterable[Any]) -> Any:
    """Names as a statement with `one_of` takes them."""
    return list(names) if is_postgres(session) else json.dumps(list(names))


def fetch(session: Session, statement: Any, given: Values) -> list[dict[str, Any]]:
    """The rows that a statement finds, by the names of their columns."""
    found = session.execute(statement, given)
    names = tuple(found.keys())
    return [dict(zip(names, row, strict=True)) for row in found]


def _in_json(column: Any, given: Any) -> Any:
    return column.in_(select(func.json_each(given).table_valued("value").c.value))


def put_rows(
    session: Session,
    model: type[SQLModel],
    rows: Sequence[Values],
    *,
    update: tuple[str, ...] = (),
    add: tuple[str, ...] = (),
) -> None:
    """Insert rows; of those that are there by the primary key, change the columns of `update`.

    Columns of `add` are added to. Without either what is there stays as it is. Every row gives the
    same columns.
    """
    if not rows:
        return
    table = table_of(model)
    names = tuple(rows[0])
    if is_postgres(session):
        statement = _put_columns(table, names, update, add)
        session.execute(statement, _by_column(names, rows))
    else:
        session.connection().execute(_put_each(table, names, update, add), list(rows))


def new_rows(
    session: Session, model: type[SQLModel], rows: Sequence[Values]
) -> list[tuple[Any, ...]]:
    """Insert the rows that are not there yet, in their order; the primary keys of those."""
    if not rows:
        return []
    table = table_of(model)
    names = tuple(rows[0])
    if is_postgres(session):
        statement = _new_columns(table, names)
        return [tuple(row) for row in session.execute(statement, _by_column(names, rows))]
    statement = _new_each(table, names)
    each = (session.execute(statement, dict(row)).first() for row in rows)
    return [tuple(row) for row in each if row is not None]


def add_rows(session: Session, model: type[SQLModel], rows: Sequence[Values]) -> None:
    """Insert rows that cannot be there yet, in their order."""
    if not rows:
        return
    table = table_of(model)
    names = tuple(rows[0])
    if is_postgres(session):
        session.execute(_add_columns(table, names), _by_column(names, rows))
    else:
        session.connection().execute(_add_each(table), list(rows))


def change_rows(session: Session, model: type[SQLModel], rows: Sequence[Values]) -> None:
    """Change rows found by their primary key, which each row gives beside what is new."""
    if not rows:
        return
    table = table_of(model)
    names = tuple(rows[0])
    if is_postgres(session):
        statement = _change_columns(table, names)
        session.execute(statement, _by_column(names, rows))
    else:
        keyed = [{f"its_{name}": value for name, value in row.items()} for row in rows]
        session.connection().execute(_change_each(table, names), keyed)


def drop_rows(session: Session, model: type[SQLModel], keys: Collection[Any]) -> None:
    """Delete rows of a table whose primary key is one column; one that is gone is no error."""
    if keys:
        table = table_of(model)
        query = _drop(table, postgres=is_postgres(session))
        session.execute(query, {"keys": listed(session, keys)})


def is_postgres(session: Session) -> bool:
    """Which of the two databases it is."""
    return session.get_bind().dialect.name == "postgresql"


def _keys(table: Table) -> list[str]:
    return [column.name for column in table.primary_key]


def _columns_given(table: Table, names: tuple[str, ...]) -> Select[Any]:
    """The rows, handed over as one array per column."""
    return select(
        *(
            func.unnest(bindparam(f"its_{name}", type_=Column(table.c[name].type))).label(name)
            for name in names
        )
    )


def _by_column(names: tuple[str, ...], rows: Sequence[Values]) -> Values:
    return {f"its_{name}": [row[name] for row in rows] for name in names}


@cache
def _put_columns(
    table: Table, names: tuple[str, ...], update: tuple[str, ...], add: tuple[str, ...]
) -> Any:
    statement = postgresql.insert(table).from_select(names, _columns_given(table, names))
    return _unless_there(table, statement, update, add)


@cache
def _new_columns(table: Table, names: tuple[str, ...]) -> Any:
    return _put_columns(table, names, (), ()).returning(*table.primary_key)


@cache
def _new_each(table: Table, names: tuple[str, ...]) -> Any:
    return _put_each(table, names, (), ()).returning(*table.primary_key)


@cache
def _put_each(
    table: Table, names: tuple[str, ...], update: tuple[str, ...], add: tuple[str, ...]
) -> Any:
    return _unless_there(table, sqlite.insert(table), update, add)


def _unless_there(
    table: Table, statement: Any, update: tuple[str, ...], add: tuple[str, ...]
) -> Any:
    if not update and not add:
        return statement.on_conflict_do_nothing()
    given = statement.excluded
    changed = {name: given[name] for name in update}
    changed |= {name: table.c[name] + given[name] for name in add}
    return statement.on_conflict_do_update(index_elements=_keys(table), set_=changed)


@cache
def _add_columns(table: Table, names: tuple[str, ...]) -> Any:
    return insert(table).from_select(names, _columns_given(table, names))


@cache
def _add_each(table: Table) -> Any:
    return insert(table)


@cache
def _drop(table: Table, *, postgres: bool) -> Any:
    (key,) = table.primary_key
    return delete(table).where(one_of(key, "keys", postgres=postgres))


@cache
def _change_columns(table: Table, names: tuple[str, ...]) -> Any:
    given = _columns_given(table, names).subquery("given")
    keys = _keys(table)
    return (
        update(table)
        .values({name: given.c[name] for name in names if name not in keys})
        .where(*(table.c[key] == given.c[key] for key in keys))
    )


@cache
def _change_each(table: Table, names: tuple[str, ...]) -> Any:
    keys = _keys(table)
    return (
        update(table)
        .values({name: bindparam(f"its_{name}") for name in names if name not in keys})
        .where(*(table.c[key] == bindparam(f"its_{key}") for key in keys))
    )
