"""Billing systems: one package each, with a pure half that reads and a half that acts."""
