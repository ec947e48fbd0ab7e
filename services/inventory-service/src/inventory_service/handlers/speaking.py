"""How a use case announces what a decision says."""

from __future__ import annotations

from collections.abc import Iterable

from common import outbox
from common.database import Transaction
from common.message import Event, Said, Versioned


async def say(tx: Transaction, events: Iterable[Event | Versioned]) -> None:
    """Announce in the caller's transaction; state events take their version along."""
    said = [
        Said(event.event, version=event.version) if isinstance(event, Versioned) else Said(event)
        for event in events
    ]
    await outbox.append(tx, said)
