"""Letters in every language: the words from TOML, laid out as text and as HTML."""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeAlias

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template, select_autoescape

from notification_service.domain import words
from notification_service.domain.notices import Order
from notification_service.domain.words import Content, Language, Text

FOLDER = Path(__file__).parent / "templates"

Phrase: TypeAlias = Callable[..., str]
"""Words with their gaps filled in."""


@dataclass(frozen=True, slots=True)
class _Words:
    """One kind of letter in one language."""

    subject: Phrase
    news: tuple[Phrase, ...]


@dataclass(frozen=True, slots=True)
class _Speech:
    """Everything that we can say in one language."""

    frame: Mapping[str, Phrase]
    kinds: Mapping[str, _Words]


@dataclass(frozen=True, slots=True)
class Stationery:
    """Writes letters from templates that were read once, at the start."""

    _speeches: Mapping[Language, _Speech]
    _text: Template
    _html: Template

    @classmethod
    def load(cls) -> Self:
        """Read and compile every template; a template with a mistake fails here."""
        env = Environment(
            loader=FileSystemLoader(FOLDER),
            autoescape=select_autoescape(["html"], default_for_string=False),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        return cls(
            {language: _read(language) for language in words.LANGUAGES},
            env.get_template("letter.txt"),
            env.get_template("letter.html"),
        )

    def write(self, content: Content) -> Text:
        """Put news into words, with the order's lines and total below."""
        language = content.language
        speech = self._speeches[language]
        said = speech.kinds[content.kind]
        paid = words.money(content.money, language) if content.money else ""
        subject = said.subject(money=paid)
        values = {
            "language": language,
            "subject": subject,
            "greeting": _greeting(speech, content.name),
            "news": [paragraph(money=paid) for paragraph in said.news],
            "footer": speech.frame["footer"](),
            **_order_values(speech, content.order, language),
        }
        return Text(subject, self._text.render(values), self._html.render(values))


def _greeting(speech: _Speech, name: str | None) -> str:
    called = words.greeted(name)
    if called is None:
        return speech.frame["greeting"]()
    return speech.frame["greeting_by_name"](name=called)


def _order_values(speech: _Speech, order: Order | None, language: Language) -> Mapping[str, Any]:
    if order is None:
        return {"order": ""}
    date = words.placed_on(order.order_id, language)
    heading = speech.frame["order_of" if date else "order"]
    return {
        "order": heading(order_id=order.order_id, date=date),
        "lines": [
            {
                "quantity": line.quantity,
                "sku": line.sku,
                "total": words.amount(
                    line.quantity * line.unit_price.amount, line.unit_price.currency, language
                ),
            }
            for line in order.lines
        ],
        "total_label": speech.frame["total"](),
        "total": words.money(order.total, language),
    }


def _read(language: Language) -> _Speech:
    tables = tomllib.loads((FOLDER / f"{language}.toml").read_text())
    frame = tables.pop("frame")
    return _Speech(
        {name: text.format for name, text in frame.items()},
        {
            kind: _Words(
                table["subject"].format, tuple(paragraph.format for paragraph in table["news"])
            )
            for kind, table in tables.items()
        },
    )
