"""Kafka batches that are small on the wire and would be huge in memory."""

from __future__ import annotations

import resource
import tracemalloc
from typing import Any

import pytest
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from common import inflating, unpacking

MEBIBYTE = 2**20
CODECS = {"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
BOMB = 256 * MEBIBYTE
every_codec = pytest.mark.parametrize("kind", CODECS.values(), ids=CODECS)


@pytest.fixture(autouse=True)
def _forgiving(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo at the end what a process does for good."""
    monkeypatch.setattr(fetcher, "MemoryRecords", fetcher.MemoryRecords)
    for module in (unpacking._compiled, unpacking._plain):
        for name in inflating.DECODERS:
            monkeypatch.setattr(module, name, getattr(module, name))
    unpacking.forgive()


def batch(kind: int, *values: bytes) -> bytes:
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=kind,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=0,
        batch_size=2**31 - 1,
    )
    for offset, value in enumerate(values):
        builder.append(offset, timestamp=1_700_000_000_000, key=b"k", value=value, headers=[])
    return bytes(builder.build())


def read(data: bytes) -> list[Any]:
    records = unpacking.ForgivingRecords(data)
    found: list[Any] = []
    while records.has_next():
        found.extend(records.next_batch())
    return found


@every_codec
def test_an_honest_batch_is_unpacked(kind: int) -> None:
    values = [b"a" * 100, b"b" * 3 * MEBIBYTE]

    assert [record.value for record in read(batch(kind, *values))] == values


@every_codec
def test_a_bomb_becomes_one_record_that_holds_it_unopened(kind: int) -> None:
    bomb = batch(kind, b"a", b"\x00" * (inflating.LIMIT + 1))
    good = batch(kind, b"good")

    first, second = read(bomb + good)

    assert (first.offset, first.value, first.key, first.headers) == (1, bomb, None, ())
    assert second.value == b"good"


@every_codec
def test_a_bomb_takes_little_memory(kind: int) -> None:
    bomb = batch(kind, b"\x00" * BOMB)
    assert len(bomb) < BOMB / 15
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tracemalloc.start()

    read(bomb)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert max(peak, grown) < 3 * inflating.LIMIT + 2 * len(bomb)
