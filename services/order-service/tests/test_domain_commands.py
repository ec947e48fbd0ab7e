"""Every command in every status: what people may ask of an order, and when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from common.errors import Refusal
from common.message import Event, Said
from order_service.domain import (
    CancelOrder,
    Choice,
    DecideOrder,
    Order,
    Orders,
    Patience,
    RequestRefund,
    Status,
    cancel,
    decide,
    deliver,
    request_refund,
    ship,
)
from order_service.messages import Money, OrderLine

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ID = UUID("0198f3a0-0001-7000-8000-000000000001")
CUSTOMER = UUID("0198f3a0-0002-7000-8000-000000000002")

_REFUND = RequestRefund(ID, ID, ID, "damaged", Money(amount=1, currency="GBP"))

_LINE = OrderLine(line_no=1, sku="mug", quantity=2, unit_price=Money(amount=1104, currency="GBP"))


def _decide(order: Order, choice: Choice) -> Event:
    command = DecideOrder(ID, choice, "customer", CUSTOMER)
    return decide(order, command, lines=[_LINE], now=NOW)


COMMANDS: dict[str, Callable[[Order], Event | None]] = {
    "cancel": lambda order: cancel(order, CancelOrder(ID, "customer", CUSTOMER)),
    "ship": ship,
    "deliver": deliver,
    "accept": lambda order: _decide(order, Choice.ACCEPT_PARTIAL),
    "leave": lambda order: _decide(order, Choice.CANCEL),
    "refund": lambda order: request_refund(order, _REFUND, sold=(), refunds=()),
}

TABLE = """
status          cancel     accept  leave      ship    deliver   refund
PENDING         CANCELLING !       !          !       !         !
ACTION_REQUIRED CANCELLING PENDING CANCELLING !       !         !
CONFIRMED       CANCELLING !       !          !       !         !
COMPLETED       CANCELLING !       !          SHIPPED !         COMPLETED
SHIPPED         !          !       !          -       DELIVERED SHIPPED
DELIVERED       !          !       !          !       -         DELIVERED
CANCELLING      !          !       !          !       !         !
CANCELLED       !          !       !          !       !         !
REJECTED        !          !       !          !       !         !
EXPIRED         !          !       !          !       !         !
"""
"""What the order becomes; - is nothing to say, ! is refused as 409 invalid_state."""


def order(status: Status) -> Order:
    over = status in {"CANCELLING", "CANCELLED", "REJECTED", "EXPIRED"}
    plain = Order(
        order_id=ID,
        customer_id=CUSTOMER,
        total=2208,
        amount_captured=2208,
        currency="GBP",
        deadline_at=NOW + timedelta(minutes=15),
        created_at=NOW,
        updated_at=NOW,
    )
    reason = "some_reason" if over else None
    offer = {1: 1} if status is Status.ACTION_REQUIRED else None
    closed_by = "system" if over else None
    return replace(plain, status=status, reason=reason, closed_by=closed_by, offer=offer)


def cells() -> list[tuple[str, str, str]]:
    header, *rows = (line.split() for line in TABLE.strip().splitlines())
    return [
        (status, command, cell)
        for status, *cells in rows
        for command, cell in zip(header[1:], cells, strict=True)
    ]


@pytest.mark.parametrize(("status", "command", "expected"), cells())
def test_each_command_is_taken_in_its_turn_only(status: str, command: str, expected: str) -> None:
    before = order(Status(status))

    if expected == "!":
        with pytest.raises(Refusal, match="invalid_state") as refused:
            COMMANDS[command](before)
        assert refused.value.status == 409
        return
    event = COMMANDS[command](before)
    orders = Orders([before], now=NOW, patience=Patience())
    orders.record(ID, [Said(event)] if event else [])

    assert (event is None) == (expected == "-")
    assert orders.get(ID).status == (status if expected == "-" else expected)


def test_the_table_knows_every_status_and_every_command() -> None:
    assert {status for status, _, _ in cells()} == set(Status)
    assert {command for _, command, _ in cells()} == set(COMMANDS)
