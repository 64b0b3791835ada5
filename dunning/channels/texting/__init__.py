"""Texts to phones, over the HTTP API of a provider of them."""

from dunning.channels.texting.account import Account, account_of
from dunning.channels.texting.receipts import asked_for, read_receipt, token_of, told_to
from dunning.channels.texting.standing import standing
from dunning.channels.texting.twilio import TwilioTexts

__all__ = [
    "Account",
    "TwilioTexts",
    "account_of",
    "asked_for",
    "read_receipt",
    "standing",
    "token_of",
    "told_to",
]
