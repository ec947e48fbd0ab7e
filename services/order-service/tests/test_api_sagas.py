from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
import pytest_asyncio
from order_service import handlers
from order_service.domain import Patience

from tests.support.shop import Shop

pytestmark = pytest.mark.postgres

OPS = "http://pedido/ops/v1/sagas"


@pytest_asyncio.fixture
async def stuck(shop: Shop) -> UUID:
    """Have an order whose cancelling nobody answered for too long."""
    await shop.sell(("TEA", 250))
    customer = shop.caller()
    order_id = (await shop.place(customer, ("TEA", 2))).json()["orderId"]
    await shop.http.post(f"/orders/{order_id}/cancel", headers=customer.headers())
    async with shop.database.transaction() as tx:
        await tx.execute(
            "UPDATE orders SET closing_since = now() - interval '1 hour', closing_due_at = now()"
        )
        assert await handlers.close_again(tx, limit=10, patience=Patience()) == 1
    return UUID(order_id)


async def ask(shop: Shop, path: str, role: str = "operator") -> httpx2.Response:
    return await shop.http.get(f"{OPS}{path}", headers=shop.caller(role).headers())


async def tell(
    shop: Shop, path: str, body: dict[str, Any], role: str = "operator"
) -> httpx2.Response:
    return await shop.http.post(f"{OPS}{path}", json=body, headers=shop.caller(role).headers())


async def test_stuck_sagas_are_listed_with_what_they_wait_for(shop: Shop, stuck: UUID) -> None:
    await shop.place(shop.caller(), ("TEA", 1))

    listed = (await ask(shop, "?health=STUCK")).json()

    (saga,) = listed["data"]
    assert (saga["orderId"], saga["stuckReason"]) == (str(stuck), "closing_unanswered")
    assert [wait["fact"] for wait in saga["waitsFor"]] == ["StockReleased", "PaymentVoided"]
    assert listed["nextCursor"] is None


async def test_pages_of_sagas_go_on_where_the_last_ended(shop: Shop, stuck: UUID) -> None:
    await shop.place(shop.caller(), ("TEA", 1))

    first = (await ask(shop, "?limit=1")).json()
    second = (await ask(shop, f"?limit=1&cursor={first['nextCursor']}")).json()

    assert second["data"][0]["orderId"] == str(stuck)
    assert second["nextCursor"] is None
    assert (await ask(shop, "?cursor=forged")).status_code == 422
    assert (await ask(shop, "?helth=STUCK")).status_code == 422


async def test_a_saga_tells_why_it_does_not_move(shop: Shop, stuck: UUID) -> None:
    async with shop.database.transaction() as tx:
        await tx.execute("INSERT INTO consumer_halts VALUES ('order-service', 'flood')")

    saga = (await ask(shop, f"/{stuck}")).json()

    assert saga["causes"]["consumerHalted"] == "flood"
    assert [event["type"] for event in saga["causes"]["unsent"]] == [
        "OrderPlaced",
        "OrderCancelRequested",
    ]
    assert saga["causes"]["parked"] == []
    assert saga["history"][-1]["reason"] == "closing_unanswered"


async def test_a_retry_announces_the_closing_under_a_new_id(shop: Shop, stuck: UUID) -> None:
    answer = await tell(shop, f"/{stuck}/retry", {})

    rows = await shop.rows("SELECT event_id FROM outbox WHERE type = 'OrderCancelRequested'")
    assert (answer.status_code, answer.json()["health"]) == (200, "COMPENSATING")
    assert len({row["event_id"] for row in rows}) == 2
    assert (await tell(shop, f"/{stuck}/retry", {})).json()["code"] == "invalid_state"


async def test_a_word_by_hand_is_kept_with_who_gave_it(shop: Shop, stuck: UUID) -> None:
    body = {"note": "voided at the provider, shelf counted", "settled": ["stock", "money"]}

    answer = await tell(shop, f"/{stuck}/resolve", body)

    (noted,) = await shop.rows(
        "SELECT data->>'note' AS note, data->>'by' AS by FROM order_events"
        " WHERE type = 'SagaResolved'"
    )
    assert (answer.json()["status"], answer.json()["health"]) == ("CANCELLED", "COMPENSATED")
    assert noted["note"] == body["note"]
    assert UUID(noted["by"])


async def test_a_repaired_order_is_rebuilt_from_its_history_alike(shop: Shop, stuck: UUID) -> None:
    await tell(shop, f"/{stuck}/retry", {"note": "payment is back"})
    live = await shop.rows("SELECT * FROM orders")

    async with shop.database.transaction() as tx:
        await handlers.rebuild_projection(tx, after=None, patience=Patience())

    (before,), (again,) = live, await shop.rows("SELECT * FROM orders")
    assert dict(again) == dict(before)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("force", {}),
        ("force", {"note": ""}),
        ("force", {"note": "a\u2028b"}),
        ("force", {"note": "x" * 501}),
        ("resolve", {"note": "done"}),
        ("resolve", {"note": "done", "settled": ["stock"]}),
        ("resolve", {"note": "done", "settled": ["luck"]}),
        ("retry", {"by": "me"}),
    ],
    ids=["no note", "empty", "control", "long", "no word", "half a word", "unknown", "unknown key"],
)
async def test_a_repair_that_says_too_little_or_too_much_changes_nothing(
    shop: Shop, stuck: UUID, path: str, body: dict[str, Any]
) -> None:
    answer = await tell(shop, f"/{stuck}/{path}", body)

    assert answer.status_code == 422
    assert (await shop.rows("SELECT saga FROM orders"))[0]["saga"] == "STUCK"


async def test_operations_are_for_operators(shop: Shop, stuck: UUID) -> None:
    for role in ("customer", "staff", "admin"):
        assert (await ask(shop, "", role)).status_code == 403
        assert (await tell(shop, f"/{stuck}/retry", {}, role)).status_code == 403
    assert (await shop.http.get(OPS)).status_code == 401
    assert (await ask(shop, f"/{uuid4()}")).status_code == 404
    assert (await tell(shop, f"/{uuid4()}/retry", {})).status_code == 404
