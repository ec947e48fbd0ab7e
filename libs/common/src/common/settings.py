"""Fragments of settings that a service composes, read from the environment or from files."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    FilePath,
    HttpUrl,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict
from typing_extensions import override

from common.errors import ConfigurationError

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_RATE = re.compile(r"(?P<quota>[1-9]\d{0,8})/(?P<window>\S+)")
_DURATION = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>ms|s|m|h|d)?")


def _parse_duration(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = _DURATION.fullmatch(value.strip())
    if match is None:
        message = "write a duration as a number and a unit of ms, s, m, h or d, such as 15m"
        raise ValueError(message)
    return timedelta(seconds=float(match["number"]) * _UNITS[match["unit"] or "s"])


def _check_dsn(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().startswith("postgresql://"):
        message = "write it as postgresql://user:password@host:port/database"
        raise ValueError(message)
    return value


def _check_addresses(value: str) -> str:
    # "*" would let any caller choose the address that it is limited and logged by.
    for each in filter(None, value.split(",")):
        ip_network(each.strip())
    return value


Duration = Annotated[timedelta, BeforeValidator(_parse_duration)]
"""A span of time as people write it, such as `500ms` or `15m`; a bare number is seconds."""

PostgresDsn = Annotated[SecretStr, AfterValidator(_check_dsn)]
"""Secret as a whole, since the password is inside."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A bucket's size and the seconds in which it fills, written as `100/1m`."""

    quota: int
    window: float

    @property
    def interval(self) -> float:
        """Seconds until there is one token more."""
        return self.window / self.quota

    @override
    def __str__(self) -> str:
        return f"{self.quota}/{self.window:g}s"


def _parse_rate(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = _RATE.fullmatch(value.strip())
    window = _parse_duration(match["window"]) if match else None
    if match is None or not isinstance(window, timedelta) or not window:
        message = "write a rate as a number and a duration, such as 100/1m"
        raise ValueError(message)
    return Rate(int(match["quota"]), window.total_seconds())


RateText = Annotated[Rate, NoDecode, BeforeValidator(_parse_rate)]
"""A bucket as people write it, such as `100/1m`: up to 100 at once, refilled within a minute."""


class _SecretFiles(PydanticBaseSettingsSource):
    """Any variable `NAME` may be given as `NAME_FILE`, the path of a file that holds the value."""

    @override
    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        path = os.environ.get(f"{field_name.upper()}_FILE")
        return (Path(path).read_text().strip() if path else None), field_name, False

    @override
    def __call__(self) -> dict[str, Any]:
        values: dict[str, Any] = {}
        problems: list[str] = []
        for name, field in self.settings_cls.model_fields.items():
            try:
                value, _, _ = self.get_field_value(field, name)
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "it is not text"
                problems.append(f"{name.upper()}_FILE: the file can't be read: {reason}")
                continue
            if value is not None and os.environ.get(name.upper()):
                problems.append(f"{name.upper()}: set it or {name.upper()}_FILE, not both")
            elif value is not None:
                values[name] = value
        if problems:
            raise ConfigurationError(problems)
        return values


class Fragment(BaseSettings):
    """What every fragment shares: frozen, empty means unset, values never shown in errors."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True
    )

    @override
    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _SecretFiles(settings_cls)


class LimitSettings(Fragment):
    """How often one caller may call, and where processes share the counts."""

    redis_url: SecretStr | None = Field(
        None,
        description="Valkey or Redis, as redis://user:password@host:port/0 or rediss:// with TLS; "
        "unset, each process limits rates by its own counts",
    )
    rate_limit_address: RateText = Field(
        Rate(3000, 60),
        description="requests of one address without a token that is known here: burst/refill time",
    )
    rate_limit_principal: RateText = Field(
        Rate(6000, 60), description="requests of one logged-in caller: burst/refill time"
    )


class ServiceSettings(LimitSettings):
    """What every process needs, whatever it does."""

    app_env: Literal["development", "test", "production"] = Field(
        "production",
        description="development makes up a signing key if none is given and serves the API pages",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="the least severe level that is written"
    )
    log_format: Literal["json", "console"] = Field(
        "json", description="json for machines, console for people"
    )
    api_prefix: str = Field(
        "/api/v1", pattern=r"^(/[a-z0-9-]+)+$", description="path in front of every API route"
    )
    host: str = Field("127.0.0.1", description="address that the HTTP server listens on")
    port: int = Field(8000, ge=0, le=65535, description="port of the HTTP server; 0 takes any")
    trusted_proxies: Annotated[str, AfterValidator(_check_addresses)] = Field(
        "",
        description="comma-separated addresses or networks whose X-Forwarded-For and -Proto are "
        "believed",
    )
    enable_docs: bool | None = Field(
        None, description="serve Swagger UI and the OpenAPI document; unset: not in production"
    )
    enable_prometheus: bool = Field(default=True, description="serve /metrics")
    health_check_timeout: Duration = Field(
        timedelta(seconds=2), description="longest wait for one readiness check"
    )
    shutdown_timeout: Duration = Field(
        timedelta(seconds=20), description="longest graceful shutdown before the process just ends"
    )

    @property
    def serves_docs(self) -> bool:
        return self.app_env != "production" if self.enable_docs is None else self.enable_docs


class ApiSettings(ServiceSettings):
    """What a service's lists and its operator's API need."""

    cursor_key: SecretStr | None = Field(
        None,
        min_length=32,
        description="signs where a list's page ended; order-service also computes refresh tokens "
        "with it, so keep it as secret as JWT_PRIVATE_KEY; the processes of a service share it; "
        "only production needs one, elsewhere a process makes its own up",
    )

    ops_edit: bool = Field(
        default=False, description="let operators replay a dead letter with an edited payload"
    )

    @model_validator(mode="after")
    def _processes_share_a_key(self) -> Self:
        if self.cursor_key is None and self.app_env == "production":
            message = "CURSOR_KEY or CURSOR_KEY_FILE is required in production"
            raise ValueError(message)
        return self


class PostgresSettings(Fragment):
    """Where this service's tables are, and as whom to reach them."""

    database_url: PostgresDsn = Field(
        description="the service's own role, without any DDL",
        examples=["postgresql://orders_app:change-me@127.0.0.1:5432/pedido"],
    )
    database_direct_url: PostgresDsn | None = Field(
        None, description="the same past a transaction pooler, for session locks"
    )
    database_owner_url: PostgresDsn | None = Field(
        None, description="the role that owns the schema; used by migrate and nothing else"
    )
    db_schema: str = Field(
        pattern=r"^[a-z][a-z0-9_]{0,62}$", description="Postgres schema of this service"
    )
    db_pool_size: int = Field(10, ge=1, le=200, description="connections of one process")
    db_pool_timeout: Duration = Field(
        timedelta(seconds=5), description="longest wait for a pooled connection"
    )
    db_connect_timeout: Duration = Field(
        timedelta(seconds=5), description="longest wait for a new connection"
    )

    def dsn(self) -> str:
        """Tell how to connect now: what came from a file is read again, for it may have changed."""
        return _newest("DATABASE_URL", self.database_url)

    def direct_dsn(self) -> str:
        """Tell how to connect past any pooler."""
        if self.database_direct_url is None:
            return self.dsn()
        return _newest("DATABASE_DIRECT_URL", self.database_direct_url)


def _newest(name: str, value: SecretStr) -> str:
    path = os.environ.get(f"{name}_FILE")
    try:
        return Path(path).read_text().strip() if path else value.get_secret_value()
    except OSError:  # in the middle of being replaced
        return value.get_secret_value()


class KafkaSettings(Fragment):
    """How to reach the broker, and how patient the consumer is."""

    kafka_bootstrap_servers: str = Field(
        min_length=1,
        description="comma-separated host:port of the brokers",
        examples=["127.0.0.1:9092"],
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="how the connection is protected"
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="used with SASL_PLAINTEXT and SASL_SSL"
    )
    kafka_sasl_username: str | None = Field(None, description="this service's principal")
    kafka_sasl_password: SecretStr | None = Field(None, description="the principal's password")
    kafka_ssl_cafile: FilePath | None = Field(
        None, description="authorities that the broker's certificate is checked against"
    )
    kafka_ssl_certfile: FilePath | None = Field(None, description="certificate of this client")
    kafka_ssl_keyfile: FilePath | None = Field(None, description="private key of that certificate")
    topic_prefix: str = Field(
        "", pattern=r"^[A-Za-z0-9.-]*$", description="put in front of every topic and group name"
    )
    schemas_dir: Path | None = Field(
        None, description="folder of the Avro schemas; unset finds schemas/ beside the code"
    )
    consumer_instance_id: str | None = Field(
        None, description="static group membership; unset joins and leaves like anyone"
    )
    consumer_session_timeout: Duration = Field(
        timedelta(seconds=10), description="silence after which the group expels this member"
    )
    consumer_watchdog: Duration = Field(
        timedelta(seconds=60), description="lag without a record for so long ends the process"
    )
    consumer_max_records: int = Field(
        500, ge=1, le=10_000, description="most records of one poll, so of one transaction"
    )
    park_policy: Literal["wait", "skip"] = Field(
        "wait", description="a key whose message is dead waits for an operator, or skips it"
    )
    parked_keep: Duration = Field(
        timedelta(days=90),
        ge=timedelta(days=8),
        description="how long messages that were skipped or discarded can be replayed; 8d at least,"
        " longer than Kafka has events",
    )
    retry_first_delay: Duration = Field(
        timedelta(seconds=0.2),
        description="a parked message is tried again at once, then within four times this, then"
        " doubling, each time at a random moment of it",
    )
    retry_max_delay: Duration = Field(
        timedelta(seconds=60), description="cap of the doubling delay between attempts"
    )
    retry_attempts: int = Field(
        12, ge=1, le=100, description="attempts before a parked message is dead"
    )

    @model_validator(mode="after")
    def _sasl_needs_a_login(self) -> Self:
        login = self.kafka_sasl_username and self.kafka_sasl_password
        if self.kafka_security_protocol.startswith("SASL") and not login:
            message = "SASL needs KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"
            raise ValueError(message)
        return self


class JwtSettings(Fragment):
    """Which access tokens are believed."""

    jwt_issuer: str = Field("pedido", min_length=1, description="who must have issued a token")
    jwt_audience: str = Field("pedido-api", min_length=1, description="for whom it must be")
    jwt_jwks_url: HttpUrl = Field(
        HttpUrl("http://127.0.0.1:8000/.well-known/jwks.json"),
        description="where the issuer's public keys are read; never taken from a token",
    )
    jwt_leeway: Duration = Field(
        timedelta(seconds=30), description="clock difference that is forgiven"
    )


class JwtIssuerSettings(ServiceSettings, JwtSettings):
    """What the issuer of tokens needs beside that."""

    jwt_private_key: SecretStr | None = Field(
        None, description="P-256 private key in PEM; only development makes one up"
    )
    jwt_verify_keys: str | None = Field(
        None,
        description="public keys in PEM, one after the other, that are believed and sign nothing: "
        "the next one, and the last one until its tokens are over",
    )
    jwt_expires_in: Duration = Field(
        timedelta(minutes=15), le=timedelta(hours=1), description="life of an access token"
    )
    jwt_refresh_expires_in: Duration = Field(
        timedelta(days=7), description="life of a refresh token"
    )

    @model_validator(mode="after")
    def _a_secret_has_no_default(self) -> Self:
        if self.jwt_private_key is None and self.app_env != "development":
            message = "JWT_PRIVATE_KEY or JWT_PRIVATE_KEY_FILE is required outside development"
            raise ValueError(message)
        return self


S = TypeVar("S", bound=Fragment)


def load(settings_type: type[S], **given: Any) -> S:
    """Read the environment, or raise one ConfigurationError that names every bad variable.

    What is given stands above the environment.
    """
    try:
        return settings_type(**given)
    except ValidationError as error:
        # `from None`: the original would print what was given, secrets included.
        raise ConfigurationError(list(_problems(error))) from None


def _problems(error: ValidationError) -> Iterator[str]:
    for entry in error.errors(include_input=False, include_url=False, include_context=False):
        name = "_".join(str(part) for part in entry["loc"][:1]).upper()
        reason = "is required" if entry["type"] == "missing" else entry["msg"]
        reason = reason.removeprefix("Value error, ")
        yield f"{name}: {reason}" if name else reason
