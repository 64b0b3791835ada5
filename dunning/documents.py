"""The facts of a case as the document that is stored: what was never heard is left out."""

from __future__ import annotations

from pydantic import TypeAdapter

from dunning.core.facts import Case

_FACTS = TypeAdapter(Case)


def write_facts(case: Case) -> str:
    """The document. A field has its default where it is left out, so no default ever changes."""
    return _FACTS.dump_json(case, exclude_defaults=True).decode()


# Not a function around it: it is called for every case that is touched.
parse_facts = _FACTS.validate_json
