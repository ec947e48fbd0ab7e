"""Where rows with a due time begin."""

from __future__ import annotations

from datetime import timedelta

import pytest
from common import due


async def test_a_bottom_is_remembered_and_looked_for_again_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    firsts = [due.EVER + timedelta(hours=hour) for hour in (3, 2, 4)]
    asked: list[str] = []

    async def fetch(sql: str) -> list[tuple[object]]:
        asked.append(sql)
        return [(firsts[len(asked) - 1],)]

    bottom = due.Bottom("SELECT first")
    assert [await bottom.find(fetch) for _ in range(3)] == [firsts[0]] * 3
    monkeypatch.setattr(due, "_BOTTOM_HOLDS", 0.0)
    bottom = due.Bottom("SELECT first")

    assert [await bottom.find(fetch) for _ in range(2)] == firsts[1:], "and what came below counts"
    assert asked == ["SELECT first"] * 3
