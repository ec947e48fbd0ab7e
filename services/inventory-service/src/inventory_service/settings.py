"""This service's settings."""

from datetime import timedelta

from common.process import ProcessSettings
from common.settings import ApiSettings, Duration, JwtSettings, KafkaSettings
from pydantic import Field


class Settings(ProcessSettings, KafkaSettings, JwtSettings, ApiSettings):
    """What inventory-service reads from its environment."""

    port: int = Field(8001, ge=0, le=65535, description="port of the HTTP server; 0 takes any")
    db_schema: str = Field(
        "inventory",
        pattern=r"^[a-z][a-z0-9_]{0,62}$",
        description="Postgres schema of this service",
    )
    overdue_poll: Duration = Field(
        timedelta(seconds=30), description="time between counts of overdue reservations"
    )
    tombstone_poll: Duration = Field(
        timedelta(minutes=10), description="time between looks for removals to say again"
    )
