"""A mail server that delivers nothing: each letter is added to one mbox, a file for all.

A file for each cost more than all the rest of taking a letter: the file system's part alone.
"""

from __future__ import annotations

import argparse
import asyncio
import errno
import fcntl
import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import cast

import uvloop
from typing_extensions import override

from devstack.ports import LOCALHOST, accepts, free_port
from devstack.processes import Processes, Program, python

BOX = "mbox"

_HELLO = b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n"
_ANSWERS: Mapping[bytes, bytes] = {
    b"EHLO": _HELLO,
    b"HELO": b"250 sink\r\n",
    b"DATA": b"354 End with <CR><LF>.<CR><LF>\r\n",
    b"QUIT": b"221 Bye\r\n",
    **dict.fromkeys((b"MAIL", b"RCPT", b"RSET", b"NOOP"), b"250 OK\r\n"),
}
_UNKNOWN = b"502 Not implemented\r\n"


class Box:
    """Keeps letters, whole ones only: whoever asks for its size while it is locked sees no half."""

    def __init__(self, folder: Path) -> None:
        """Add to what is in that folder."""
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / BOX).open("ab", buffering=0)
        if self._file.tell():
            self._add(b"\n")  # a sink that was killed may have left half a line

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def keep(self, letter: bytes) -> None:
        """Add a letter; it is in the file when this returns."""
        lines = b"\n" + letter.replace(b"\r\n", b"\n")
        self._add(
            b"From sink %b\nX-Arrived: %d%b\n"
            % (time.asctime().encode(), time.time_ns(), lines.replace(b"\nFrom ", b"\n>From "))
        )

    def _add(self, words: bytes) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_EX)
        try:
            written = self._file.write(words)
            if written < len(words):
                self._file.truncate(self._file.tell() - written)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN)


class Sink(asyncio.Protocol):
    """Takes every letter of one client; answers together what was said together."""

    def __init__(self, box: Box) -> None:
        """Add to that box."""
        self._box = box
        self._unread = b""
        self._in_letter = False

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(b"220 sink\r\n")

    @override
    def data_received(self, data: bytes) -> None:
        self._unread += data
        answers = b"".join(self._answers())
        if answers:
            self._transport.write(answers)
        if answers.endswith(_ANSWERS[b"QUIT"]):
            self._transport.close()

    def _answers(self) -> Iterator[bytes]:
        while True:
            end = b"\r\n.\r\n" if self._in_letter else b"\r\n"
            said, complete, rest = self._unread.partition(end)
            if not complete:
                return
            self._unread = rest
            yield self._take(said + b"\r\n") if self._in_letter else self._obey(said[:4].upper())

    def _obey(self, command: bytes) -> bytes:
        if command == b"DATA":
            self._in_letter = True
            self._unread = b"\r\n" + self._unread  # a letter's first line may be its last
        return _ANSWERS.get(command, _UNKNOWN)

    def _take(self, letter: bytes) -> bytes:
        self._in_letter = False
        self._box.keep(letter.replace(b"\r\n.", b"\r\n").removeprefix(b"\r\n"))
        return b"250 OK\r\n"


async def start(processes: Processes, folder: Path) -> str:
    """Start a sink that writes into the folder, and return its URL."""
    port = free_port()
    command = python("-m", "devstack.mail", "--port", port, "--folder", folder)
    server = processes.spawn(Program("mail", command))

    async def listens() -> bool:
        return await accepts(port)

    await server.ready(listens)
    return f"smtp://{LOCALHOST}:{port}"


async def serve(host: str, port: int, folder: Path) -> None:
    """Take letters until told to stop."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    with closing(Box(folder)) as box:
        async with await loop.create_server(lambda: Sink(box), host, port):
            await stop.wait()


def main() -> None:
    """Serve with what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m devstack.mail", description=__doc__)
    parser.add_argument("--host", default=LOCALHOST)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True, help=f"where the {BOX} is")
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(given.host, given.port, given.folder))


if __name__ == "__main__":
    main()
