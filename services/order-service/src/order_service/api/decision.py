"""The customer's decision on an order of which only a part is in stock."""

from http import HTTPStatus
from uuid import UUID

from common.auth import is_staff
from common.database import Transaction
from common.http import Router
from common.idempotency import IdempotencyKey, fingerprint
from common.openapi import refuses
from fastapi import Response

from order_service import handlers, idempotency
from order_service.api.bodies import DecisionBody
from order_service.api.parts import Caller, PartsOf
from order_service.api.shapes import Links, OrderAccepted, replay
from order_service.domain import Choice, DecideOrder, Status
from order_service.store.keys import KeyRow, Slot

ROUTE = "POST /orders/{id}/decision"

router = Router(tags=["orders"])

_FOLLOWS = {
    Choice.ACCEPT_PARTIAL: (Status.PENDING, "The order goes on with what is in stock."),
    Choice.CANCEL: (Status.CANCELLING, "The order is being cancelled; what was held goes back."),
}


@router.post(
    "/orders/{order_id}/decision",
    status_code=HTTPStatus.ACCEPTED,
    response_model=OrderAccepted,
    responses=refuses(invalid_state=409, decision_expired=410),
)
async def decide_order(
    order_id: UUID, body: DecisionBody, key: IdempotencyKey, caller: Caller, parts: PartsOf
) -> Response:
    """Take what there is of an order that waits for this decision, for `offer.total`; or leave it.

    Once the time that `offer.decideBy` names is over, nothing is left to decide (410).
    """
    status, message = _FOLLOWS[body.choice]
    accepted = OrderAccepted(
        order_id=order_id,
        status=status,
        message=message,
        links=Links.of(parts.prefix, order_id),
    )
    row = KeyRow(
        slot=Slot(caller.id, ROUTE, key),
        fingerprint=fingerprint(body, str(order_id)),
        status=HTTPStatus.ACCEPTED,
        body=accepted.model_dump_json().encode(),
        order_id=None,
    )
    command = DecideOrder(
        order_id=order_id,
        choice=body.choice,
        by="staff" if is_staff(caller) else "customer",
        principal=caller.id,
    )

    async def decide(tx: Transaction) -> None:
        await handlers.decide_order(tx, command, patience=parts.patience)

    return replay(await idempotency.once(parts.database, row, decide))
