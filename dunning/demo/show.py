"""The report of a demo for a person: what was at stake, what came back, and how we know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from dunning.core.attribution import is_rung
from dunning.core.money import Money

_MECHANISMS = {
    "backup_method": "our charge of another method the customer had saved",
    "new_card": "our charge after the customer gave a new card",
    "link": "paid by the customer after a message of ours",
    "natural": "paid without any act of ours (not claimed)",
    "holdout": "of customers held out for comparison (not claimed)",
    "outside": "marked as paid elsewhere (not claimed)",
    "provider_retry": "the provider's own retry (not claimed)",
    "network_updater": "its retry of a card the network refreshed (not claimed)",
    "retry_by_hand": "a charge asked for by a person",
}


def show(data: dict[str, Any], folder: Path | None) -> None:
    """Print the report to standard output."""
    out = Console(highlight=False)
    out.print(_money(data))
    out.print(_mechanisms(data))
    states = ", ".join(f"{count} {state}" for state, count in data["cases"].items())
    out.print(f"Cases: {states}")
    out.print(
        f"{data['webhooks_received']:,} webhooks received, {data['retries']} charges tried, "
        f"{data['emails']} emails sent, {data['suspensions']} suspensions, "
        f"{data['restorations']} restored"
    )
    cards, terms = data["notices"].get("card_expiry", 0), data["notices"].get("renewal", 0)
    told = f"{cards} emails of a card that expires, {terms} of a renewal"
    out.print(f"Told before anything failed: {told}")
    out.print("\n[bold]What must be so[/bold]")
    for text, held in (
        ("every sum of the ledger proves itself from its entries", data["identity_holds"]),
        (
            "our ledger and the billing system's own books agree to the minor unit",
            data["agrees_with_billing_system"],
        ),
        ("finance's tie-out, by the billing system's API, has no difference", data["ties_out"]),
        ("no invoice was charged twice", data["charged_twice"] == 0),
        ("nobody was written to about a debt already paid", data["emails_after_payment"] == 0),
        ("no webhook waits for a person", data["webhooks_parked"] == 0),
    ):
        out.print(f"  [green]yes[/green]  {text}" if held else f"  [red]NO[/red]   {text}")
    out.print(f"\n{data['days']} days in {data['seconds']} s, all of it simulated.")
    if folder is not None:
        out.print(f"Look around: dunning cases list --data {folder}")
        out.print(
            f"Compare the books: dunning report reconcile --data {folder} "
            f"--csv {folder / 'provider.csv'}"
        )
    else:
        out.print("With --data DIR the database stays, for `cases`, `report` and `ledger`.")


def _money(data: dict[str, Any]) -> Table:
    table = Table(title="Money that failed to come in", title_justify="left", box=None)
    for heading in ("currency", "failed", "recovered", "lost", "withdrawn", "still at risk"):
        table.add_column(heading, justify="left" if heading == "currency" else "right")
    for currency, sums in data["ledger"].items():
        recovered = sums["recovered"] + sums["refunded"] + sums["disputed"]
        table.add_row(
            currency.upper(),
            *(
                str(Money(amount, currency)).rpartition(" ")[0]
                for amount in (
                    -sums["owed"],
                    recovered,
                    sums["lost"],
                    sums["withdrawn"],
                    sums["at_risk"],
                )
            ),
        )
    return table


def _mechanisms(data: dict[str, Any]) -> Table:
    table = Table(title="\nWhat brought it back", title_justify="left", box=None, show_header=False)
    table.add_column("how")
    table.add_column("amount", justify="right")
    for currency, sums in data["recovered_by"].items():
        for how, amount in sorted(sums.items(), key=lambda item: -item[1]):
            rung = f"retry {how.rpartition(':')[2]} of the timeline"
            said = rung if is_rung(how) else _MECHANISMS.get(how, "the ledger does not say")
            table.add_row(said, str(Money(amount, currency)))
        ours = Money(data["of_which_ours"][currency], currency)
        table.add_row("[bold]of which ours[/bold]", str(ours))
    return table
