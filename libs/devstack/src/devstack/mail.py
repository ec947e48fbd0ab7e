"""A mail server that delivers nothing: each message becomes one .eml file."""

from __future__ import annotations

import argparse
import asyncio
import signal
from itertools import count
from pathlib import Path
from time import time_ns

import uvloop
from aiosmtpd.smtp import SMTP, Envelope, Session

from devstack.ports import LOCALHOST, accepts, free_port
from devstack.processes import Processes, Program, python


class Sink:
    """Takes every message; the answer 250 is given after the file is complete."""

    def __init__(self, folder: Path) -> None:
        """Write into that folder."""
        self._folder = folder
        self._numbers = count(1)

    async def handle_EHLO(  # noqa: N802  aiosmtpd's name for it
        self,
        _server: SMTP,
        session: Session,
        _envelope: Envelope,
        hostname: str,
        offered: list[str],
    ) -> list[str]:
        """Offer what every mail server does, and aiosmtpd can: commands that come together."""
        session.host_name = hostname
        return [*offered[:-1], "250-PIPELINING", offered[-1]]

    async def handle_DATA(  # noqa: N802  aiosmtpd's name for it
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        """Store one message."""
        content = envelope.original_content or b""
        name = f"{time_ns()}-{next(self._numbers)}"
        part = self._folder / f"{name}.part"
        part.write_bytes(content)
        part.rename(self._folder / f"{name}.eml")  # whoever lists *.eml never sees half a message
        return "250 OK"


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
    """Take messages until told to stop."""
    sink = Sink(folder)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    server = await loop.create_server(lambda: SMTP(sink, enable_SMTPUTF8=True), host, port)
    async with server:
        await stop.wait()


def main() -> None:
    """Serve with what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m devstack.mail", description=__doc__)
    parser.add_argument("--host", default=LOCALHOST)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="where the .eml files go")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(given.host, given.port, given.folder))


if __name__ == "__main__":
    main()
