"""How recovery rates are defined: ours, and each that others have published, with its formula."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

Measure = Literal["money", "cases", "customers"]

CHURN_BUSTER_WINDOW = timedelta(days=28)
RETAIN_WINDOW = timedelta(days=14)


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One definition: which figures are divided, over what time, and who says so."""

    name: str
    measure: Measure
    numerator: str  # the names of figures of `rates`
    denominator: str
    window: str  # how long what comes in counts; "" is that of the case's policy
    formula: str
    source: str

    @property
    def told(self) -> str:
        """The formula and whose it is, in one text."""
        return f"{self.formula} Source: {self.source}."


DEFINITIONS = (
    Published(
        name="ours",
        measure="money",
        numerator="recovered",
        denominator="failed",
        window="",
        formula="What came in within the window of the case's policy, less what was refunded or "
        "disputed by then, divided by what had failed; only cases whose window has closed, so that "
        "the figure is final but for corrections. Cancelled, voided and credited cases stay below "
        "the line, and so do cases taken over from before.",
        source="this program",
    ),
    Published(
        name="ours_cases",
        measure="cases",
        numerator="recovered_cases",
        denominator="closed",
        window="",
        formula="Cases that were paid within the window, so that nothing was left at risk or lost, "
        "divided by cases; only those whose window has closed.",
        source="this program",
    ),
    Published(
        name="ours_so_far",
        measure="money",
        numerator="recovered_so_far",
        denominator="failed_in_all",
        window="until now",
        formula="What came in until now, less refunds and disputes, divided by what had failed, "
        "of the whole cohort. Of a young cohort it still grows; late payments count as well.",
        source="this program",
    ),
    Published(
        name="stripe",
        measure="money",
        numerator="gross",
        denominator="failed_in_all",
        window="none",
        formula="The volume of subscription payments recovered by any means after a failure, "
        "divided by the volume that failed at first. Stripe names no window, and leaves out "
        "the first invoice after a trial, which is not told apart here.",
        source="Stripe's documentation of its recovery analytics",
    ),
    Published(
        name="recurly",
        measure="cases",
        numerator="recovered_in_all",
        denominator="cases",
        window="",
        formula="Invoices recovered by the end of dunning divided by invoices that went past due, "
        "by number. Recurly's page says both `created` and `past due`; and goes by the billing "
        "date, where the day of the first failure is taken here.",
        source="Recurly's documentation of its dunning effectiveness report",
    ),
    Published(
        name="churn_buster",
        measure="money",
        numerator="gross_28",
        denominator="failed_in_all",
        window="28 d",
        formula="The amount recovered within 28 days divided by the amount that failed, by the "
        "month in which the campaign began; customers who cancel meanwhile stay in.",
        source="Churn Buster's help pages, which say 25 to 28 days",
    ),
    Published(
        name="baremetrics",
        measure="money",
        numerator="cash",
        denominator="failed_in_all",
        window="none",
        formula="What came in during the period, whenever it had failed, divided by what failed "
        "during the period: two different sets of invoices, and so at times more than 100 %.",
        source="Baremetrics' recovery overview",
    ),
    Published(
        name="retain",
        measure="customers",
        numerator="customers_14",
        denominator="customers",
        window="14 d",
        formula="Customers who paid within 14 days divided by customers who went past due in the "
        "month; by any means, whether or not they saw a message. Retain publishes no formula: 14 "
        "days is when it counts a customer as lost to delinquency. Each customer counts once in a "
        "row and once in the total.",
        source="pages on ProfitWell Retain",
    ),
)
NAMES = tuple(one.name for one in DEFINITIONS)
USUAL = ("ours", "ours_cases")
ALL = "all"
