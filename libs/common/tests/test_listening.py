"""On the event loop that the services run on: another one has another way of accepting."""

import asyncio
import socket
from contextlib import ExitStack

import uvicorn
import uvloop
from common.head import BoundedHead
from common.process import _Server
from starlette.types import Receive, Scope, Send

CROWD = 200
FEW_TURNS = 20


async def hello(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"y")]})
    await send({"type": "http.response.body", "body": b"hello"})


def serve() -> _Server:
    config = uvicorn.Config(hello, port=0, http=BoundedHead, log_config=None, lifespan="off")
    return _Server(config)


async def start(server: _Server) -> tuple[asyncio.Task[None], int]:
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(20):
        while not server.started:
            await asyncio.sleep(0.01)
    return serving, server.servers[0].sockets[0].getsockname()[1]


def test_a_crowd_at_the_door_gets_in_within_a_few_turns_of_the_loop() -> None:
    async def turns() -> int:
        server = serve()
        serving, port = await start(server)
        count = 0
        with ExitStack() as crowd:
            for _ in range(CROWD):  # without a turn of the loop: all of them wait in the kernel
                crowd.enter_context(socket.create_connection(("127.0.0.1", port)))
            while len(server.server_state.connections) < CROWD and count <= CROWD:
                count += 1
                await asyncio.sleep(0)
        server.should_exit = True
        await serving
        return count

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(turns()) <= FEW_TURNS


def test_the_port_is_free_once_the_server_has_stopped() -> None:
    async def stopped() -> int:
        server = serve()
        serving, port = await start(server)
        server.should_exit = True
        await serving
        return port

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        port = runner.run(stopped())
        with socket.create_server(("127.0.0.1", port), reuse_port=False):
            pass


def test_each_of_the_crowd_is_answered() -> None:
    async def answers() -> set[bytes]:
        server = serve()
        serving, port = await start(server)

        async def ask() -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            answer = await reader.read()
            writer.close()
            return answer.partition(b"\r\n")[0]

        found = set(await asyncio.gather(*(ask() for _ in range(CROWD))))
        server.should_exit = True
        await serving
        return found

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(answers()) == {b"HTTP/1.1 200 OK"}
