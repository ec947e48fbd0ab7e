"""One TCP link that can be slowed, held, cut and reset while it is in use."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Self

from devstack.ports import LOCALHOST, free_port

_CHUNK = 64 * 1024
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER of no time: closing sends RST, as a peer that lost the connection does."""
_SLICES_A_SECOND = 10


class Way(Enum):
    """Which way bytes go."""

    UP = "to the server"
    DOWN = "to the client"


@dataclass(frozen=True, slots=True)
class Toxic:
    """What happens to bytes that go one way; by default nothing."""

    latency: float = 0.0
    """Seconds that each piece comes later."""
    jitter: float = 0.0
    """Seconds, at most, on top of it."""
    held: bool = False
    """Nothing passes. It is not lost: when the link heals it arrives, as retransmission has it."""
    rate: int | None = None
    """Bytes a second."""
    cut_after: int | None = None
    """So many bytes pass, then the connection is reset."""
    cut_reply_to: bytes = b""
    """What holds these bytes reaches the server, and its reply is lost with the connection."""


CLEAR = Toxic()


class Proxy:
    """Takes connections on a port of its own and passes them on to the target's."""

    def __init__(self, name: str, target: int, port: int | None = None) -> None:
        self.name = name
        self.port = port or free_port()
        self.resets = 0
        """Connections that were cut so far."""
        self._target = target
        self._toxics = dict.fromkeys(Way, CLEAR)
        self._refuses = False
        self._changed = asyncio.Event()
        self._connections: dict[_Connection, asyncio.Task[None]] = {}
        self._server: asyncio.Server | None = None
        self._chance = random.Random(name)  # noqa: S311  spreads delays, guards nothing

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._take, LOCALHOST, self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server:
            self._server.close()
        tasks = list(self._connections.values())
        self.reset()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def set(self, *, up: Toxic = CLEAR, down: Toxic = CLEAR, refuses: bool = False) -> None:
        """Make the link so from now on, for connections that are open and for new ones."""
        self._toxics = {Way.UP: up, Way.DOWN: down}
        self._refuses = refuses
        for connection in self._connections:
            connection.forget()
        self._changed.set()
        self._changed = asyncio.Event()
        if refuses:
            self.reset()

    def heal(self) -> None:
        """Let everything through again, what was held first."""
        self.set()

    def reset(self) -> None:
        """Cut every open connection."""
        for connection in list(self._connections):
            self.lose(connection)

    async def admit(self, way: Way) -> Toxic:
        """Wait while nothing passes that way; answers what befalls what passes now."""
        while self._toxics[way].held:
            await self._changed.wait()
        toxic = self._toxics[way]
        if delay := toxic.latency + self._chance.uniform(0, toxic.jitter):
            await asyncio.sleep(delay)
        return toxic

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = _End(reader, writer)
        try:
            if self._refuses:
                client.abort()
                return
            server = _End(*await asyncio.open_connection(LOCALHOST, self._target))
        except OSError:  # nobody listens there: the client shall see as much
            client.abort()
            return
        connection = _Connection(self, client, server)
        task = asyncio.ensure_future(connection.run())
        self._connections[connection] = task
        try:
            await asyncio.wait({task})
        finally:
            self._connections.pop(connection, None)
            client.writer.close()
            server.writer.close()

    def lose(self, connection: _Connection) -> None:
        """Reset one connection."""
        self.resets += 1
        connection.cut()


@dataclass(frozen=True, slots=True)
class _End:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def abort(self) -> None:
        with suppress(OSError):  # closed already
            self.writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE
            )
        self.writer.transport.abort()


@dataclass(eq=False, slots=True)
class _Connection:
    proxy: Proxy
    client: _End
    server: _End
    passed: dict[Way, int] = field(default_factory=lambda: dict.fromkeys(Way, 0))
    """Bytes since the link was last changed."""
    doomed: bool = False
    """What the server says next is lost, and the connection with it."""

    def forget(self) -> None:
        self.passed = dict.fromkeys(Way, 0)
        self.doomed = False

    def cut(self) -> None:
        self.client.abort()
        self.server.abort()

    async def run(self) -> None:
        await asyncio.gather(
            self._pump(self.client.reader, self.server.writer, Way.UP),
            self._pump(self.server.reader, self.client.writer, Way.DOWN),
        )

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Way
    ) -> None:
        try:
            while chunk := await reader.read(_CHUNK):
                toxic = await self.proxy.admit(way)
                if (self.doomed and way is Way.DOWN) or not await self._pass(
                    chunk, writer, way, toxic
                ):
                    self.proxy.lose(self)
                    return
            await self.proxy.admit(way)
            writer.write_eof()
        except OSError:  # one end is gone, so the other goes too
            self.cut()

    async def _pass(
        self, chunk: bytes, writer: asyncio.StreamWriter, way: Way, toxic: Toxic
    ) -> bool:
        """Write what passes; answers whether the connection survives it."""
        room = len(chunk)
        if toxic.cut_after is not None:
            room = max(0, toxic.cut_after - self.passed[way])
        if toxic.cut_reply_to and toxic.cut_reply_to in chunk:
            self.doomed = True
        for piece in _slices(chunk[:room], toxic.rate):
            writer.write(piece)
            await writer.drain()
            if toxic.rate:
                await asyncio.sleep(len(piece) / toxic.rate)
        self.passed[way] += len(chunk[:room])
        return room >= len(chunk)


def _slices(chunk: bytes, rate: int | None) -> list[bytes]:
    size = max(1, rate // _SLICES_A_SECOND) if rate else max(1, len(chunk))
    return [chunk[begin : begin + size] for begin in range(0, len(chunk), size)]
