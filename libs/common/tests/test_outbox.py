"""What the outbox computes by itself."""

import random

from aiokafka.partitioner import murmur2
from common import outbox


def test_a_key_is_hashed_as_every_kafka_client_does() -> None:
    chosen = random.Random(7)  # noqa: S311  not a secret
    for size in range(65):
        for _ in range(50):
            key = chosen.randbytes(size)
            assert outbox.key_hash(key) == murmur2(key) & 0x7FFFFFFF


def test_no_long_key_is_remembered() -> None:
    remembered = outbox._usual_hash.cache_info().currsize

    outbox.key_hash(bytes(1000))

    assert outbox._usual_hash.cache_info().currsize == remembered
