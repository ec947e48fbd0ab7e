"""Who orders what: real orders, by few customers, paid for in every way."""

from __future__ import annotations

from itertools import islice

from chaos.load import ACCOUNTS, METHODS, accounts, shoppers
from demo.plan import Order

HISTORY = [Order(f"{number}", f"customer-{number}", (("SKU", 1),), "pm") for number in range(300)]


def test_the_same_seed_orders_the_same_again() -> None:
    assert list(islice(shoppers(HISTORY, 7), 700)) == list(islice(shoppers(HISTORY, 7), 700))


def test_history_repeats_under_new_numbers() -> None:
    ordered = list(islice(shoppers(HISTORY, 7), 900))

    assert len({order.number for order in ordered}) == 900
    assert [order.items for order in ordered[:300]] == [order.items for order in HISTORY]


def test_everybody_who_orders_has_an_account() -> None:
    assert {order.account for order in islice(shoppers(HISTORY, 7), 300)} <= set(accounts())
    assert len(accounts()) == ACCOUNTS


def test_every_way_to_pay_is_used() -> None:
    assert {order.payment_method for order in islice(shoppers(HISTORY, 7), 900)} == set(METHODS)
    assert sum(METHODS.values()) == 100
