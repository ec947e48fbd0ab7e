import os
from datetime import timedelta
from pathlib import Path

import pytest
from common.errors import ConfigurationError
from common.settings import (
    JwtIssuerSettings,
    KafkaSettings,
    LimitSettings,
    PostgresSettings,
    Rate,
    ServiceSettings,
    load,
)

PASSWORD = "correct-horse"
DSN = f"postgresql://orders_app:{PASSWORD}@127.0.0.1:5432/pedido"


class EverySetting(PostgresSettings, KafkaSettings, JwtIssuerSettings):
    pass


GOOD = {
    "APP_ENV": "development",
    "DATABASE_URL": DSN,
    "DB_SCHEMA": "orders",
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in tuple(os.environ):
        if name.removesuffix("_FILE").lower() in EverySetting.model_fields:
            monkeypatch.delenv(name)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_settings_come_from_the_environment(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PORT", "8004")
    environment.setenv("JWT_EXPIRES_IN", "10m")

    settings = load(EverySetting)

    assert settings.port == 8004
    assert settings.jwt_expires_in == timedelta(minutes=10)
    assert settings.database_url.get_secret_value() == DSN


class LimitedSetting(EverySetting, LimitSettings):
    pass


def test_a_rate_is_written_as_people_do(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("RATE_LIMIT_ADDRESS", "100/1m")

    assert load(LimitedSetting).rate_limit_address == Rate(100, 60)


@pytest.mark.parametrize("text", ["many", "100", "0/1m", "1/0s", "-1/1m", "1e9/1s", "[]"])
def test_what_is_no_rate_is_one_readable_problem(
    environment: pytest.MonkeyPatch, text: str
) -> None:
    environment.setenv("RATE_LIMIT_ADDRESS", text)

    with pytest.raises(ConfigurationError, match="RATE_LIMIT_ADDRESS: "):
        load(LimitedSetting)


@pytest.mark.parametrize("text", ["*", "proxy.internal", "10.0.0.1/8", "10.0.0.1;10.0.0.2"])
def test_a_proxy_is_trusted_by_its_address_alone(
    environment: pytest.MonkeyPatch, text: str
) -> None:
    environment.setenv("TRUSTED_PROXIES", text)

    with pytest.raises(ConfigurationError, match="TRUSTED_PROXIES: "):
        load(EverySetting)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("250ms", timedelta(milliseconds=250)),
        ("10s", timedelta(seconds=10)),
        ("0.5s", timedelta(seconds=0.5)),
        ("15m", timedelta(minutes=15)),
        ("1h", timedelta(hours=1)),
        ("7d", timedelta(days=7)),
        ("3", timedelta(seconds=3)),
    ],
)
def test_a_duration_is_written_as_people_do(
    environment: pytest.MonkeyPatch, text: str, expected: timedelta
) -> None:
    environment.setenv("JWT_REFRESH_EXPIRES_IN", text)

    assert load(EverySetting).jwt_refresh_expires_in == expected


def test_every_bad_variable_is_named_at_once_and_no_value_is_shown(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("DATABASE_URL", f"mysql://root:{PASSWORD}@host/db")
    environment.setenv("PORT", "seventy")
    environment.setenv("JWT_EXPIRES_IN", "2h")
    environment.delenv("KAFKA_BOOTSTRAP_SERVERS")

    with pytest.raises(ConfigurationError) as caught:
        load(EverySetting)

    message = str(caught.value)
    assert [problem.split(":")[0] for problem in sorted(caught.value.problems)] == [
        "DATABASE_URL",
        "JWT_EXPIRES_IN",
        "KAFKA_BOOTSTRAP_SERVERS",
        "PORT",
    ]
    assert PASSWORD not in message
    assert "seventy" not in message
    assert caught.value.__cause__ is None


def test_an_empty_variable_is_an_unset_one(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PORT", "")
    environment.setenv("KAFKA_SASL_PASSWORD", "")

    settings = load(EverySetting)

    assert settings.port == 8000
    assert settings.kafka_sasl_password is None


def test_a_secret_may_come_from_a_file(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "dsn"
    file.write_text(f"{DSN}\n")
    environment.delenv("DATABASE_URL")
    environment.setenv("DATABASE_URL_FILE", str(file))

    assert load(EverySetting).database_url.get_secret_value() == DSN


def test_a_secret_file_that_is_not_there_is_said_by_name(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.delenv("DATABASE_URL")
    environment.setenv("DATABASE_URL_FILE", str(tmp_path / "missing"))

    with pytest.raises(ConfigurationError, match="DATABASE_URL_FILE: the file can't be read"):
        load(EverySetting)


def test_a_value_and_its_file_together_are_refused(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "dsn"
    file.write_text(DSN)
    environment.setenv("DATABASE_URL_FILE", str(file))

    with pytest.raises(ConfigurationError, match="DATABASE_URL: set it or DATABASE_URL_FILE"):
        load(EverySetting)


@pytest.mark.parametrize("app_env", ["test", "production"])
def test_only_development_makes_up_a_signing_key(
    environment: pytest.MonkeyPatch, app_env: str
) -> None:
    environment.setenv("APP_ENV", app_env)

    with pytest.raises(ConfigurationError, match="JWT_PRIVATE_KEY"):
        load(EverySetting)


def test_sasl_needs_a_login(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("KAFKA_SECURITY_PROTOCOL", "SASL_SSL")

    with pytest.raises(ConfigurationError, match="KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"):
        load(EverySetting)


def test_a_certificate_that_is_not_there_is_named(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.setenv("KAFKA_SSL_CAFILE", str(tmp_path / "authority.pem"))

    with pytest.raises(ConfigurationError, match="KAFKA_SSL_CAFILE: "):
        load(EverySetting)


def test_what_is_given_stands_above_the_environment(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PORT", "seventy")

    assert load(EverySetting, port=1).port == 1


def test_printing_settings_shows_no_secret(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("KAFKA_SASL_PASSWORD", PASSWORD)

    settings = load(EverySetting)

    assert PASSWORD not in repr(settings)
    assert PASSWORD not in settings.model_dump_json()


def test_every_setting_is_described() -> None:
    assert [
        name for name, field in EverySetting.model_fields.items() if not field.description
    ] == []


@pytest.mark.parametrize(
    ("app_env", "enable_docs", "served"),
    [
        ("development", "", True),
        ("production", "", False),
        ("production", "true", True),
        ("development", "false", False),
    ],
    ids=["development", "production", "asked for", "turned off"],
)
def test_the_api_pages_are_off_in_production_unless_asked_for(
    environment: pytest.MonkeyPatch, app_env: str, enable_docs: str, *, served: bool
) -> None:
    environment.setenv("APP_ENV", app_env)
    environment.setenv("ENABLE_DOCS", enable_docs)

    assert load(ServiceSettings).serves_docs is served
