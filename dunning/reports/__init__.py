"""Reports of money, recurring revenue, rates, churn, uplift, time and worth; the ledger's proof.

Read them within `snapshot(engine)`. Figures are integers of minor units, per currency.
"""

from dunning.reports.at_risk import at_risk
from dunning.reports.churn import churn
from dunning.reports.formats import csv_lines, csv_of, json_array, to_csv, to_json, to_json_list
from dunning.reports.grace import grace
from dunning.reports.hours import hours
from dunning.reports.lost import lost
from dunning.reports.overview import overview
from dunning.reports.page import to_html
from dunning.reports.proof import verify_all
from dunning.reports.rates import rates
from dunning.reports.recovered import recovered
from dunning.reports.recurring import recurring
from dunning.reports.report import Column, Kind, Report, cells, columns, total_cells
from dunning.reports.scope import Scope
from dunning.reports.snapshot import snapshot
from dunning.reports.tiles import tiles
from dunning.reports.timing import timing
from dunning.reports.uplift import uplift
from dunning.reports.value import value
from dunning.reports.workbook import to_xlsx

__all__ = [
    "Column",
    "Kind",
    "Report",
    "Scope",
    "at_risk",
    "cells",
    "churn",
    "columns",
    "csv_lines",
    "csv_of",
    "grace",
    "hours",
    "json_array",
    "lost",
    "overview",
    "rates",
    "recovered",
    "recurring",
    "snapshot",
    "tiles",
    "timing",
    "to_csv",
    "to_html",
    "to_json",
    "to_json_list",
    "to_xlsx",
    "total_cells",
    "uplift",
    "value",
    "verify_all",
]
