"""Inventory's part of the saga: reserve, commit, close and restock, as pure decisions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from common.message import Event, Outcome, Stale

from inventory_service.domain.stockroom import (
    Announced,
    Change,
    HeldLine,
    Movement,
    MovementKind,
    Reservation,
    ReservationState,
    Restocked,
    Stockroom,
)
from inventory_service.messages import (
    AskedLine,
    Closing,
    OrderConfirmed,
    OrderLinesAmended,
    OrderPlaced,
    RefundRequested,
    StockCommitted,
    StockLine,
    StockPartiallyReserved,
    StockRejected,
    StockReleased,
    StockReserved,
)

_CLOSED_AS = {
    ReservationState.AWAITED: ReservationState.CLOSED,
    ReservationState.HELD: ReservationState.RELEASED,
    ReservationState.COMMITTED: ReservationState.RELEASED,
    ReservationState.RELEASED: ReservationState.RELEASED,
    ReservationState.REJECTED: ReservationState.REJECTED,
    ReservationState.CLOSED: ReservationState.CLOSED,
}


def reserve(room: Stockroom, order: OrderPlaced) -> Outcome | Stale:
    """Hold everything that the order wants; or what there is, if all that is short allows it.

    Else nothing is held.
    """
    known = room.reservation(order.order_id)
    if known.state is not ReservationState.AWAITED:
        return Stale(f"placed again or too late: {known.state}")
    amended = tuple(line.stock_line(line.quantity) for line in known.lines)
    wanted = amended or order.lines
    asked = tuple(_asked(room, wanted))
    short = tuple(line for line in asked if line.available < line.asked)
    if short and not _is_worth_asking(room, asked, short):
        rejected = replace(
            known, state=ReservationState.REJECTED, lines=(), deadline_at=order.deadline_at
        )
        return Outcome((rejected,), (StockRejected(order_id=order.order_id, lines=short),))
    lines = tuple(
        HeldLine(line.line_no, line.sku, line.available) for line in asked if line.available
    )
    held = replace(known, state=ReservationState.HELD, lines=lines, deadline_at=order.deadline_at)
    movements = _movements(held, MovementKind.RESERVED)
    said = (
        StockPartiallyReserved(order_id=order.order_id, lines=asked)
        if short
        else StockReserved(order_id=order.order_id, lines=wanted)
    )
    if known.confirmed:
        return _sell(room, held, movements, (said,))
    return _outcome(room, (held,), movements, (said,))


def amend(room: Stockroom, order: OrderLinesAmended) -> Outcome | Stale:
    """Keep no more than the customer takes; ahead of its OrderPlaced, remember how much that is.

    It is what is held already, unless the database was lost and the shelf is fuller than it was.
    """
    known = room.reservation(order.order_id)
    match known.state:
        case ReservationState.AWAITED:
            lines = tuple(HeldLine(each.line_no, each.sku, each.quantity) for each in order.lines)
        case ReservationState.HELD | ReservationState.COMMITTED:
            lines = tuple(_kept(known.lines, order.lines))
        case _:
            return Stale(f"amended too late: {known.state}")
    if lines == known.lines:
        return Stale("exactly what is held, or amended again")
    amended = replace(known, lines=lines)
    return _outcome(room, (amended,), _given_up(known, amended, order.type_name()), ())


def commit(room: Stockroom, order: OrderConfirmed) -> Outcome | Stale:
    """Sell what is held; ahead of its OrderPlaced, remember to."""
    known = room.reservation(order.order_id)
    if known.state is ReservationState.HELD:
        return _sell(room, known, [], ())
    if known.state is ReservationState.AWAITED and not known.confirmed:
        return Outcome((replace(known, confirmed=True),))
    return Stale(f"confirmed again or too late: {known.state}")


def close(room: Stockroom, order: Closing) -> Outcome:
    """Give back whatever has not come back yet, and always answer: it may be asked again."""
    known = room.reservation(order.order_id)
    kind = MovementKind.RELEASED if known.state is ReservationState.HELD else MovementKind.RESTOCKED
    closed = replace(
        known,
        state=_CLOSED_AS[known.state],
        lines=tuple(line.give_back(line.held) for line in known.taken),
    )
    returned = tuple(line.stock_line(line.held) for line in known.taken if line.held)
    answer = StockReleased(
        order_id=order.order_id, lines=returned, nothing_held=not returned, closing=True
    )
    return _outcome(
        room,
        (closed,) if closed != known else (),
        _movements(known, kind, reason=order.type_name()),
        (answer,),
    )


def restock(room: Stockroom, refund: RefundRequested) -> Outcome | Stale:
    """Put a refund's lines back on the shelf: once, and never more than was sold."""
    if refund.refund_id in room.refunds:
        return Stale("restocked already")
    known = room.reservation(refund.order_id)
    returned = tuple(_returned(known, refund.lines))
    movements = [
        Movement(line.sku, MovementKind.RESTOCKED, line.quantity, refund.order_id, "refund")
        for line in returned
    ]
    answer = StockReleased(
        order_id=refund.order_id,
        lines=returned,
        nothing_held=not returned,
        closing=False,
        refund_id=refund.refund_id,
    )
    changes: list[Change] = [Restocked(refund.refund_id, refund.order_id)]
    if returned:
        changes.append(_less(known, returned))
    return _outcome(room, changes, movements, (answer,))


def _asked(room: Stockroom, lines: Sequence[StockLine]) -> Iterator[AskedLine]:
    """Tell what each line can have after the lines before it."""
    left: dict[str, int] = {}
    for line in lines:
        available = min(line.quantity, left.setdefault(line.sku, room.available(line.sku)))
        left[line.sku] -= available
        yield AskedLine(
            line_no=line.line_no, sku=line.sku, asked=line.quantity, available=available
        )


def _is_worth_asking(
    room: Stockroom, asked: Sequence[AskedLine], short: Sequence[AskedLine]
) -> bool:
    """Tell whether the customer may choose, and has something to choose."""
    allowed = all(room.allows_partial(line.sku) for line in short)
    return allowed and any(line.available for line in asked)


def _kept(held: Sequence[HeldLine], amended: Sequence[StockLine]) -> Iterator[HeldLine]:
    wanted = {line.line_no: line.quantity for line in amended}
    for line in held:
        if (kept := line.at_most(wanted.get(line.line_no, 0))).quantity:
            yield kept


def _given_up(known: Reservation, amended: Reservation, reason: str) -> list[Movement]:
    """Put back on the shelf what an amendment leaves of what was taken."""
    is_sold = known.state is ReservationState.COMMITTED
    kind = MovementKind.UNSOLD if is_sold else MovementKind.RELEASED
    kept = {line.line_no: line.quantity for line in amended.taken}
    return [
        Movement(line.sku, kind, surplus, known.order_id, reason)
        for line in known.taken
        if (surplus := line.quantity - kept.get(line.line_no, 0))
    ]


def _returned(known: Reservation, asked: Sequence[StockLine]) -> Iterator[StockLine]:
    if known.state is not ReservationState.COMMITTED:
        return
    wanted: Counter[int] = Counter()
    for line in asked:
        wanted[line.line_no] += line.quantity
    for held in known.lines:
        if quantity := min(wanted[held.line_no], held.held):
            yield held.stock_line(quantity)


def _less(known: Reservation, returned: Sequence[StockLine]) -> Reservation:
    back = {line.line_no: line.quantity for line in returned}
    lines = tuple(line.give_back(back.get(line.line_no, 0)) for line in known.lines)
    return replace(known, lines=lines)


def _sell(
    room: Stockroom, held: Reservation, before: list[Movement], said: tuple[Event, ...]
) -> Outcome:
    sold = replace(held, state=ReservationState.COMMITTED, confirmed=True)
    movements = before + _movements(held, MovementKind.COMMITTED)
    return _outcome(room, (sold,), movements, (*said, StockCommitted(order_id=held.order_id)))


def _movements(
    reservation: Reservation, kind: MovementKind, reason: str | None = None
) -> list[Movement]:
    return [
        Movement(line.sku, kind, line.held, reservation.order_id, reason)
        for line in reservation.taken
        if line.held
    ]


def _outcome(
    room: Stockroom,
    changes: Sequence[Change],
    movements: Sequence[Movement],
    events: tuple[Event, ...],
) -> Outcome:
    """Complete an outcome: a shelf that crosses one of its lines is announced as well."""
    crossed = list(room.recategorised(movements))
    announced = (Announced(shelf.sku, shelf.version) for shelf in crossed)
    return Outcome(
        (*changes, *movements, *announced),
        (*events, *(shelf.announcement() for shelf in crossed)),
    )
