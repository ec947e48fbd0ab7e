"""A small record that claims to be a huge one is refused for a small amount of memory."""

from __future__ import annotations

import resource
import struct
import time
import tracemalloc
from collections.abc import Callable
from json import JSONDecodeError
from typing import Any

import pytest
from common import avro, strict_json
from common.errors import Poison
from inventory_service.messages import OrderPlaced

MEBIBYTE = 2**20
MOST = 8 * MEBIBYTE
"""Far above what a true record takes, far below what the bombs claim."""

GIGABYTE = 2**30


def number(value: int) -> bytes:
    """Write an Avro long."""
    folded = (value << 1) ^ (value >> 63)
    out = bytearray()
    while folded > 0x7F:
        out.append(folded & 0x7F | 0x80)
        folded >>= 7
    return bytes([*out, folded])


def framed(body: bytes) -> bytes:
    schema_id = avro.contract().ids["orders.v1", "OrderPlaced"]
    return struct.pack(">bI", 0, schema_id) + body


def text(value: bytes) -> bytes:
    return number(len(value)) + value


ORDER = text(b"0198f3a0-0003-7000-8000-000000000003")
IDS = ORDER + ORDER
FILLING = b"\x02" * 1000
"""As Avro: small numbers and short texts, so that a decoder gets far before it stumbles."""

BOMBS: dict[str, bytes] = {
    "a text of a gigabyte": framed(number(GIGABYTE) + FILLING),
    "a text of all there is": framed(number(2**62) + FILLING),
    "a text of less than nothing": framed(number(-GIGABYTE) + FILLING),
    "a number that never ends": framed(b"\xff" * 1000),
    "a billion lines": framed(IDS + number(GIGABYTE) + FILLING),
    "more lines than can be counted": framed(IDS + number(2**62) + FILLING),
    "a block of lines of a gigabyte": framed(IDS + number(-10) + number(GIGABYTE) + FILLING),
    "a block of the least number": framed(IDS + number(-(2**63)) + number(1) + FILLING),
    "blocks of lines without end": framed(IDS + (number(-1) + number(0)) * 500),
    "a choice that there is not": framed(IDS + number(0) + number(2**40) + FILLING),
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_a_record_that_claims_too_much_is_poison_at_no_cost(bomb: bytes) -> None:
    assert len(bomb) < 2000

    def decode() -> None:
        with pytest.raises(Poison):
            avro.decode(bomb, OrderPlaced)

    assert cost_of(decode) < MOST


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_an_operator_may_look_at_it(bomb: bytes) -> None:
    def look() -> None:
        with pytest.raises(Poison):
            avro.describe(bomb)

    assert cost_of(look) < MOST


def test_a_record_over_the_limit_is_not_decoded_at_all() -> None:
    huge = framed(IDS + b"\x00" * 2 * MEBIBYTE)

    with pytest.raises(Poison, match="over"):
        avro.decode(huge, OrderPlaced)


@pytest.mark.parametrize("depth", [10_000, 120_000])
def test_json_nested_without_end_is_refused(depth: int) -> None:
    def parse() -> None:
        with pytest.raises(JSONDecodeError, match="nested too deeply"):
            strict_json.parse(b"[" * depth + b"]" * depth)

    assert cost_of(parse) < MOST


def test_the_most_lines_that_fit_into_a_record_are_bounded_too() -> None:
    line = number(1) + text(b"") + number(1) + number(1) + text(b"")
    count = (avro._MAX_PAYLOAD_BYTES - 200) // len(line)
    stuffed = framed(IDS + number(count) + line * count)
    assert len(stuffed) <= avro._MAX_PAYLOAD_BYTES

    def decode() -> None:
        with pytest.raises(Poison):
            avro.decode(stuffed, OrderPlaced)

    assert cost_of(decode) < 160 * MEBIBYTE


def cost_of(work: Callable[[], Any]) -> int:
    """Tell how much memory it took at most, by Python's count and the system's."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tracemalloc.start()
    began = time.thread_time()
    try:
        work()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.thread_time() - began < 5
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return max(peak, grown * 1024)
