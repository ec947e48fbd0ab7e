"""P15: what an order costs when the tables are full of old ones, by up to ten million."""

import asyncio
import shutil
import time
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg

from benchmarks import judge, meter
from benchmarks.driver import Driver, LoadError
from benchmarks.figures import Aim, Row
from benchmarks.measurement import Found, Size
from benchmarks.observer import observe
from benchmarks.rig import Rig

MARK = f"{'_' * 14}0%"
"""Ids that were made up here, as LIKE finds them: of version 0; real ones are of version 7."""
TEMPLATES = 1000
"""Settled orders that are copied, with everything that the four services keep of them."""
COPIED = {
    "orders.orders": ("order_id",),
    "orders.order_lines": ("order_id",),
    "orders.order_events": ("order_id", "event_id"),
    "orders.idempotency_keys": ("order_id", "principal"),
    "orders.inbox": ("event_id",),
    "inventory.reservations": ("order_id",),
    "inventory.reservation_lines": ("order_id",),
    "inventory.movements": ("order_id",),
    "inventory.inbox": ("event_id",),
    "payments.payments": ("order_id", "payment_id"),
    "payments.inbox": ("event_id",),
    "notifications.orders": ("order_id",),
    "notifications.notifications": ("order_id", "id"),
    "notifications.inbox": ("event_id",),
}
"""Table → the ids that a copy gets anew; by the first one its rows are found."""
HIGHEST = ("orders.orders", "orders.order_events", "orders.inbox")
"""These alone grow past `EVERYWHERE`: the order service's, which keeps most of an order."""
EVERYWHERE = 1_000_000
"""Orders up to which every table is filled."""
BYTES_EVERYWHERE, BYTES_HIGHEST = 9_600, 3_700
"""On disk by one order, indexes with it."""
WAL = 4 * 2**30
"""Bytes of log beside it, with room for what is not yet recycled."""
UNSENT = "SELECT count(*) FROM notifications.notifications WHERE status = 'PENDING'"
_COLUMNS = """
    SELECT attname FROM pg_attribute
     WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped
       AND attidentity = '' AND attgenerated = '' ORDER BY attnum
"""

ROW = Row("P15", "CPU an order by orders in the tables", {"fullest : emptiest": Aim(1.15)})


def lasts(size: Size) -> float:
    """Seconds of one run: what is filled goes by the highest step alone."""
    most = max(size.steps)
    filling = min(most, EVERYWHERE) / 6000 + max(0, most - EVERYWHERE) / 12_000
    return filling + sum(30 + size.orders / 200 for _ in size.steps)


async def measure(rig: Rig, size: Size) -> Found:
    """Fill up to each number, and measure; at the end take out what never was an order."""
    prices: dict[int, float] = {}
    figures: dict[str, float] = {}
    filled = 0
    async with AsyncExitStack() as ending:
        db = await asyncpg.connect(rig.sources.database_url)
        ending.push_async_callback(db.close)
        need_room(Path(await db.fetchval("SHOW data_directory")), max(size.steps))
        await _choose_templates(db)
        ending.push_async_callback(_empty, db)
        for step in sorted(size.steps):
            copies = max(1, step // TEMPLATES)
            await _fill(db, COPIED, filled + 1, min(copies, EVERYWHERE // TEMPLATES))
            await _fill(db, HIGHEST, max(filled, EVERYWHERE // TEMPLATES) + 1, copies)
            await db.execute("CHECKPOINT", timeout=3600)
            filled = copies
            prices[step], speed = await _measure(rig, db, size.orders)
            figures[f"{step}: CPU ms an order"] = prices[step]
            figures[f"{step}: completed orders/s"] = speed
    return {ROW.id: {"fullest : emptiest": prices[max(prices)] / prices[min(prices)], **figures}}


async def _measure(rig: Rig, db: asyncpg.Connection, orders: int) -> tuple[float, float]:
    async with observe(rig.stack.bootstrap) as observer, Driver(rig) as driver:
        await driver.burst(orders // 10)
        await judge.settle(rig)
        before = meter.cpu_seconds(rig)
        load = await driver.burst(orders)
        last = await observer.wait("OrderCompleted", load.meant, seconds=judge.PATIENCE)
        await _all_sent(db)
        price = meter.price(before, meter.cpu_seconds(rig), orders)
    await judge.settle(rig)
    return price[meter.ALL], orders / (last - load.began)


async def _all_sent(db: asyncpg.Connection) -> None:
    """Wait for the e-mails by an index: the checker counts whole tables, which would count here."""
    deadline = time.monotonic() + judge.PATIENCE
    while left := await db.fetchval(UNSENT):
        if time.monotonic() > deadline:
            message = f"{left} e-mails are not sent after {judge.PATIENCE:g} s"
            raise LoadError(message)
        await asyncio.sleep(0.2)


def need_room(folder: Path, orders: int) -> None:
    """Refuse what would fill the disk, where the database's is this machine's."""
    if not folder.is_dir():
        return
    everywhere = min(orders, EVERYWHERE)
    needed = WAL + everywhere * BYTES_EVERYWHERE + (orders - everywhere) * BYTES_HIGHEST
    free = shutil.disk_usage(folder).free
    if free < needed:
        message = (
            f"{orders} orders take {needed / 2**30:.0f} GiB in {folder}, and {free / 2**30:.0f}"
            " are free: free some, or ask for fewer, such as --steps 10000,100000,1000000"
        )
        raise LoadError(message)


async def _choose_templates(db: asyncpg.Connection) -> None:
    await db.execute(
        """CREATE TEMP TABLE templates AS
           SELECT order_id, convert_to(order_id::text, 'UTF8') AS key FROM orders.orders
            WHERE status = 'COMPLETED' ORDER BY order_id LIMIT 1000"""
    )
    if await db.fetchval("SELECT count(*) FROM templates") < TEMPLATES:
        message = f"fewer than {TEMPLATES} orders are completed that could be copied"
        raise LoadError(message)


async def _fill(db: asyncpg.Connection, tables: Iterable[str], first: int, last: int) -> None:
    """Add the copies of these numbers, and vacuum, so that autovacuum has no work in the load."""
    for table in tables if first <= last else ():
        ids = COPIED[table]
        columns = await _columns(db, table)
        names = ", ".join(f'"{name}"' for name in columns)
        values = ", ".join(_copied(name) if name in ids else f't."{name}"' for name in columns)
        chosen = "t.key = o.key" if ids == ("event_id",) else "t.order_id = o.order_id"
        await db.execute(
            f"""INSERT INTO {table} ({names})
                SELECT {values} FROM {table} AS t JOIN templates AS o ON {chosen}
                 CROSS JOIN generate_series($1::bigint, $2::bigint) AS copy
                 WHERE t.{ids[0]}::text NOT LIKE '{MARK}'""",  # noqa: S608  our own names
            first,
            last,
            timeout=3600,
        )
        await db.execute(f"VACUUM (ANALYZE) {table}", timeout=3600)


async def _columns(db: asyncpg.Connection, table: str) -> list[str]:
    return [row["attname"] for row in await db.fetch(_COLUMNS, table)]


def _copied(column: str) -> str:
    """Say the id of a copy in SQL: as many milliseconds later as its number."""
    digits = f"""replace(t."{column}"::text, '-', '')"""
    made = f"('x' || substr({digits}, 1, 12))::bit(48)::bigint + copy"
    return f"(lpad(to_hex({made}), 12, '0') || '0' || substr({digits}, 14))::uuid"


async def _empty(db: asyncpg.Connection) -> None:
    """Take out the copies: of the highest tables, which refer to none, by keeping the rest."""
    for table, ids in COPIED.items():
        made_up = f"{ids[0]}::text LIKE '{MARK}'"
        if table not in HIGHEST:
            await db.execute(f"DELETE FROM {table} WHERE {made_up}", timeout=3600)  # noqa: S608
            continue
        names = ", ".join(f'"{name}"' for name in await _columns(db, table))
        async with db.transaction():
            await db.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")
            await db.execute(
                f"""CREATE TEMP TABLE kept ON COMMIT DROP AS
                    SELECT {names} FROM {table} WHERE NOT {made_up}""",  # noqa: S608
                timeout=3600,
            )
            await db.execute(f"TRUNCATE {table}")
            await db.execute(f"INSERT INTO {table} ({names}) SELECT * FROM kept")  # noqa: S608
