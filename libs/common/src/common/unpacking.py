"""Lets aiokafka unpack a record whose header names are not UTF-8, and refuse a batch that explodes.

At such a name aiokafka 0.14 raises, and again at every later offset of the same producer batch,
since the broker returns whole batches: seeking past the one record would lose its good neighbours.
A compressed batch it unpacks whole, however much that is. What nobody can unpack ends its own
partition's records, where aiokafka would lose those that it has drained from others.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from heapq import merge
from itertools import islice
from operator import attrgetter
from typing import Any, NamedTuple, cast

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record import default_records as _plain
from aiokafka.record._crecords import default_records as _compiled
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import ConsumerRecord
from typing_extensions import override

from common import inflating
from common.dead_letter import Record

_LENGTH = struct.Struct(">qi")
"""How each batch begins: its first offset, and the bytes that follow."""


def forgive() -> None:
    """Have every consumer of this process unpack what aiokafka alone would not."""
    cast("Any", fetcher).MemoryRecords = ForgivingRecords
    cast("Any", fetcher).PartitionRecords = ReadableRecords
    for module in (_compiled, _plain):
        for name, bounded in inflating.DECODERS.items():
            setattr(module, name, bounded)


def by_time(
    records: Iterable[ConsumerRecord[Any, Any]],
) -> Iterator[ConsumerRecord[Any, Any]]:
    """Merge a poll's partitions by the producers' clocks: a cause then comes before its effect.

    aiokafka gives them in any order. Each partition keeps its own, whatever its clocks say.
    """
    lanes: defaultdict[tuple[str, int], list[ConsumerRecord[Any, Any]]] = defaultdict(list)
    for record in records:
        lanes[record.topic, record.partition].append(record)
    return merge(*lanes.values(), key=attrgetter("timestamp"))


def record_of(consumed: ConsumerRecord[Any, Any], topic_prefix: str) -> Record:
    """Take a record over from aiokafka, its header names as the bytes that they were."""
    return Record(
        topic=consumed.topic.removeprefix(topic_prefix),
        partition=consumed.partition,
        offset=consumed.offset,
        timestamp=_moment(consumed.timestamp),
        key=consumed.key,
        value=consumed.value,
        headers=[
            (_usual_name(name) if len(name) <= _USUAL else _name(name), value or b"")
            for name, value in consumed.headers
        ],
    )


def _name(text: str) -> bytes:
    """Take back what aiokafka decoded."""
    return text.encode(errors="surrogateescape")


_USUAL = 64
"""Characters of a name that is remembered: others may be as long as a record."""
_usual_name = lru_cache(maxsize=256)(_name)


def _moment(milliseconds: int) -> datetime:
    """Read a producer's clock, which may say what no calendar has."""
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, UTC)


class ForgivingRecords:
    """Stands where aiokafka's fetcher unpacks a response."""

    def __init__(self, data: bytes) -> None:
        self._strict: Any = MemoryRecords(data)
        self._data = memoryview(data)
        self._start = 0

    def has_next(self) -> bool:
        """Tell whether a whole batch follows."""
        return bool(self._strict.has_next())

    def size_in_bytes(self) -> int:
        """Count the bytes of the response, with the batch that is cut off."""
        return len(self._data)

    def next_batch(self) -> _Batch:
        """Give the next batch as aiokafka reads it, and its bytes for when it can't."""
        start = self._start
        self._start += _LENGTH.size + _LENGTH.unpack_from(self._data, start)[1]
        return _Batch(self._strict.next_batch(), self._data[start : self._start])


class _Batch:
    def __init__(self, strict: Any, data: memoryview) -> None:
        self._strict = strict
        self._data = data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._strict, name)

    def __next__(self) -> Any:
        return next(self._strict)

    def __iter__(self) -> Iterator[Any]:
        read = 0
        try:
            for record in self._strict:
                read += 1
                yield record
        except inflating.TooLarge:
            yield self._whole()
        except (UnicodeDecodeError, CorruptRecordException):
            # What is corrupt in another way raises here again.
            yield from islice(_forgiving(self._data), read, None)

    def _whole(self) -> _Record:
        """Stand for all records of a batch that is too large to unpack: a dead letter."""
        return _Record(
            offset=self._strict.next_offset - 1,
            timestamp=self._strict.max_timestamp,
            timestamp_type=self._strict.timestamp_type,
            value=bytes(self._data),
        )


class _Record(NamedTuple):
    """What aiokafka's fetcher asks of a record."""

    offset: int
    timestamp: int
    timestamp_type: int
    value: bytes
    key: None = None
    headers: tuple[tuple[str, bytes], ...] = ()
    checksum: None = None


class Unreadable(NamedTuple):
    """Stands after a partition's last record, where what follows can't be unpacked."""

    offset: int
    error: Exception


class ReadableRecords(fetcher.PartitionRecords):
    """A partition's records up to what can't be unpacked; its position stays there.

    aiokafka's own raise there, out of a poll that has moved the positions of other partitions.
    """

    @override
    def _unpack_records(self) -> Iterator[Any]:
        try:
            yield from super()._unpack_records()
        except Exception as error:
            yield Unreadable(self.next_fetch_offset, error)


def _forgiving(data: memoryview) -> Iterator[Any]:
    batch: Any = _DefaultRecordBatchPy(data)
    records: Iterator[Any] = iter(batch)  # uncompresses
    batch._buffer = _Text(batch._buffer)  # noqa: SLF001  its only place for other bytes
    return records


class _Text(bytearray):
    """Bytes whose slices become text whatever they hold: surrogates keep what is no UTF-8."""

    @override
    def __getitem__(self, at: Any) -> Any:
        found: Any = super().__getitem__(at)
        return _Text(found) if isinstance(at, slice) else found

    @override
    def decode(self, encoding: str = "utf-8", errors: str = "surrogateescape") -> str:
        return super().decode(encoding, errors)
