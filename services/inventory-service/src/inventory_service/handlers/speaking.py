"""How a use case announces what it did."""

from __future__ import annotations

from collections.abc import Iterable

from common import outbox
from common.database import Transaction
from common.message import Event, Said, Tombstone, Versioned

from inventory_service.messages import ProductChanged


async def say(tx: Transaction, events: Iterable[Event | Versioned]) -> None:
    """Announce in the caller's transaction; state events take their version along."""
    said = [
        Said(event.event, version=event.version) if isinstance(event, Versioned) else Said(event)
        for event in events
    ]
    await outbox.append(tx, said)


async def say_removed(tx: Transaction, removed: Iterable[tuple[str, int]]) -> None:
    """Announce that products are gone: sku and version, or it could bury their return."""
    topic, type_name = ProductChanged.TOPIC, ProductChanged.type_name()
    said = [Said(Tombstone(topic, sku, type_name), version=version) for sku, version in removed]
    await outbox.append(tx, said)
