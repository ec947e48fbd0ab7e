"""This service's settings."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Self

from common.process import ProcessSettings
from common.settings import ApiSettings, Duration, JwtSettings, KafkaSettings
from pydantic import Field, HttpUrl, SecretStr, model_validator


class Settings(ProcessSettings, KafkaSettings, JwtSettings, ApiSettings):
    """What payment-service reads from its environment."""

    port: int = Field(8002, ge=0, le=65535, description="port of the HTTP server; 0 takes any")
    db_schema: str = Field(
        "payments",
        pattern=r"^[a-z][a-z0-9_]{0,62}$",
        description="Postgres schema of this service",
    )
    payment_gateway_url: HttpUrl = Field(description="base URL of the payment provider's API")
    payment_gateway_key: SecretStr = Field(min_length=1, description="the provider's secret key")
    payment_webhook_secret: SecretStr | None = Field(
        None,
        min_length=16,
        description="signs the provider's webhooks; unset refuses them all, and payments go on"
        " without",
    )
    payment_webhook_secret_previous: SecretStr | None = Field(
        None, min_length=16, description="also believed, while the provider changes to a new one"
    )
    payment_webhook_tolerance: Duration = Field(
        timedelta(minutes=5),
        gt=timedelta(0),
        le=timedelta(hours=1),
        description="how old a webhook's signature may be",
    )
    payment_gateway_timeout: Duration = Field(
        timedelta(seconds=10), gt=timedelta(0), description="longest wait for one answer"
    )
    payment_gateway_connections: int = Field(
        64, ge=1, le=1000, description="calls at once, each on its own pooled connection"
    )
    payment_gateway_clock_skew: Duration = Field(
        timedelta(seconds=60), description="how far the provider's clock may be from ours"
    )
    payment_key_life: Duration = Field(
        timedelta(hours=23),
        gt=timedelta(0),
        description="how long an idempotency key is trusted; less than the provider keeps it",
    )
    payment_hold_life: Duration = Field(
        timedelta(days=6),
        gt=timedelta(0),
        description="how long an authorisation may be captured; less than the provider holds it,"
        " which is 7 days for cards",
    )
    payment_hold_alarm: Duration = Field(
        timedelta(days=1),
        gt=timedelta(0),
        description="age from which a hold that is still to be captured is alarming",
    )
    payment_limits: dict[str, Annotated[int, Field(gt=0)]] = Field(
        {},
        description="largest amounts that are authorised, in minor units by currency, as"
        ' {"GBP": 500000}; a larger one is declined without asking the provider',
    )
    payment_lease: Duration = Field(
        timedelta(seconds=30),
        description="how long one process may work on a payment; a killed one holds it for as long",
    )
    payment_poll: Duration = Field(
        timedelta(seconds=1),
        gt=timedelta(0),
        description="how late a payment may be found that another process made due",
    )
    payment_first_retry: Duration = Field(
        timedelta(milliseconds=500), gt=timedelta(0), description="delay before a second call"
    )
    payment_longest_retry: Duration = Field(
        timedelta(seconds=60), gt=timedelta(0), description="cap of the doubling delay"
    )
    payment_look_again: Duration = Field(
        timedelta(seconds=60),
        description="time between the two looks that must show nothing before a new key is used",
    )
    payment_late_look: Duration = Field(
        timedelta(minutes=10),
        description="when a closed payment whose authorisation seemed to do nothing is looked at"
        " a last time",
    )
    payment_reconcile_every: Duration = Field(
        timedelta(days=1),
        ge=timedelta(minutes=10),
        description="time between comparisons of the provider's whole list with our payments",
    )
    payment_books_poll: Duration = Field(
        timedelta(seconds=30),
        gt=timedelta(0),
        description="time between counts of differences and of calls that do not end",
    )
    payment_records_keep: Duration = Field(
        timedelta(days=30),
        ge=timedelta(days=4),
        description="how long webhooks, which the provider may send again for 3 days, and"
        " comparisons are kept; webhooks that alarmed stay",
    )
    payment_breaker_calls: int = Field(
        10, ge=1, le=10_000, description="fewer calls in the window never open the circuit breaker"
    )
    payment_breaker_failed: float = Field(
        0.5, gt=0, le=1, description="share of failed calls in the window that opens the breaker"
    )
    payment_breaker_window: Duration = Field(
        timedelta(seconds=30),
        ge=timedelta(seconds=1),
        le=timedelta(hours=1),
        description="how far back the breaker looks",
    )
    payment_breaker_open_for: Duration = Field(
        timedelta(seconds=10), description="how long an open breaker waits before it probes"
    )

    @model_validator(mode="after")
    def _a_lease_covers_a_call(self) -> Self:
        needed = self.payment_gateway_timeout + timedelta(seconds=15)
        if self.payment_lease < needed:
            message = (
                "PAYMENT_LEASE must be at least 15 s longer than PAYMENT_GATEWAY_TIMEOUT: "
                "a lease that ends during a call lets somebody else make it too"
            )
            raise ValueError(message)
        return self
