"""Decompression that stops at a limit: a batch of a kilobyte may claim to be one of a gigabyte."""

import io
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import cramjam
from aiokafka import codec

LIMIT = 32 * 1024 * 1024
"""Bytes of one batch: the broker takes 1 MiB of it compressed, and ours unpack to a few MiB."""

_USUAL = 1024 * 1024
_WITH_HEADER = 31
"""zlib's word for gzip."""

_XERIAL = b"\x82SNAPPY\x00"
_XERIAL_HEADER = 16
_BLOCK_SIZE = struct.Struct(">I")


class TooLarge(Exception):
    """The batch is not unpacked: it would take more memory than any batch of ours."""


def _into(inflate: Callable[[Any, Any], int]) -> Callable[[Any], bytes]:
    def bounded(payload: Any) -> bytes:
        for size in (_USUAL, LIMIT):
            room = bytearray(size)
            try:
                return bytes(memoryview(room)[: inflate(payload, room)])
            except cramjam.DecompressionError as error:
                if "whole buffer" not in str(error):
                    raise
        raise TooLarge

    return bounded


def _gzip(payload: Any) -> bytes:
    out, rest = io.BytesIO(), bytes(payload)
    while rest:
        member = zlib.decompressobj(_WITH_HEADER)
        out.write(member.decompress(rest, LIMIT + 1 - out.tell()))
        if out.tell() > LIMIT or member.unconsumed_tail:
            raise TooLarge
        if not member.eof:
            raise EOFError("the gzip stream ends before its end")
        rest = member.unused_data
    return out.getvalue()


def _snappy(payload: Any) -> bytes:
    if sum(map(cramjam.snappy.decompress_raw_len, _snappy_blocks(payload))) > LIMIT:
        raise TooLarge
    return bytes(codec.snappy_decode(payload))


def _snappy_blocks(payload: bytes) -> Iterator[bytes]:
    """Split what Java's library wrote, which frames its blocks; others write just one."""
    if not payload.startswith(_XERIAL):
        yield payload
        return
    at = _XERIAL_HEADER
    while at < len(payload):
        (size,) = _BLOCK_SIZE.unpack_from(payload, at)
        at += _BLOCK_SIZE.size
        yield payload[at : at + size]
        at += size


DECODERS: Mapping[str, Callable[[Any], bytes]] = {
    "gzip_decode": _gzip,
    "snappy_decode": _snappy,
    "lz4_decode": _into(cramjam.lz4.decompress_into),
    "zstd_decode": _into(cramjam.zstd.decompress_into),
}
"""By the names under which aiokafka's readers of batches know them."""
