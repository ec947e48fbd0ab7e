"""Sagas as operators see them: what each waits for and why, and the repair of a stuck one."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, TypeVar
from uuid import UUID

from common import halts, telemetry
from common.auth import Principal
from common.http import Router, Wire
from common.openapi import refuses
from common.ops_parts import Operator
from common.ops_shapes import MaybeNoted, Noted
from common.paging import Page, PageQuery, PagesOf
from common.problem import not_found
from fastapi import Query
from pydantic import Field

from order_service import handlers
from order_service.api.parts import PartsOf
from order_service.domain import (
    Awaited,
    Health,
    Order,
    Payment,
    SagaForced,
    SagaResolved,
    SagaRetried,
    Side,
    Status,
    Stock,
    awaited,
)
from order_service.store import sagas as store
from order_service.store.sagas import Row, SagaFilter

router = Router(prefix="/ops/v1/sagas", tags=["operations"])


W = TypeVar("W", bound=Wire)

_log = telemetry.get_logger()


class SagaQuery(PageQuery):
    """Which sagas to list."""

    health: Health | None = None
    status: Status | None = None


class ResolveBody(Noted):
    """What was settled by hand: all that no service has answered for, and how."""

    settled: Annotated[tuple[Side, ...], Field(min_length=1, max_length=len(Side))]


class Waiting(Wire):
    """One fact that has not come: from a service or the customer, since when, and until when."""

    fact: str
    source: str
    since: datetime
    due_at: datetime | None

    @classmethod
    def of(cls, wait: Awaited) -> "Waiting":
        """Show what is waited for."""
        return cls(fact=wait.fact, source=wait.source, since=wait.since, due_at=wait.due_at)


class SagaView(Wire):
    """A saga with what it waits for."""

    order_id: UUID
    status: Status
    health: Health
    stock: Stock
    payment: Payment
    stuck_reason: str | None
    waits_for: list[Waiting]
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, order: Order) -> "SagaView":
        """Show a saga."""
        return cls(
            order_id=order.order_id,
            status=order.status,
            health=order.saga,
            stock=order.stock,
            payment=order.payment,
            stuck_reason=order.stuck_reason,
            waits_for=[Waiting.of(each) for each in awaited(order)],
            created_at=order.created_at,
            updated_at=order.updated_at,
        )


class ParkedMessage(Wire):
    """A message of this order that this service took and could not handle, or that waits behind."""

    id: int
    event_id: UUID | None
    topic: str
    state: str
    attempt: int
    error_class: str
    parked_at: datetime
    next_at: datetime


class UnsentEvent(Wire):
    """An event of this order that has not reached the broker; `refused` means it never will."""

    event_id: UUID
    type: str
    topic: str
    created_at: datetime
    refused: str | None


class Causes(Wire):
    """Why nothing came, as far as this service can know: the others have their own to tell."""

    consumer_halted: str | None
    parked: list[ParkedMessage]
    unsent: list[UnsentEvent]


class Happened(Wire):
    """One event of the history, with what an operator noted in it."""

    type: str
    at: datetime
    service: str
    event_id: UUID
    causation_id: UUID | None
    by: str | None
    note: str | None
    reason: str | None

    @classmethod
    def of(cls, row: Row) -> "Happened":
        """Show an event."""
        return cls(at=row["occurred_at"], **{k: v for k, v in row.items() if k != "occurred_at"})


class SagaDetail(SagaView):
    """A saga, why it does not move, and everything that happened."""

    causes: Causes
    history: list[Happened]


@router.get("")
async def list_sagas(
    query: Annotated[SagaQuery, Query()],
    _operator: Operator,
    pages: PagesOf,
    parts: PartsOf,
) -> Page[SagaView]:
    """List sagas, newest first; `health=STUCK` are those that wait for you."""
    after = pages.begin_in_time("sagas", query)
    wanted = SagaFilter(health=query.health, status=query.status)
    async with parts.database.transaction() as tx:
        orders = await store.list_sagas(tx, wanted, after=after, limit=query.limit + 1)
    shown, cursor = pages.cut(
        "sagas", query, orders, lambda end: [end.created_at.isoformat(), str(end.order_id)]
    )
    return Page(data=[SagaView.of(order) for order in shown], next_cursor=cursor)


@router.get("/{order_id}")
async def get_saga(order_id: UUID, _operator: Operator, parts: PartsOf) -> SagaDetail:
    """Show a saga and why it does not move."""
    async with parts.database.transaction() as tx:
        order = await store.find_saga(tx, order_id)
        if order is None:
            raise not_found()
        halt = await halts.find(tx, "order-service")
        causes = Causes(
            consumer_halted=halt.reason if halt else None,
            parked=_rows(ParkedMessage, await store.list_parked(tx, order_id)),
            unsent=_rows(UnsentEvent, await store.list_unsent(tx, order_id)),
        )
        history = [Happened.of(row) for row in await store.list_history(tx, order_id)]
    seen = SagaView.of(order)
    return SagaDetail(**dict(seen), causes=causes, history=history)


@router.post("/{order_id}/retry", responses=refuses(invalid_state=409))
async def retry_saga(
    order_id: UUID, body: MaybeNoted, operator: Operator, parts: PartsOf
) -> SagaView:
    """Ask again for what a stuck saga waits for, with fresh timers."""
    repair = SagaRetried(by=operator.id, note=body.note or "")
    async with parts.database.transaction() as tx:
        order = await handlers.retry_saga(tx, order_id, repair, patience=parts.patience)
    return _repaired("saga retried", order, operator)


@router.post("/{order_id}/force", responses=refuses(invalid_state=409))
async def force_saga(order_id: UUID, body: Noted, operator: Operator, parts: PartsOf) -> SagaView:
    """Have a stuck order undone by the services, instead of waiting for its completion."""
    repair = SagaForced(by=operator.id, note=body.note)
    async with parts.database.transaction() as tx:
        order = await handlers.force_saga(tx, order_id, repair, patience=parts.patience)
    return _repaired("saga forced", order, operator)


@router.post("/{order_id}/resolve", responses=refuses(invalid_state=409))
async def resolve_saga(
    order_id: UUID, body: ResolveBody, operator: Operator, parts: PartsOf
) -> SagaView:
    """End a stuck saga where it was heading, on your word that all of it was settled by hand."""
    repair = SagaResolved(by=operator.id, note=body.note, settled=body.settled)
    async with parts.database.transaction() as tx:
        order = await handlers.resolve_saga(tx, order_id, repair, patience=parts.patience)
    return _repaired("saga resolved", order, operator)


def _rows(shape: type[W], rows: Sequence[Row]) -> list[W]:
    return [shape.model_validate(dict(row)) for row in rows]


def _repaired(what: str, order: Order, operator: Principal) -> SagaView:
    _log.info(what, order_id=order.order_id, user_id=operator.id, status=order.status)
    return SagaView.of(order)
