"""Render the messages customers get: subject, plain text and HTML from one template each.

Pure: no network and no clock. What comes from outside (names, numbers, links) is only ever a
value: it is never read as a template, it is one line long, and it is escaped in HTML.
"""

from __future__ import annotations

from dunning.core.brand import Brand
from dunning.messages.catalogues import Catalogues, words_for_templates
from dunning.messages.choice import locale_for
from dunning.messages.facts import CAUSES, Facts, InvoiceLine
from dunning.messages.reasons import customer_cause, customer_reason
from dunning.messages.render import TEMPLATES, TEXTS, Messages, Rendered, Short
from dunning.messages.samples import every_fact, few_facts
from dunning.messages.values import format_money

__all__ = [
    "CAUSES",
    "TEMPLATES",
    "TEXTS",
    "Brand",
    "Catalogues",
    "Facts",
    "InvoiceLine",
    "Messages",
    "Rendered",
    "Short",
    "customer_cause",
    "customer_reason",
    "every_fact",
    "few_facts",
    "format_money",
    "locale_for",
    "words_for_templates",
]
