"""No card number is kept anywhere: whoever sends one is refused, and nothing remembers it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import httpx2
import pytest

from tests.support.stores import Stores, mentions

if TYPE_CHECKING:
    from devstack.deployment import Deployment
    from devstack.stack import Stack

    from tests.saga.conftest import Town
    from tests.support.kafka import Topics

CARDS = ("4242424242424242", "5555555555554444", "378282246310005")
WORDS = (*CARDS, *(f"{card[:4]}_{card[4:]}" for card in CARDS))

pytestmark = [pytest.mark.saga]


async def test_a_card_number_is_refused_and_nowhere_to_be_found(
    town: Town, services: Deployment, stack: Stack, topics: Topics
) -> None:
    stores = Stores(stack, topics, town.db)
    token = town.customer.access_token
    async with httpx2.AsyncClient(base_url=services.url("order"), timeout=30) as http:
        for dressed in _dressed():
            answer = await http.post(
                "/api/v1/orders",
                json={"items": [{"sku": "LANTERN", "quantity": 1}], "paymentMethod": dressed},
                headers={"Authorization": f"Bearer {token}", "Idempotency-Key": str(uuid4())},
            )
            assert answer.status_code == 422, dressed
            assert not any(word in answer.text for word in WORDS)

    order = await town.order(payment_method="pm_ok")  # what is kept of an order is looked through
    assert await town.settled(order) == "COMPLETED"

    assert await stores.columns_with(*WORDS) == set()
    assert stores.logs_with(*WORDS) == []
    assert await stores.cached_with(*WORDS) == []
    assert {topic async for topic, record in stores.records() if mentions(record, *WORDS)} == set()
    assert await stores.columns_with("pm_ok") >= {"payments.payments.payment_method"}
    assert "orders.v1" in {
        topic async for topic, record in stores.records() if mentions(record, "pm_ok")
    }


def _dressed() -> list[str]:
    """Put each number into a token's clothes, and come with it naked."""
    forms = [(card, f"pm_{card}", f"pm_x{card}y", f"pm_{card[:4]}_{card[4:]}") for card in CARDS]
    return [each for form in forms for each in form]
