"""A plan made while there is nothing to send is kept when a mail outage piles letters up."""

from __future__ import annotations

import json

import pytest
from common.database import Database
from notification_service.store import letters

from tests.support.plans import names

pytestmark = pytest.mark.postgres


async def test_settling_finds_its_letters_by_id_and_not_among_all_that_wait(
    database: Database,
) -> None:
    async with database.transaction(by_key=True) as tx:
        await tx.execute(f"PREPARE settle AS {letters.SETTLE}")
        nothing = ", ".join(["NULL"] * 6)
        plan = await tx.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE settle ({nothing})")

    used = set(names(json.loads(plan)[0]["Plan"]))
    assert {name for name in used if name.startswith(("ix_", "pk_"))} == {"pk_notifications"}
    assert "Seq Scan" not in used
