"""Settings: every variable, right and wrong; all problems at once; nothing secret in them."""

from __future__ import annotations

import dataclasses
import traceback
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from dunning.config import NAMES, Secret, Settings, Url, load_settings, needed
from dunning.config.secret import HiddenUrl
from dunning.config.settings import VARIABLES
from dunning.errors import ConfigError
from tests.config.mail_values import MAIL_BAD, MAIL_GOOD

LIVE = "sk_live_51HunterHunter"
TEST = "sk_test_51HunterHunter"
KEY = "k" * 31 + "!"
SIGNING = "0123456789abcdef" * 2


def problems(cwd: Path, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_settings(environ, cwd)
    return str(caught.value).splitlines()


def test_nothing_needs_to_be_set(tmp_path: Path) -> None:
    settings = load_settings({}, tmp_path)
    assert settings.data == tmp_path / "dunning-data"
    assert settings.database_url.reveal() == f"sqlite:///{tmp_path}/dunning-data/dunning.db"
    assert settings == Settings(data=settings.data, database_url=settings.database_url)
    assert (settings.webhook_tolerance_seconds, settings.max_body_bytes) == (300, 1024 * 1024)
    assert (settings.lease_seconds, settings.log_level, settings.log_format) == (
        30,
        "info",
        "auto",
    )
    secrets = [v for v in dataclasses.asdict(settings).values() if isinstance(v, Secret)]
    assert secrets == [settings.database_url], "no secret has a default"


def test_settings_cannot_be_changed(tmp_path: Path) -> None:
    settings = load_settings({}, tmp_path)
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.log_level = "debug"  # type: ignore[misc]


def test_every_field_has_its_variable() -> None:
    fields = {field.name for field in dataclasses.fields(Settings)}
    assert [v.field for v in VARIABLES] == list(dict.fromkeys(v.field for v in VARIABLES))
    assert {variable.field for variable in VARIABLES} == fields - {"strange"}
    assert set(NAMES) == {name for name, *_ in GOOD}, "each has a good value below"
    free = {"DUNNING_DATA", "DUNNING_COMPANY"}
    assert set(NAMES) - free == {name for name, *_ in BAD} - free, "and a bad one"


HOOK = "https://hooks.slack.com/services/T1/B1/hunter"
PG = "postgresql+psycopg://u:p@h:5432/d"
GOOD: list[tuple[str, str, str, Any]] = [
    ("DUNNING_DATA", "store", "data", Path("/cwd/store")),
    ("DUNNING_DATA", "/var/lib/dunning", "data", Path("/var/lib/dunning")),
    ("DUNNING_DATABASE_URL", "postgres://u:p@h:5432/d", "database_url", Url(PG)),
    ("DUNNING_DATABASE_URL", "postgresql://u:p@h:5432/d", "database_url", Url(PG)),
    ("DUNNING_DATABASE_URL", PG, "database_url", Url(PG)),
    (
        "DUNNING_DATABASE_URL",
        "postgresql:///d?host=/run/postgresql",
        "database_url",
        Url("postgresql+psycopg:///d?host=/run/postgresql"),
    ),
    ("DUNNING_DATABASE_URL", "sqlite:////a/b.db", "database_url", Url("sqlite:////a/b.db")),
    ("DUNNING_BROKER_URL", "redis://h:6379/1", "broker_url", Url("redis://h:6379/1")),
    ("DUNNING_BROKER_URL", "rediss://:p@h/0", "broker_url", Url("rediss://:p@h/0")),
    ("DUNNING_BROKER_URL", "amqp://u:p@h/v", "broker_url", Url("amqp://u:p@h/v")),
    ("DUNNING_POLICY_FILE", __file__, "policy_file", Path(__file__)),
    ("DUNNING_TEMPLATES", str(Path(__file__).parent), "templates", Path(__file__).parent),
    ("DUNNING_SMTP_URL", "smtp://u:p@h:587", "smtp_url", Url("smtp://u:p@h:587")),
    ("DUNNING_SMTP_URL", "smtp+starttls://h", "smtp_url", Url("smtp+starttls://h")),
    ("DUNNING_SMTP_URL", "smtps://h", "smtp_url", Url("smtps://h")),
    ("DUNNING_MAIL_FROM", "Bücher <a@b.example>", "mail_from", "Bücher <a@b.example>"),
    ("DUNNING_MAIL_FROM", "a@b.example", "mail_from", "a@b.example"),
    *MAIL_GOOD,
    ("DUNNING_COMPANY", "Bücher & Co", "company", "Bücher & Co"),
    ("DUNNING_SUPPORT_EMAIL", "help@b.example", "support_email", "help@b.example"),
    ("DUNNING_PUBLIC_URL", "https://b.example/pay/", "public_url", "https://b.example/pay"),
    ("DUNNING_PUBLIC_URL", "http://localhost:8000", "public_url", "http://localhost:8000"),
    ("DUNNING_SECRET_KEY", KEY, "secret_keys", (Secret(KEY),)),
    ("DUNNING_SECRET_KEY", f"{KEY}, {KEY[::-1]}", "secret_keys", (Secret(KEY), Secret(KEY[::-1]))),
    ("DUNNING_LINK_DAYS", "30", "link_days", 30),
    ("DUNNING_TRUSTED_PROXIES", "192.0.2.7", "trusted_proxies", (ip_network("192.0.2.7"),)),
    ("DUNNING_PRODUCT_WEBHOOK_URL", "https://h?y=1", "product_webhook_url", Url("https://h?y=1")),
    (
        "DUNNING_PRODUCT_WEBHOOK_SECRET",
        f"{SIGNING}, whsec_{SIGNING}",
        "product_webhook_secrets",
        (Secret(SIGNING), Secret(f"whsec_{SIGNING}")),
    ),
    ("DUNNING_SANDBOX_URL", "http://localhost:12111/", "sandbox_url", "http://localhost:12111"),
    ("DUNNING_STAFF_EMAIL", "a@b.example, c@d.example,", "staff_emails",
     ("a@b.example", "c@d.example")),
    ("DUNNING_FINANCE_EMAIL", "a@b.example", "finance_emails", ("a@b.example",)),
    ("DUNNING_STAFF_WEBHOOK_URL", HOOK, "staff_webhook_url", HiddenUrl(HOOK)),
    ("DUNNING_LOG_LEVEL", "WARNING", "log_level", "warning"),
    ("DUNNING_LOG_FORMAT", "json", "log_format", "json"),
    ("DUNNING_WEBHOOK_TOLERANCE_SECONDS", "600", "webhook_tolerance_seconds", 600),
    ("DUNNING_MAX_BODY_BYTES", "2048", "max_body_bytes", 2048),
    ("DUNNING_LEASE_SECONDS", "5", "lease_seconds", 5),
    ("DUNNING_CATCH_UP_MINUTES", "0", "catch_up_minutes", 0),
    ("DUNNING_BREAKER", "off", "breaker", False),
    ("DUNNING_KEEP_BODIES_DAYS", "7", "keep_bodies_days", 7),
    ("DUNNING_KEEP_SEEN_DAYS", "40", "keep_seen_days", 40),
    ("DUNNING_KEEP_CALLS_DAYS", "365", "keep_calls_days", 365),
    ("DUNNING_LATE_EVENT_SECONDS", "60", "late_event_seconds", 60),
    ("DUNNING_LATE_STEP_SECONDS", "61", "late_step_seconds", 61),
    ("DUNNING_LEAST_FREE_BYTES", "2000000", "least_free_bytes", 2_000_000),
    ("DUNNING_METRICS_ADDRESS", "[::1]:9102", "metrics_address", ("::1", 9102)),
    ("DUNNING_PAGE_HOSTS", "Pay.Example.com, b.example", "page_hosts",
     ("pay.example.com", "b.example")),
    ("STRIPE_API_KEY", LIVE, "stripe_api_key", Secret(LIVE)),
    ("STRIPE_WEBHOOK_SECRET", "whsec_a,whsec_b", "stripe_webhook_secrets",
     (Secret("whsec_a"), Secret("whsec_b"))),
    ("STRIPE_MODE", "Test", "stripe_live", False),
]  # fmt: skip
# What only goes together with another variable.
PARTNERS = {
    "DUNNING_SMTP_URL": {"DUNNING_MAIL_FROM": "a@b.example"},
    "DUNNING_PRODUCT_WEBHOOK_URL": {"DUNNING_PRODUCT_WEBHOOK_SECRET": SIGNING},
    "DUNNING_SMS_URL": {"DUNNING_SMS_FROM": "+4512345678"},
    "DUNNING_STAFF_EMAIL": {"DUNNING_SMTP_URL": "smtp://h", "DUNNING_MAIL_FROM": "a@b.example"},
    "DUNNING_FINANCE_EMAIL": {"DUNNING_SMTP_URL": "smtp://h", "DUNNING_MAIL_FROM": "a@b.example"},
}


@pytest.mark.parametrize(("name", "text", "field", "value"), GOOD)
def test_a_good_value(name: str, text: str, field: str, value: object) -> None:
    settings = load_settings({name: f" {text} ", **PARTNERS.get(name, {})}, Path("/cwd"))
    assert getattr(settings, field) == value


BAD = [
    ("DUNNING_DATA", "~/data", "begins with ~"),
    ("DUNNING_DATA", "what?", "has a ? in it"),
    ("DUNNING_STAFF_EMAIL", "a@b.example, x@", "is not a mail address"),
    ("DUNNING_FINANCE_EMAIL", "finance", "is not a mail address"),
    ("DUNNING_STAFF_WEBHOOK_URL", "http://hooks.slack.com/hunter", "plain http to the internet"),
    ("DUNNING_DATABASE_URL", "mysql://u:hunter@h/d", "is neither SQLite nor PostgreSQL; expected"),
    ("DUNNING_DATABASE_URL", "postgresql+asyncpg://u:hunter@h/d", "is neither SQLite nor"),
    ("DUNNING_DATABASE_URL", "sqlite://", "names no file; expected one such as sqlite:////"),
    ("DUNNING_DATABASE_URL", "sqlite:///:memory:", "names no file"),
    ("DUNNING_DATABASE_URL", "postgresql://u:hun/ter@h/d", "special characters as %XX"),
    ("DUNNING_DATABASE_URL", "postgresql://u:hunter@h:x/d", "has no usable host and port"),
    ("DUNNING_DATABASE_URL", "postgresql://u:hun#ter@h/d", "%XX"),
    ("DUNNING_DATABASE_URL", "postgresql://u:hun[ter@h/d", "%XX"),
    ("DUNNING_BROKER_URL", "kafka://hunter", "does not begin with redis://, rediss://, amqp://"),
    ("DUNNING_BROKER_URL", "localhost:6379", "does not begin with"),
    ("DUNNING_POLICY_FILE", "none.yaml", "there is no file /cwd/none.yaml"),
    ("DUNNING_TEMPLATES", "none", "there is no folder /cwd/none"),
    ("DUNNING_SMTP_URL", "http://h", "does not begin with smtp://, smtp+starttls://, smtps://;"),
    ("DUNNING_SMTP_URL", "smtp://h\n@x", "has a space or a control character"),
    ("DUNNING_MAIL_FROM", "Billing", "is not a mail address; expected one such as Billing <"),
    ("DUNNING_MAIL_FROM", "a@b\nBcc: c@d", "is not a mail address"),
    ("DUNNING_MAIL_FROM", "A <a@b>, B <b@c>", "is not a mail address"),
    *MAIL_BAD,
    ("DUNNING_COMPANY", "a\nb", "is too long or has line breaks"),
    ("DUNNING_SUPPORT_EMAIL", "Help <a@b.example>", "expected one such as help@example.com"),
    ("DUNNING_PUBLIC_URL", "billing.example.com", "does not begin with http://, https://"),
    ("DUNNING_PUBLIC_URL", "https://u:hunter@h", "has more than scheme, host and path"),
    ("DUNNING_PUBLIC_URL", "https://h/?a=hunter", "has more than scheme, host and path"),
    ("DUNNING_SECRET_KEY", "hunter2", "is shorter than 32 characters; expected a long random"),
    ("DUNNING_SECRET_KEY", f"{KEY},hunter2", "holds one that is shorter than 32 characters; exp"),
    ("DUNNING_LINK_DAYS", "0", "expected a whole number from 1 to 3650"),
    ("DUNNING_TRUSTED_PROXIES", "proxy.example", "is no list of networks; expected such as"),
    ("DUNNING_TRUSTED_PROXIES", "10.0.0.1/8", "is no list of networks; expected such as"),
    ("DUNNING_PRODUCT_WEBHOOK_URL", "ftp://hunter", "does not begin with http://, https://"),
    ("DUNNING_PRODUCT_WEBHOOK_SECRET", "whsec_hunter2", "is not a signing secret; expected"),
    ("DUNNING_PRODUCT_WEBHOOK_SECRET", ", ,", "is not a signing secret"),
    ("DUNNING_PRODUCT_WEBHOOK_SECRET", "hunter-2" * 5, "the base64 of 24 to 64 random bytes"),
    ("DUNNING_SANDBOX_URL", "localhost", "does not begin with http://, https://"),
    ("DUNNING_LOG_LEVEL", "warn", "one of debug, error, info, warning. Did you mean 'warning'?"),
    ("DUNNING_LOG_FORMAT", "xml", "'xml' is not a format; expected one of auto, console, json"),
    ("DUNNING_WEBHOOK_TOLERANCE_SECONDS", "5m", "'5m' is not a number; expected a whole number"),
    ("DUNNING_WEBHOOK_TOLERANCE_SECONDS", "0", "from 1 to 86400"),
    ("DUNNING_MAX_BODY_BYTES", "9" * 99, "is out of range; expected a whole number from 1024 to"),
    ("DUNNING_CATCH_UP_MINUTES", "2d", "'2d' is not a number; expected a whole number from 0"),
    ("DUNNING_BREAKER", "maybe", "'maybe' is neither; expected on or off"),
    ("DUNNING_KEEP_BODIES_DAYS", "0", "'0' is out of range; expected a whole number from 1"),
    ("DUNNING_KEEP_SEEN_DAYS", "34", "'34' is out of range; expected a whole number from 35"),
    ("DUNNING_KEEP_CALLS_DAYS", "soon", "'soon' is not a number; expected a whole number from 7"),
    ("DUNNING_LEASE_SECONDS", "-1", "'-1' is not a number; expected a whole number from 1 to 3600"),
    ("DUNNING_LATE_EVENT_SECONDS", "0", "expected a whole number from 1 to"),
    ("DUNNING_LATE_STEP_SECONDS", "soon", "is not a number"),
    ("DUNNING_LEAST_FREE_BYTES", "1", "expected a whole number from 1048576 to"),
    ("DUNNING_METRICS_ADDRESS", "9102", "is not an address; expected host and port"),
    ("DUNNING_METRICS_ADDRESS", "localhost:99999", "is not an address"),
    ("DUNNING_PAGE_HOSTS", "https://a.example", "is not a domain"),
    ("DUNNING_PAGE_HOSTS", "10.0.0.1", "'10.0.0.1' is not a domain"),
    ("STRIPE_API_KEY", "pk_live_hunter", "is a publishable key, which cannot charge"),
    ("STRIPE_API_KEY", "whsec_hunter", "is a webhook secret; expected an API key"),
    ("STRIPE_API_KEY", "sk_live_hunter,sk_live_hunter", "has a space or a comma"),
    ("STRIPE_WEBHOOK_SECRET", "whsec_a,sk_live_hunter", "is an API key; expected the webhook"),
    ("STRIPE_WEBHOOK_SECRET", "hunter a", "has a space in it"),
    ("STRIPE_WEBHOOK_SECRET", ",", "holds only commas"),
    ("STRIPE_MODE", "prod", "'prod' is not a mode; expected one of live, test"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "message"), BAD)
def test_a_bad_value(name: str, text: str, message: str) -> None:
    (problem,) = problems(Path("/cwd"), **{name: text}, **PARTNERS.get(name, {}))
    assert problem.startswith(f"{name}: ")
    assert message in problem
    assert "hun" not in problem


@pytest.mark.parametrize("name", [variable.name for variable in VARIABLES])
@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_value_is_no_value(name: str, empty: str, tmp_path: Path) -> None:
    assert load_settings({name: empty}, tmp_path) == load_settings({}, tmp_path)


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        DUNNING_LOG_LEVEL="loud",
        DUNNING_LEASE_SECONDS="soon",
        DUNNING_DATABSE_URL="x",
        DUNNING_SECRET_KEY="short",
    )
    assert sorted(line.partition(":")[0] for line in found) == [
        "DUNNING_DATABSE_URL",
        "DUNNING_LEASE_SECONDS",
        "DUNNING_LOG_LEVEL",
        "DUNNING_SECRET_KEY",
    ]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("DUNNING_DATABSE_URL", "Did you mean DUNNING_DATABASE_URL?"),
        ("DUNNING_DATABASE", "Did you mean DUNNING_DATABASE_URL?"),
        ("DUNNING_SMTP", "Did you mean DUNNING_SMTP_URL?"),
        ("DUNNING_SECRET", "Did you mean DUNNING_SECRET_KEY?"),
    ],
)
def test_a_misspelt_variable_is_refused(name: str, hint: str, tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, **{name: "hunter2"})
    assert problem.startswith(f"{name}: there is no such variable. ")
    assert hint in problem
    assert "hunter" not in problem


def test_a_variable_like_none_of_ours_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DUNNING_XQZZ=hunter2\n")
    kubernetes = ("WEB_SERVICE_HOST", "PORT", "WEB_PORT_80_TCP_ADDR", "SERVICE_PORT_HTTP")
    environ = {"DUNNING_TEST": "1", **{f"DUNNING_{name}": "x" for name in kubernetes}}
    assert load_settings(environ, tmp_path).strange == (".env:1: DUNNING_XQZZ", "DUNNING_TEST")


def test_variables_of_others_and_of_the_tests_are_left_alone(tmp_path: Path) -> None:
    environ = {"DUNNING_TEST_DATABASE_URL": "x", "STRIPE_DEVICE_NAME": "y", "PATH": "/bin"}
    assert load_settings(environ, tmp_path) == load_settings({}, tmp_path)


# --- what only goes together ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "live"),
    [
        ({}, None),
        ({"STRIPE_API_KEY": LIVE}, True),
        ({"STRIPE_API_KEY": "rk_live_1"}, True),
        ({"STRIPE_API_KEY": TEST}, False),
        ({"STRIPE_API_KEY": "something"}, None),
        ({"STRIPE_API_KEY": "something", "STRIPE_MODE": "live"}, True),
        ({"STRIPE_MODE": "test"}, False),
    ],
)
def test_the_mode_is_the_key_s(environ: dict[str, str], live: bool | None, tmp_path: Path) -> None:
    assert load_settings(environ, tmp_path).stripe_live is live


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"STRIPE_API_KEY": LIVE, "STRIPE_MODE": "test"},
         "STRIPE_MODE: is test, but the API key is a live one"),
        ({"STRIPE_API_KEY": TEST, "STRIPE_MODE": "live"},
         "STRIPE_MODE: is live, but the API key is a test one"),
        ({"STRIPE_API_KEY": LIVE, "DUNNING_SANDBOX_URL": "http://localhost:12111"},
         "DUNNING_SANDBOX_URL: the sandbox together with a live key"),
        ({"STRIPE_API_KEY": "rk_live_1", "DUNNING_SANDBOX_URL": "http://localhost:12111"},
         "DUNNING_SANDBOX_URL: the sandbox together with a live key"),
        ({"STRIPE_MODE": "live", "DUNNING_SANDBOX_URL": "http://localhost:12111"},
         "DUNNING_SANDBOX_URL: the sandbox together with a live key"),
        ({"DUNNING_SMTP_URL": "smtp://h"}, "DUNNING_MAIL_FROM: is not set, and DUNNING_SMTP_URL"),
        ({"DUNNING_PRODUCT_WEBHOOK_URL": "https://h"},
         "DUNNING_PRODUCT_WEBHOOK_SECRET: is not set, and DUNNING_PRODUCT_WEBHOOK_URL is"),
    ],
)  # fmt: skip
def test_contradictions(environ: dict[str, str], message: str, tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, **environ)
    assert problem.startswith(message)


def test_a_test_key_goes_with_the_sandbox(tmp_path: Path) -> None:
    environ = {"STRIPE_API_KEY": TEST, "DUNNING_SANDBOX_URL": "http://localhost:12111"}
    assert load_settings(environ, tmp_path).stripe_live is False


def test_a_file_where_the_data_should_be(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    (problem,) = problems(tmp_path, DUNNING_DATA="data")
    assert problem == f"DUNNING_DATA: {tmp_path}/data is not a folder"


def test_what_cannot_be_done_without_says_how_to_give_it(tmp_path: Path) -> None:
    assert needed("x", "DUNNING_PUBLIC_URL") == "x"
    with pytest.raises(
        ConfigError, match=r"^DUNNING_PUBLIC_URL is not set; expected where .* such"
    ):
        needed(load_settings({}, tmp_path).public_url, "DUNNING_PUBLIC_URL")
    with pytest.raises(ConfigError, match=r"^STRIPE_API_KEY is not set; expected Stripe's API key"):
        needed(load_settings({}, tmp_path).stripe_api_key, "STRIPE_API_KEY")


# --- secrets -------------------------------------------------------------------------------


def full(tmp_path: Path) -> dict[str, str]:
    """Every variable set, with `hunter` in everything secret."""
    return {
        "DUNNING_DATABASE_URL": "postgresql://u:hunter@h/d",
        "DUNNING_BROKER_URL": "redis://:hunter@h/0",
        "DUNNING_SMTP_URL": "smtp://u:hunter@h",
        "DUNNING_MAIL_FROM": "a@b.example",
        "DUNNING_SECRET_KEY": "hunter" * 6,
        "DUNNING_PRODUCT_WEBHOOK_URL": "https://h/x?token=hunter",
        "DUNNING_PRODUCT_WEBHOOK_SECRET": "hunter" * 6,
        "STRIPE_API_KEY": "sk_test_hunter",
        "STRIPE_WEBHOOK_SECRET": "whsec_hunter,whsec_hunter2",
    }


def test_settings_print_without_their_secrets(tmp_path: Path) -> None:
    settings = load_settings(full(tmp_path), tmp_path)
    for shown in (repr(settings), str(dataclasses.asdict(settings)), f"{settings}"):
        assert "hunter" not in shown
    assert "postgresql+psycopg://u:****@h/d" in repr(settings)


def test_no_secret_is_in_an_error_or_its_traceback(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "".join(f"{name}='{value}'\n" for name, value in full(tmp_path).items())
        + "DUNNING_PRODUCT_WEBHOOK_SECRETS=hunter\nDUNNING_LOG_LEVEL=loud\nSTRIPE_MODE=live\n"
    )
    try:
        load_settings({}, tmp_path)
    except ConfigError as error:
        told = traceback.TracebackException.from_exception(error, capture_locals=True)
        text = "".join(told.format())
    else:
        pytest.fail("these are wrong")
    assert "DUNNING_LOG_LEVEL" in text
    assert "hunter" not in text
