"""Stripe's own rules about currencies: smallest units, smallest charges, special roundings."""

from __future__ import annotations

from dunning.sandbox.errors import ApiError, invalid

ZERO_DECIMAL = frozenset("bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split())
# Written with two decimals that must be 00: 5 ISK is 500.
WHOLE_HUNDREDS = frozenset({"isk", "ugx"})
THREE_DECIMAL = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})
MINIMUM: dict[str, int] = {
    **dict.fromkeys("usd ars aud brl cad chf cop eur idr ils inr nzd php rub sgd zar".split(), 50),
    "aed": 200,
    "czk": 1500,
    "dkk": 250,
    "gbp": 30,
    "hkd": 400,
    "huf": 17_500,
    "jpy": 50,
    "krw": 50,
    "mxn": 1000,
    "myr": 200,
    "nok": 300,
    "pln": 200,
    "ron": 200,
    "sek": 300,
    "thb": 1000,
}
_OTHERS = frozenset(
    """afn all amd ang aoa awg azn bam bbd bdt bgn bmd bnd bob bsd bwp byn bzd cdf cny crc cve
    dop dzd egp etb fjd fkp gel gip gmd gtq gyd hnl htg jmd kes kgs khr kyd kzt lak lbp lkr lrd
    lsl mad mdl mkd mmk mnt mop mur mvr mwk mzn nad ngn nio npr pab pen pgk pkr qar rsd sar sbd
    scr shp sle sos srd std szl tjs top try ttd twd tzs uah uyu uzs wst xcd yer zmw""".split()
)
KNOWN = ZERO_DECIMAL | WHOLE_HUNDREDS | THREE_DECIMAL | MINIMUM.keys() | _OTHERS


def currency(text: str) -> str:
    """The currency in lower case, or a refusal."""
    word = text.lower()
    if word not in KNOWN:
        raise invalid(f"Invalid currency: {text}.", "currency")
    return word


def check_charge(amount: int, code: str) -> None:
    """Refuse an amount that cannot be charged in this currency."""
    if amount < 1:
        raise invalid("This value must be greater than or equal to 1.", "amount")
    if amount >= 10**12:
        raise ApiError(
            400,
            "Amount must be no more than $999,999.99",
            code="amount_too_large",
            param="amount",
            stored=False,
        )
    if code in WHOLE_HUNDREDS and amount % 100:
        raise invalid(f"Invalid amount: {code} amounts must be divisible by 100.", "amount")
    if code in THREE_DECIMAL and amount % 10:
        raise invalid(f"Invalid amount: {code} amounts must be divisible by 10.", "amount")
    if amount < MINIMUM.get(code, 0):
        raise ApiError(
            400,
            "Amount must convert to at least 50 cents.",
            code="amount_too_small",
            param="amount",
            stored=False,
        )


def chargeable(amount: int, code: str) -> tuple[int, int]:
    """The part of an invoice that is charged now, and what is carried over to the next one."""
    if code in WHOLE_HUNDREDS and amount % 100:
        rounded = (amount + 50) // 100 * 100
        return rounded, amount - rounded
    if 0 < amount < MINIMUM.get(code, 0):
        return 0, amount
    return amount, 0
