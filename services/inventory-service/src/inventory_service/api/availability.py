"""Can so much be had? Asked by customers, who are not told how much there is."""

from __future__ import annotations

from typing import Self

from common.auth import Authenticated
from common.http import Router, Wire

from inventory_service import handlers
from inventory_service.api.bodies import AvailabilityQuestion
from inventory_service.api.parts import DatabaseOf
from inventory_service.domain.products import Promise

router = Router(prefix="/inventory", tags=["inventory"])


class ItemAvailability(Wire):
    """Whether all of what is wanted of a product can be had, some of it, or nothing."""

    sku: str
    quantity: int
    available: Promise


class AvailabilityAnswer(Wire):
    """Whether everything can be had, and each product for itself."""

    available: bool
    items: list[ItemAvailability]

    @classmethod
    def of(cls, wanted: dict[str, int], promised: dict[str, Promise]) -> Self:
        return cls(
            available=set(promised.values()) == {"YES"},
            items=[
                ItemAvailability(sku=sku, quantity=quantity, available=promised[sku])
                for sku, quantity in wanted.items()
            ],
        )


@router.post("/check-availability")
async def check_availability(
    body: AvailabilityQuestion, _caller: Authenticated, database: DatabaseOf
) -> AvailabilityAnswer:
    """Tell whether an order could be filled now; nothing is held for it.

    The same sku on two lines is added up, as in an order. What is not for sale is not available.
    """
    wanted = body.wanted()
    async with database.transaction() as tx:
        promised = await handlers.check_availability(tx, wanted)
    return AvailabilityAnswer.of(wanted, promised)
