"""What closes each run: everything comes to rest, and every invariant holds."""

from datetime import timedelta

import asyncpg
from invariants import rest
from invariants.checker import check

from benchmarks.driver import LoadError
from benchmarks.rig import Rig

PATIENCE = 180.0
"""Seconds until an accepted order must have got there; far above what a healthy run takes."""


async def settle(rig: Rig, patience: float = PATIENCE) -> None:
    """Wait until nothing moves any more; raises LoadError when it does not end."""
    db = await asyncpg.connect(rig.sources.database_url)
    try:
        deadline = timedelta(seconds=patience)
        moving = await rest.wait(db, rig.sources, deadline=deadline, progress=lambda _: None)
    finally:
        await db.close()
    if not moving.databases_rest or moving.lag:
        message = f"after {patience:g} s it still moves: {moving}"
        raise LoadError(message)


async def verify(rig: Rig) -> None:
    """Check every invariant: a fast run that loses an order counts as none."""
    report = await check(rig.sources)
    broken = [finding for finding in report.findings if not finding.holds]
    if broken:
        first = broken[0]
        message = f"{first.id} is broken: {first.claim}; {', '.join(first.examples)}"
        raise LoadError(message)
