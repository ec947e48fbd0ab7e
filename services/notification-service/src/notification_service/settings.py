"""This service's settings."""

import hashlib
import hmac
from datetime import timedelta
from typing import Self

from common.inbox import INBOX_DAYS
from common.process import ProcessSettings
from common.settings import ApiSettings, Duration, JwtSettings, KafkaSettings
from pydantic import Field, SecretStr, TypeAdapter, field_validator, model_validator

_DURATION: TypeAdapter[timedelta] = TypeAdapter(Duration)

_LONGEST_REPLAY = timedelta(days=INBOX_DAYS + 1)
"""An event that is older than the inbox is stale; its clock may have been a day ahead."""


def _delays(schedule: str) -> tuple[timedelta, ...]:
    return tuple(_DURATION.validate_python(each) for each in schedule.split())


class Settings(ProcessSettings, KafkaSettings, JwtSettings, ApiSettings):
    """What notification-service reads from its environment."""

    port: int = Field(8003, ge=0, le=65535, description="port of the HTTP server; 0 takes any")
    db_schema: str = Field(
        "notifications",
        pattern=r"^[a-z][a-z0-9_]{0,62}$",
        description="Postgres schema of this service",
    )
    smtp_url: SecretStr = Field(
        description="mail server, as smtp://user:password@host:port; smtps:// speaks TLS at once"
    )
    smtp_timeout: Duration = Field(
        timedelta(seconds=15), description="longest wait for one answer of the mail server"
    )
    smtp_connections: int = Field(
        8, ge=1, le=100, description="connections to the mail server, so e-mails at once"
    )
    mail_sender: str = Field(
        "Pedido <orders@pedido.example>", description="From line of every e-mail"
    )
    mail_give_up_after: Duration = Field(
        timedelta(days=2), description="age at which an e-mail that is still put off has failed"
    )
    mail_keep: Duration = Field(
        timedelta(days=90),
        description="how long a settled e-mail and its attempts stay in the log; 46d at least",
    )
    webhook_timeout: Duration = Field(
        timedelta(seconds=15), description="longest call of a merchant's endpoint, all told"
    )
    webhook_connections: int = Field(
        16, ge=1, le=100, description="calls of merchants' endpoints at once"
    )
    webhook_schedule: str = Field(
        "5s 5m 30m 2h 5h 10h 14h 20h 24h",
        description="delays between the attempts of a delivery; after the last one it has failed",
    )
    webhook_disable_after: Duration = Field(
        timedelta(days=5), description="an endpoint that only failed for so long is disabled"
    )
    webhook_secret_overlap: Duration = Field(
        timedelta(days=1), description="how long the secret before a rotation still signs, too"
    )
    webhook_keep: Duration = Field(
        timedelta(days=46), description="how long a settled delivery stays in the log; 46d at least"
    )
    webhook_allow_private_networks: bool = Field(
        default=False,
        description="call endpoints at private addresses and by http:// (development and tests)",
    )
    data_key: SecretStr | None = Field(
        None,
        min_length=32,
        description="keys the digests of bounced addresses and encrypts the secrets of webhooks; "
        "only production needs one, elsewhere it is made from DATABASE_URL",
    )

    @model_validator(mode="after")
    def _production_has_a_data_key(self) -> Self:
        if self.data_key is None and self.app_env == "production":
            message = "DATA_KEY or DATA_KEY_FILE is required in production"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _production_calls_public_addresses_only(self) -> Self:
        if self.webhook_allow_private_networks and self.app_env == "production":
            message = "WEBHOOK_ALLOW_PRIVATE_NETWORKS would open our network to merchants' URLs"
            raise ValueError(message)
        return self

    @field_validator("mail_keep", "webhook_keep")
    @classmethod
    def _no_event_outlives_what_it_told(cls, value: timedelta) -> timedelta:
        if value < _LONGEST_REPLAY:
            message = (
                f"less than {_LONGEST_REPLAY.days}d: an event that came again would be told again"
            )
            raise ValueError(message)
        return value

    @field_validator("webhook_schedule")
    @classmethod
    def _schedule_is_readable(cls, value: str) -> str:
        if not _delays(value):
            message = "write at least one delay"
            raise ValueError(message)
        return value

    @property
    def webhook_delays(self) -> tuple[timedelta, ...]:
        return _delays(self.webhook_schedule)

    def derived_key(self, purpose: str) -> bytes:
        """Make the key of one purpose: whoever learns one learns no other."""
        source = self.data_key or self.database_url
        return hmac.digest(source.get_secret_value().encode(), purpose.encode(), hashlib.sha256)
