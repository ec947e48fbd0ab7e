"""Runs every invariant over one set of sources and gives the report."""

import time
from collections.abc import Callable
from datetime import timedelta

import asyncpg

from invariants import delivery, history, mail, money, rest, stock, topics
from invariants.report import Report
from invariants.sources import SourceError, Sources, connect

DEADLINE = timedelta(seconds=180)
"""I1's own limit: from the last fault to every order settled."""


def _silent(_moving: rest.Moving) -> None:
    """Report no progress."""


async def check(
    sources: Sources,
    *,
    deadline: timedelta = DEADLINE,
    progress: Callable[[rest.Moving], None] = _silent,
) -> Report:
    """Wait for rest, at most until the deadline, then check I1 to I11.

    Raises SourceError when a source can not be read.
    """
    started = time.monotonic()
    answers = history.read_client_log(sources.client_log)
    db = await connect(sources.database_url)
    try:
        await rest.wait(db, sources, deadline=deadline, progress=progress)
        orders = await money.read_orders(db)
        ledger = money.read_ledger(sources.ledger)
        log = await topics.read(sources)
        lag = await topics.lag(sources)
        findings = (
            await history.check_settled(db, answers),
            await stock.check_stock(db),
            money.check_charges(ledger, orders, await money.strangers(db, ledger)),
            money.check_books(ledger, orders),
            await stock.check_reservations(db),
            await mail.check_mail(db, sources.mail),
            await history.check_keys(db, answers),
            await history.check_transitions(db),
            await delivery.check_taken(db, log, sources.topic_prefix),
            await delivery.check_order(db),
            await delivery.check_rest(db, lag),
        )
    except asyncpg.UndefinedTableError as error:
        message = f"DATABASE_URL: {error}; are all four services migrated?"
        raise SourceError(message) from error
    finally:
        await db.close()
    return Report(findings, time.monotonic() - started, log.sizes)
