"""Where a customer may be sent to: pages of the provider, and never to somebody else's."""

from __future__ import annotations

import pytest

from dunning.links import Pages

PAGES = Pages(("stripe.com", "billing.acme.example"), "http://127.0.0.1:12111")
GOOD = [
    "https://invoice.stripe.com/i/acct_1/test_YWNjdA?s=ap",
    "https://billing.stripe.com/p/session/test_1",
    "https://INVOICE.STRIPE.COM/i/1",
    "https://invoice.stripe.com:443/i/1",
    "https://billing.acme.example/p/1",
    "http://127.0.0.1:12111/invoice/1",
]
BAD = {
    "plain http": "http://invoice.stripe.com/i/1",
    "this machine": "https://127.0.0.1/",
    "this machine, in IPv6": "https://[::1]/",
    "where clouds keep credentials": "https://169.254.169.254/latest/meta-data/",
    "the same as one number": "https://2852039166/",
    "this machine as one number": "https://2130706433/",
    "this machine in octal": "https://0177.0.0.1/",
    "this machine in hexadecimal": "https://0x7f.1/",
    "this machine inside IPv6": "https://[::ffff:127.0.0.1]/",
    "another port of the sandbox": "http://127.0.0.1:12112/invoice/1",
    "the sandbox over another scheme": "https://127.0.0.1:12111/invoice/1",
    "a file": "file:///etc/passwd",
    "an old protocol": "gopher://127.0.0.1:25/_HELO",
    "a script": "javascript:alert(1)//invoice.stripe.com",
    "data": "data:text/html,<script>1</script>",
    "no scheme": "//invoice.stripe.com/i/1",
    "a path alone": "/i/1",
    "a name that ends alike": "https://evilstripe.com/",
    "a name that begins alike": "https://invoice.stripe.com.evil.example/",
    "a login before the name": "https://invoice.stripe.com@evil.example/",
    "a login that looks like a port": "https://invoice.stripe.com:443@evil.example/",
    "a backslash, which browsers take for a slash": "https://evil.example\\.stripe.com/",
    "a name beyond ASCII": "https://ınvoice.stripe.com/",
    "another port": "https://invoice.stripe.com:8443/",
    "a port that is none": "https://invoice.stripe.com:99999/",
    "a line end": "https://invoice.stripe.com/\r\nSet-Cookie: a=b",
    "a tab inside the scheme": "java\tscript:alert(1)",
    "a space": "https://invoice.stripe.com/ x",
    "a quote that would end an attribute": 'https://invoice.stripe.com/"onclick="x',
    "broken brackets": "https://[invoice.stripe.com/",
    "nothing": "",
    "an endless one": "https://invoice.stripe.com/" + "a" * 5_000,
}


@pytest.mark.parametrize("url", GOOD)
def test_pages_of_the_provider(url: str) -> None:
    assert PAGES.allow(url)


@pytest.mark.parametrize("why", BAD)
def test_anything_else_leads_nowhere(why: str) -> None:
    assert not PAGES.allow(BAD[why])


def test_without_a_sandbox_no_address_inside_is_a_page() -> None:
    assert not Pages(("stripe.com",)).allow(GOOD[-1])
