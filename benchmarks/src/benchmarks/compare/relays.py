"""Relays in turn: rows that wait in an outbox, until the last of them is in Kafka."""

import json
from collections.abc import Collection, Iterable
from itertools import islice

import asyncpg
from devstack.stack import Stack

from benchmarks import relaying, waiting
from benchmarks.arrivals import arrivals
from benchmarks.compare import verdict
from benchmarks.compare.peers import RELAYED_BY, Peer, Setting
from benchmarks.compare.stand import new_name, stand
from benchmarks.figures import Values
from benchmarks.side import Drain, beside, drain, until
from benchmarks.waiting import Event

WARM_UP = 2000
"""Events that are not counted."""
WAITING = "CREATE UNLOGGED TABLE waiting (number int, key text, payload bytea, headers jsonb)"
"""What the function `fill` of each peer's program moves into its outbox, all at once."""


async def measure(stack: Stack, peer: Peer, setting: Setting, events: int) -> Values:
    """Let so many rows appear before a peer's relay; raises LoadError when anything is wrong."""
    name = new_name(peer)
    everything = waiting.events(WARM_UP + events, per_key=waiting.PER_KEY)
    async with stand(stack, peer, setting, name, {}) as place:
        await place.database.execute(WAITING)
        await place.start()
        own = [worker.program.name for worker in place.workers]
        async with arrivals(stack.bootstrap, f"{name}.{waiting.TOPIC}") as arrived:

            async def sent() -> int:
                place.refuse_when_ended()
                return await arrived.count()

            async def sent_since() -> int:
                return await sent() - WARM_UP

            await _fill(place.database, islice(everything, WARM_UP))
            await until(sent, lambda now: now >= WARM_UP)
            await _fill(place.database, everything)
            drained = await drain(stack, sent_since, events)
            await place.stop()
            await arrived.verify(
                WARM_UP + events, in_order=peer.keeps_order or setting.is_one_by_one
            )
        left = await place.database.fetchval("SELECT count(*) FROM outbox")
        verdict.require("rows left in the outbox", left, 0)
    return _figures(drained, own)


async def ours(stack: Stack, events: int) -> Values:
    """Do the same with Pedido's relay."""
    async with beside(stack, "p7") as other:
        return _figures(await relaying.relay(stack, other, events), ["relay"])


async def _fill(database: asyncpg.Connection, events: Iterable[Event]) -> None:
    """Have all of them committed at once."""
    rows = [
        (number, event.key.decode(), event.payload, json.dumps(_as_text(event)))
        for number, event in enumerate(events)
    ]
    await database.execute("TRUNCATE waiting")
    await database.copy_records_to_table("waiting", records=rows)
    await database.execute("SELECT fill()")


def _as_text(event: Event) -> dict[str, str]:
    return {name: value.decode() for name, value in event.headers}


def _figures(drained: Drain, own: Collection[str]) -> Values:
    """Name what was found, for Pedido and its peers alike."""
    used = drained.cpu_us
    parts = {"relay": sum(used[name] for name in own)} | {name: used[name] for name in RELAYED_BY}
    return {"events/s": drained.rate, "CPU us an event": sum(parts.values())} | {
        f"CPU us of {name}": each for name, each in parts.items()
    }
