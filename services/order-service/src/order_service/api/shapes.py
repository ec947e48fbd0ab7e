"""Response bodies, in camelCase: what a client may rely on, and no internal column."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

from common.http import Wire
from fastapi import Response
from pydantic import Field

from order_service.api.addresses import ShippingAddress
from order_service.domain import Health, Refund, RefundState, Status
from order_service.domain.addresses import Address
from order_service.idempotency import Answer
from order_service.store.orders import offer_of
from order_service.store.reads import Row
from order_service.stream import Moment


class Money(Wire):
    """An amount in the currency's minor units."""

    amount: int
    currency: str


class Links(Wire):
    """Where to go from an order."""

    self: str
    status: str
    events: str
    timeline: str
    cancel: str

    @classmethod
    def of(cls, prefix: str, order_id: UUID) -> "Links":
        """Name the routes of one order."""
        order = f"{prefix}/orders/{order_id}"
        return cls(
            self=order,
            status=f"{order}/status",
            events=f"{order}/events",
            timeline=f"{order}/timeline",
            cancel=f"{order}/cancel",
        )


class OrderAccepted(Wire):
    """The order is stored, or its end is under way; how it goes on is at `links.status`."""

    order_id: UUID
    status: Status
    message: str
    links: Links


class Line(Wire):
    """One product of an order."""

    line_no: int
    sku: str
    name: str
    quantity: int
    unit_price: Money
    line_total: Money


class Offer(Wire):
    """What is held of an order that is short: to be taken, or left, in time."""

    lines: list[Line]
    total: Money
    decide_by: datetime
    decision: str = Field(description="where to post the decision")

    @classmethod
    def of(cls, row: Row, lines: Sequence[Row], prefix: str) -> "Offer | None":
        """Show what is offered, if anything is."""
        held = offer_of(row["offer"])
        if held is None:
            return None
        currency = row["currency"]
        offered = [
            _line(line, currency, min(line["quantity"], held[line["line_no"]]))
            for line in lines
            if line["line_no"] in held
        ]
        return cls(
            lines=offered,
            total=Money(amount=sum(line.line_total.amount for line in offered), currency=currency),
            decide_by=row["deadline_at"],
            decision=f"{prefix}/orders/{row['order_id']}/decision",
        )


class OrderView(Wire):
    """An order as its owner sees it."""

    order_id: UUID
    status: Status
    saga: Health
    reason: str | None = Field(None, exclude_if=lambda value: value is None)
    lines: list[Line]
    total: Money
    offer: Offer | None = Field(
        None,
        exclude_if=lambda value: value is None,
        description="there while the customer is to decide",
    )
    amount_refunded: Money
    shipping_address: ShippingAddress | None = Field(
        None,
        exclude_if=lambda value: value is None,
        description="there if one was given, and in the order itself only, not in lists",
    )
    created_at: datetime
    updated_at: datetime
    links: Links

    @classmethod
    def of(
        cls, row: Row, lines: Sequence[Row], prefix: str, *, address: Address | None = None
    ) -> "OrderView":
        """Show an order and its lines, and where it goes."""
        currency = row["currency"]
        return cls(
            order_id=row["order_id"],
            status=Status(row["status"]),
            saga=Health(row["saga"]),
            reason=row["reason"],
            lines=[_line(line, currency, line["quantity"]) for line in lines],
            total=Money(amount=row["total"], currency=currency),
            offer=Offer.of(row, lines, prefix),
            amount_refunded=Money(amount=row["amount_refunded"], currency=currency),
            shipping_address=ShippingAddress.of(address) if address else None,
            created_at=row["created_at"],
            updated_at=row["updated_at"],
            links=Links.of(prefix, row["order_id"]),
        )


class OrderStatus(Wire):
    """Where an order is; `terminal` means that its saga is settled."""

    order_id: UUID
    status: Status
    saga: Health
    updated_at: datetime
    terminal: bool
    decide_by: datetime | None = Field(
        None,
        exclude_if=lambda value: value is None,
        description="when the offer ends that the order shows",
    )

    @classmethod
    def of(cls, row: Row) -> "OrderStatus":
        """Show where an order is."""
        return cls(
            order_id=row["order_id"],
            status=Status(row["status"]),
            saga=Health(row["saga"]),
            updated_at=row["updated_at"],
            terminal=row["settled_at"] is not None,
            decide_by=row["deadline_at"] if row["offer"] else None,
        )

    @classmethod
    def at(cls, moment: Moment) -> "OrderStatus":
        """Show where an order was just after one of its events."""
        return cls(
            order_id=moment.order_id,
            status=moment.status,
            saga=moment.saga,
            updated_at=moment.recorded_at,
            terminal=moment.is_settled,
        )

    def differs(self, other: "OrderStatus") -> bool:
        """Tell whether the order is elsewhere, and not only older."""
        places = [(each.status, each.saga, each.terminal) for each in (self, other)]
        return places[0] != places[1]


class OrderEvent(Wire):
    """One event of an order's live stream, and where the order was just after it."""

    order_id: UUID
    version: int
    type: str
    at: datetime
    service: str
    event_id: UUID
    status: Status
    saga: Health
    terminal: bool

    @classmethod
    def of(cls, moment: Moment) -> "OrderEvent":
        """Show a moment."""
        return cls(
            order_id=moment.order_id,
            version=moment.version,
            type=moment.type,
            at=moment.occurred_at,
            service=moment.service,
            event_id=moment.event_id,
            status=moment.status,
            saga=moment.saga,
            terminal=moment.is_settled,
        )


class RefundLinks(Wire):
    """Where to go from a refund."""

    self: str
    order: str

    @classmethod
    def of(cls, prefix: str, order_id: UUID, refund_id: UUID) -> "RefundLinks":
        """Name the routes of one refund."""
        order = f"{prefix}/orders/{order_id}"
        return cls(self=f"{order}/refunds/{refund_id}", order=order)


class RefundAccepted(Wire):
    """The refund is taken on; what becomes of it is at `links.self`."""

    refund_id: UUID
    order_id: UUID
    state: RefundState
    message: str
    links: RefundLinks


class RefundLine(Wire):
    """How much of one line the money is for."""

    line_no: int
    sku: str
    quantity: int


class RefundView(Wire):
    """Money on its way back, or back, or not: then `failureCode` says why."""

    refund_id: UUID
    order_id: UUID
    state: RefundState
    amount: Money
    reason: str = Field(description="`order_closed` if a cancellation gave the money back")
    requested_by: Literal["customer", "staff", "system"]
    lines: list[RefundLine]
    restock: bool
    failure_code: str | None = Field(None, exclude_if=lambda value: value is None)
    requested_at: datetime
    updated_at: datetime
    links: RefundLinks

    @classmethod
    def of(cls, refund: Refund, prefix: str) -> "RefundView":
        """Show a refund."""
        return cls(
            refund_id=refund.refund_id,
            order_id=refund.order_id,
            state=refund.state,
            amount=Money(amount=refund.amount, currency=refund.currency),
            reason=refund.reason,
            requested_by=refund.requested_by,
            lines=[
                RefundLine(line_no=line.line_no, sku=line.sku, quantity=line.quantity)
                for line in refund.lines
            ],
            restock=refund.restock,
            failure_code=refund.code,
            requested_at=refund.requested_at,
            updated_at=refund.updated_at,
            links=RefundLinks.of(prefix, refund.order_id, refund.refund_id),
        )


class TimelineEntry(Wire):
    """One event of an order's history."""

    type: str
    at: datetime
    service: str
    by: Literal["customer", "staff", "system"] | None = Field(
        None, exclude_if=lambda value: value is None, description="who asked for it"
    )
    event_id: UUID
    causation_id: UUID | None

    @classmethod
    def of(cls, row: Row) -> "TimelineEntry":
        """Show an event."""
        return cls(
            type=row["type"],
            at=row["occurred_at"],
            service=row["service"],
            by=row["by"],
            event_id=row["event_id"],
            causation_id=row["causation_id"],
        )


class Timeline(Wire):
    """Everything that happened to an order, oldest first."""

    data: list[TimelineEntry]


class Product(Wire):
    """A product as our copy of the catalogue has it."""

    sku: str
    name: str
    price: Money
    active: bool
    available: str

    @classmethod
    def of(cls, row: Row) -> "Product":
        """Show a product."""
        price = Money(amount=row["price"], currency=row["currency"])
        return cls(
            sku=row["sku"],
            name=row["name"],
            price=price,
            active=row["active"],
            available=row["available"],
        )


def replay(answer: Answer, *, location: str | None = None) -> Response:
    """Send an answer byte for byte as it is stored, and say so if it was given before."""
    headers = {"Location": location} if location else {}
    if answer.replayed:
        headers["Idempotency-Replayed"] = "true"
    return Response(answer.body, answer.status, headers, media_type="application/json")


def _line(row: Row, currency: str, quantity: int) -> Line:
    price = row["unit_price"]
    return Line(
        line_no=row["line_no"],
        sku=row["sku"],
        name=row["name"],
        quantity=quantity,
        unit_price=Money(amount=price, currency=currency),
        line_total=Money(amount=quantity * price, currency=currency),
    )
