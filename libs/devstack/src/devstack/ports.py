"""Ports of this machine: which are free, and which answer."""

from __future__ import annotations

import asyncio
import socket

LOCALHOST = "127.0.0.1"
_ANSWER_SECONDS = 5.0
"""Longer than any health check may take."""
_given_out: set[int] = set()


def free_port() -> int:
    """Return a port that was free a moment ago and that this process has not been given before."""
    while True:
        with socket.socket() as probe:
            probe.bind((LOCALHOST, 0))
            port: int = probe.getsockname()[1]
        if port not in _given_out:
            _given_out.add(port)
            return port


def first_free_from(port: int) -> int:
    """Return the port itself, or the next one that is free."""
    while not _is_free(port):
        port += 1
    _given_out.add(port)
    return port


def _is_free(port: int) -> bool:
    if port in _given_out:
        return False
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOCALHOST, port))
        except OSError:
            return False
    return True


async def accepts(port: int) -> bool:
    """Tell whether something listens there."""
    try:
        _, writer = await asyncio.open_connection(LOCALHOST, port)
    except OSError:
        return False
    writer.close()
    return True


async def answers_ok(port: int, path: str) -> bool:
    """Tell whether an HTTP server there answers with 200."""
    try:
        reader, writer = await asyncio.open_connection(LOCALHOST, port)
    except OSError:
        return False
    try:
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: {LOCALHOST}\r\nConnection: close\r\n\r\n".encode()
        )
        status_line = await asyncio.wait_for(reader.readline(), _ANSWER_SECONDS)
    except (OSError, TimeoutError):
        return False
    finally:
        writer.close()
    return status_line.split()[1:2] == [b"200"]
