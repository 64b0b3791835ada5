"""Secrets stay inside, whatever is done with them."""

from __future__ import annotations

import copy
import dataclasses
import json
import logging
import pickle
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dunning.config import Secret, Url, safe_url
from dunning.config.secret import mask, mask_fields

SECRET = Secret("hunter2-hunter2")


@dataclasses.dataclass
class Holder:
    secret: Secret
    many: tuple[Secret, ...]


def test_a_secret_is_never_shown() -> None:
    shown = [
        repr(SECRET),
        str(SECRET),
        f"{SECRET}",
        f"{SECRET!r:>40}",
        f"{SECRET:>40}",
        "%s %r" % (SECRET, SECRET),  # noqa: UP031 - the old way as well
        "{}".format(SECRET),  # noqa: UP032
        str([SECRET, {"key": SECRET}]),
        json.dumps({"key": SECRET}, default=str),
        repr(Holder(SECRET, (SECRET,))),
        str(dataclasses.asdict(Holder(SECRET, (SECRET,)))),
        str(copy.deepcopy(Holder(SECRET, (SECRET,)))),
        logging.LogRecord("x", 20, "x", 1, "key %s", (SECRET,), None).getMessage(),
        str(dir(SECRET)),
    ]
    assert [text for text in shown if "hunter" in text] == []


def test_a_secret_is_given_out_on_request() -> None:
    assert SECRET.reveal() == "hunter2-hunter2"


def test_secrets_compare_by_what_they_hold() -> None:
    assert Secret("hunter2-hunter2") == SECRET
    assert Secret("other") != SECRET
    assert SECRET != "hunter2-hunter2"
    assert len({SECRET, Secret("hunter2-hunter2")}) == 1


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_secret_cannot_be_pickled(protocol: int) -> None:
    with pytest.raises(TypeError, match="not written down"):
        pickle.dumps(Holder(SECRET, ()), protocol)
    with pytest.raises(TypeError, match="not written down"):
        SECRET.__getstate__()


def test_a_traceback_with_local_variables_does_not_show_it() -> None:
    def fail(secret: Secret) -> None:
        raise RuntimeError(f"cannot use {secret}")

    try:
        fail(SECRET)
    except RuntimeError as error:
        text = "".join(
            traceback.TracebackException.from_exception(error, capture_locals=True).format()
        )
        assert "cannot use ****" in text
        assert "hunter" not in text


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:pa55@h:5432/d", "postgresql://u:****@h:5432/d"),
        ("redis://:pa55@h/0", "redis://:****@h/0"),
        ("smtp://u%40x:pa55@h:587", "smtp://u%40x:****@h:587"),
        ("postgresql://u:p@55@h/d", "postgresql://u:****@h/d"),
        ("postgresql://u:pa/55@h/d", "postgresql://u:****@h/d"),
        ("postgresql://u:pa#55@h/d", "postgresql://u:****@h/d"),
        ("postgresql://u:pa?55@h/d", "postgresql://u:****@h/d"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("postgresql:///d?host=/run&password=pa55", "postgresql:///d?host=/run&password=****"),
        ("https://h/hook?token=pa55&a=1", "https://h/hook?token=****&a=1"),
        ("https://h/hook?X-API-Key=pa55", "https://h/hook?X-API-Key=****"),
        ("sqlite:////var/lib/d.db", "sqlite:////var/lib/d.db"),
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("https://h/a@b", "https://h/a@b"),
        ("not an address", "not an address"),
        ("", ""),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, shown: str) -> None:
    assert safe_url(url) == shown
    assert str(Url(url)) == shown
    assert repr(Url(url)) == f"Url({shown})"
    assert Url(url).reveal() == url


@given(st.text(st.characters(codec="utf-8"), min_size=4).filter(lambda p: p.strip("*")))
def test_no_password_shows_however_odd(password: str) -> None:
    marked = f"<{password}>"
    assert marked not in safe_url(f"postgresql://user:{marked}@host/db")


def test_what_looks_like_a_stripe_secret_is_starred_in_any_text() -> None:
    text = "see sk_live_51Abc, rk_test_9 and whsec_abc+/=; not disk_usage"
    assert mask(text) == "see sk_**********, rk_****** and whsec_******; not disk_usage"
    assert len(mask(text)) == len(text)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("api_key: hunter2  # mine", "api_key: *********# mine"),
        ("{name: eu, api_key: hunter2, mode: live}", "{name: eu, api_key: *******, mode: live}"),
        ("webhook_secrets: [abc, def]", "webhook_secrets: **********"),
        ('password: "a b"', "password: *****"),
        ("api_key_env: EU_API_KEY", "api_key_env: EU_API_KEY"),
        ("webhook_secrets_env: [EU_A, EU_B]", "webhook_secrets_env: [EU_A, EU_B]"),
        ("{at: 3d, do: retry}", "{at: 3d, do: retry}"),
    ],
)
def test_values_of_secret_fields_are_starred_in_a_line(line: str, shown: str) -> None:
    assert mask_fields(line) == shown
