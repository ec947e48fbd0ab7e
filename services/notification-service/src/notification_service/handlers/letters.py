"""Use cases about letters: outcomes of attempts, and what staff asks for."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from common import audit, outbox
from common.database import Database, Transaction
from common.message import Said

from notification_service.domain import letters
from notification_service.domain.addresses import Digests
from notification_service.domain.letters import Attempt, Letter
from notification_service.store import letters as letter_store
from notification_service.store import notices as notice_store
from notification_service.store import reads
from notification_service.store.reads import Row


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
    async with database.transaction(by_key=True) as tx:
        written = await letter_store.save_settlements(tx, settlements)
        standing = [each for each in settlements if each.notice_id in written]
        bounced = {digests.of(each.bounced): each.reason or "" for each in standing if each.bounced}
        if bounced:
            await letter_store.add_suppressions(tx, bounced)
        await outbox.append(tx, [Said(each.event) for each in standing if each.event])


async def resend_notice(tx: Transaction, notice_id: UUID, *, principal: UUID) -> Row | None:
    """Make a notice due again under the Message-ID that it has; there may be none."""
    status = await notice_store.lock_status(tx, notice_id)
    if status is None:
        return None
    await notice_store.make_due(tx, notice_id)
    await audit.write(
        tx,
        principal,
        "resend-notification",
        target=str(notice_id),
        note=None,
        before={status: 1},
        after={"PENDING": 1},
    )
    tx.ring(letter_store.SENDING_BELL)
    return await reads.find_notice(tx, notice_id, None)


async def remove_suppression(tx: Transaction, digest: bytes, *, principal: UUID) -> bool:
    """Let an address be written to again; answers whether it was on the list."""
    removed = await letter_store.remove_suppression(tx, digest)
    if removed:
        await audit.write(
            tx,
            principal,
            "remove-suppression",
            target=digest.hex(),
            note=None,
            before={"suppressed": 1},
            after={"suppressed": 0},
        )
    return removed
