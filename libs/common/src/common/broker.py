"""How every Kafka client of a process reaches the broker: address, TLS, login, names."""

from __future__ import annotations

from typing import Any

from aiokafka.helpers import create_ssl_context

from common.settings import KafkaSettings


def client_options(settings: KafkaSettings) -> dict[str, Any]:
    """Build the connection arguments that aiokafka's producer and consumer share."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap_servers,
        "security_protocol": settings.kafka_security_protocol,
    }
    if settings.kafka_security_protocol.endswith("SSL"):
        options["ssl_context"] = create_ssl_context(
            cafile=settings.kafka_ssl_cafile and str(settings.kafka_ssl_cafile),
            certfile=settings.kafka_ssl_certfile and str(settings.kafka_ssl_certfile),
            keyfile=settings.kafka_ssl_keyfile and str(settings.kafka_ssl_keyfile),
        )
    if settings.kafka_security_protocol.startswith("SASL"):
        password = settings.kafka_sasl_password
        options["sasl_mechanism"] = settings.kafka_sasl_mechanism
        options["sasl_plain_username"] = settings.kafka_sasl_username
        options["sasl_plain_password"] = password and password.get_secret_value()
    return options
