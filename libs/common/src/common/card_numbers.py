"""Finds a card's number where a token should be, so that it is never stored, sent or logged."""

from __future__ import annotations

import re

_SEPARATOR = re.compile("[^0-9A-Za-z]")
_NUMBER = re.compile("[0-9]{13,19}")


def holds_card_number(text: str) -> bool:
    """Tell whether digits in it, grouped or not, check each other as those of a card do."""
    return any(_checks(digits) for digits in _NUMBER.findall(_SEPARATOR.sub("", text)))


def _checks(digits: str) -> bool:
    doubled = (int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits)))
    return sum(value // 10 + value % 10 for value in doubled) % 10 == 0
