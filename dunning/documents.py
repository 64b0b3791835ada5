"""The facts of a case as the document that is stored: what was never heard is left out."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from pydantic import TypeAdapter
from pydantic_core import CoreSchema, SchemaValidator, core_schema

from dunning.core.facts import Case

_FACTS = TypeAdapter(Case)


def write_facts(case: Case) -> str:
    """The document. A field has its default where it is left out, so no default ever changes."""
    return _FACTS.dump_json(case, exclude_defaults=True).decode()


def _in_plain_utc(schema: Any) -> Any:
    """The schema with moments read as Python reads them, all in one and the same UTC.

    Pydantic gives each moment a zone of its own, and two of them take forty times as long to
    compare, which the plan of a case does hundreds of times.
    """
    if isinstance(schema, dict):
        if schema.get("type") == "datetime":
            return core_schema.no_info_plain_validator_function(datetime.fromisoformat)
        return {key: _in_plain_utc(value) for key, value in schema.items()}
    if isinstance(schema, (list, tuple)):
        return type(schema)(map(_in_plain_utc, schema))
    return schema


# Slots are filled one by one, a record without them at once: so the case, and those of its records
# of which it has many, have none.
_READ = SchemaValidator(cast("CoreSchema", _in_plain_utc(_FACTS.core_schema)))


def parse_facts(document: str) -> Case:
    """The facts that the document holds."""
    return cast("Case", _READ.validate_json(document))
