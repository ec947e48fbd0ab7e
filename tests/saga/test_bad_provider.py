"""Orders paid at a provider that answers and tells badly, each in its way, through all services."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from devstack.simulator import launch
from devstack.simulator.moods import Mood
from devstack.simulator.webhooks import Manner
from invariants.money import Charges, read_ledger

from tests.saga.test_money import IMPATIENT
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from devstack.deployment import Deployment
    from devstack.stack import Stack

    from tests.saga.conftest import Town

pytestmark = [pytest.mark.saga, pytest.mark.timeout(240)]

LANTERN = 339
ONCE = Charges(
    authorisations=1,
    captures=1,
    cancels=0,
    authorised=LANTERN,
    captured=LANTERN,
    refunded=0,
    currency="GBP",
    other_currency="GBP",
)
TOKENS = [
    *(f"pm_answer_{mood.replace('-', '_')}" for mood in Mood),
    *(f"pm_webhook_{manner.replace('-', '_')}" for manner in Manner),
]


@pytest.fixture
def _impatient(services: Deployment) -> None:
    services.overrides["payment"] = IMPATIENT


@pytest.mark.usefixtures("_impatient", "town")
async def test_however_it_is_answered_and_told_an_order_is_charged_once_and_ends(
    town: Town, services: Deployment, stack: Stack
) -> None:
    await services.send_webhooks()
    try:
        orders = {token: await town.order(1, token) for token in TOKENS}
        ends = {token: await town.settled(order, 90) for token, order in orders.items()}
        await eventually(lambda: _alarms(town))
    finally:
        await launch.tell(stack.gateway_url, "webhooks")

    charged = read_ledger(stack.gateway_ledger)
    assert ends == dict.fromkeys(TOKENS, "COMPLETED")
    assert {token: charged[str(orders[token])] for token in TOKENS} == dict.fromkeys(TOKENS, ONCE)


async def _alarms(town: Town) -> Any:
    """Tell whether what was told untruly was noticed: the amount, and a payment of nobody."""
    found = await town.db.fetch(
        "SELECT DISTINCT verdict FROM payments.webhook_events"
        " WHERE verdict IN ('MISMATCH', 'UNEXPLAINED', 'UNKNOWN_PAYMENT')"
    )
    return {row["verdict"] for row in found} == {"MISMATCH", "UNKNOWN_PAYMENT"}
