"""Nothing that the gateway says is undone later."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import partial
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
        super().__init__(front.handle, set())
        self._gateway = RunningGateway("", ledger)
        self.answer = b""
        self.committed = 0

    @override
    def write(self, data: bytes) -> None:
        self.answer = data
        ((self.committed,),) = self._gateway.rows("SELECT count(*) FROM intents")


class FullOnce(sqlite3.Connection):
    """A file whose disk is full for the first commit."""

    _is_full = True

    @override
    def commit(self) -> None:
        if self._is_full:
            self._is_full = False
            message = "database or disk is full"
            raise sqlite3.OperationalError(message)
        super().commit()


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


async def test_a_failed_commit_costs_no_later_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=FullOnce))
    with closing(Ledger(path)) as ledger:
        with pytest.raises(sqlite3.OperationalError, match="full"):
            await _count_attempt(ledger)

        assert await _count_attempt(ledger) == 1


async def _count_attempt(ledger: Ledger) -> int:
    with ledger.transaction():
        number = ledger.count_attempt("one")
    await ledger.written()
    return number


def _request(method: str, body: str = "") -> Request:
    return Request(method, "/v1/payment_intents", "", HEADERS, body)
