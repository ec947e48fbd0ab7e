"""Restate: one workflow an order, its steps journalled by the Restate server.

`python restate_workflow.py server | work | register | submit …`
"""

import asyncio
import contextlib
import os
import sys
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import restate
import shop
import uvloop
from outside import Declined, Outside
from restate.exceptions import TerminalError
from shop import Order, for_asyncpg

INGRESS, ADMIN, NODE, HANDLERS = os.environ.get("PEER_PORTS", "0,0,0,0").split(",")
LOCALHOST = "127.0.0.1"
STREAMS = 16
"""Of one connection: several of them reach all of the workers, which share one port."""
SECONDS_TO_START = 60
PARTITIONS = 4
"""Of the server; its default of 24 is for more than two cores."""

workflow = restate.Workflow("Order")
outside = Outside()
database: asyncpg.Pool


async def execute(db: asyncpg.pool.PoolConnectionProxy, statement: str, row: dict[str, Any]) -> Any:
    text, values = for_asyncpg(statement, row)
    return await db.fetch(text, *values)


async def reserve(order: Order) -> bool:
    """Store the order and take its stock, both or neither."""
    async with database.acquire() as db, db.transaction():
        await execute(db, shop.PLACE, order.row)
        covered = order.covered_by(dict(await execute(db, shop.LOCK, order.row)))
        await execute(db, shop.TAKE if covered else shop.REJECT, order.row)
    return covered


async def charge(order: Order) -> str:
    try:
        return await outside.charge(order)
    except Declined as error:
        raise TerminalError("declined") from error


async def complete(order: Order, intent: str) -> None:
    async with database.acquire() as db, db.transaction():
        await execute(db, shop.PAID, order.row | {"intent": intent})
        await execute(db, shop.COMPLETE, order.row)


async def give_back(order: Order) -> None:
    async with database.acquire() as db, db.transaction():
        for statement in (shop.RELEASE, shop.REJECT):
            await execute(db, statement, order.row)


@workflow.main()
async def run(ctx: restate.WorkflowContext, row: dict[str, Any]) -> None:
    order = Order(**row)
    if not await ctx.run_typed("reserve", reserve, order=order):
        return
    try:
        intent = await ctx.run_typed("charge", charge, order=order)
    except TerminalError:
        await ctx.run_typed("give back", give_back, order=order)
        return
    await ctx.run_typed("complete", complete, order=order, intent=intent)
    await ctx.run_typed("notify", outside.send, order=order)


handlers = restate.app([workflow])


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Hold what the steps need open for as long as the ASGI server runs."""
    if scope["type"] != "lifespan":
        await handlers(scope, receive, send)
        return
    global database
    await receive()
    async with asyncpg.create_pool(shop.DATABASE_URL, min_size=2, max_size=20) as database, outside:
        await send({"type": "lifespan.startup.complete"})
        await receive()
    await send({"type": "lifespan.shutdown.complete"})


def server() -> None:
    """Become the Restate server, alone in its cluster, with the durability it has by default."""
    packages = Path(os.environ["PEER_NODE"]) / "node_modules" / "@restatedev"
    binary = next(packages.glob("restate-server-*/bin/restate-server"))
    own = {
        "RESTATE_BASE_DIR": os.environ["PEER_STATE"],
        "RESTATE_NODE_NAME": "peer",
        "RESTATE_BIND_ADDRESS": f"{LOCALHOST}:{NODE}",
        "RESTATE_ADVERTISED_ADDRESS": f"http://{LOCALHOST}:{NODE}",
        "RESTATE_INGRESS__BIND_ADDRESS": f"{LOCALHOST}:{INGRESS}",
        "RESTATE_ADMIN__BIND_ADDRESS": f"{LOCALHOST}:{ADMIN}",
        "RESTATE_DEFAULT_NUM_PARTITIONS": str(PARTITIONS),
        "RESTATE_WORKER__INVOKER__HTTP2_STREAMS_PER_CONNECTION_LIMIT": str(STREAMS),
        "RESTATE_DISABLE_TELEMETRY": "true",
        "RESTATE_LOG_FILTER": "warn",
    }
    os.execve(binary, [binary.name], os.environ | own)  # noqa: S606  a program, no shell


def work() -> None:
    """Become the ASGI server that the documentation names."""
    options = ["--bind", f"{LOCALHOST}:{HANDLERS}", "--workers", str(shop.CONCURRENCY)]
    os.chdir(Path(__file__).parent)
    command = [sys.executable, "-m", "hypercorn", "restate_workflow:app", "-k", "uvloop", *options]
    os.execv(sys.executable, command)  # noqa: S606  a program, no shell


async def register() -> None:
    """Tell the server where the handlers are, as soon as both answer."""
    body = {"uri": f"http://{LOCALHOST}:{HANDLERS}", "use_http_11": False}
    async with aiohttp.ClientSession() as http:
        for _ in range(SECONDS_TO_START):
            with contextlib.suppress(aiohttp.ClientError):
                async with http.post(f"http://{LOCALHOST}:{ADMIN}/deployments", json=body) as reply:
                    if reply.ok:
                        return
            await asyncio.sleep(1)
    sys.exit("Restate did not take the deployment")


async def submit() -> None:
    """Send: the server answers 202 when the invocation is durable."""
    url = f"http://{LOCALHOST}:{INGRESS}/Order"
    async with aiohttp.ClientSession(raise_for_status=True) as http:

        async def accept(order: Order) -> None:
            async with http.post(f"{url}/{order.order_id}/run/send", json=order.row) as reply:
                await reply.read()

        await shop.submit(accept)


if __name__ == "__main__":
    if sys.argv[1] in {"server", "work"}:
        {"server": server, "work": work}[sys.argv[1]]()
    else:
        uvloop.run({"register": register, "submit": submit}[sys.argv[1]]())
