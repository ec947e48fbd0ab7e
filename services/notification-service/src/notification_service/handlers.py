"""Use cases that come from outside: outcomes of attempts, and what staff asks for."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from common import outbox
from common.database import Database
from common.message import Said

from notification_service.domain import letters
from notification_service.domain.letters import Attempt, Letter
from notification_service.store import letters as letter_store
from notification_service.store import notices as notice_store
from notification_service.store.notices import NoticeRow


async def settle_letters(
    database: Database, attempts: Sequence[tuple[Letter, Attempt]], *, give_up_after: timedelta
) -> None:
    """Write what the attempts mean, and announce those that are over: both or neither."""
    settlements = [
        letters.settle(letter, attempt, give_up_after=give_up_after) for letter, attempt in attempts
    ]
    async with database.transaction() as tx:
        written = await letter_store.save_settlements(tx, settlements)
        await outbox.append(
            tx,
            [
                Said(settlement.event)
                for settlement in settlements
                if settlement.event and settlement.key in written
            ],
        )


async def list_notices(database: Database, order_id: UUID) -> list[NoticeRow]:
    async with database.transaction() as tx:
        return await notice_store.list_notices(tx, order_id)
