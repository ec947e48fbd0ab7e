"""What payment decides on what it hears: values in, values out; no I/O and no clock."""

from __future__ import annotations

from dataclasses import replace

from common.card_numbers import holds_card_number
from common.message import Outcome, Stale

from payment_service.domain.payment import (
    WITHHELD,
    Book,
    Goods,
    Have,
    Payment,
    Refund,
    RefundStatus,
    Wanted,
    at_least_authorized,
    conclude,
)
from payment_service.messages import (
    Closing,
    OrderConfirmed,
    OrderLinesAmended,
    OrderPlaced,
    RefundFailed,
    RefundRequested,
    StockPartiallyReserved,
    StockReserved,
)


def place(book: Book, order: OrderPlaced) -> Outcome | Stale:
    """Note how to pay; the amount too, unless the customer has already accepted another."""
    payment = book.of(order.order_id)
    if payment.wanted is Wanted.CLOSED:
        return Stale("over before it was placed")
    if payment.payment_method is not None:
        return Stale("placed already")
    is_card = holds_card_number(order.payment_method)
    method = WITHHELD if is_card else order.payment_method
    placed = replace(payment, customer_id=order.customer_id, payment_method=method)
    if payment.amount is None:
        placed = replace(placed, amount=order.total.amount, currency=order.total.currency)
    return conclude(payment, placed)


def reserve(book: Book, stock: StockReserved) -> Outcome | Stale:
    """Want the money held, now that the stock is; unless a part of it is for the customer to say.

    An inventory that lost its database may find the whole where it had found a part before.
    """
    payment = book.of(stock.order_id)
    if payment.wanted is Wanted.CLOSED or payment.goods is not Goods.UNKNOWN:
        return Stale("counted already, or over")
    wanted = at_least_authorized(payment.wanted)
    return conclude(payment, replace(payment, goods=Goods.WHOLE, wanted=wanted))


def wait(book: Book, stock: StockPartiallyReserved) -> Outcome | Stale:
    """Make nothing due: the customer's decision does, or it ends the order."""
    payment = book.of(stock.order_id)
    if payment.wanted is Wanted.CLOSED or payment.goods is not Goods.UNKNOWN:
        return Stale("counted already, or over")
    return conclude(payment, replace(payment, goods=Goods.PART))


def amend(book: Book, order: OrderLinesAmended) -> Outcome | Stale:
    """Want the new total held instead of the first one, whatever was heard before it."""
    payment = book.of(order.order_id)
    if payment.wanted is Wanted.CLOSED or payment.goods is Goods.AGREED:
        return Stale("amended already, or over")
    if payment.was_asked_for:
        return Stale("the provider was asked for the first total")
    amended = replace(
        payment,
        goods=Goods.AGREED,
        amount=order.total.amount,
        currency=order.total.currency,
        wanted=at_least_authorized(payment.wanted),
    )
    return conclude(payment, amended)


def confirm(book: Book, order: OrderConfirmed) -> Outcome | Stale:
    """Want the money taken."""
    payment = book.of(order.order_id)
    if payment.wanted in {Wanted.CAPTURED, Wanted.CLOSED}:
        return Stale("confirmed already, or over")
    return conclude(payment, replace(payment, wanted=Wanted.CAPTURED))


def close(book: Book, order: Closing) -> Outcome:
    """Want nothing held; the answer comes from the state, also when it is heard again."""
    payment = book.of(order.order_id)
    return conclude(payment, replace(payment, wanted=Wanted.CLOSED, answer_owed=True))


def refund(book: Book, request: RefundRequested) -> Outcome | Stale:
    """Take a refund on, if that much is captured and not yet on its way back."""
    payment = book.of(request.order_id)
    if payment.refund(request.refund_id) is not None:
        return Stale("this refund was asked for before")
    asked = Refund(request.refund_id, request.amount.amount)
    code = _obstacle(payment, request)
    if code is None:
        return conclude(payment, replace(payment, refunds=(*payment.refunds, asked)))
    refused = replace(asked, status=RefundStatus.FAILED, code=code)
    changed = replace(payment, refunds=(*payment.refunds, refused))
    return Outcome((changed,), (_failed(payment, request, code),))


def _obstacle(payment: Payment, request: RefundRequested) -> str | None:
    if payment.wanted is Wanted.CLOSED:
        return "payment_closed"
    if payment.have is not Have.CAPTURED:
        return "nothing_captured"
    if request.amount.currency != payment.currency:
        return "currency_mismatch"
    return "over_refund" if request.amount.amount > payment.refundable else None


def _failed(payment: Payment, request: RefundRequested, code: str) -> RefundFailed:
    return RefundFailed(
        order_id=payment.order_id,
        payment_id=payment.payment_id,
        refund_id=request.refund_id,
        amount=request.amount,
        code=code,
        closing=False,
    )
