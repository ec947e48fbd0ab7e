"""From what happened to a merchant's system: real HTTP, real Postgres."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from common.database import Database
from common.message import uuid7
from notification_service.channels.merchants import Merchants
from notification_service.channels.signing import Vault
from notification_service.domain.happenings import EventType, Happening
from notification_service.sending.forgetting import Janitor
from notification_service.sending.webhooks import Messenger, Patience
from notification_service.store import deliveries, endpoints
from notification_service.store.deliveries import AT_ONCE, WEBHOOK_BELL
from notification_service.store.endpoints import EndpointChange, NewEndpoint
from standardwebhooks.webhooks import Webhook

from tests.support.merchant import Merchant, open_shop
from tests.support.waiting import eventually

pytestmark = pytest.mark.postgres

SOON = (timedelta(milliseconds=1),) * 3
NEVER = (timedelta(days=1),) * 3
LIFE: tuple[EventType, ...] = (
    "order.placed",
    "order.confirmed",
    "order.completed",
    "order.shipped",
    "order.delivered",
)


@dataclass
class Desk:
    """Endpoints, what happens, and the loop that tells of it."""

    database: Database
    schedule: Sequence[timedelta] = SOON
    disable_after: timedelta = timedelta(days=5)
    call_timeout: float = 5.0
    vault: Vault = field(default_factory=lambda: Vault(b"k" * 32))

    async def add(self, shop: Merchant, *types: EventType) -> tuple[UUID, str]:
        """Add an endpoint; answers its id and its secret."""
        secret, sealed = self.vault.make()
        new = NewEndpoint(uuid7(), shop.url, "", types, sealed)
        async with self.database.transaction() as tx:
            await endpoints.add_endpoint(tx, new, most=50)
        return new.endpoint_id, secret.get_secret_value()

    async def happen(self, order_id: UUID, *types: EventType) -> None:
        now = datetime.now(UTC) + timedelta(seconds=1)
        async with self.database.transaction() as tx:
            happened = [Happening(order_id, each, now, {}) for each in types]
            await deliveries.add_deliveries(tx, happened)
            tx.ring(WEBHOOK_BELL)

    @asynccontextmanager
    async def sending(self) -> AsyncIterator[None]:
        merchants = Merchants(
            timeout=timedelta(seconds=self.call_timeout), connections=16, private_allowed=True
        )
        patience = Patience(self.schedule, self.disable_after)
        messenger = Messenger(self.database, merchants, self.vault, patience, 16)
        stop = asyncio.Event()
        running = asyncio.create_task(messenger.run(stop))
        try:
            yield
        finally:
            stop.set()
            await running

    async def run(self, sql: str, *arguments: object) -> None:
        async with self.database.transaction() as tx:
            await tx.execute(sql, *arguments)
            tx.ring(WEBHOOK_BELL)

    async def rows(self, sql: str, *arguments: object) -> list[tuple[object, ...]]:
        async with self.database.transaction() as tx:
            return [tuple(row) for row in await tx.fetch(sql, *arguments)]

    async def log(self) -> list[tuple[object, ...]]:
        return await self.rows(
            "SELECT outcome, status_code FROM delivery_attempts ORDER BY attempt_id"
        )

    def are(self, status: str) -> Callable[[], Awaitable[bool]]:
        async def reached() -> bool:
            return await self.rows("SELECT DISTINCT status FROM deliveries") == [(status,)]

        return reached

    async def hurry(self) -> None:
        """Let no endpoint rest any longer."""
        await self.run("UPDATE endpoints SET held_until = NULL")


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


async def test_what_happens_arrives_signed_in_order_and_once(desk: Desk) -> None:
    order_id = uuid7()
    async with open_shop(Merchant(dawdle=0.05)) as shop, desk.sending():
        _, secret = await desk.add(shop)
        await desk.happen(order_id, *LIFE)
        await desk.happen(order_id, *LIFE)
        await eventually(desk.are("DELIVERED"))

    assert [call.type for call in shop.calls] == list(LIFE)
    assert shop.most_at_once == 1
    assert len({call.webhook_id for call in shop.calls}) == len(LIFE)
    for call in shop.calls:
        assert Webhook(secret).verify(call.body, call.headers)
    assert await desk.log() == [("delivered", 200)] * len(LIFE)


async def test_orders_of_one_endpoint_do_not_wait_for_each_other(desk: Desk) -> None:
    stuck, other = uuid7(), uuid7()
    desk.schedule = NEVER
    async with open_shop(Merchant(refuses={"order.rejected"})) as shop, desk.sending():
        await desk.add(shop)
        await desk.happen(stuck, "order.rejected", "order.refunded")
        await eventually(lambda: settled_times(desk, 1))
        await desk.happen(other, "order.placed", "order.confirmed")
        await desk.hurry()
        await eventually(lambda: settled_times(desk, 3))

    assert [call.type for call in shop.calls if call.order_id == str(stuck)] == ["order.rejected"]
    assert [call.type for call in shop.calls if call.order_id == str(other)] == [
        "order.placed",
        "order.confirmed",
    ]


async def test_a_call_that_fails_is_made_again_under_its_id_until_it_has_failed(
    desk: Desk,
) -> None:
    async with open_shop(Merchant(status=500)) as shop, desk.sending():
        await desk.add(shop)
        await desk.happen(uuid7(), "order.placed")
        for times in range(1, 5):
            await eventually(lambda times=times: len(shop.calls) == times)
            await eventually(lambda times=times: settled_times(desk, times))
            await desk.hurry()
        await eventually(desk.are("FAILED"))

    assert len({call.webhook_id for call in shop.calls}) == 1
    assert await desk.log() == [("refused", 500)] * 4


async def settled_times(desk: Desk, times: int) -> bool:
    return len(await desk.log()) == times


async def test_what_follows_a_failed_delivery_is_told_after_it_was_given_up(desk: Desk) -> None:
    desk.schedule = ()
    async with open_shop(Merchant(refuses={"order.placed"})) as shop, desk.sending():
        await desk.add(shop)
        await desk.happen(uuid7(), "order.placed", "order.confirmed")
        await eventually(lambda: settled_times(desk, 1))
        await desk.hurry()
        await eventually(lambda: settled_times(desk, 2))

    assert [call.type for call in shop.calls] == ["order.placed", "order.confirmed"]


async def test_an_endpoint_hears_the_types_it_asked_for_and_nothing_from_before_it_was_there(
    desk: Desk,
) -> None:
    order_id = uuid7()
    async with open_shop(Merchant()) as shop, desk.sending():
        await desk.add(shop, "order.confirmed")
        await desk.happen(order_id, *LIFE)
        before = Happening(uuid7(), "order.confirmed", datetime(2026, 1, 1, tzinfo=UTC), {})
        async with desk.database.transaction() as tx:
            await deliveries.add_deliveries(tx, [before])
        await eventually(desk.are("DELIVERED"))

    assert [(call.type, call.order_id) for call in shop.calls] == [
        ("order.confirmed", str(order_id))
    ]


async def test_during_a_rotation_old_and_new_secret_verify_and_afterwards_the_new_alone(
    desk: Desk,
) -> None:
    async with open_shop(Merchant()) as shop, desk.sending():
        endpoint_id, old = await desk.add(shop)
        secret, sealed = desk.vault.make()
        async with desk.database.transaction() as tx:
            await endpoints.rotate_secret(tx, endpoint_id, sealed, overlap=timedelta(days=1))
        await desk.happen(uuid7(), "order.placed")
        await eventually(lambda: len(shop.calls) == 1)
        await desk.run("UPDATE endpoints SET old_secret_until = now()")
        await desk.happen(uuid7(), "order.placed")
        await eventually(lambda: len(shop.calls) == 2)

    both, new_alone = shop.calls
    for each in (old, secret.get_secret_value()):
        assert Webhook(each).verify(both.body, both.headers)
    assert Webhook(secret.get_secret_value()).verify(new_alone.body, new_alone.headers)
    assert len(new_alone.headers["webhook-signature"].split()) == 1


async def test_an_endpoint_that_only_failed_for_days_is_disabled(desk: Desk) -> None:
    async with open_shop(Merchant(status=503)) as shop, desk.sending():
        await desk.add(shop)
        await desk.happen(uuid7(), "order.placed")
        await eventually(lambda: settled_times(desk, 1))
        await desk.run("UPDATE endpoints SET failing_since = now() - interval '6 days'")
        await desk.hurry()
        await eventually(lambda: disabled(desk, "failing"))
        calls = len(shop.calls)
        await desk.hurry()
        await desk.happen(uuid7(), "order.placed")

    assert len(shop.calls) == calls == 2
    assert await desk.rows("SELECT count(*) FROM deliveries") == [(1,)]


async def disabled(desk: Desk, reason: str) -> bool:
    return await desk.rows("SELECT status, disabled_reason FROM endpoints") == [
        ("DISABLED", reason)
    ]


async def test_an_endpoint_that_says_it_is_gone_is_disabled_at_once(desk: Desk) -> None:
    async with open_shop(Merchant(status=410)) as shop, desk.sending():
        await desk.add(shop)
        await desk.happen(uuid7(), "order.placed")
        await eventually(lambda: disabled(desk, "gone"))

    assert len(shop.calls) == 1


async def test_one_that_is_active_again_gets_what_was_pending(desk: Desk) -> None:
    desk.schedule = SOON
    async with open_shop(Merchant(status=410)) as shop, desk.sending():
        endpoint_id, _ = await desk.add(shop)
        await desk.happen(uuid7(), "order.placed", "order.confirmed")
        await eventually(lambda: disabled(desk, "gone"))
        shop.status = 204
        async with desk.database.transaction() as tx:
            await endpoints.change_endpoint(tx, endpoint_id, EndpointChange(status="ACTIVE"))
            tx.ring(WEBHOOK_BELL)
        await eventually(desk.are("DELIVERED"))

    assert [call.type for call in shop.calls] == ["order.placed", "order.placed", "order.confirmed"]


async def test_an_endpoint_that_works_again_has_no_history(desk: Desk) -> None:
    async with open_shop(Merchant(status=500)) as shop, desk.sending():
        await desk.add(shop)
        await desk.happen(uuid7(), "order.placed")
        await eventually(lambda: settled_times(desk, 1))
        shop.status = 200
        await desk.hurry()
        await eventually(desk.are("DELIVERED"))

    assert await desk.rows("SELECT failing_since, failures, held_until FROM endpoints") == [
        (None, 0, None)
    ]


async def test_an_endpoint_that_hangs_delays_no_other_and_holds_few_connections(
    desk: Desk,
) -> None:
    async with (
        open_shop(Merchant(hangs=True)) as slow,
        open_shop(Merchant()) as quick,
        desk.sending(),
    ):
        await desk.add(slow, "order.placed")
        await desk.add(quick, "order.confirmed")
        for _ in range(40):
            await desk.happen(uuid7(), "order.placed")
        await eventually(lambda: slow.calls)
        for _ in range(20):
            await desk.happen(uuid7(), "order.confirmed")
        await eventually(lambda: len(quick.calls) == 20)

    assert slow.most_at_once <= AT_ONCE


async def test_an_endpoint_that_fails_is_left_in_peace_for_a_while(desk: Desk) -> None:
    async with (
        open_shop(Merchant(status=500)) as shop,
        open_shop(Merchant()) as other,
        desk.sending(),
    ):
        await desk.add(shop)
        await desk.happen(uuid7(), "order.placed")
        await eventually(lambda: settled_times(desk, 1))
        (rest,) = await desk.rows("SELECT held_until - at FROM endpoints, delivery_attempts")
        await desk.run("UPDATE endpoints SET held_until = now() + interval '1 hour'")
        await desk.add(other)
        for _ in range(20):
            await desk.happen(uuid7(), "order.placed")
        await eventually(lambda: len(other.calls) == 20)

    assert rest == (timedelta(seconds=2),)
    assert len(shop.calls) == 1


async def test_a_redirect_is_not_followed_and_is_in_the_log(desk: Desk) -> None:
    async with open_shop(Merchant()) as inside:
        elsewhere = Merchant(status=302, headers={"Location": inside.url})
        async with open_shop(elsewhere) as shop, desk.sending():
            await desk.add(shop)
            await desk.happen(uuid7(), "order.placed")
            await eventually(lambda: settled_times(desk, 1))

    assert inside.calls == []
    assert await desk.log() == [("redirected", 302)]


async def test_a_secret_that_another_key_sealed_fails_in_the_log_and_calls_nobody(
    desk: Desk,
) -> None:
    async with open_shop(Merchant()) as shop, desk.sending():
        await desk.run("SELECT 1")
        stranger = Desk(desk.database, vault=Vault(b"x" * 32))
        await stranger.add(shop)
        await desk.happen(uuid7(), "order.placed")
        await eventually(lambda: settled_times(desk, 1))

    assert shop.calls == []
    assert await desk.log() == [("secret_unreadable", None)]


async def test_two_processes_call_once(desk: Desk) -> None:
    async with open_shop(Merchant()) as shop, desk.sending(), desk.sending():
        await desk.add(shop)
        for _ in range(30):
            await desk.happen(uuid7(), "order.placed", "order.confirmed")
        await eventually(desk.are("DELIVERED"))

    assert len(shop.calls) == len({call.webhook_id for call in shop.calls}) == 60


async def test_what_was_settled_long_ago_is_forgotten(desk: Desk) -> None:
    async with open_shop(Merchant()) as shop, desk.sending():
        await desk.add(shop)
        await desk.happen(uuid7(), *LIFE)
        await eventually(desk.are("DELIVERED"))
    janitor = Janitor(desk.database, timedelta(days=90), timedelta(days=30))

    kept = await janitor.sweep()
    await desk.run("UPDATE deliveries SET settled_at = now() - interval '31 days'")
    forgotten = await janitor.sweep()

    assert (kept, forgotten) == (0, len(LIFE))
    assert await desk.log() == []
