"""Whether texts could be sent, for `doctor`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dunning.channels.texting.receipts import asked_for
from dunning.channels.texting.twilio import TwilioTexts
from dunning.core.ports import Health

NOT_TOLD = (
    "what fails later is not told: that takes an https DUNNING_PUBLIC_URL and the account's own"
    " token in DUNNING_SMS_URL"
)


def standing(
    url: str | None,
    sender: str | None,
    policies: Sequence[str],
    *,
    public_url: str | None,
    linked: bool,
) -> Iterator[Health]:
    """What there is to say: nothing, where no policy texts and nothing is set up."""
    if url is None:
        if policies:
            what = f"no way out: every text of {', '.join(policies)} is skipped"
            advice = "set DUNNING_SMS_URL and DUNNING_SMS_FROM"
            yield Health(level="warning", what=what, advice=advice)
        return
    wrong = TwilioTexts(url, sender or "").check()
    if wrong is not None:
        advice = "set DUNNING_SMS_URL right; texts wait meanwhile"
        yield Health(level="error", what=wrong, advice=advice)
    else:
        at = asked_for(url, public_url)
        told = f"what fails later is told to {at}" if at else NOT_TOLD
        yield Health(level="ok", what=f"texts leave from {sender}; {told}")
    if not linked:
        yield Health(
            level="warning",
            what="without links of ours a text whose answer is lost cannot be looked for",
            advice="set DUNNING_PUBLIC_URL and DUNNING_SECRET_KEY",
        )
