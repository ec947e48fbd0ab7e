import re
from collections import Counter

from demo.invoices import Invoice, Row
from demo.plan import (
    Cancel,
    Order,
    Refund,
    accepts,
    is_scarce,
    is_sold_in_part,
    payment_method,
    plan,
)


def invoice(number: str, customer: str = "17850", *lines: tuple[str, int]) -> Invoice:
    made = Invoice(number, customer)
    for sku, quantity in lines or [("LAMP", 6)]:
        made.add(line(sku, quantity))
    return made


def line(sku: str, quantity: int, price: str = "2.55", name: str = "a thing") -> Row:
    return {
        "StockCode": sku,
        "Description": name,
        "Quantity": str(quantity),
        "UnitPrice": price,
    }


def test_so_many_invoices_become_orders_in_their_order() -> None:
    made = plan([invoice("1"), invoice("2"), invoice("3")], 2)

    assert [order.number for order in made.orders] == ["1", "2"]


def test_an_order_keeps_its_lines_as_they_were_written() -> None:
    made = plan([invoice("1", "17850", ("LAMP", 6), ("CUP", 1), ("LAMP", 2))], 1)

    assert made.orders[0].items == (("LAMP", 6), ("CUP", 1), ("LAMP", 2))


def test_an_invoice_of_which_nothing_can_be_ordered_is_counted() -> None:
    made = plan([invoice("1", "17850", ("LAMP", -1)), invoice("2")], 1)

    assert made.empty == 1
    assert made.refused == Counter({"quantity not above 0": 1})
    assert [order.number for order in made.orders] == ["2"]


def test_a_cancellation_of_one_whole_invoice_is_a_cancel_of_its_newest_match() -> None:
    history = [invoice("1"), invoice("2"), invoice("C3", "17850", ("LAMP", -6)), invoice("4")]

    made = plan(history, 3)

    assert made.steps[2] == Cancel("C3", "2", "customer-17850")
    assert made.cancellations == Counter(whole=1)


def test_an_invoice_is_cancelled_once() -> None:
    twice = [invoice("C2", "17850", ("LAMP", -6)), invoice("C3", "17850", ("LAMP", -6))]

    made = plan([invoice("1"), *twice, invoice("4")], 2)

    assert made.cancellations == Counter(whole=1, nothing=1)


def test_a_cancellation_over_two_lines_matches_what_they_add_up_to() -> None:
    undone = invoice("C2", "17850", ("LAMP", -2), ("LAMP", -4))

    assert plan([invoice("1"), undone, invoice("3")], 2).cancellations == Counter(whole=1)


def test_other_cancellations_are_counted_as_what_they_are() -> None:
    history = [
        invoice("1", "17850", ("LAMP", 6), ("CUP", 2)),
        invoice("C2", "17850", ("LAMP", -1)),
        invoice("C3", "17850", ("LAMP", -7)),
        invoice("C4", "11111", ("LAMP", -6), ("CUP", -2)),
        invoice("C5", "", ("LAMP", -6)),
        invoice("6"),
    ]

    made = plan(history, 2)

    assert made.cancellations == Counter(part=1, nothing=3)
    assert all(isinstance(step, Order) for step in made.steps)
    assert made.refunds == [Refund("C2", "1", (("LAMP", 1),))]


def test_no_more_comes_back_of_an_order_than_it_has_left() -> None:
    backs = [invoice(f"C{n}", "17850", ("LAMP", -2)) for n in range(2, 6)]

    made = plan([invoice("1"), *backs, invoice("6")], 2)

    assert [refund.number for refund in made.refunds] == ["C2", "C3", "C4"]
    assert made.cancellations == Counter(part=3, nothing=1)


def test_an_order_of_which_something_came_back_is_not_cancelled_as_a_whole() -> None:
    history = [
        invoice("1", "17850", ("LAMP", 6), ("CUP", 2)),
        invoice("C2", "17850", ("CUP", -2)),
        invoice("C3", "17850", ("LAMP", -6), ("CUP", -2)),
        invoice("C4", "17850", ("LAMP", -6)),
        invoice("5"),
    ]

    made = plan(history, 2)

    assert [refund.number for refund in made.refunds] == ["C2", "C4"]
    assert made.cancellations == Counter(part=2, nothing=1)


def test_what_could_not_be_ordered_does_not_come_back() -> None:
    history = [
        invoice("1", "17850", ("LAMP", 6), ("GIFT BOX", 1)),
        invoice("C2", "17850", ("LAMP", -1), ("GIFT BOX", -1)),
        invoice("C3", "17850", ("GIFT BOX", -1)),
        invoice("4"),
    ]

    made = plan(history, 2)

    assert made.refunds == [Refund("C2", "1", (("LAMP", 1),))]


def test_the_catalogue_has_every_product_at_its_first_price_and_first_name() -> None:
    first, second = Invoice("1", "17850"), Invoice("2", "17850")
    first.add(line("LAMP", 1, "2.55", ""))
    second.add(line("LAMP", 1, "9.99", "A LAMP"))
    second.add(line("CUP", 5, "1.00", "A CUP"))

    made = plan([first, second], 1)

    products = [each.product for each in made.catalogue]
    assert [(p.sku, p.name, p.pence) for p in products] == [
        ("LAMP", "A LAMP", 255),
        ("CUP", "A CUP", 100),
    ]


def test_what_is_ordered_is_stocked_and_the_scarce_is_short() -> None:
    skus = [f"SKU{number}" for number in range(1000)]
    made = plan([invoice("1", "17850", *((sku, 10) for sku in skus)), invoice("2")], 1)

    stock = {each.product.sku: each.stock for each in made.catalogue}
    assert {stock[sku] for sku in skus if is_scarce(sku)} == {7}
    assert {stock[sku] for sku in skus if not is_scarce(sku)} == {10}
    assert 5 <= sum(is_scarce(sku) for sku in skus) <= 30


def test_about_half_of_what_is_scarce_may_be_sold_in_part() -> None:
    scarce = [sku for sku in (f"SKU{number}" for number in range(20_000)) if is_scarce(sku)]
    made = plan([invoice("1", "17850", *((sku, 10) for sku in scarce)), invoice("2")], 1)

    in_part = [each.product.sku for each in made.catalogue if each.allow_partial]
    assert 0.4 <= len(in_part) / len(scarce) <= 0.6
    assert all(is_sold_in_part(sku) for sku in in_part)


def test_most_customers_take_what_there_is_and_each_decides_the_same_every_time() -> None:
    numbers = [str(number) for number in range(536365, 546365)]

    assert 0.6 <= sum(map(accepts, numbers)) / len(numbers) <= 0.8
    assert [accepts(number) for number in numbers] == [accepts(number) for number in numbers]


def test_what_is_not_ordered_has_the_volume_of_the_data() -> None:
    made = plan([invoice("1"), invoice("2", "17850", ("CUP", 5))], 1)

    cup = next(each for each in made.catalogue if each.product.sku == "CUP")
    assert (cup.stock, cup.is_ordered) == (5, False)


def test_a_few_per_cent_decline_and_each_run_declines_the_same() -> None:
    methods = {number: payment_method(str(number)) for number in range(536365, 546365)}

    declined = [method for method in methods.values() if "declined" in method]
    assert 200 <= len(declined) <= 400
    assert len(set(declined)) == 3
    assert all(re.fullmatch(r"pm_[A-Za-z0-9_]{1,61}", method) for method in methods.values())
    assert methods == {number: payment_method(str(number)) for number in methods}
