"""Good and bad values of the variables about email, beside `test_settings`."""

from __future__ import annotations

from typing import Any

from dunning.config.secret import Secret, Url
from dunning.core.mail_rates import MailRates

KEY = "k" * 32
SMS = "twilio://AC0123:hunter2@api.twilio.com"
MAIL_GOOD: list[tuple[str, str, str, Any]] = [
    ("DUNNING_MAIL_REPLY_TO", "A <a@b.example>", "mail_reply_to", "A <a@b.example>"),
    ("DUNNING_MAIL_BCC", "a@b.example, c@b.example", "mail_bcc", ("a@b.example", "c@b.example")),
    ("DUNNING_MAIL_RATE", "20/s", "mail_rate", MailRates(whole=20)),
    ("DUNNING_MAIL_RATE", "30/m, Gmail.com=5/s", "mail_rate",
     MailRates(whole=0.5, domains={"gmail.com": 5})),
    ("DUNNING_MAIL_CONNECTIONS", "2", "mail_connections", 2),
    ("DUNNING_MAILGUN_SIGNING_KEY", "k" * 32, "mailgun_signing_key", Secret("k" * 32)),
    ("DUNNING_POSTMARK_LOGIN", f"u:{KEY}", "postmark_login", Secret(f"u:{KEY}")),
    ("DUNNING_SMS_URL", SMS, "sms_url", Url(SMS)),
    ("DUNNING_SMS_FROM", "Acme Ltd", "sms_from", "Acme Ltd"),
]  # fmt: skip
MAIL_BAD = [
    ("DUNNING_MAIL_REPLY_TO", "A <a@b>, B <b@c>", "is not a mail address"),
    ("DUNNING_MAIL_BCC", "a@b.example, nobody", "is not a mail address"),
    ("DUNNING_MAIL_BCC", ",", "names none, or more than 10"),
    ("DUNNING_MAIL_RATE", "20", "'20' is not a rate; expected such as 20/s or 300/m"),
    ("DUNNING_MAIL_RATE", "0/s", "is not a rate"),
    ("DUNNING_MAIL_RATE", "20/h", "is not a rate"),
    ("DUNNING_MAIL_RATE", "2/s,3/s", "says twice how many in all"),
    ("DUNNING_MAIL_RATE", "gmail=2/s", "'gmail' is not a domain"),
    ("DUNNING_MAIL_CONNECTIONS", "0", "from 1 to 64"),
    ("DUNNING_SMS_URL", "https://api.twilio.com", "does not begin with twilio://"),
    ("DUNNING_SMS_FROM", "12", "'12' cannot send texts; expected a number such as"),
    ("DUNNING_MAILGUN_SIGNING_KEY", "hunter2", "is not a signing key"),
    ("DUNNING_POSTMARK_LOGIN", "u:hunter2", "is not a login; expected USER:PASSWORD"),
]
