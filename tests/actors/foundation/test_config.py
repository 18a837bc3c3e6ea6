"""Settings are checked once, named when wrong, and never shown."""

from __future__ import annotations

import base64
import re
import stat
from pathlib import Path

import pytest

from voyagent.actors.foundation.config import ConfigurationError, Settings, unknown_variables, variable
from voyagent.actors.foundation.config_dangers import DANGERS

ROOT = Path(__file__).parents[3]
SECRET = "kJ8s2Lq0vXw5Zr7tYb3nMc6pDf9gHa1e"
OTHER = "Qe4Rt6Yu8Io0Pa2Sd4Fg6Hj8Kl1Zx3Cv"
KEY = base64.b64encode(bytes(range(32))).decode()
SAFE = {
    "VOYAGENT_ENV": "production",
    "VOYAGENT_AUTH_SECRET": SECRET,
    "VOYAGENT_KMS_KEY": KEY,
    "VOYAGENT_SMTP_URL": "smtps://mail.example.com",
    "VOYAGENT_PUBLIC_URL": "https://voyagent.example.com",
    "VOYAGENT_DB_URL": "postgresql://voyagent@db/voyagent",
}
MIGRATING = {
    "VOYAGENT_ENV": "production",
    "VOYAGENT_DB_URL": "postgresql://voyagent@db/voyagent",
    "VOYAGENT_DB_MIGRATE_URL": "postgresql://owner@db/voyagent",
}


def refusal(environ: dict[str, str], *, embedded: bool = False, migrating: bool = False) -> str:
    with pytest.raises(ConfigurationError) as caught:
        Settings.load(embedded=embedded, migrating=migrating, environ=environ)
    return str(caught.value)


@pytest.fixture
def development(tmp_path: Path) -> dict[str, str]:
    return {"VOYAGENT_ENV": "development", "VOYAGENT_DATA_DIR": str(tmp_path)}


def test_a_safe_production_starts() -> None:
    settings = Settings.load(environ=SAFE)
    assert settings.production
    assert settings.signing_keys == {"default": SECRET}
    assert settings.sealing_keys == {"default": bytes(range(32))}
    assert Settings.load(environ=MIGRATING, migrating=True).owner_url == "postgresql://owner@db/voyagent"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"VOYAGENT_AUTH_SECRET": ""}, "VOYAGENT_AUTH_SECRET"),
        ({"VOYAGENT_AUTH_SECRET": "please-change-me-please-change-me-1"}, "VOYAGENT_AUTH_SECRET"),
        ({"VOYAGENT_AUTH_SECRET": "x" * 40}, "VOYAGENT_AUTH_SECRET"),
        ({"VOYAGENT_AUTH_SECRETS": f"a:{SECRET},b:{'replace-this-secret-' * 2}"}, "VOYAGENT_AUTH_SECRETS"),
        ({"VOYAGENT_KMS_KEY": ""}, "VOYAGENT_KMS_KEY"),
        ({"VOYAGENT_KMS_KEY": base64.b64encode(bytes(32)).decode()}, "VOYAGENT_KMS_KEY"),
        ({"VOYAGENT_AUTH_DEBUG_TOKENS": "on"}, "VOYAGENT_AUTH_DEBUG_TOKENS"),
        ({"VOYAGENT_GUARD": "off"}, "VOYAGENT_GUARD"),
        ({"VOYAGENT_SMTP_URL": ""}, "VOYAGENT_SMTP_URL"),
        ({"VOYAGENT_PUBLIC_URL": "http://voyagent.example.com"}, "VOYAGENT_PUBLIC_URL"),
        ({"VOYAGENT_PUBLIC_URL": ""}, "VOYAGENT_PUBLIC_URL"),
        ({"VOYAGENT_API_CORS_ORIGINS": "https://a.example.com, *"}, "VOYAGENT_API_CORS_ORIGINS"),
        ({"VOYAGENT_TRUSTED_PROXIES": "10.0.0.0/8,0.0.0.0/0"}, "VOYAGENT_TRUSTED_PROXIES"),
        ({"VOYAGENT_TRUSTED_PROXIES": "::/0"}, "VOYAGENT_TRUSTED_PROXIES"),
        ({"VOYAGENT_METRICS_TOKEN": "short"}, "VOYAGENT_METRICS_TOKEN"),
        ({"VOYAGENT_METRICS_TOKEN": "kJ8s2Lq0vXw5Zr7t,short"}, "VOYAGENT_METRICS_TOKEN"),
        ({"VOYAGENT_DB_MIGRATE_URL": "postgresql://owner@db/voyagent"}, "VOYAGENT_DB_MIGRATE_URL"),
        ({"VOYAGENT_AUTH_SKIP_EMAIL_VERIFICATION": "1"}, "VOYAGENT_AUTH_SKIP_EMAIL_VERIFICATION"),
        ({"VOYAGENT_SMTP_URL": "smtp://mail.example.com?tls=off"}, "VOYAGENT_SMTP_URL"),
        ({"VOYAGENT_DUFFEL_BASE_URL": "http://duffel.example.com"}, "VOYAGENT_DUFFEL_BASE_URL"),
        ({"VOYAGENT_SMTP_URL": "smtp://10.0.0.7:25?tls=off"}, "VOYAGENT_SMTP_URL"),
        ({"VOYAGENT_GUARD": "accounts"}, "VOYAGENT_GUARD"),
        ({"VOYAGENT_GUARD_FREE_ATTEMPTS": "1000000"}, "VOYAGENT_GUARD_FREE_ATTEMPTS"),
        ({"VOYAGENT_GUARD_ACCOUNT_FREE_ATTEMPTS": "101"}, "VOYAGENT_GUARD_ACCOUNT_FREE_ATTEMPTS"),
        ({"VOYAGENT_GUARD_NETWORK_FREE_ATTEMPTS": "1001"}, "VOYAGENT_GUARD_NETWORK_FREE_ATTEMPTS"),
        ({"VOYAGENT_GUARD_MAX_DELAY_SECONDS": "1"}, "VOYAGENT_GUARD_MAX_DELAY_SECONDS"),
        ({"VOYAGENT_GUARD_WINDOW_SECONDS": "1"}, "VOYAGENT_GUARD_WINDOW_SECONDS"),
        (
            {"VOYAGENT_AUTH_ARGON2_MEMORY_COST": "8192", "VOYAGENT_AUTH_ARGON2_TIME_COST": "9"},
            "VOYAGENT_AUTH_ARGON2_MEMORY_COST",
        ),
        (
            {"VOYAGENT_AUTH_ARGON2_MEMORY_COST": "20000", "VOYAGENT_AUTH_ARGON2_TIME_COST": "1"},
            "VOYAGENT_AUTH_ARGON2_TIME_COST",
        ),
        ({"VOYAGENT_AUTH_PASSWORD_RESET_TTL_SECONDS": "86401"}, "VOYAGENT_AUTH_PASSWORD_RESET_TTL_SECONDS"),
        ({"VOYAGENT_TRUSTED_PROXIES": "0.0.0.0/1,128.0.0.0/1"}, "VOYAGENT_TRUSTED_PROXIES"),
        ({"VOYAGENT_TRUSTED_PROXIES": "2000::/3"}, "VOYAGENT_TRUSTED_PROXIES"),
        ({"VOYAGENT_API_CORS_ORIGINS": "null"}, "VOYAGENT_API_CORS_ORIGINS"),
        ({"VOYAGENT_API_CORS_ORIGINS": "https://*.example.com"}, "VOYAGENT_API_CORS_ORIGINS"),
        ({"VOYAGENT_API_CORS_ORIGINS": "http://desk.example.com"}, "VOYAGENT_API_CORS_ORIGINS"),
        ({"VOYAGENT_METRICS_TOKEN": "aaaaaaaaaaaaaaaa"}, "VOYAGENT_METRICS_TOKEN"),
        ({"VOYAGENT_METRICS_TOKEN": "change-me-please-now"}, "VOYAGENT_METRICS_TOKEN"),
        ({"ANTHROPIC_BASE_URL": "http://models.example.com"}, "ANTHROPIC_BASE_URL"),
    ],
)
def test_r1_r59_production_refuses_what_is_unsafe_by_name(change: dict[str, str], named: str) -> None:
    problems = refusal(SAFE | change).splitlines()
    assert [problem.split(":")[0] for problem in problems] == [named]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"VOYAGENT_DB_URL": ""}, "VOYAGENT_DB_URL"),
        ({"VOYAGENT_DB_MIGRATE_URL": ""}, "VOYAGENT_DB_MIGRATE_URL"),
        ({"VOYAGENT_DB_MIGRATE_URL": "postgresql://voyagent:other@db/voyagent"}, "VOYAGENT_DB_MIGRATE_URL"),
        ({"VOYAGENT_DB_MIGRATE_URL": "postgresql://owner@db/x?user=voyagent"}, "VOYAGENT_DB_MIGRATE_URL"),
        ({"VOYAGENT_DB_MIGRATE_URL": "postgresql://%76oyagent@db/voyagent"}, "VOYAGENT_DB_MIGRATE_URL"),
    ],
)
def test_migrations_in_production_name_an_owner_and_another_role_for_the_service(
    change: dict[str, str], named: str
) -> None:
    assert refusal(MIGRATING | change, migrating=True).partition(": ")[0] == named


def test_every_danger_is_about_a_setting_and_has_a_case_above() -> None:
    [marks] = test_r1_r59_production_refuses_what_is_unsafe_by_name.pytestmark  # type: ignore[attr-defined]
    told = {line for change, _ in marks.args[1] for line in refusal(SAFE | change).splitlines()}
    told |= set(refusal(EMBEDDED, embedded=True).splitlines())
    assert {f"{variable(field)}: {why}" for field, _, why in DANGERS} <= told


@pytest.mark.parametrize(
    "change",
    [
        {"VOYAGENT_SMTP_URL": "smtp://127.0.0.1:25?tls=off"},
        {"VOYAGENT_SMTP_URL": "smtp://localhost?tls=off"},
        {"VOYAGENT_SMTP_URL": "smtp://mail.example.com"},
        {"ANTHROPIC_BASE_URL": "http://[::1]:9000"},
        {"VOYAGENT_TRUSTED_PROXIES": "10.0.0.0/8, 2400:cb00::/32, 127.0.0.1"},
        {"VOYAGENT_API_CORS_ORIGINS": "https://desk.example.com,https://b.example.com:8443"},
        {"VOYAGENT_AUTH_ARGON2_MEMORY_COST": "19456", "VOYAGENT_AUTH_ARGON2_TIME_COST": "2"},
        {"VOYAGENT_METRICS_TOKEN": "kJ8s2Lq0vXw5Zr7t"},
    ],
    ids=lambda change: ", ".join(f"{name}={value}" for name, value in change.items()),
)
def test_production_takes_what_is_safe_though_it_looks_alike(change: dict[str, str]) -> None:
    assert Settings.load(environ=SAFE | change).production


def test_production_says_everything_that_is_missing_at_once() -> None:
    named = {line.split(":")[0] for line in refusal({}).splitlines()}
    assert named == {"VOYAGENT_AUTH_SECRET", "VOYAGENT_KMS_KEY", "VOYAGENT_SMTP_URL", "VOYAGENT_PUBLIC_URL"}


EMBEDDED = {"VOYAGENT_ENV": "production"}


def test_servers_of_its_own_ease_nothing_in_production() -> None:
    named = {line.split(":")[0] for line in refusal(EMBEDDED, embedded=True).splitlines()}
    assert named == {
        "ANTHROPIC_API_KEY",
        "VOYAGENT_AUTH_SECRET",
        "VOYAGENT_KMS_KEY",
        "VOYAGENT_SMTP_URL",
        "VOYAGENT_PUBLIC_URL",
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VOYAGENT_AUTH_SECRET", "hunter2-is-too-short"),
        ("VOYAGENT_AUTH_SECRETS", "first:hunter2-is-too-short"),
        ("VOYAGENT_AUTH_SECRETS", f"bad kid:{SECRET}hunter2"),
        ("VOYAGENT_AUTH_SECRETS", f"twice:{SECRET}hunter2,twice:{OTHER}"),
        ("VOYAGENT_KMS_KEY", "hunter2hunter2"),
        ("VOYAGENT_KMS_KEY", "kid:hunter2"),
        ("VOYAGENT_DB_URL", "mysql://root:hunter2@db/x"),
        ("VOYAGENT_DB_URL", "postgresql://u:hunter2@db:port/x"),
        ("VOYAGENT_REDIS_URL", "http://:hunter2@cache"),
        ("VOYAGENT_SMTP_URL", "ftp://hunter2@mail"),
        ("VOYAGENT_METRICS_TOKEN", "hunter2"),
        ("VOYAGENT_ENV", "hunter2"),
        ("VOYAGENT_PORT", "hunter2"),
        ("VOYAGENT_AUTH_DEBUG_TOKENS", "hunter2"),
        ("VOYAGENT_TRUSTED_PROXIES", "10.0.0.1,hunter2"),
        ("VOYAGENT_MODEL_PRICES", "m=1/2/3/hunter2@2026-01-01"),
        ("ANTHROPIC_BASE_URL", "hunter2"),
        ("VOYAGENT_DUFFEL_TOKEN", "duffel_test_hunter2 x"),
        ("VOYAGENT_DUFFEL_BASE_URL", "hunter2"),
        ("VOYAGENT_BSP_ALLOWED_DIFFERENCES", "INR=hunter2"),
    ],
)
@pytest.mark.parametrize("embedded", [False, True])
def test_r59_a_bad_value_is_named_and_never_shown(
    name: str, value: str, embedded: bool, development: dict[str, str]
) -> None:
    text = refusal(development | {name: value}, embedded=embedded)
    assert text.startswith(f"{name}: ")
    assert "hunter2" not in text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VOYAGENT_AUTH_ACCESS_TTL_SECONDS", "59"),
        ("VOYAGENT_AUTH_REFRESH_TTL_SECONDS", "3599"),
        ("VOYAGENT_AUTH_FAMILY_MAX_AGE_SECONDS", "2591999"),
        ("VOYAGENT_AUTH_REFRESH_GRACE_SECONDS", "301"),
        ("VOYAGENT_AUTH_LEEWAY_SECONDS", "61"),
        ("VOYAGENT_AUTH_ARGON2_TIME_COST", "0"),
        ("VOYAGENT_AUTH_ARGON2_MEMORY_COST", "8191"),
        ("VOYAGENT_AUTH_HASH_WORKERS", "65"),
        ("VOYAGENT_GUARD_FREE_ATTEMPTS", "4"),
        ("VOYAGENT_APPROVAL_TTL_SECONDS", "59"),
        ("VOYAGENT_APPROVAL_TTL_SECONDS", "86401"),
        ("VOYAGENT_AGENT_MAX_TOKENS", "63"),
        ("VOYAGENT_AGENT_MAX_TOKENS", "16385"),
        ("VOYAGENT_AGENT_MODEL", "some-other-model"),
        ("VOYAGENT_PORT", "65536"),
    ],
)
def test_bounds_are_kept(name: str, value: str, development: dict[str, str]) -> None:
    assert refusal(development | {name: value}).startswith(f"{name}: must ")


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("VOYAGENT_PORT", "eighty", "must be a whole number"),
        ("VOYAGENT_PORT", "65536", "must be at most 65535"),
        ("VOYAGENT_PORT", "-1", "must be at least 0"),
        ("VOYAGENT_ENV", "staging", "must be 'development' or 'production'"),
        ("VOYAGENT_SSE_STALL_SECONDS", "soon", "must be a number"),
        ("VOYAGENT_SSE_STALL_SECONDS", "0", "must be more than 0.0"),
        ("VOYAGENT_SSE_STALL_SECONDS", "121", "must be at most 120.0"),
        ("VOYAGENT_METRICS_TOKEN", "short", "must have at least 16 characters, or be a comma list of such"),
        ("VOYAGENT_MAIL_FROM", "Rao Travels", "must be one address, or Name <address>"),
        ("VOYAGENT_MAIL_FROM", "a@b.in, c@d.in", "must be one address, or Name <address>"),
    ],
)
def test_what_is_asked_for_is_said_in_our_words(name: str, value: str, told: str, development: dict[str, str]) -> None:
    assert refusal(development | {name: value}).splitlines()[0] == f"{name}: {told}"


def test_the_mode_decides_what_is_not_said(development: dict[str, str]) -> None:
    embedded = Settings.load(embedded=True, environ={"VOYAGENT_DATA_DIR": development["VOYAGENT_DATA_DIR"]})
    production = Settings.load(environ=SAFE)
    assert (embedded.env, production.env) == ("development", "production")
    assert (embedded.throttle, production.throttle) == ("accounts", "on")
    assert (embedded.auth_skip_email_verification, production.auth_skip_email_verification) == (True, False)
    assert (embedded.suppliers, production.suppliers) == (("house",), ())
    assert (embedded.api_cors_origins, production.api_cors_origins) == (("http://localhost:3000",), ())


def test_embedded_servers_and_a_url_contradict_each_other(development: dict[str, str]) -> None:
    assert "VOYAGENT_DB_URL: " in refusal(development | {"VOYAGENT_DB_URL": "postgresql://x@y/z"}, embedded=True)


@pytest.mark.parametrize(("word", "meant"), [("1", True), ("TRUE", True), ("Yes", True), ("on", True), ("off", False)])
def test_booleans_are_words(word: str, meant: bool, development: dict[str, str]) -> None:
    settings = Settings.load(environ=development | {"VOYAGENT_AUTH_DEBUG_TOKENS": word})
    assert settings.auth_debug_tokens is meant


def test_the_first_key_of_a_ring_signs_and_the_single_secret_beside_it_only_verifies() -> None:
    settings = Settings.load(environ=SAFE | {"VOYAGENT_AUTH_SECRETS": f"new:{OTHER},old:{SECRET}"})
    assert list(settings.signing_keys.items()) == [("new", OTHER), ("old", SECRET), ("default", SECRET)]


def test_sealing_keys_are_read_in_either_alphabet() -> None:
    key = bytes(range(224, 256))
    for text in (base64.b64encode(key).decode(), base64.urlsafe_b64encode(key).decode().rstrip("=")):
        ring = Settings.load(environ=SAFE | {"VOYAGENT_KMS_KEY": f"b:{text},a:{KEY}"}).sealing_keys
        assert list(ring.items()) == [("b", key), ("a", bytes(range(32)))]


def test_prices_keep_their_date_and_an_unknown_one_is_absent(development: dict[str, str]) -> None:
    prices = Settings.load(
        environ=development | {"VOYAGENT_MODEL_PRICES": "claude-x=3/15/0.30/3.75@2026-11-01"}
    ).model_prices
    assert [str(figure) for figure in (prices["claude-x"].cache_read, prices["claude-x"].cache_write)] == [
        "0.30",
        "3.75",
    ]
    assert prices["claude-x"].as_of.isoformat() == "2026-11-01"
    assert "claude-y" not in prices


def test_development_makes_its_secrets_once_for_our_eyes_only(development: dict[str, str], tmp_path: Path) -> None:
    first = Settings.load(environ=development)
    second = Settings.load(embedded=True, environ=development)
    assert first.signing_keys == second.signing_keys
    assert first.sealing_keys == second.sealing_keys
    kept = sorted((tmp_path / "secrets").iterdir())
    assert [path.name for path in kept] == ["auth_secret", "kms_key"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept} == {0o600}


def test_no_secret_is_in_the_representation(development: dict[str, str]) -> None:
    settings = Settings.load(environ=SAFE | {"ANTHROPIC_API_KEY": "sk-hunter2", "VOYAGENT_AUTH_SECRETS": f"a:{OTHER}"})
    for secret in (SECRET, OTHER, KEY, "hunter2", "mail.example.com", "owner@db"):
        assert secret not in repr(settings)


def test_settings_do_not_change_under_the_feet_of_who_holds_them() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings.load(environ=SAFE).port = 1  # type: ignore[misc]


def test_the_environment_is_read_over_the_file_beside_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, development: dict[str, str]
) -> None:
    (tmp_path / ".env").write_text("VOYAGENT_PORT=7001\nVOYAGENT_HOST=0.0.0.0\n")
    monkeypatch.chdir(tmp_path)
    for name, value in (development | {"VOYAGENT_PORT": "7002"}).items():
        monkeypatch.setenv(name, value)
    settings = Settings.load()
    assert (settings.port, settings.host) == (7002, "0.0.0.0")


def test_a_misspelt_variable_is_found() -> None:
    assert unknown_variables({"VOYAGENT_AUTH_SERCET": "x", "VOYAGENT_PORT": "1", "PATH": "x"}) == [
        "VOYAGENT_AUTH_SERCET"
    ]


def test_the_example_file_lists_exactly_the_settings_and_their_true_defaults(development: dict[str, str]) -> None:
    lines = re.findall(r"^#([A-Z_0-9]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    names = [name for name, _ in lines]
    assert sorted(names) == sorted(variable(field) for field in Settings.model_fields if field != "embedded")

    shown = {name: value for name, value in lines if value}
    without, given = (Settings.load(environ=environ | development) for environ in ({}, shown))
    assert given == without


def test_links_lead_where_the_service_listens_unless_told_otherwise(tmp_path: Path) -> None:
    folder = {"VOYAGENT_ENV": "development", "VOYAGENT_DATA_DIR": str(tmp_path)}
    assert Settings.load(environ=folder).public_url == "http://127.0.0.1:8010"
    assert Settings.load(environ=folder | {"VOYAGENT_PORT": "8333"}).public_url == "http://127.0.0.1:8333"
    told = folder | {"VOYAGENT_PORT": "8333", "VOYAGENT_PUBLIC_URL": "https://travel.example"}
    assert Settings.load(environ=told).public_url == "https://travel.example"


def test_differences_are_minor_units_by_currency(development: dict[str, str]) -> None:
    given = {"VOYAGENT_BSP_ALLOWED_DIFFERENCES": "INR=100, KWD=5,", "VOYAGENT_BSP_DIR": "statements"}
    settings = Settings.load(environ=development | given)
    assert settings.bsp_allowed_differences == {"INR": 100, "KWD": 5}
    assert settings.bsp_dir == Path("statements").absolute()
    unset = Settings.load(environ=development)
    assert (unset.bsp_dir, unset.bsp_allowed_differences) == (None, {})
    for wrong in ("INR", "inr=1", "INR=-1", "INR=1.5", "INR=1=2"):
        assert "VOYAGENT_BSP_ALLOWED_DIFFERENCES: must be a comma list" in refusal(
            development | {"VOYAGENT_BSP_ALLOWED_DIFFERENCES": wrong}
        )
