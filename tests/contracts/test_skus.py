"""What inventory takes into the catalogue can be ordered, and nothing else can be asked for."""

from __future__ import annotations

import pytest
from inventory_service.messages import Sku as StockedSku
from order_service.api.bodies import Sku as OrderedSku
from pydantic import TypeAdapter, ValidationError

GOOD = ["A", "85123A", "two words", "a.b_c-d", "0", "x" * 64]
BAD = ["", " A", "A ", "A.", "-A", "x" * 65, "A\n", "TE\u0301A", "TEA🫖", "A'B", "A\tB", "٣"]


def takes(kind: object, sku: str) -> bool:
    try:
        TypeAdapter(kind).validate_python(sku)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("sku", [*GOOD, *BAD])
def test_both_services_agree_on_what_a_sku_is(sku: str) -> None:
    assert takes(StockedSku, sku) == takes(OrderedSku, sku) == (sku in GOOD)
