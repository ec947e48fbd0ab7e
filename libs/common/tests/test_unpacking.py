"""What a poll gives is put into an order before it is handled."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.structs import ConsumerRecord
from common import unpacking


def consumed(topic: str, offset: int, timestamp: int, name: str = "a") -> ConsumerRecord[Any, Any]:
    return ConsumerRecord(
        topic=topic,
        partition=0,
        offset=offset,
        timestamp=timestamp,
        timestamp_type=0,
        key=b"",
        value=b"",
        checksum=None,
        serialized_key_size=0,
        serialized_value_size=0,
        headers=((name, b""),),
    )


CAUSE, EFFECT = consumed("inventory.v1", 7, 1_000), consumed("payments.v1", 3, 1_010)
FOLLOWING, BACK = consumed("orders.v1", 1, 1_005), consumed("orders.v1", 2, 900)


@pytest.mark.parametrize("polled", [[CAUSE, EFFECT], [EFFECT, CAUSE]])
def test_a_cause_comes_before_its_effect_in_another_topic(polled: list[Any]) -> None:
    assert list(unpacking.by_time(polled)) == [CAUSE, EFFECT]


def test_a_partition_keeps_its_order_though_its_clock_goes_back() -> None:
    merged = list(unpacking.by_time([EFFECT, FOLLOWING, BACK, CAUSE]))

    assert merged == [CAUSE, FOLLOWING, BACK, EFFECT]


def test_a_header_name_as_long_as_a_record_is_not_remembered() -> None:
    remembered = unpacking._usual_name.cache_info

    before = remembered().currsize
    long = unpacking.record_of(consumed("orders.v1", 1, 0, "n" * 100_000), "")
    assert (len(long.headers[0][0]), remembered().currsize) == (100_000, before)
    unpacking.record_of(consumed("orders.v1", 1, 0, "a name of its own"), "")
    assert remembered().currsize == before + 1
