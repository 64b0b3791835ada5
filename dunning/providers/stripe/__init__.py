"""Stripe: `reader` understands its webhooks without a key, `acting` calls its API."""
