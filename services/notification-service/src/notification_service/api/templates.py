"""What letters look like, for staff."""

from typing import Annotated, Self
from uuid import UUID

from common.auth import Staff
from common.http import PRINTABLE, Body, Router, Wire
from pydantic import Field

from notification_service.api.parts import PartsOf
from notification_service.domain import preferences, words
from notification_service.domain.notices import Order
from notification_service.domain.words import Content, Language, Text
from notification_service.messages import Kind, Money, OrderLine

router = Router(tags=["templates"])

ORDER = UUID("0198f3a0-0001-7000-8000-000000000001")
CUSTOMER = UUID("0198f3a0-0002-7000-8000-000000000002")
"""No letter shows it."""

Amount = Annotated[int, Field(ge=0, le=10**12)]


class Template(Wire):
    """A kind of letter."""

    template_id: Kind
    languages: tuple[Language, ...]
    optional: bool
    """A customer may turn it off."""


class TemplateList(Wire):
    """All templates: never so many that they need pages."""

    data: tuple[Template, ...]
    next_cursor: None = None


class SampleLine(Wire):
    """A line of the order that the preview is about; its price is in minor units."""

    sku: Annotated[str, Field(min_length=1, max_length=64, pattern=PRINTABLE, examples=["85123A"])]
    quantity: Annotated[int, Field(ge=1, le=10**6, examples=[6])] = 1
    unit_price: Annotated[Amount, Field(examples=[255])] = 255


class PreviewBody(Body):
    """With which sample data to show a letter; whatever is left out is made up."""

    language: Language = words.DEFAULT_LANGUAGE
    name: Annotated[str | None, Field(max_length=200, examples=["Ana"])] = "Ana"
    order_id: UUID = ORDER
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$", examples=["EUR"])] = "EUR"
    lines: Annotated[tuple[SampleLine, ...], Field(min_length=1, max_length=100)] = (
        SampleLine(sku="85123A", quantity=6),
        SampleLine(sku="71053", quantity=2, unit_price=339),
    )
    amount: Annotated[Amount, Field(description="given back", examples=[1530])] = 1530

    def content(self, kind: Kind) -> Content:
        lines = tuple(
            OrderLine(sku=line.sku, quantity=line.quantity, unit_price=self._money(line.unit_price))
            for line in self.lines
        )
        total = sum(line.quantity * line.unit_price.amount for line in lines)
        order = Order(self.order_id, CUSTOMER, lines, self._money(total))
        return Content(
            kind=kind,
            language=self.language,
            name=self.name,
            order=order if kind in words.ABOUT_ORDERS else None,
            money=self._money(self.amount),
        )

    def _money(self, amount: int) -> Money:
        return Money.model_construct(amount=amount, currency=self.currency)


class Preview(Wire):
    """A letter as a customer would get it."""

    subject: str
    text: str
    html: str

    @classmethod
    def of(cls, text: Text) -> Self:
        return cls(subject=text.subject, text=text.body, html=text.html)


@router.get("/templates")
async def list_templates(_caller: Staff) -> TemplateList:
    """List every kind of letter that customers may get."""
    return TemplateList(
        data=tuple(
            Template(
                template_id=kind, languages=words.LANGUAGES, optional=kind in preferences.OPTIONAL
            )
            for kind in preferences.KINDS
        )
    )


@router.post("/templates/{template_id}/preview")
async def preview_template(
    template_id: Kind, body: PreviewBody, _caller: Staff, parts: PartsOf
) -> Preview:
    """Show a letter with sample data; nothing is sent."""
    return Preview.of(parts.stationery.write(body.content(template_id)))
