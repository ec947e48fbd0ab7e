"""This service's settings."""

from datetime import timedelta

from common.process import ProcessSettings
from common.settings import ApiSettings, Duration, JwtIssuerSettings, KafkaSettings, Rate, RateText
from pydantic import Field


class Settings(ProcessSettings, KafkaSettings, JwtIssuerSettings, ApiSettings):
    """What order-service reads from its environment."""

    db_schema: str = Field(
        "orders", pattern=r"^[a-z][a-z0-9_]{0,62}$", description="Postgres schema of this service"
    )
    login_limit_account: RateText = Field(
        Rate(10, 300), description="tries to log in to one account: burst/refill time"
    )
    login_limit_address: RateText = Field(
        Rate(600, 600),
        description="logins of one address, and as many registrations: burst/refill time",
    )
    order_deadline: Duration = Field(
        timedelta(minutes=15), description="an order expires unless it is confirmed within this"
    )
    decision_deadline: Duration = Field(
        timedelta(minutes=10),
        description="time for a customer's decision; the order's own deadline holds beside it",
    )
    closing_answer_timeout: Duration = Field(
        timedelta(minutes=2),
        description="wait for the answers to a closing before it is said again, then doubling",
    )
    compensation_timeout: Duration = Field(
        timedelta(minutes=30), description="a closing without answers is called stuck after this"
    )
    completion_timeout: Duration = Field(
        timedelta(minutes=30), description="a confirmed order is called stuck after this"
    )
    timers_poll: Duration = Field(
        timedelta(seconds=5), description="time between looks for timers that are due"
    )
    intake_capacity: int = Field(
        2000, ge=1, le=100_000, description="orders that wait to be stored; more get 503"
    )
    intake_delay: Duration = Field(
        timedelta(seconds=1),
        description="wait of the order that is stored next, beyond which new ones get 503",
    )
    intake_wait: Duration = Field(
        timedelta(seconds=5), description="longest wait for an order to be stored; then 503"
    )
    outbox_max_rows: int = Field(
        200_000, ge=1, description="events not yet at the broker beyond which orders get 503"
    )
    outbox_max_age: Duration = Field(
        timedelta(minutes=10),
        description="age of the oldest of those beyond which orders get 503; less than "
        "ORDER_DEADLINE, or orders expire unheard",
    )
    listeners_max: int = Field(
        2000, ge=1, le=100_000, description="live streams and long polls of one process"
    )
    listeners_per_caller: int = Field(
        32, ge=1, le=100_000, description="live streams and long polls of one caller on a process"
    )
    stream_heartbeat: Duration = Field(
        timedelta(seconds=15), description="silence on a live stream before a comment is sent"
    )
    stream_life: Duration = Field(
        timedelta(minutes=15),
        description="a live stream ends after this; its client comes back with a new token",
    )
    open_orders_max: int = Field(
        1000, ge=1, le=1_000_000, description="orders of one customer that are not confirmed yet"
    )
    open_pieces_max: int = Field(
        100_000,
        ge=1,
        le=1_000_000_000,
        description="pieces of one product that those orders of one customer may hold",
    )
