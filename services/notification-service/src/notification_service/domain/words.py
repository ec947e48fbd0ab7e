"""What a letter is made of, and how amounts and dates are written in its language."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Literal, TypeAlias, get_args
from uuid import UUID

from babel import Locale, dates, numbers

from notification_service.domain.notices import Order
from notification_service.messages import Kind, Money

Language: TypeAlias = Literal["en", "es"]
LANGUAGES: tuple[Language, ...] = ("en", "es")
DEFAULT_LANGUAGE: Language = "en"

ABOUT_ORDERS: frozenset[Kind] = frozenset(set(get_args(Kind)) - {"welcome"})

_EXPONENTS: Mapping[str, int] = {
    **dict.fromkeys("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF".split(), 0),
    **dict.fromkeys("BHD IQD JOD KWD LYD OMR TND".split(), 3),
}
"""ISO 4217's minor units where they are not the usual two; CLDR's are those of cash."""

_REMEMBERED = 4096
"""Prices repeat from order to order, and to write one costs as much as the rest of a letter."""

_NAME = re.compile(r"[^\W\d_][\w '\N{RIGHT SINGLE QUOTATION MARK}-]{0,39}")
"""A name that greets; anyone can register anybody's address, so it must not carry a message."""

_UUID7 = 7


@dataclass(frozen=True, slots=True)
class Content:
    """What a letter is to say."""

    kind: Kind
    language: Language
    name: str | None = field(default=None, repr=False)
    order: Order | None = None
    money: Money | None = None


@dataclass(frozen=True, slots=True)
class Text:
    """A letter's subject line and body, as plain text and as HTML."""

    subject: str
    body: str
    html: str


def spoken(tag: str) -> Language:
    """Choose the language asked for if we speak it, else English."""
    asked = tag.partition("-")[0].lower()
    return next((language for language in LANGUAGES if language == asked), DEFAULT_LANGUAGE)


def greeted(name: str | None) -> str | None:
    """Answer the name if it can be one."""
    return name if name and _NAME.fullmatch(name) else None


@lru_cache(_REMEMBERED)
def amount(minor: int, currency: str, language: Language) -> str:
    """Write minor units as people do, by the currency's own exponent."""
    exponent = _EXPONENTS.get(currency, 2)
    return numbers.format_currency(
        Decimal(minor).scaleb(-exponent),
        currency,
        _pattern(exponent, language),
        locale=language,
        currency_digits=False,
    )


def money(paid: Money, language: Language) -> str:
    """Write an amount of money."""
    return amount(paid.amount, paid.currency, language)


@lru_cache(_REMEMBERED)
def day(when: date, language: Language) -> str:
    """Write a date with the month's name."""
    return dates.format_date(when, "long", locale=language)


def placed_on(order_id: UUID, language: Language) -> str | None:
    """Write the day that is in an order's id, if its id tells the time."""
    if order_id.version != _UUID7:
        return None
    try:
        moment = datetime.fromtimestamp((order_id.int >> 80) / 1000, UTC)
    except (ValueError, OverflowError):
        return None
    return day(moment.date(), language)


@lru_cache
def _pattern(exponent: int, language: Language) -> str:
    usual = str(Locale.parse(language).currency_formats["standard"].pattern)
    digits = "." + "0" * exponent if exponent else ""
    return usual.replace(".00", digits)
