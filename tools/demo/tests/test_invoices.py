from collections import Counter

import pytest
from demo.invoices import Invoice, Line, Row, invoices, read_rows


def row(number: str = "1", **changed: str) -> Row:
    usual = {
        "InvoiceNo": number,
        "StockCode": "85123A",
        "Description": " WHITE HANGING HEART ",
        "Quantity": "6",
        "UnitPrice": "2.55",
        "CustomerID": "17850",
    }
    return usual | changed


def test_lines_of_one_invoice_are_gathered_in_the_order_of_the_file() -> None:
    found = invoices([row("1"), row("2"), row("1", StockCode="71053", Quantity="2")])

    assert [invoice.number for invoice in found] == ["1", "2"]
    assert found[0].lines == [Line("85123A", 6), Line("71053", 2)]


def test_a_product_is_named_and_priced_by_its_line() -> None:
    (invoice,) = invoices([row()])

    (product,) = invoice.products
    assert (product.sku, product.name, product.pence) == ("85123A", "WHITE HANGING HEART", 255)


def test_a_code_in_either_case_is_one_product() -> None:
    (invoice,) = invoices([row(StockCode="85123a ")])

    assert invoice.lines == [Line("85123A", 6)]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"StockCode": " "}, "no code"),
        ({"StockCode": "BANK CHARGES"}, "no sku"),
        ({"UnitPrice": "0.0"}, "price 0"),
        ({"UnitPrice": "0.001"}, "price 0"),
        ({"Quantity": "-3"}, "quantity not above 0"),
        ({"Quantity": "0"}, "quantity not above 0"),
    ],
    ids=["no code", "space in the code", "free", "under half a penny", "negative", "none"],
)
def test_a_line_that_is_no_order_line_is_refused_by_name(
    changed: dict[str, str], reason: str
) -> None:
    (invoice,) = invoices([row(**changed), row()])

    assert invoice.lines == [Line("85123A", 6)]
    assert invoice.refused == Counter({reason: 1})


@pytest.mark.parametrize(
    ("price", "pence"),
    [("2.55", 255), ("0.01", 1), ("7.955", 796), ("16888.02", 1688802)],
)
def test_pounds_become_whole_pence(price: str, pence: int) -> None:
    (invoice,) = invoices([row(UnitPrice=price)])

    assert invoice.products[0].pence == pence


def test_an_invoice_without_a_customer_is_a_guest_of_its_own() -> None:
    assert Invoice("536365", "17850").account == "customer-17850"
    assert Invoice("536414", "").account == "guest-536414"


def test_a_cancellation_begins_with_c() -> None:
    assert Invoice("C536379", "14527").cancels
    assert not Invoice("536365", "17850").cancels


@pytest.mark.slow
def test_the_data_comes_with_the_package() -> None:
    found = invoices(read_rows())

    assert len(found) == 8621
    assert sum(invoice.cancels for invoice in found) == 1363
    assert sum(len(i.lines) + i.refused.total() for i in found) == 171_999
