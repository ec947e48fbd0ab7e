"""What a letter says, in the customer's language."""

from collections.abc import Mapping
from dataclasses import dataclass

from notification_service.domain.letters import Letter
from notification_service.messages import Kind, Money

_EXPONENTS: Mapping[str, int] = {
    **dict.fromkeys("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF".split(), 0),
    **dict.fromkeys("BHD IQD JOD KWD LYD OMR TND".split(), 3),
}
"""ISO 4217's minor units where they are not the usual two."""

_NEWS: Mapping[str, Mapping[Kind, tuple[str, str]]] = {
    "en": {
        "decide": (
            "Only part of your order is in stock",
            (
                "Not everything you ordered is in stock. Please tell us whether to send what"
                " we have or to cancel the order."
            ),
        ),
        "confirmed": (
            "Your order is confirmed",
            "Thank you: we have everything you ordered and your payment is authorised.",
        ),
        "rejected": (
            "We could not accept your order",
            "We are sorry: the order could not be accepted. Nothing was charged.",
        ),
        "expired": (
            "Your order has expired",
            "The order was not confirmed in time and is closed. Nothing was charged.",
        ),
        "cancelled": (
            "Your order is cancelled",
            "The order is cancelled. Whatever was paid goes back to you.",
        ),
        "shipped": ("Your order is on its way", "The order has left our shop."),
        "refunded": ("Your refund", "We have given back {money}."),
        "reversed": (
            "Your payment was given back",
            "A payment of {money} arrived after the order was closed. We have given it back.",
        ),
    },
    "es": {
        "decide": (
            "Solo tenemos parte de su pedido",
            (
                "No tenemos todo lo que ha pedido. Díganos si enviamos lo que hay o si cancelamos"
                " el pedido."
            ),
        ),
        "confirmed": (
            "Su pedido está confirmado",
            "Gracias: tenemos todo lo que ha pedido y su pago está autorizado.",
        ),
        "rejected": (
            "No hemos podido aceptar su pedido",
            "Lo sentimos: no hemos podido aceptar el pedido. No se ha cobrado nada.",
        ),
        "expired": (
            "Su pedido ha caducado",
            "El pedido no se confirmó a tiempo y está cerrado. No se ha cobrado nada.",
        ),
        "cancelled": (
            "Su pedido está cancelado",
            "El pedido está cancelado. Le devolvemos todo lo que haya pagado.",
        ),
        "shipped": ("Su pedido está en camino", "El pedido ha salido de nuestra tienda."),
        "refunded": ("Su reembolso", "Le hemos devuelto {money}."),
        "reversed": (
            "Le hemos devuelto su pago",
            "Un pago de {money} llegó cuando el pedido ya estaba cerrado. Se lo hemos devuelto.",
        ),
    },
}

_FRAME: Mapping[str, tuple[str, str, str]] = {
    "en": ("Hello,", "Order", "Total"),
    "es": ("Hola:", "Pedido", "Total"),
}


@dataclass(frozen=True, slots=True)
class Text:
    """A letter's subject line and body."""

    subject: str
    body: str


def write(letter: Letter) -> Text:
    """Put a notice into words, with the order's lines and total below."""
    language = letter.language
    subject, news = _NEWS[language][letter.notice.kind]
    greeting, order, total = _FRAME[language]
    if letter.notice.money is not None:
        news = news.format(money=amount(letter.notice.money))
    goods = [f"  {line.quantity} x {line.sku}" for line in letter.order.lines]
    sum_line = f"{total}: {amount(letter.order.total)}"
    order_line = f"{order} {letter.order.order_id}"
    return Text(subject, "\n".join([greeting, "", news, "", order_line, *goods, sum_line, ""]))


def amount(money: Money) -> str:
    """Write minor units as people do, by the currency's own exponent."""
    exponent = _EXPONENTS.get(money.currency, 2)
    whole, minor = divmod(money.amount, 10**exponent)
    return f"{whole:,}" + (f".{minor:0{exponent}d}" if exponent else "") + f" {money.currency}"
