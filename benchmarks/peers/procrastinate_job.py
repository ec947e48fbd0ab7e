"""Procrastinate: one job an order, in PostgreSQL itself; every step may be repeated.

`python procrastinate_job.py setup | work | submit …`
"""

import sys
from typing import Any

import shop
import uvloop
from outside import Declined, Outside
from procrastinate import App, JobContext, PsycopgConnector, RetryStrategy
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool
from shop import Order, for_psycopg

PLACE, LOCK, TAKE = map(for_psycopg, (shop.PLACE, shop.LOCK, shop.TAKE))
PAID, COMPLETE = map(for_psycopg, (shop.PAID, shop.COMPLETE))
RELEASE, REJECT = map(for_psycopg, (shop.RELEASE, shop.REJECT))
RETRY = RetryStrategy(max_attempts=10, exponential_wait=2)

app = App(
    connector=PsycopgConnector(
        conninfo=shop.DATABASE_URL, min_size=2, max_size=shop.CONCURRENCY + 2
    )
)
pool = AsyncConnectionPool(shop.DATABASE_URL, min_size=2, max_size=shop.CONCURRENCY, open=False)
outside = Outside()


async def reserve(db: AsyncConnection[Any], order: Order) -> bool:
    """Store the order and take its stock, both or neither."""
    async with db.transaction():
        await db.execute(PLACE, order.row)
        stock = await (await db.execute(LOCK, order.row)).fetchall()
        covered = order.covered_by(dict(stock))
        await db.execute(TAKE if covered else REJECT, order.row)
    return covered


@app.task(name="process_order", queue="orders", retry=RETRY)
async def process_order(**row: Any) -> None:
    order = Order(**row)
    async with pool.connection() as db:
        if not await reserve(db, order):
            return
    try:
        intent = await outside.charge(order)
    except Declined:
        async with pool.connection() as db:
            await db.execute(RELEASE, order.row)
            await db.execute(REJECT, order.row)
        return
    async with pool.connection() as db:
        await db.execute(PAID, order.row | {"intent": intent})
        await db.execute(COMPLETE, order.row)
    await outside.send(order)


@app.periodic(cron="*/1 * * * *")
@app.task(name="retry_stalled", queue="orders", pass_context=True)
async def retry_stalled(context: JobContext, timestamp: int) -> None:  # noqa: ARG001
    """Take up again what a worker that died has left, as the documentation advises."""
    for job in await app.job_manager.get_stalled_jobs():
        await app.job_manager.retry_job(job)


async def setup() -> None:
    async with app.open_async():
        await app.schema_manager.apply_schema_async()


async def work() -> None:
    async with app.open_async(), pool, outside:
        await app.run_worker_async(concurrency=shop.CONCURRENCY, delete_jobs="successful")


async def submit() -> None:
    """Defer: the order is durable as its job's arguments, and the first step stores it."""

    async def accept(order: Order) -> None:
        await process_order.defer_async(**order.row)

    async with app.open_async():
        await shop.submit(accept)


if __name__ == "__main__":
    uvloop.run({"setup": setup, "work": work, "submit": submit}[sys.argv[1]]())
