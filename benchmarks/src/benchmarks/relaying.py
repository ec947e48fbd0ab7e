"""P4: how fast the relay carries a full outbox to the broker, beside aiokafka by itself."""

import asyncpg
from common import outbox
from devstack.stack import Stack

from benchmarks import raw, waiting
from benchmarks.arrivals import arrivals
from benchmarks.figures import Aim, Row
from benchmarks.measurement import Found, Size
from benchmarks.rig import Rig
from benchmarks.side import Drain, Side, drain, side

COLUMNS = (
    "event_id shard topic aggregatetype aggregateid type payload header_names header_values".split()
)

ROW = Row(
    "P4",
    "relay drains a full outbox",
    {
        "events/s": Aim(15_000, at_least=True),
        "relay : raw send_batch": Aim(0.5, at_least=True),
    },
)


async def measure(rig: Rig, size: Size) -> Found:
    """Let so many rows appear at once; then send the same bytes from memory."""
    async with side(rig, "p4") as other:
        relayed = await relay(rig.stack, other, size.events)
        topic, per_key = other.prefix + waiting.TOPIC, ("--per-key", waiting.PER_KEY)
        alone = await raw.call("send", rig.stack.bootstrap, topic, size.events, *per_key)
    prices = {f"CPU us an event, {name}": used for name, used in relayed.cpu_us.items()}
    return {
        ROW.id: {
            "events/s": relayed.rate,
            "relay : raw send_batch": relayed.rate / alone["events/s"],
            "raw send_batch events/s": alone["events/s"],
            **prices,
            "CPU us an event, raw send_batch": alone["CPU us"],
        }
    }


async def relay(stack: Stack, other: Side, events: int) -> Drain:
    """Have the relay carry so many rows, and check what came of them."""
    async with arrivals(stack.bootstrap, other.prefix + waiting.TOPIC) as arrived:
        await other.deployment.start_beside("order", "relay")
        await _fill(other, events)
        relayed = await drain(stack, arrived.count, events)
        await other.deployment.stop("order")
        await arrived.verify(events)
    of = {"relay": f"{other.prefix}order-relay", "postgres": "postgres", "kafka": "kafka"}
    return Drain(relayed.rate, {name: relayed.cpu_us[process] for name, process in of.items()})


async def _fill(other: Side, count: int) -> None:
    """Have all of them committed at once."""
    rows = [
        (
            event.event_id,
            outbox.key_hash(event.key) % outbox.SHARDS,
            waiting.TOPIC,
            "orders",
            event.key,
            waiting.PLACED,
            event.payload,
            [name.encode() for name, _ in event.headers],
            [value for _, value in event.headers],
        )
        for event in waiting.events(count, per_key=waiting.PER_KEY)
    ]
    db = await asyncpg.connect(other.database_url)
    try:
        await db.copy_records_to_table(
            "outbox", schema_name="orders", columns=COLUMNS, records=rows
        )
    finally:
        await db.close()
