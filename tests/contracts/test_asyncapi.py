"""The committed AsyncAPI document tells what the schemas and topics say now."""

from __future__ import annotations

from types import ModuleType


def test_the_committed_document_is_up_to_date(asyncapi: ModuleType) -> None:
    assert asyncapi.DOCUMENT.read_text() == asyncapi.render(asyncapi.generate())


def test_every_event_is_a_message_of_its_channel(asyncapi: ModuleType, ids: dict[str, int]) -> None:
    channels = asyncapi.generate()["channels"]

    said = {f"{topic}/{event}" for topic in channels for event in channels[topic]["messages"]}
    assert {name for name in said if not name.endswith("/DeadLetter")} == set(ids)
