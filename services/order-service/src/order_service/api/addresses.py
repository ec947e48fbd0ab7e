"""A shipping address as it comes in and goes out."""

from collections.abc import Iterable
from typing import Annotated, Any

from common.http import PRINTABLE, Body, Wire
from pydantic import AfterValidator, Field
from typing_extensions import override

from order_service.domain.addresses import COUNTRIES, Address

MAX_ADDRESS_LINES = 3
"""What fits a label: street and number, building, care of."""


def _assigned(country: str) -> str:
    if country not in COUNTRIES:
        message = "no country of ISO 3166-1"
        raise ValueError(message)
    return country


_Text = Annotated[str, Field(min_length=1, max_length=100, pattern=PRINTABLE)]


class ShippingAddressBody(Body):
    """Where the order goes; kept with the order, and told to no other service."""

    name: Annotated[_Text, Field(examples=["Ana Lopez"])]
    lines: Annotated[
        list[_Text],
        Field(min_length=1, max_length=MAX_ADDRESS_LINES, examples=[["Calle Mayor 1", "2B"]]),
    ]
    city: Annotated[_Text, Field(examples=["Madrid"])]
    region: _Text | None = None
    postal_code: Annotated[
        str | None, Field(pattern=r"^[A-Z0-9](?:[A-Z0-9 -]{0,14}[A-Z0-9])?$", examples=["28013"])
    ] = None
    country: Annotated[
        str,
        Field(
            description="ISO 3166-1 alpha-2",
            examples=["ES"],
            json_schema_extra={"enum": sorted(COUNTRIES)},
        ),
        AfterValidator(_assigned),
    ]

    @override
    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        return ()

    def address(self) -> Address:
        return Address(
            name=self.name,
            lines=tuple(self.lines),
            city=self.city,
            country=self.country,
            region=self.region,
            postal_code=self.postal_code,
        )


class ShippingAddress(Wire):
    """Where the order goes, as long as its customer is known here."""

    name: str
    lines: list[str]
    city: str
    region: str | None
    postal_code: str | None
    country: str

    @classmethod
    def of(cls, address: Address) -> "ShippingAddress":
        """Show an address."""
        return cls(
            name=address.name,
            lines=list(address.lines),
            city=address.city,
            region=address.region,
            postal_code=address.postal_code,
            country=address.country,
        )
