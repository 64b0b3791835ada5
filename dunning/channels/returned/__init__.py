"""Reads what comes back of emails: reports of mail servers, and webhooks of mail services.

`mime` takes a foreign message apart within bounds, `reports` reads bounces (RFC 3464) and
complaints (RFC 5965), `mailboxes` finds them in files, `services` reads the webhooks. Nothing here
is believed: `dunning.returns` decides what it counts for.
"""
