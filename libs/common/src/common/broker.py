"""How every Kafka client of a process reaches the broker: address, TLS, login, names."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from aiokafka import AIOKafkaProducer, conn
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError, ProducerClosed
from aiokafka.helpers import create_ssl_context
from typing_extensions import override

from common.settings import KafkaSettings


class _Connection(AIOKafkaConnection):
    """aiokafka's connection, that also says of one which broke this moment that it is broken.

    uvloop's transport then raises RuntimeError. None of aiokafka's tasks expects it: the one that
    reads the metadata, or that fetches, ended for good, and all that waits for it waited for ever.
    """

    @override
    def send(self, request: Any, expect_response: bool = True) -> Any:
        """Send a request; raises KafkaConnectionError when the connection is broken."""
        try:
            return super().send(request, expect_response)
        except NotImplementedError:  # a RuntimeError, too: a broker that is too old or too new
            raise
        except RuntimeError as error:
            self.close(reason=CloseReason.CONNECTION_BROKEN)
            message = f"Connection at {self.host}:{self.port} broken: {error}"
            raise KafkaConnectionError(message) from error


def client_options(settings: KafkaSettings) -> dict[str, Any]:
    """Build the connection arguments that aiokafka's producer and consumer share."""
    cast("Any", conn).AIOKafkaConnection = _Connection  # no client can be told its class
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


async def abandon(producer: AIOKafkaProducer, timeout: float) -> None:
    """End what a `stop` that was cut short leaves running for good, connections and all.

    Nothing public of aiokafka does. Its sender, cancelled, still waits for its requests, and these
    for metadata that no task reads any more once the client is closed.
    """
    sender, client = producer._sender.sender_task, producer.client  # noqa: SLF001
    sender.cancel()
    await asyncio.wait({asyncio.create_task(client.close())}, timeout=timeout)
    metadata = client._md_update_fut  # noqa: SLF001
    if metadata is not None and not metadata.done():
        metadata.set_result(False)
    await asyncio.wait({sender}, timeout=timeout)
    producer._message_accumulator.fail_all(ProducerClosed())  # noqa: SLF001  whoever waits for it
