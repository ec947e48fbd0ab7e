"""A process of the next release reads what the release before it wrote, and writes anew."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

import pytest
from common import avro
from common.errors import UnknownSchema
from common.message import Event

SCHEMAS = Path(__file__).parents[2] / "schemas"
NEXT_ID = 1999


class OrderConfirmed(Event):
    """The event as the next release reads it."""

    TOPIC: ClassVar[str] = "orders.v1"

    order_id: UUID
    customer_id: UUID
    gift_note: str | None


@pytest.fixture
def upgrade(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Give the event another field, under another id, as schemas/README.md says to."""
    copy = Path(shutil.copytree(SCHEMAS, tmp_path / "schemas"))
    path = copy / "orders.v1" / "OrderConfirmed.avsc"
    schema: dict[str, Any] = json.loads(path.read_text())
    schema["fields"].append({"name": "gift_note", "type": ["null", "string"], "default": None})
    path.write_text(json.dumps(schema))
    ids: dict[str, int] = json.loads((copy / "ids.json").read_text())
    (copy / "ids.json").write_text(json.dumps({**ids, "orders.v1/OrderConfirmed": NEXT_ID}))

    def act() -> None:
        monkeypatch.setenv("SCHEMAS_DIR", str(copy))
        avro.contract.cache_clear()

    yield act
    monkeypatch.undo()
    avro.contract.cache_clear()


def written_now() -> tuple[bytes, dict[str, UUID]]:
    fields = {"order_id": UUID(int=1), "customer_id": UUID(int=2)}
    return avro.encode(OrderConfirmed(**fields, gift_note=None)), fields


def test_an_old_record_is_read_after_the_upgrade(upgrade: Callable[[], None]) -> None:
    old, fields = written_now()

    upgrade()

    assert avro.decode(old, OrderConfirmed) == OrderConfirmed(**fields, gift_note=None)


def test_a_new_record_is_read_after_the_upgrade_and_waits_before_it(
    upgrade: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    event = OrderConfirmed(order_id=UUID(int=1), customer_id=UUID(int=2), gift_note="For Ana")
    upgrade()
    new = avro.encode(event)

    assert avro.decode(new, OrderConfirmed) == event

    monkeypatch.delenv("SCHEMAS_DIR")
    avro.contract.cache_clear()
    with pytest.raises(UnknownSchema, match=str(NEXT_ID)):
        avro.decode(new, OrderConfirmed)
