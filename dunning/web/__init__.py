"""The HTTP edge: receives webhooks, follows the links in messages, says how it is doing."""
