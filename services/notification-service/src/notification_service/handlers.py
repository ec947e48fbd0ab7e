"""Use cases that come from outside: outcomes of attempts, and what staff asks for."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from common import outbox
from common.database import Database
from common.message import Said

from notification_service.domain import letters
from notification_service.domain.addresses import Digests
from notification_service.domain.letters import Attempt, Letter
from notification_service.store import letters as letter_store
from notification_service.store import notices as notice_store
from notification_service.store.notices import NoticeRow


async def settle_letters(
    database: Database,
    attempts: Sequence[tuple[Letter, Attempt]],
    *,
    digests: Digests,
    give_up_after: timedelta,
) -> None:
    """Write what the attempts mean, log them, and announce those that are over: all or nothing."""
    settlements = [
        letters.settle(letter, attempt, give_up_after=give_up_after) for letter, attempt in attempts
    ]
    async with database.transaction() as tx:
        written = await letter_store.save_settlements(tx, settlements)
        standing = [each for each in settlements if each.notice_id in written]
        await letter_store.add_attempts(tx, [each for each in standing if each.outcome])
        bounced = {digests.of(each.bounced): each.reason or "" for each in standing if each.bounced}
        if bounced:
            await letter_store.add_suppressions(tx, bounced)
        await outbox.append(tx, [Said(each.event) for each in standing if each.event])


async def list_notices(database: Database, order_id: UUID) -> list[NoticeRow]:
    async with database.transaction() as tx:
        return await notice_store.list_notices(tx, order_id)
