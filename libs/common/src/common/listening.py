"""Connections that wait are taken together: the event loop's own way is one of them a turn."""

import asyncio
import os
import socket
from collections.abc import Callable, Iterable

_TOGETHER = 256
"""Connections of one turn: enough for any crowd, and the loop is back within milliseconds."""

Protocol = Callable[[], asyncio.BaseProtocol]


class Doorman:
    """Empties a listening socket's queue beside the server that listens on it.

    libuv takes one connection a turn (since 1.45): where a turn lasts 10 ms, a hundred a second
    get in, and the others wait in the kernel, where no bound of ours counts them.
    """

    def __init__(self, sockets: Iterable[socket.socket], protocol: Protocol) -> None:
        """Take what comes to these sockets, which listen already."""
        self._loop = asyncio.get_running_loop()
        self._protocol = protocol
        self._entering: set[asyncio.Task[object]] = set()
        self._doors = [socket.socket(fileno=os.dup(each.fileno())) for each in sockets]
        for door in self._doors:
            door.settimeout(0)
            self._loop.add_reader(door, self._let_in, door)

    def close(self) -> None:
        """Take no more."""
        for door in self._doors:
            self._loop.remove_reader(door)
            door.close()

    def _let_in(self, door: socket.socket) -> None:
        for _ in range(_TOGETHER):
            try:
                connection, _ = door.accept()
            except OSError:  # nobody is left, or there is no room: libuv knows what to do
                return
            connection.settimeout(0)
            entering = self._loop.create_task(
                self._loop.connect_accepted_socket(self._protocol, connection)
            )
            self._entering.add(entering)
            entering.add_done_callback(self._entering.discard)
