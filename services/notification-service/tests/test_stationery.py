"""Letters against their golden files.

`python services/notification-service/tests/test_stationery.py` compiles the MJML and writes all
files anew.
"""

import re
from datetime import date
from pathlib import Path
from typing import get_args
from uuid import UUID

import mjml
import pytest
from markupsafe import escape
from notification_service.channels.stationery import FOLDER, Stationery
from notification_service.domain import words
from notification_service.domain.notices import Order
from notification_service.domain.words import Content, Language, Text
from notification_service.messages import Kind, Money, OrderLine

GOLDEN = Path(__file__).parent / "golden"
ORDER = UUID("0198f3a0-0001-7000-8000-000000000001")
CUSTOMER = UUID("0198f3a0-0002-7000-8000-000000000002")
LINES = (
    OrderLine(sku="85123A", quantity=6, unit_price=Money(amount=255, currency="GBP")),
    OrderLine(sku="POST", quantity=1, unit_price=Money(amount=123456, currency="GBP")),
)
KINDS: tuple[Kind, ...] = get_args(Kind)
OF_AN_ACCOUNT = {"welcome"}
NBSP = "\N{NO-BREAK SPACE}"


def content(kind: Kind, language: Language = "en", name: str | None = "Ada") -> Content:
    order = Order(ORDER, CUSTOMER, LINES, Money(amount=124986, currency="GBP"))
    return Content(
        kind,
        language,
        name,
        None if kind in OF_AN_ACCOUNT else order,
        Money(amount=1530, currency="GBP") if kind in {"refunded", "reversed"} else None,
    )


def compiled() -> str:
    html: str = mjml.mjml2html((FOLDER / "letter.mjml").read_text())
    # mail servers may refuse lines of more than 998 bytes, and MJML writes a single one
    return re.sub(r"(</tr>|<tbody>|<!\[endif\]-->|</div>)\s*<", r"\1\n<", html) + "\n"


def golden(kind: Kind, language: Language) -> Path:
    return GOLDEN / f"{kind}.{language}"


def written(text: Text) -> str:
    """Show a letter as its golden file does: without the frame that all letters share."""
    body = re.sub(r"<style.*?</style>|<!--.*?-->| style=\"[^\"]*\"", "", text.html, flags=re.DOTALL)
    html = re.sub(r">\s*<", ">\n<", body.partition("<body")[2])
    return f"Subject: {text.subject}\n\n{text.body}\n<body{html}"


def test_the_html_is_what_its_source_compiles_to() -> None:
    assert (FOLDER / "letter.html").read_text() == compiled()


@pytest.mark.parametrize("language", words.LANGUAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_letter_reads_as_its_golden_file(kind: Kind, language: Language) -> None:
    text = Stationery.load().write(content(kind, language))

    assert written(text) == golden(kind, language).read_text()


@pytest.mark.parametrize("language", words.LANGUAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_letter_has_no_line_that_a_mail_server_may_refuse(kind: Kind, language: Language) -> None:
    text = Stationery.load().write(content(kind, language))

    lines = [*text.body.splitlines(), *text.html.splitlines()]
    assert max(len(line.encode()) for line in lines) <= 998


def test_a_letter_loads_nothing_from_elsewhere() -> None:
    html = (FOLDER / "letter.html").read_text()

    assert not re.search(r"src=|@import|<link|url\(", html)


@pytest.mark.parametrize(
    ("name", "greeting"),
    [
        ("Ada", "Hello Ada,"),
        ("María José O'Neill-Ruiz", "Hello María José O'Neill-Ruiz,"),
        (None, "Hello,"),
        ("Win at https://evil.example", "Hello,"),
        ("evil.example", "Hello,"),
        ("<script>alert(1)</script>", "Hello,"),
        ("a\nb", "Hello,"),
        ("Ada " * 20, "Hello,"),
    ],
    ids=["name", "accents", "none", "link", "host", "script", "two lines", "endless"],
)
def test_a_name_greets_and_carries_no_message_of_a_strangers(
    name: str | None, greeting: str
) -> None:
    text = Stationery.load().write(content("welcome", name=name))

    assert text.body.splitlines()[0] == greeting
    assert f">{escape(greeting)}<" in text.html
    assert "evil" not in text.body + text.html


def test_what_is_not_ours_is_escaped_in_html() -> None:
    line = OrderLine(sku="<b>&", quantity=1, unit_price=Money(amount=1, currency="GBP"))
    order = Order(ORDER, CUSTOMER, (line,), line.unit_price)

    text = Stationery.load().write(Content("confirmed", "en", None, order))

    assert "&lt;b&gt;&amp;" in text.html
    assert "<b>&: £0.01" in text.body


def test_an_order_whose_id_tells_no_time_is_written_without_a_date() -> None:
    order_id = UUID("6ba7b810-9dad-41d1-80b4-00c04fd430c8")
    order = Order(order_id, CUSTOMER, LINES, LINES[0].unit_price)

    text = Stationery.load().write(Content("shipped", "en", None, order))

    assert f"Order {order_id}\n" in text.body


@pytest.mark.parametrize(
    ("money", "english", "spanish"),
    [
        (Money(amount=123456, currency="GBP"), "£1,234.56", f"1.234,56{NBSP}GBP"),
        (Money(amount=1234567, currency="EUR"), "€12,345.67", f"12.345,67{NBSP}€"),
        (Money(amount=5, currency="EUR"), "€0.05", f"0,05{NBSP}€"),
        (Money(amount=500, currency="JPY"), "¥500", f"500{NBSP}JPY"),
        (Money(amount=1234, currency="KWD"), "KWD1.234", f"1,234{NBSP}KWD"),
        (Money(amount=2**63 - 1, currency="EUR"), "€92,233,720,368,547,758.07", None),
    ],
    ids=["pounds", "thousands", "cents", "yen", "dinars", "largest"],
)
def test_money_is_written_by_its_own_exponent_and_the_readers_habits(
    money: Money, english: str, spanish: str | None
) -> None:
    assert words.money(money, "en") == english
    if spanish is not None:
        assert words.money(money, "es") == spanish


def test_a_date_is_written_as_its_reader_does() -> None:
    when = date(2026, 11, 27)

    assert words.day(when, "en") == "November 27, 2026"
    assert words.day(when, "es") == "27 de noviembre de 2026"


if __name__ == "__main__":
    (FOLDER / "letter.html").write_text(compiled())
    GOLDEN.mkdir(exist_ok=True)
    for each in KINDS:
        for tongue in words.LANGUAGES:
            letter = Stationery.load().write(content(each, tongue))
            golden(each, tongue).write_text(written(letter))
