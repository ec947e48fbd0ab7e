"""DBOS: one durable workflow an order, its database steps checkpointed in their own transaction.

`python dbos_workflow.py setup | work | submit …`
"""

import asyncio
import os
import signal
import sys
from typing import Any

import shop
import uvloop
from dbos import DBOS, AsyncSQLAlchemyDatasource, DBOSClient, DBOSConfig
from outside import Declined, Outside
from shop import Order
from sqlalchemy import text

QUEUE = "orders"
VERSION = "peer"
"""Said in so many words, lest client and workers compute two."""
POLLING_SECONDS = 0.05
"""The default of 1 s would leave the workers idle for most of it."""
STATEMENTS = {
    name: text(getattr(shop, name))
    for name in "PLACE LOCK TAKE RELEASE PAID COMPLETE REJECT".split()
}
CONFIG = DBOSConfig(
    name="peer",
    system_database_url=shop.DATABASE_URL,
    application_version=VERSION,
    executor_id=os.environ.get("PEER_NUMBER", "0"),
    sys_db_pool_size=20,
    log_level="WARNING",
)

outside = Outside()
datasource: AsyncSQLAlchemyDatasource


async def in_transaction(step: Any, *arguments: Any) -> Any:
    """Run a database step; its result is checkpointed in the same transaction."""
    return await datasource.run_tx_step_async(
        {"isolation_level": "READ COMMITTED", "name": step.__name__}, step, *arguments
    )


async def reserve(row: dict[str, Any]) -> bool:
    order, db = Order(**row), datasource.sql_session()
    await db.execute(STATEMENTS["PLACE"], row)
    stock = await db.execute(STATEMENTS["LOCK"], row)
    if order.covered_by({line.sku: line.available for line in stock}):
        await db.execute(STATEMENTS["TAKE"], row)
        return True
    await db.execute(STATEMENTS["REJECT"], row)
    return False


async def complete(row: dict[str, Any], intent: str) -> None:
    db = datasource.sql_session()
    await db.execute(STATEMENTS["PAID"], row | {"intent": intent})
    await db.execute(STATEMENTS["COMPLETE"], row)


async def give_back(row: dict[str, Any]) -> None:
    db = datasource.sql_session()
    await db.execute(STATEMENTS["RELEASE"], row)
    await db.execute(STATEMENTS["REJECT"], row)


def may_pass(error: BaseException) -> bool:
    return not isinstance(error, Declined)


@DBOS.step(retries_allowed=True, max_attempts=10, should_retry=may_pass)
async def charge(row: dict[str, Any]) -> str:
    return await outside.charge(Order(**row))


@DBOS.step(retries_allowed=True, max_attempts=10)
async def notify(row: dict[str, Any]) -> None:
    await outside.send(Order(**row))


@DBOS.workflow(name="process_order")
async def process_order(row: dict[str, Any]) -> None:
    if not await in_transaction(reserve, row):
        return
    try:
        intent = await charge(row)
    except Declined:
        await in_transaction(give_back, row)
        return
    await in_transaction(complete, row, intent)
    await notify(row)


async def setup() -> None:
    """Let DBOS create its tables, and declare the queue."""
    DBOS(config=CONFIG)
    DBOS.launch()
    await AsyncSQLAlchemyDatasource.migrate(shop.DATABASE_URL)
    await DBOS.register_queue_async(
        QUEUE, worker_concurrency=shop.CONCURRENCY, polling_interval_sec=POLLING_SECONDS
    )
    DBOS.destroy()


async def work() -> None:
    global datasource  # noqa: PLW0603  its engine belongs to the loop that runs now
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    datasource = await AsyncSQLAlchemyDatasource.create(
        shop.DATABASE_URL, {"pool_size": shop.CONCURRENCY, "max_overflow": 0}, run_migrations=False
    )
    async with outside:
        DBOS(config=CONFIG)
        DBOS.launch()
        await stop.wait()
        DBOS.destroy()


async def submit() -> None:
    """Enqueue: the order is durable as its workflow's input, and the first step stores it."""
    client = DBOSClient(system_database_url=shop.DATABASE_URL, system_database_pool_size=20)

    async def accept(order: Order) -> None:
        await client.enqueue_async(
            {
                "queue_name": QUEUE,
                "workflow_name": "process_order",
                "workflow_id": order.order_id,
                "app_version": VERSION,
            },
            order.row,
        )

    await shop.submit(accept)
    client.destroy()


if __name__ == "__main__":
    uvloop.run({"setup": setup, "work": work, "submit": submit}[sys.argv[1]]())
