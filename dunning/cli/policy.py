"""`policy …`: is a policy file right, is it dangerous, what does it say, what would it do."""

from __future__ import annotations

import typer

from dunning.cli import (
    policy_change,
    policy_check,
    policy_diff,
    policy_explain,
    policy_preview,
    policy_record,
    policy_simulate,
    policy_templates,
)

app = typer.Typer(
    no_args_is_help=True,
    help="Check the policy file, see what a change would do, apply it, take it back.",
    epilog="""\
Examples:
  dunning policy templates consumer_monthly > policies.yaml
  dunning policy check policies.yaml
  dunning policy explain policies.yaml
  dunning policy preview --policy standard --amount 49.00 --currency USD \\
      --decline insufficient_funds --failed-at 2026-03-01T09:00Z
  dunning policy diff policies.yaml              beside what is in force
  dunning policy plan policies.yaml              what it would do to open cases
  dunning policy apply policies.yaml --why "…"   and `rollback`, `history`

The file is named in DUNNING_POLICY_FILE; without it the built-in default holds.""",
)

app.command("check", epilog=policy_check.EPILOG)(policy_check.check)
app.command("explain", epilog=policy_explain.EPILOG)(policy_explain.explain)
app.command("preview", epilog=policy_preview.EPILOG)(policy_preview.preview)
app.command("templates", epilog=policy_templates.EPILOG)(policy_templates.templates)
app.command("simulate")(policy_simulate.simulate)
app.command("diff")(policy_diff.diff)
app.command("plan")(policy_change.plan)
app.command("apply")(policy_change.apply)
app.command("rollback")(policy_change.rollback)
app.command("history")(policy_record.history)
app.command("show")(policy_record.show)
