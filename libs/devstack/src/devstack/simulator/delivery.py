"""How an answer reaches its client: at once, late, or never."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import dataclass, field

from devstack.simulator.moods import Mood
from devstack.simulator.server import Connection, Response

_LONGEST_HANG = 60.0
"""Longer than any client waits; a client that leaves ends it at once."""
_BETWEEN_BYTES = 1.0
_ON_ITS_WAY = 0.05
"""Time for the first half to leave before the connection goes, and takes with it what has not."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """An answer, how it is sent, and what its request holds until the client has it or has left."""

    response: Response
    mood: Mood = Mood.FINE
    delay: float = 0.0
    held: ExitStack = field(default_factory=ExitStack)

    async def send(self, connection: Connection) -> None:
        """Send the answer as its mood wants, then let go of what the request held."""
        with self.held:
            if self.delay:
                await asyncio.sleep(self.delay)
            match self.mood:
                case Mood.LOST:
                    connection.cut()
                case Mood.RESET:
                    connection.write(self.response.head)
                    connection.write(self.response.body[: len(self.response.body) // 2])
                    await asyncio.sleep(_ON_ITS_WAY)
                    connection.cut()
                case Mood.DRIP:
                    await _drip(self.response, connection)
                case Mood.HANGS:
                    await _leaves(connection, _LONGEST_HANG)
                    _send(self.response, connection)
                case _:
                    _send(self.response, connection)


def _send(response: Response, connection: Connection) -> None:
    connection.write(response.head + response.body)


async def _drip(response: Response, connection: Connection) -> None:
    """Send a byte a second, until all is sent or the client has had enough."""
    connection.write(response.head)
    for byte in response.body:
        connection.write(bytes([byte]))
        if await _leaves(connection, _BETWEEN_BYTES):
            return


async def _leaves(connection: Connection, within: float) -> bool:
    try:
        async with asyncio.timeout(within):
            return await connection.left.wait()
    except TimeoutError:
        return False
