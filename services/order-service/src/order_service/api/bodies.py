"""Request bodies: strict by type, with no member that is not listed here."""

from collections import Counter
from json import JSONDecodeError
from typing import Annotated, Any, Self, TypeVar
from uuid import UUID

from common import strict_json
from common.card_numbers import holds_card_number
from common.errors import FieldError, Refusal
from common.http import PRINTABLE, Body, Changes, as_checked
from common.message import Cause
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import (
    AfterValidator,
    AliasChoices,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from typing_extensions import override

from order_service.api.addresses import ShippingAddressBody
from order_service.domain import Choice, PlaceOrder, RequestRefund, ReturnedLine, WantedLine
from order_service.domain.accounts import AccountChanges, Role
from order_service.domain.placing import MAX_TOTAL
from order_service.messages import Money

B = TypeVar("B", bound=Body)

DEFAULT_PAYMENT_METHOD = "pm_card"
"""What an order that names none is paid with."""

MAX_QUANTITY = 1_000_000
"""Far above any line that was ever sold (74,215 pieces) and far below what money could overflow."""

MAX_LINES = 1000
"""Such an order takes about a fifth of the largest body that is read."""

SKU = r"^[A-Za-z0-9](?:[A-Za-z0-9 ._-]{0,62}[A-Za-z0-9])?$"
"""What inventory takes into the catalogue: whatever is in it can be ordered."""

EMAIL = (
    r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@"
    r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9-]{1,63})+$"
)
"""That of HTML's e-mail field: no quotes and no line ends, which a mail header could trip on."""

Sku = Annotated[str, Field(pattern=SKU, examples=["85123A"])]
Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Z]{2})?$", examples=["en", "es"])]
Text = Annotated[str, Field(min_length=1, max_length=100, pattern=PRINTABLE)]
Email = Annotated[str, Field(pattern=EMAIL, max_length=254, examples=["ana@example.com"])]
EXAMPLE_PASSWORD = "correct horse battery"  # noqa: S105  for the API's document
Password = Annotated[str, Field(min_length=12, max_length=128, examples=[EXAMPLE_PASSWORD])]


def _once_each(roles: list[Role]) -> list[Role]:
    if len(set(roles)) < len(roles):
        message = "a role is named twice"
        raise ValueError(message)
    return roles


Roles = Annotated[
    list[Role],
    Field(min_length=1, max_length=4, json_schema_extra={"uniqueItems": True}),
    AfterValidator(_once_each),
]


def _no_card_number(token: str) -> str:
    if holds_card_number(token):
        raise ValueError("send a token of the payment provider, never a card number")
    return token


class WantedItem(Body):
    """One product and how many of it."""

    sku: Sku = Field(
        validation_alias=AliasChoices("sku", "productId"),
        description="`productId` is another name for it",
    )
    quantity: Annotated[int, Field(ge=1, le=MAX_QUANTITY)]


class PlaceOrderBody(Body):
    """What a customer wants; prices are ours and are never read from the client."""

    items: Annotated[list[WantedItem], Field(min_length=1, max_length=MAX_LINES)]
    payment_method: Annotated[
        str,
        Field(pattern=r"^pm_[A-Za-z0-9_]{1,61}$", description="a provider's token, never a card"),
        AfterValidator(_no_card_number),
    ] = DEFAULT_PAYMENT_METHOD
    shipping_address: ShippingAddressBody | None = None

    def command(self, *, order_id: UUID, customer_id: UUID, cause: Cause | None) -> PlaceOrder:
        """Translate to the command, the same product on two lines merged into one."""
        wanted: Counter[str] = Counter()
        first: dict[str, int] = {}
        for place, item in enumerate(self.items):
            wanted[item.sku] += item.quantity
            first.setdefault(item.sku, place)
        if max(wanted.values()) > MAX_QUANTITY:
            detail = f"a product's lines add up to more than {MAX_QUANTITY}"
            raise invalid(FieldError("/items", "less_than_equal", detail))
        lines = (WantedLine(sku, quantity, first[sku]) for sku, quantity in wanted.items())
        return PlaceOrder(
            order_id=order_id,
            customer_id=customer_id,
            lines=tuple(lines),
            payment_method=self.payment_method,
            address=self.shipping_address.address() if self.shipping_address else None,
            cause=cause,
        )


class CancelBody(Body):
    """Nothing is to be said: an order is cancelled as a whole."""


class WantedMoney(Body):
    """An amount in the currency's minor units."""

    amount: Annotated[int, Field(ge=1, le=MAX_TOTAL, examples=[250])]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$", examples=["GBP"])]


class ReturnedItem(Body):
    """How much of one line of the order goes back."""

    line_no: Annotated[int, Field(ge=1, le=MAX_LINES, examples=[1])]
    quantity: Annotated[int, Field(ge=1, le=MAX_QUANTITY, examples=[1])]


class RefundBody(Body):
    """Money to give back: an amount, or what some lines cost; exactly one of the two."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {
                    "required": ["amount"],
                    "properties": {
                        "amount": {"type": "object"},
                        "lines": {"type": "null"},
                        "restock": {"const": False},
                    },
                },
                {
                    "required": ["lines"],
                    "properties": {"lines": {"type": "array"}, "amount": {"type": "null"}},
                },
            ],
            "examples": [
                {"lines": [{"lineNo": 1, "quantity": 1}], "restock": True, "reason": "damaged"}
            ],
        }
    )

    amount: Annotated[WantedMoney | None, Field(examples=[None])] = None
    lines: Annotated[list[ReturnedItem] | None, Field(min_length=1, max_length=MAX_LINES)] = None
    restock: Annotated[
        bool,
        Field(description="Whether the lines go back on the shelf; also if the refund fails."),
    ] = False
    reason: Annotated[
        str,
        Field(pattern=r"^[a-z][a-z0-9_]{0,63}$", examples=["damaged", "requested_by_customer"]),
    ]

    def command(self, *, refund_id: UUID, order_id: UUID, by: UUID) -> RequestRefund:
        """Translate to the command, or refuse a body that does not say what goes back."""
        if (self.amount is None) == (self.lines is None):
            raise invalid(FieldError("/amount", "one_of", "name either an amount or lines"))
        if self.restock and self.lines is None:
            raise invalid(FieldError("/restock", "lines_missing", "name the lines to restock"))
        return RequestRefund(
            refund_id=refund_id,
            order_id=order_id,
            by=by,
            reason=self.reason,
            amount=Money(**self.amount.model_dump()) if self.amount else None,
            lines=tuple(ReturnedLine(line.line_no, line.quantity) for line in self.lines or ()),
            restock=self.restock,
        )


class DecisionBody(Body):
    """Whether to take what there is of an order that is short."""

    choice: Annotated[Choice, Field(description="`accept_partial` takes it, `cancel` leaves it")]


class RegisterBody(Body):
    """A new account."""

    email: Email
    password: Password = Field(repr=False)
    name: Text | None = None
    language: Language = "en"


class NewUserBody(RegisterBody):
    """A new account for somebody else, with what they may do."""

    roles: Roles = Field(default=["customer"])


class _Changes(Changes):
    CLEARABLE = frozenset({"name"})

    name: Text | None = None
    email: Email | None = None
    language: Language | None = None
    password: Password | None = Field(None, repr=False)

    def changes(self) -> AccountChanges:
        """Take what is to change of the account itself; the password is no part of it."""
        changes = AccountChanges()
        if "name" in self.model_fields_set:
            changes["name"] = self.name
        if self.email is not None:
            changes["email"] = self.email.lower()
        if self.language is not None:
            changes["language"] = self.language
        return changes


def _as_proved(schema: dict[str, Any], model: type[Changes]) -> None:
    as_checked(schema, model)
    schema["dependentRequired"] = {name: ["currentPassword"] for name in ("email", "password")}


class MyChangesBody(_Changes):
    """What to change of one's own account; whatever is left out stays as it is."""

    model_config = ConfigDict(json_schema_extra=_as_proved)

    current_password: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=128,
            repr=False,
            examples=[EXAMPLE_PASSWORD],
            description="needed for another `email` or `password`",
        ),
    ] = None

    @model_validator(mode="after")
    def _prove_it(self) -> Self:
        if (self.email or self.password) and not self.current_password:
            message = "another e-mail address or password needs `currentPassword`"
            raise ValueError(message)
        return self


class UserChangesBody(_Changes):
    """What to change of somebody's account; whatever is left out stays as it is."""

    roles: Roles | None = None
    active: bool | None = None

    @override
    def changes(self) -> AccountChanges:
        changes = super().changes()
        if self.roles is not None:
            changes["roles"] = tuple(sorted(self.roles))
        if self.active is not None:
            changes["active"] = self.active
        return changes


class LoginBody(Body):
    """What an account proves itself with."""

    email: Annotated[str, Field(min_length=1, max_length=254)]
    password: Annotated[str, Field(min_length=1, max_length=128, repr=False)]


class RefreshBody(Body):
    """A refresh token, as login or the last refresh gave it."""

    refresh_token: Annotated[str, Field(min_length=1, max_length=128, repr=False)]


async def read_body(request: Request, body_type: type[B]) -> B:
    """Read the body as FastAPI would, without its way there: 400 or 422 when it is no such body."""
    raw = await request.body()
    try:
        strict_json.parse(raw)
        return body_type.model_validate_json(raw)
    except JSONDecodeError as error:
        entry = {"type": "json_invalid", "loc": ("body",), "ctx": {"error": error.msg}}
        raise RequestValidationError([entry]) from None
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        entries = [{**entry, "loc": ("body", *entry["loc"])} for entry in found]
        raise RequestValidationError(entries) from None


def invalid(*errors: FieldError) -> Refusal:
    """Make the refusal of a request that is understood and breaks a rule."""
    return Refusal(
        "validation_failed", "`errors` lists each wrong place.", status=422, errors=errors
    )
