"""This service's settings."""

import hashlib
import hmac
from datetime import timedelta
from typing import Self

from common.process import ProcessSettings
from common.settings import ApiSettings, Duration, JwtSettings, KafkaSettings
from pydantic import Field, SecretStr, model_validator


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

    def derived_key(self, purpose: str) -> bytes:
        """Make the key of one purpose: whoever learns one learns no other."""
        source = self.data_key or self.database_url
        return hmac.digest(source.get_secret_value().encode(), purpose.encode(), hashlib.sha256)
