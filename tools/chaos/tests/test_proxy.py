"""Each way a link can misbehave, against a server that says everything back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import pytest_asyncio
from chaos.proxy import Proxy, Toxic
from devstack.ports import LOCALHOST

QUICK = 2.0
"""Seconds within which something comes that is going to come."""
NEVER = 0.2


@dataclass
class Echo:
    """The server's side: what reached it, whatever became of its answers."""

    port: int = 0
    heard: bytearray = field(default_factory=bytearray)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(1000):
                self.heard += chunk
                writer.write(chunk)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


@dataclass
class Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, said: bytes) -> bytes:
        """Say something and read so much back."""
        self.writer.write(said)
        return await asyncio.wait_for(self.reader.readexactly(len(said)), QUICK)

    async def silent(self) -> bool:
        """Tell whether nothing comes."""
        try:
            await asyncio.wait_for(self.reader.read(1), NEVER)
        except TimeoutError:
            return True
        return False


@pytest_asyncio.fixture
async def echo() -> AsyncIterator[Echo]:
    server = Echo()
    listening = await asyncio.start_server(server.serve, LOCALHOST, 0)
    server.port = listening.sockets[0].getsockname()[1]
    yield server
    listening.close()


@pytest_asyncio.fixture
async def link(echo: Echo) -> AsyncIterator[Proxy]:
    async with Proxy("a link", echo.port) as proxy:
        yield proxy


@pytest_asyncio.fixture
async def client(link: Proxy) -> AsyncIterator[Client]:
    client = Client(*await asyncio.open_connection(LOCALHOST, link.port))
    yield client
    client.writer.close()


async def heard(echo: Echo, said: bytes) -> None:
    async with asyncio.timeout(QUICK):
        while bytes(echo.heard) != said:
            await asyncio.sleep(0.005)


async def test_a_healthy_link_passes_everything_on(client: Client) -> None:
    large = bytes(range(256)) * 2_000

    assert await client.ask(large) == large


async def test_what_is_said_before_hanging_up_arrives(client: Client) -> None:
    client.writer.write(b"bye")
    client.writer.write_eof()

    assert await asyncio.wait_for(client.reader.read(), QUICK) == b"bye"


async def test_latency_delays_each_answer(link: Proxy, client: Client) -> None:
    link.set(up=Toxic(latency=0.05), down=Toxic(latency=0.05, jitter=0.02))
    began = time.monotonic()

    assert await client.ask(b"hello") == b"hello"
    assert time.monotonic() - began >= 0.1


async def test_a_held_link_delivers_when_it_heals(link: Proxy, client: Client, echo: Echo) -> None:
    link.set(up=Toxic(held=True), down=Toxic(held=True))
    client.writer.write(b"hello")
    assert await client.silent()
    assert not echo.heard

    link.heal()

    assert await asyncio.wait_for(client.reader.readexactly(5), QUICK) == b"hello"


async def test_a_link_held_one_way_still_reaches_the_server(
    link: Proxy, client: Client, echo: Echo
) -> None:
    link.set(down=Toxic(held=True))
    client.writer.write(b"hello")

    await heard(echo, b"hello")
    assert await client.silent()


@pytest.mark.parametrize("way", ["up", "down"])
async def test_a_link_is_cut_after_so_many_bytes(
    link: Proxy, client: Client, echo: Echo, way: str
) -> None:
    link.set(**{way: Toxic(cut_after=7)})
    assert await client.ask(b"hello") == b"hello"
    client.writer.write(b"again")

    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(client.reader.readexactly(5), QUICK)
    await heard(echo, b"hello" + (b"ag" if way == "up" else b"again"))
    assert link.resets == 1


async def test_the_reply_to_some_words_is_lost(link: Proxy, client: Client, echo: Echo) -> None:
    link.set(up=Toxic(cut_reply_to=b"COMMIT"))
    assert await client.ask(b"BEGIN") == b"BEGIN"
    client.writer.write(b"COMMIT;")

    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(client.reader.readexactly(1), QUICK)
    await heard(echo, b"BEGINCOMMIT;")


async def test_a_reset_cuts_what_is_open_and_nothing_new(link: Proxy, client: Client) -> None:
    assert await client.ask(b"hello") == b"hello"

    link.reset()

    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(client.reader.readexactly(1), QUICK)
    again = Client(*await asyncio.open_connection(LOCALHOST, link.port))
    assert await again.ask(b"hello") == b"hello"
    again.writer.close()


async def test_a_refusing_link_cuts_new_connections_until_it_heals(link: Proxy) -> None:
    link.set(refuses=True)
    refused = Client(*await asyncio.open_connection(LOCALHOST, link.port))
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await refused.ask(b"hello")

    link.heal()

    taken = Client(*await asyncio.open_connection(LOCALHOST, link.port))
    assert await taken.ask(b"hello") == b"hello"
    taken.writer.close()
    refused.writer.close()


async def test_a_slow_link_takes_its_time(link: Proxy, client: Client) -> None:
    link.set(down=Toxic(rate=50))
    began = time.monotonic()

    assert await client.ask(b"ten bytes!") == b"ten bytes!"
    assert time.monotonic() - began >= 0.1


async def test_a_server_that_is_away_is_seen_as_away() -> None:
    listening = await asyncio.start_server(lambda _, writer: writer.close(), LOCALHOST, 0)
    port = listening.sockets[0].getsockname()[1]
    listening.close()
    async with Proxy("to nobody", port) as proxy:
        client = Client(*await asyncio.open_connection(LOCALHOST, proxy.port))

        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await client.ask(b"hello")
        client.writer.close()
