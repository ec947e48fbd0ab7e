"""Settings that would let two processes make the same call are refused at the start."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from payment_service.settings import Settings
from pydantic import SecretStr, ValidationError


def settings(**changed: Any) -> Settings:
    return Settings(
        app_env="test",
        database_url=SecretStr("postgresql://nobody:nothing@127.0.0.1:9/none"),
        kafka_bootstrap_servers="127.0.0.1:9",
        payment_gateway_url="http://127.0.0.1:9",
        payment_gateway_key=SecretStr("sk_test"),
        **changed,
    )


def test_a_lease_covers_a_call() -> None:
    with pytest.raises(ValidationError, match="PAYMENT_LEASE must be at least 15 s longer"):
        settings(payment_gateway_timeout=timedelta(seconds=50))


@pytest.mark.parametrize(
    "changed",
    [
        {"payment_gateway_timeout": timedelta(0)},
        {"payment_gateway_connections": 0},
        {"payment_gateway_url": "ftp://gateway"},
        {"payment_gateway_key": ""},
        {"payment_poll": timedelta(0)},
    ],
    ids=["no time", "no connection", "no HTTP", "no key", "no pause"],
)
def test_what_can_not_work_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings(**{**settings().model_dump(), **changed})


def test_the_key_is_never_shown() -> None:
    assert "sk_test" not in repr(settings())
