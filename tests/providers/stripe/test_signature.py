"""Stripe's signature: what passes, what does not, and that the SDK is of the same opinion."""

from __future__ import annotations

import hashlib
import hmac
from datetime import timedelta

import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st

from dunning.errors import SignatureError
from dunning.providers.stripe import signature
from tests.providers.stripe.bodies import AT, NOW

SECRET = "whsec_made_up_for_tests"
OTHER = "whsec_another_one"
BODY = '{"id": "evt_1", "näme": "ü"}'.encode()
TOLERANCE = 300


def sign(body: bytes = BODY, secret: str = SECRET, at: int = NOW) -> str:
    return hmac.new(secret.encode(), b"%d." % at + body, hashlib.sha256).hexdigest()


def header(*signatures: str, at: int = NOW) -> str:
    return ",".join((f"t={at}", *(f"v1={one}" for one in signatures)))


def verify(
    value: str | None,
    body: bytes = BODY,
    secrets: tuple[str, ...] = (SECRET,),
    *,
    name: str = "Stripe-Signature",
    seconds: float = 0,
) -> None:
    headers = {} if value is None else {"Content-Type": "application/json", name: value}
    signature.verify(body, headers, secrets, AT + timedelta(seconds=seconds), TOLERANCE)


@pytest.mark.parametrize("name", ["Stripe-Signature", "stripe-signature", "STRIPE-SIGNATURE"])
def test_a_signed_body_passes(name: str) -> None:
    verify(header(sign()), name=name)


def test_any_of_several_secrets_and_signatures_will_do() -> None:
    verify(header(sign(secret=OTHER), sign()), secrets=("whsec_old", SECRET))
    verify(header("0" * 64, sign()))
    verify(f"{header(sign())},v0={'1' * 64}")
    verify(f" t={NOW}, v1={sign()}")


@pytest.mark.parametrize("seconds", [-TOLERANCE, 0, TOLERANCE])
def test_the_tolerance_itself_passes(seconds: int) -> None:
    verify(header(sign()), seconds=seconds)


@pytest.mark.parametrize(
    ("seconds", "message"),
    [(TOLERANCE + 1, "ago"), (-TOLERANCE - 1, "in the future"), (-86_400, "in the future")],
)
def test_a_time_outside_the_tolerance_does_not(seconds: int, message: str) -> None:
    with pytest.raises(SignatureError, match=message):
        verify(header(sign()), seconds=seconds)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        ",",
        "t",
        "=",
        "v1=",
        f"t={NOW}",
        f"t={NOW},v1",
        f"t={NOW},v0={sign()}",
        f"v1={sign()}",
        f"t=,v1={sign()}",
        f"t=abc,v1={sign()}",
        f"t=-1,v1={sign()}",
        f"t={NOW}.0,v1={sign()}",
        f"t=٣,v1={sign()}",
        f"t={'9' * 400},v1={sign()}",
        f"t={NOW},t={NOW},v1={sign()}",
        f"t={NOW},v1={sign().upper()}",
        f"t={NOW},v1={sign()[:-1]}",
        f"t={NOW},v1={sign()}0",
        f"t={NOW},v1=é\ud800\x00",
        f"t={NOW}," + ",".join(["v1=0"] * 17) + f",v1={sign()}",
        f"t={NOW},v1={sign()}" + "," * 5000,
    ],
)
def test_anything_else_in_the_header_does_not(value: str | None) -> None:
    with pytest.raises(SignatureError) as caught:
        verify(value)
    assert str(caught.value)


@pytest.mark.parametrize("secrets", [(), ("",), ("  \t",)])
def test_without_a_secret_nothing_passes(secrets: tuple[str, ...]) -> None:
    with pytest.raises(SignatureError, match="no signing secret"):
        verify(header(sign(secret="".join(secrets))), secrets=secrets)


def test_the_bytes_count_and_not_their_meaning() -> None:
    with pytest.raises(SignatureError):
        verify(header(sign()), body=BODY.replace(b": ", b":"))
    junk = b"\xff\xfe not text"
    verify(header(sign(junk)), body=junk)


def test_the_time_is_signed_too() -> None:
    with pytest.raises(SignatureError, match="no v1 signature"):
        verify(header(sign(at=NOW - 9999), at=NOW))


def test_no_message_gives_anything_away() -> None:
    wrong = [None, header("0" * 64), header(sign(secret=OTHER)), f"t=x,v1={sign()}"]
    for value in wrong:
        with pytest.raises(SignatureError) as caught:
            verify(value)
        message = str(caught.value)
        for told in (SECRET, sign(), BODY.decode()):
            assert told not in message


def test_every_pair_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return a == b

    monkeypatch.setattr(hmac, "compare_digest", compare)
    verify(header(sign(), "0" * 64), secrets=(SECRET, OTHER))
    assert len(compared) == 4


@given(body=st.text(), secret=st.text(min_size=1).filter(str.strip), other=st.text())
def test_the_sdk_is_of_the_same_opinion(body: str, secret: str, other: str) -> None:
    try:
        body.encode()
        secret.encode()
        other.encode()
    except UnicodeEncodeError:
        return
    value = stripe.WebhookSignature.generate_signature_header(body, secret, NOW)
    verify(value, body.encode(), (secret,))
    try:
        theirs = stripe.WebhookSignature.verify_header(body, value, other)
    except stripe.SignatureVerificationError:
        theirs = False
    try:
        verify(value, body.encode(), (other,))
        ours = True
    except SignatureError:
        ours = False
    assert ours == theirs


@given(value=st.text(), body=st.binary())
def test_garbage_is_refused_and_breaks_nothing(value: str, body: bytes) -> None:
    with pytest.raises(SignatureError):
        verify(value, body)
