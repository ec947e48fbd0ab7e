"""Reads Stripe's form-encoded parameters: nested names in brackets, everything checked by name."""

from __future__ import annotations

from urllib.parse import parse_qsl

from devstack.simulator import refusals
from devstack.simulator.intents import LARGEST_AMOUNT
from devstack.simulator.ledger import Window

_LARGEST_PAGE = 100
_USUAL_PAGE = 10
_END_OF_TIME = 2**62
_RANGES = ("created[gte]", "created[gt]", "created[lte]", "created[lt]")
LIST_PARAMETERS = frozenset({"limit", "starting_after", *_RANGES})


class Form:
    """The parameters of one request."""

    def __init__(self, encoded: str, known: frozenset[str]) -> None:
        """Refuse a parameter that the endpoint does not know, as Stripe does."""
        self._values = dict(parse_qsl(encoded, keep_blank_values=True))
        for name in self._values:
            if name not in known and not name.startswith("metadata["):
                raise refusals.invalid(
                    f"Received unknown parameter: {name}", code="parameter_unknown", param=name
                )

    def text(self, name: str) -> str | None:
        """Return a value that may be missing."""
        return self._values.get(name) or None

    def required(self, name: str) -> str:
        """Return a value that must be there."""
        value = self.text(name)
        if value is None:
            raise refusals.missing_parameter(name)
        return value

    def amount(self, name: str) -> int | None:
        """Return a positive amount in the smallest unit of its currency."""
        number = self._integer(name)
        if number is None or 1 <= number <= LARGEST_AMOUNT:
            return number
        if number < 1:
            code = "parameter_invalid_integer"
            raise refusals.invalid("Invalid positive integer", code=code, param=name)
        message = "Amount must be no more than 999,999.99"
        raise refusals.invalid(message, code="amount_too_large", param=name)

    def required_amount(self, name: str) -> int:
        """Return an amount that must be there."""
        amount = self.amount(name)
        if amount is None:
            raise refusals.missing_parameter(name)
        return amount

    def metadata(self) -> dict[str, str]:
        """Return what the caller wants to find again."""
        return {
            name.removeprefix("metadata[").removesuffix("]"): value
            for name, value in self._values.items()
            if name.startswith("metadata[")
        }

    def window(self) -> Window:
        """Return which part of a list is wanted."""
        limit = self._integer("limit")
        if limit is not None and not 1 <= limit <= _LARGEST_PAGE:
            raise refusals.invalid(f"limit must be between 1 and {_LARGEST_PAGE}", param="limit")
        at_least, above, at_most, below = (self._integer(name) for name in _RANGES)
        return Window(
            limit=limit or _USUAL_PAGE,
            starting_after=self.text("starting_after"),
            created_from=max(at_least or 0, 0 if above is None else above + 1),
            created_to=min(
                _END_OF_TIME if at_most is None else at_most,
                _END_OF_TIME if below is None else below - 1,
            ),
        )

    def _integer(self, name: str) -> int | None:
        value = self.text(name)
        if value is None:
            return None
        try:
            return int(value)
        except ValueError:
            code = "parameter_invalid_integer"
            raise refusals.invalid(f"Invalid integer: {value}", code=code, param=name) from None
