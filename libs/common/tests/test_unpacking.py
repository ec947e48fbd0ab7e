"""What a poll gives is unpacked as far as it can be, and put into an order before it is handled."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.record.default_records import DefaultRecordBatchBuilder
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


def batch(offset: int, kind: int) -> bytes:
    """Build a batch of two records."""
    builder = DefaultRecordBatchBuilder(2, kind, 0, -1, -1, 0, 10_000)
    for place in range(2):
        builder.append(place, timestamp=1, key=b"k", value=b"v" * 99, headers=[])
    return struct.pack(">q", offset) + bytes(builder.build())[8:]


CODECS = {"none": 0, "gzip": 1, "zstd": 4}
HEADER = 61
"""Bytes of a batch before its records."""


def readable(data: bytes, offset: int, *, checked: bool = True) -> unpacking.ReadableRecords:
    """Unpack what a fetch from that offset gave."""
    partition = TopicPartition("orders.v1", 0)
    batches = unpacking.ForgivingRecords(data)
    return unpacking.ReadableRecords(partition, batches, [], offset, None, None, checked, 0)


@pytest.mark.parametrize("checked", [True, False], ids=["checksum", "no checksum"])
@pytest.mark.parametrize("kind", CODECS.values(), ids=CODECS)
def test_a_batch_that_cannot_be_unpacked_ends_what_is_read_and_the_position_stays(
    kind: int, *, checked: bool
) -> None:
    bad = bytearray(batch(2, kind))
    bad[HEADER:] = b"\xff" * len(bad[HEADER:])

    records = readable(batch(0, kind) + bytes(bad) + batch(4, kind), 0, checked=checked)

    assert [each.offset for each in records] == [0, 1, 2]
    assert records.next_fetch_offset == 2


def test_what_cannot_be_unpacked_is_told_by_its_place_and_its_error() -> None:
    bad = bytearray(batch(7, CODECS["none"]))
    bad[-1] ^= 1

    (rest,) = readable(bytes(bad), 7)

    assert rest.offset == 7
    assert "Invalid CRC" in str(rest.error)
