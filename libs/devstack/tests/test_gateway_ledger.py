"""Nothing that the gateway says is undone later."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from devstack.simulator.app import Front
from devstack.simulator.ledger import Ledger
from devstack.simulator.server import Connection, Request
from typing_extensions import override

from tests.support.gateway import RunningGateway, order_form

HEADERS = {"authorization": "Bearer a key"}


class Watching(Connection):
    """A client that looks into the ledger, from outside, the moment it is answered."""

    def __init__(self, front: Front, ledger: Path) -> None:
        super().__init__(front.handle)
        self._gateway = RunningGateway("", ledger)
        self.answer = b""
        self.committed = 0

    @override
    def write(self, data: bytes) -> None:
        self.answer = data
        ((self.committed,),) = self._gateway.rows("SELECT count(*) FROM intents")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    opened = Ledger(path)
    yield opened
    opened.close()


async def test_what_a_look_shows_is_committed(ledger: Ledger, path: Path) -> None:
    front = Front(ledger, "a key")
    changing, looking = Watching(front, path), Watching(front, path)

    await asyncio.gather(
        front.handle(_request("POST", urlencode(order_form())), changing),
        front.handle(_request("GET"), looking),
    )

    assert b"requires_capture" in looking.answer
    assert looking.committed == changing.committed == 1


def _request(method: str, body: str = "") -> Request:
    return Request(method, "/v1/payment_intents", "", HEADERS, body)
