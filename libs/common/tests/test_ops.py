"""The operator's API as a whole: who gets in, what is refused, pausing, audit, outbox."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
import till
from common.process import check_flood
from ops_desk import Admin, Desk, letters, order

pytestmark = pytest.mark.postgres


READS = (
    "/outbox",
    "/lag",
    "/consumers",
    "/breakers",
    "/audit",
    "/dead-letters",
    "/dead-letters/1",
    "/parked-keys",
    "/replay-jobs",
    f"/replay-jobs/{uuid4()}",
)
WRITES = (
    ("POST", "/consumers/pause"),
    ("POST", "/consumers/resume"),
    ("POST", "/dead-letters/1/replay"),
    ("POST", "/dead-letters/1/discard"),
    ("POST", "/dead-letters/1/restore"),
    ("PUT", "/dead-letters/1"),
    ("POST", "/parked-keys/k/drain"),
    ("POST", "/parked-keys/k/skip-head"),
    ("POST", "/replay-jobs"),
    ("POST", "/replay-jobs/plan"),
    ("POST", f"/replay-jobs/{uuid4()}/cancel"),
)


@pytest.mark.parametrize(("method", "path"), [*(("GET", path) for path in READS), *WRITES])
async def test_only_an_operator_gets_in(desk: Desk, method: str, path: str) -> None:
    body = {"json": {}} if method != "GET" else {}

    assert await desk.refused(method, path, role="nobody", **body) == (401, "unauthenticated")
    for role in ("customer", "staff", "admin"):
        assert await desk.refused(method, path, role=role, **body) == (403, "forbidden")


async def test_the_matrix_above_has_every_route(desk: Desk) -> None:
    tried = {(m, p.replace("/1", "/{}").replace("/k/", "/{}/")) for m, p in WRITES}
    tried |= {("GET", path.replace("/1", "/{}")) for path in READS}
    routes = {
        (method.upper(), path.removeprefix("/ops/v1"))
        for path, operations in desk.http._transport.app.openapi()["paths"].items()
        if path.startswith("/ops/v1")
        for method in operations
    }

    assert len(routes) == len(tried)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/dead-letters?sort=up", None),
        ("GET", "/dead-letters?limit=0", None),
        ("GET", "/dead-letters?limit=101", None),
        ("GET", "/dead-letters?state=lost", None),
        ("GET", "/dead-letters?from=2026-01-01T00:00:00", None),
        ("GET", "/dead-letters?key=%00", None),
        ("GET", "/dead-letters?key=hex:xx", None),
        ("GET", "/dead-letters?cursor=forged", None),
        ("GET", "/dead-letters/0", None),
        ("GET", f"/dead-letters/{2**63}", None),
        ("GET", "/dead-letters/x", None),
        ("GET", "/audit?principal=me", None),
        ("POST", "/dead-letters/1/discard", {}),
        ("POST", "/dead-letters/1/discard", {"note": ""}),
        ("POST", "/dead-letters/1/discard", {"note": "a\x1b[2J"}),
        ("POST", "/dead-letters/1/discard", {"note": "x" * 501}),
        ("POST", "/dead-letters/1/replay", {"force": True}),
        ("POST", "/parked-keys/%20/drain", {}),
        ("POST", "/parked-keys/hex:zz/drain", {}),
        ("POST", "/parked-keys/k/skip-head", {"note": "why"}),
        ("POST", "/parked-keys/k/skip-head", {"note": "why", "headId": "1"}),
        ("POST", "/consumers/pause", {}),
        ("POST", "/replay-jobs", {}),
        ("POST", "/replay-jobs", {"filter": {}, "rate": 0}),
        ("POST", "/replay-jobs", {"filter": {}, "rate": 1e9}),
        ("POST", "/replay-jobs", {"filter": {}, "max": 0}),
        ("POST", "/replay-jobs", {"filter": {"state": "retry"}}),
        ("POST", "/replay-jobs", {"filter": {"all": True}}),
        ("POST", "/replay-jobs/1/cancel", {}),
        ("PUT", "/dead-letters/1", {"note": "why"}),
        ("PUT", "/dead-letters/1", {"note": "why", "payload": []}),
    ],
)
async def test_bad_input_is_refused(desk: Desk, method: str, path: str, body: Any) -> None:
    given = {} if body is None else {"json": body}

    assert await desk.refused(method, path, **given) == (422, "validation_failed")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/dead-letters/7", None),
        ("POST", "/dead-letters/7/replay", {}),
        ("POST", "/dead-letters/7/discard", {"note": "why"}),
        ("PUT", "/dead-letters/7", {"note": "why", "payload": {}}),
        ("POST", "/parked-keys/nobody/drain", {}),
        ("POST", "/parked-keys/nobody/skip-head", {"note": "why", "headId": 7}),
        ("GET", f"/replay-jobs/{uuid4()}", None),
        ("POST", f"/replay-jobs/{uuid4()}/cancel", {}),
    ],
)
async def test_what_is_not_there_is_not_found(
    desk: Desk, method: str, path: str, body: Any
) -> None:
    given = {} if body is None else {"json": body}

    assert await desk.refused(method, path, **given) == (404, "not_found")


async def test_a_paused_consumer_stays_ready_and_a_flooded_one_does_not(
    desk: Desk, admin: Admin
) -> None:
    change = await desk.post("/consumers/pause", note="new warehouse")
    again = await desk.post("/consumers/pause", note="me too")
    (state,) = (await desk.get("/consumers"))["data"]
    await desk.consumer.look_for_halt()
    await check_flood(desk.consumer)

    assert (change["changed"], again["changed"]) == (1, 0)
    assert state["state"] == "PAUSED"
    assert (state["reason"], state["pausedBy"]) == ("new warehouse", str(desk.me.id))
    assert desk.consumer.halted == "new warehouse"
    await desk.post("/consumers/resume")
    await desk.consumer.look_for_halt()
    assert desk.consumer.halted is None
    await admin.execute("INSERT INTO consumer_halts VALUES ('inventory-service', 'a flood')")
    (flooded,) = (await desk.get("/consumers"))["data"]
    assert (flooded["state"], flooded["reason"]) == ("FLOODED", "a flood")


async def test_every_act_leaves_a_row_that_says_who_and_why(desk: Desk, admin: Admin) -> None:
    await desk.take(till.record(order("f")))
    (letter,) = await letters(desk)
    await desk.post(f"/dead-letters/{letter['id']}/discard", note="sold by hand")
    change = await desk.post(f"/dead-letters/{letter['id']}/restore")

    acts = (await desk.get("/audit"))["data"]
    narrowed = await desk.get("/audit", action="dead-letter.discard", principal=str(desk.me.id))

    assert [act["action"] for act in acts] == ["dead-letter.restore", "dead-letter.discard"]
    assert acts[0]["id"] == change["auditId"]
    (act,) = narrowed["data"]
    assert (
        act
        | {
            "principal": str(desk.me.id),
            "target": str(letter["id"]),
            "note": "sold by hand",
            "before": {"dead": 1},
            "after": {"discarded": 1},
        }
        == act
    )
    role = await admin.fetchval(
        "SELECT has_table_privilege('inventory_app', 'ops_audit', 'UPDATE, DELETE')"
    )
    assert role is False


async def test_the_outbox_tells_what_has_not_left_and_what_is_refused(
    desk: Desk, admin: Admin
) -> None:
    await desk.take(till.record(order("1")), till.record(order("2"), offset=1))
    await admin.execute("UPDATE outbox SET refused = 'too large' WHERE id = 1")

    seen = await desk.get("/outbox")

    assert (seen["depth"], seen["refusedCount"]) == (2, 1)
    assert seen["oldestAgeSeconds"] >= 0
    assert (
        seen["refused"][0] | {"type": "StockCommitted", "reason": "too large"}
        == (seen["refused"][0])
    )


async def test_lag_without_a_broker_is_said_and_not_waited_for(desk: Desk) -> None:
    assert await desk.refused("GET", "/lag") == (503, "not_ready")
